"""What LlamaIndex retrieved, announced to the core before the model is called."""

from collections.abc import Iterator
from typing import Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.instrumentation.events.synthesis import GetResponseStartEvent
from llama_index.core.schema import MetadataMode
from llama_index_instrumentation import get_dispatcher

from cachepoint.core.guard import guard
from cachepoint.core.prompt.documents import MIN_DOCUMENT, retrieved


class Retrieved(BaseEventHandler):
    """Tells the core which texts were retrieved; it keeps their lengths and digests."""

    @classmethod
    def class_name(cls) -> str:
        """The handler's name."""
        return "CachepointRetrieved"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Announce the nodes of a retrieval, and the texts that a synthesizer made of them."""
        # The dispatcher would swallow what is raised without a word.
        guard("reading what was retrieved", lambda: retrieved.announce(_announced(event)), None)


def _announced(event: BaseEvent) -> Iterator[str]:
    return (text for text in _texts(event) if len(text) >= MIN_DOCUMENT)


def _texts(event: BaseEvent) -> Iterator[str]:
    if isinstance(event, RetrievalEndEvent):
        yield from (node.node.get_content(metadata_mode=MetadataMode.LLM) for node in event.nodes)
    elif isinstance(event, GetResponseStartEvent):
        yield from event.text_chunks


def listen() -> None:
    """Attach the handler to the root dispatcher, once."""
    root = get_dispatcher()
    if not any(isinstance(handler, Retrieved) for handler in root.event_handlers):
        root.add_event_handler(Retrieved())

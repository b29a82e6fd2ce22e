"""What LangChain's retrievers return, announced to the core before the model is called."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.tracers.context import register_configure_hook

from cachepoint.core.guard import guard
from cachepoint.core.prompt.documents import MIN_DOCUMENT, retrieved


class RetrievalHandler(BaseCallbackHandler):
    """Announces retrieved texts; deaf to all but the end of a retrieval. Keeps nothing itself."""

    # Async runs would put it off to a thread, behind which the model may be called first.
    run_inline = True
    ignore_agent = ignore_chain = ignore_chat_model = ignore_custom_event = True
    ignore_llm = ignore_retry = True

    def on_retriever_end(self, documents: Sequence[Document], **_: Any) -> None:
        """Announce these texts."""
        guard("announcing documents", lambda: retrieved.announce(_texts(documents)), None)


def _texts(documents: Sequence[Document]) -> list[str]:
    return [d.page_content for d in documents if len(d.page_content) >= MIN_DOCUMENT]


_handler: ContextVar[RetrievalHandler | None] = ContextVar("cachepoint_retrieval", default=RetrievalHandler())  # noqa: B039

# Every run configures its own callbacks and finds the handler by itself, so no child needs to inherit it.
register_configure_hook(_handler, inheritable=False)

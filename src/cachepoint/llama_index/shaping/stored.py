"""Memories as plain data."""

from typing import Any

from llama_index.core.memory import BaseMemory
from llama_index.core.storage.chat_store import SimpleChatStore

_STORE = "chat_store"


def as_data(memory: BaseMemory) -> dict[str, Any]:
    """A memory as plain data, from which its `from_dict` makes another.

    Upstream's own way fails once there is a message in a `SimpleChatStore` (llama-index-core 0.14.25 with
    pydantic 2.14.4: the serializer of `AnnotatedChatMessage` hands its `info` on as an index).

    Args:
        memory: Any memory; where it keeps its messages in a `SimpleChatStore`, these are written here.
    """
    store = getattr(memory, _STORE, None)
    if not isinstance(store, SimpleChatStore):
        return memory.to_dict()
    held = {key: [m.model_dump(mode="json") for m in messages] for key, messages in store.store.items()}
    data = memory.model_dump(mode="json", exclude={_STORE})
    return {**data, _STORE: {"class_name": store.class_name(), "store": held}}

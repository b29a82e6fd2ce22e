"""Where a mirror lives."""

from cachepoint.stores.memory import MemoryStore

__all__ = ["MemoryStore"]

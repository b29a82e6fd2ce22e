"""A mirror in the memory of one process. It lives in the core, which needs one to start with."""

from cachepoint.core.memory.mirror import MemoryStore

__all__ = ["MemoryStore"]

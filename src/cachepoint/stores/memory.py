"""A mirror in the memory of one process. It lives in the core, which needs one to start with."""

from cachepoint.core.mirror import MemoryStore

__all__ = ["MemoryStore"]

"""The memories that a `PromptCache` takes."""

from cachepoint.core.memory.local import LIMITS, Limit, LocalMemory
from cachepoint.core.memory.protocol import Memory
from cachepoint.core.memory.records import Table

__all__ = ["LIMITS", "Limit", "LocalMemory", "Memory", "Table"]

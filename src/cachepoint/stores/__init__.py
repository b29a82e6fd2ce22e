"""What `cachepoint.memory` was called; it goes with the next release."""

from warnings import warn

from cachepoint.core.memory.local import LIMITS, Limit, LocalMemory
from cachepoint.core.memory.records import Table
from cachepoint.core.once import deprecated


@deprecated("cachepoint.stores.MemoryStore is cachepoint.memory.LocalMemory now")
class MemoryStore(LocalMemory):
    """`cachepoint.memory.LocalMemory` by its old name.

    Args:
        capacity: How many prefixes to keep.
    """

    def __init__(self, capacity: int = LIMITS[Table.PLACES].records) -> None:
        warn(
            "cachepoint.stores.MemoryStore is cachepoint.memory.LocalMemory now",
            DeprecationWarning,
            stacklevel=2,
        )
        if capacity < 1:
            raise ValueError(f"capacity is {capacity!r}; it must be at least 1")
        was = LIMITS[Table.PLACES]
        super().__init__({Table.PLACES: Limit(capacity, was.seconds, was.bytes)})

    def __len__(self) -> int:
        return self.sizes()[Table.PLACES][0]


__all__ = ["MemoryStore"]

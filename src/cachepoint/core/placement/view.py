"""A request held against what is remembered of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import compress, count

from cachepoint.core.memory.records import NEVER, Place
from cachepoint.core.once import once
from cachepoint.core.prompt.prefix import Prefix


@dataclass(frozen=True)
class View:
    """What is known of a prefix, by block index.

    Attributes:
        now: Seconds.
        entries: The places that an earlier call noted or is writing, in order.
        size: How many blocks there are.
    """

    now: float
    entries: dict[int, Place] = field(default_factory=dict)
    size: int = 0

    @classmethod
    def of(cls, prefix: Prefix, places: Mapping[bytes, Place], now: float) -> "View":
        """The view of a request."""
        if not places:
            return cls(now)
        digests = prefix.digests
        noted = compress(count(), map(places.__contains__, digests))
        known = {
            i: place
            for i in noted
            if (place := places[digests[i]]).seen > NEVER or (place.holder and place.held(now))
        }
        return cls(now, known, len(digests))

    def lives(self, index: int) -> bool:
        """Whether a block ends a live entry."""
        place = self.entries.get(index)
        return place is not None and place.live(self.now)

    @property
    def live(self) -> Iterator[int]:
        """The blocks that end a live entry, the deepest first."""
        now = self.now
        return (i for i, place in reversed(self.entries.items()) if place.live(now))

    @once
    def anchor(self) -> int:
        """The deepest of them; -1: there is none."""
        return next(self.live, -1)

    @once
    def repeats(self) -> bool:
        """Whether an earlier call went through all of it."""
        return self.size - 1 in self.entries

    @property
    def sized(self) -> tuple[int, int] | None:
        """The deepest block whose cumulative tokens are known, and the tokens."""
        deepest_first = reversed(self.entries.items())
        return next(((i, e.tokens) for i, e in deepest_first if e.tokens is not None), None)

    def seen_from(self, first: int) -> int | None:
        """The deepest block at or behind `first` that an earlier call went through and that was noted."""
        deepest = next(reversed(self.entries), None)
        return None if deepest is None or deepest < first else deepest

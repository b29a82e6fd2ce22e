"""A request held against what is remembered of it."""

from collections.abc import Mapping
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
    """

    now: float
    entries: dict[int, Place] = field(default_factory=dict)

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
        return cls(now, known)

    @once
    def live(self) -> tuple[int, ...]:
        """Indices of the blocks that end a live entry, in order."""
        return tuple([i for i, e in self.entries.items() if e.live(self.now)])

    @once
    def anchor(self) -> int:
        """The last of them; -1: there is none."""
        return self.live[-1] if self.live else -1

    @property
    def sized(self) -> tuple[int, int] | None:
        """The deepest block whose cumulative tokens are known, and the tokens."""
        deepest_first = reversed(self.entries.items())
        return next(((i, e.tokens) for i, e in deepest_first if e.tokens is not None), None)

    def seen_from(self, first: int) -> int | None:
        """The deepest block at or behind `first` that an earlier call went through and that was noted."""
        deepest = next(reversed(self.entries), None)
        return None if deepest is None or deepest < first else deepest

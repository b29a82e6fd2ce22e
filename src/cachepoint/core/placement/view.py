"""A request held against what is remembered of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cachepoint.core.memory.records import NEVER, Place
from cachepoint.core.once import once
from cachepoint.core.prompt.prefix import Prefix


@dataclass(frozen=True)
class View:
    """What is known of a prefix, by block index.

    Attributes:
        now: Seconds.
        entries: The places that an earlier call noted or is writing.
        awaited: The places whose coming back was to be counted.
    """

    now: float
    entries: Mapping[int, Place] = field(default_factory=dict)
    awaited: Mapping[int, Place] = field(default_factory=dict)

    @classmethod
    def of(cls, prefix: Prefix, places: Mapping[bytes, Place], now: float) -> "View":
        """The view of a request."""
        if not places:
            return cls(now)
        known = {i: places[d] for i, d in enumerate(prefix.digests) if d in places}
        noted = {i: place for i, place in known.items() if place.seen > NEVER or place.held(now)}
        return cls(now, noted, {i: place for i, place in known.items() if place.awaited})

    @once
    def live(self) -> tuple[int, ...]:
        """Indices of the blocks that end a live entry, in order."""
        return tuple(i for i, e in self.entries.items() if e.live(self.now))

    @property
    def sized(self) -> tuple[int, int] | None:
        """The deepest block whose cumulative tokens are known, and the tokens."""
        known = [(i, e.tokens) for i, e in self.entries.items() if e.tokens is not None]
        return known[-1] if known else None

    def seen_from(self, first: int) -> int | None:
        """The deepest block at or behind `first` that an earlier call went through and that was noted."""
        return max((i for i in self.entries if i >= first), default=None)

"""Bedrock's prompt cache: entries, what a request reads and writes of them, when they end.

Pure: no I/O, the clock comes from outside.
"""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import inf, log1p
from threading import Lock

from cachepoint.emulator.cache.options import Options
from cachepoint.emulator.cache.prompt import Marker, Prompt, chain
from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["CacheEngine", "Outcome", "Scope"]

_DEFAULTS = Options()
_FIRST_SWEEP = 4096
_MOST_ENTRIES = 250_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Who shares a cache: one model as named in the request, one Region, one API.

    Converse and ConverseStream share (req_llm recording, 2026); Converse and InvokeModel do not
    (measured by CacheCanary 0.4.0, 2026-10).
    """

    model: str
    region: str
    api: str = "converse"


@dataclass(frozen=True, slots=True)
class Entry:
    """`ttl` and when it ends, in seconds; `evicted` is when it is lost before that."""

    ttl: float
    expires: float
    evicted: float = inf

    @property
    def ends(self) -> float:
        return min(self.expires, self.evicted)


_Key = tuple[Scope, bytes]
_Pending = tuple[_Key, Entry]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request reads and writes, in tokens; readable once it is published."""

    read: int
    write: int
    uncached: int
    details: tuple[tuple[str, int], ...]
    pending: tuple[_Pending, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is looked up: `upto` are the tokens up to and with each position."""

    scope: Scope
    digests: Sequence[bytes]
    upto: Sequence[int]
    markers: Sequence[Marker]
    rules: ModelRules
    options: Options
    now: float

    def key(self, position: int) -> _Key:
        return self.scope, self.digests[position - 1]

    def at_markers(self) -> Iterator[int]:
        """Where an entry may lie, the deepest first."""
        for marker in reversed(self.markers):
            yield from range(marker.position, max(0, marker.position - self.rules.lookback - 1), -1)

    def kept(self) -> Iterator[int]:
        """The ends of blocks up to which a prefix is kept, the deepest first."""
        ends = range(len(self.digests), 0, -1)
        return (position for position in ends if self.rules.caches(self.upto[position]))

    def lifetime(self, ttl: str, below: Entry | None) -> float:
        """Of what is written; `below` is the entry that was read."""
        seconds = self.options.lifetime(ttl)
        return min(seconds, below.ttl) if below and self.options.over_5m == "5m" else seconds

    def raised(self, ttl: float, position: int) -> float:
        """The lifetime of an entry that is read, by the checkpoints that cover it."""
        over = (marker.ttl for marker in self.markers if marker.position >= position)
        raises = self.options.over_5m == "1h"
        return max([ttl, *(self.options.lifetime(marker) for marker in over if raises)])


class CacheEngine:
    """All entries, of every scope: at most 250,000, of which those that end soonest go first.

    `seed` is of what the options leave to chance.
    """

    def __init__(self, clock: Callable[[], float], *, seed: int = 0) -> None:
        self._clock = clock
        self._routes = random.Random(seed)
        self._evictions = random.Random(f"eviction {seed}")
        self._finds = random.Random(f"implicit {seed}")
        self._entries: dict[_Key, Entry] = {}
        self._sweep_at = _FIRST_SWEEP
        self._lock = Lock()

    def begin(
        self,
        prompt: Prompt,
        rules: ModelRules,
        scope: Scope,
        sizes: Sequence[int],
        *,
        options: Options = _DEFAULTS,
        cross_region: bool = False,
    ) -> Outcome:
        """Look a request up and refresh what it reads.

        `sizes` are tokens, block by block, then what trails the last block.
        """
        digests, upto = chain(prompt), [0, *accumulate(sizes)]
        rules = options.over(rules)
        markers = _effective(prompt.markers, rules, upto)
        with self._lock:
            here = self._route(scope, options) if cross_region else scope
            asked = _Asked(here, digests, upto, markers, rules, options, self._clock())
            hit, pending = self._met(asked)
        last = max(hit, markers[-1].position if markers else 0)
        return Outcome(
            read=upto[hit],
            write=upto[last] - upto[hit],
            uncached=upto[-1] - upto[last],
            details=_details(markers, hit, upto),
            pending=pending,
        )

    def publish(self, outcome: Outcome) -> None:
        """The answer begins: what the request wrote can be read from here on.

        "Readable only after the first response begins": Anthropic docs, 2026.
        """
        with self._lock:
            for key, entry in outcome.pending:
                self._store(key, entry)
            if len(self._entries) > self._sweep_at:
                self._sweep()

    def clear(self) -> None:
        """Forget every entry."""
        with self._lock:
            self._entries.clear()

    def _route(self, scope: Scope, options: Options) -> Scope:
        lost = options.reroute > 0 and self._routes.random() < options.reroute
        return replace(scope, region=f"{scope.region}/rerouted") if lost else scope

    def _met(self, asked: _Asked) -> tuple[int, tuple[_Pending, ...]]:
        """How far the request reads, and what it leaves."""
        hit = self._deepest(asked, asked.at_markers())
        pending = self._unheld(asked, hit)
        self._refresh(asked, {hit, *(m.position for m in asked.markers if m.position <= hit)})
        if not (asked.options.implicit and asked.rules.implicit):
            return hit, pending
        unmarked = replace(asked, scope=replace(asked.scope, api=f"{asked.scope.api}/implicit"), markers=())
        if not asked.markers and self._finds.random() < asked.options.implicit:
            hit = self._deepest(unmarked, unmarked.kept())
            self._refresh(unmarked, {hit})
        return hit, pending + self._left(unmarked)

    def _deepest(self, asked: _Asked, positions: Iterable[int]) -> int:
        alive = (position for position in positions if self._live(asked, position))
        return next(alive, 0)

    def _refresh(self, asked: _Asked, positions: Collection[int]) -> None:
        for position in positions:
            if entry := self._live(asked, position):
                ttl = asked.raised(entry.ttl, position)
                again = asked.options.refresh or ttl > entry.ttl
                expires = asked.now + ttl if again else entry.expires
                self._entries[asked.key(position)] = Entry(ttl, expires, self._evicted(asked))

    def _unheld(self, asked: _Asked, hit: int) -> tuple[_Pending, ...]:
        # An entry met alive keeps its own ttl, whatever the marker says: TTL is no part of the key
        # (req_llm recording, 2026).
        below = self._live(asked, hit)
        return tuple(
            (asked.key(marker.position), self._new(asked, asked.lifetime(marker.ttl, below)))
            for marker in asked.markers
            if not self._live(asked, marker.position)
        )

    def _left(self, asked: _Asked) -> tuple[_Pending, ...]:
        """What a later request may read without a checkpoint; how long is not known, here it is 5m."""
        return tuple(
            (asked.key(position), self._new(asked, asked.options.lifetime_5m))
            for position in asked.kept()
            if not self._live(asked, position)
        )

    def _new(self, asked: _Asked, ttl: float) -> Entry:
        # Lifetime counts from the start of the request that wrote (Anthropic docs, 2026).
        return Entry(ttl, asked.now + ttl, self._evicted(asked))

    def _evicted(self, asked: _Asked) -> float:
        # A constant hazard: the time is drawn anew whenever the entry is used.
        hazard = asked.options.eviction
        if hazard in (0, 1):
            return asked.now if hazard else inf
        return asked.now + 60 * log1p(-self._evictions.random()) / log1p(-hazard)

    def _live(self, asked: _Asked, position: int) -> Entry | None:
        entry = self._entries.get(asked.key(position)) if position else None
        return entry if entry and asked.now < entry.ends else None

    def _store(self, key: _Key, entry: Entry) -> None:
        held = self._entries.get(key)
        if held is None or entry.ends > held.ends:
            self._entries[key] = entry

    def _sweep(self) -> None:
        now = self._clock()
        live = [(key, entry) for key, entry in self._entries.items() if now < entry.ends]
        if len(live) > _MOST_ENTRIES * 3 // 4:
            live.sort(key=lambda item: item[1].ends)
            del live[: len(live) - _MOST_ENTRIES // 2]
        self._entries = dict(live)
        self._sweep_at = min(max(_FIRST_SWEEP, 2 * len(live)), _MOST_ENTRIES)


def _effective(markers: Sequence[Marker], rules: ModelRules, upto: Sequence[int]) -> tuple[Marker, ...]:
    """Markers that cache something.

    A prefix under the minimum is ignored without a word (6 of 6 recordings).
    """
    return tuple(marker for marker in markers if marker.position and rules.caches(upto[marker.position]))


def _details(markers: Sequence[Marker], hit: int, upto: Sequence[int]) -> tuple[tuple[str, int], ...]:
    written, start = {"1h": 0, "5m": 0}, hit
    for marker in markers:
        if marker.position > start:
            written[marker.ttl] += upto[marker.position] - upto[start]
            start = marker.position
    return tuple((ttl, tokens) for ttl, tokens in written.items() if tokens)

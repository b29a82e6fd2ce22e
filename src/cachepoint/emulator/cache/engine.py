"""Bedrock's prompt cache: entries, what a request reads and writes of them, when they end.

Pure: no I/O, the clock comes from outside.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from threading import Lock

from cachepoint.emulator.cache.prompt import Marker, Prompt, chain
from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["CacheEngine", "Outcome", "Scope"]

_SECONDS = {"5m": 300.0, "1h": 3600.0}
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
    ttl: float
    expires: float


_Key = tuple[Scope, bytes]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request reads and writes, in tokens; readable once it is published."""

    read: int
    write: int
    uncached: int
    details: tuple[tuple[str, int], ...]
    pending: tuple[tuple[_Key, Entry], ...] = ()


class CacheEngine:
    """All entries, of every scope: at most 250,000, of which those that end soonest go first.

    A call on a cross-region profile meets another Region's cache with probability `reroute`.
    """

    def __init__(self, clock: Callable[[], float], *, reroute: float = 0.0, seed: int = 0) -> None:
        self._clock = clock
        self._reroute = reroute
        self._random = random.Random(seed)
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
        cross_region: bool = False,
    ) -> Outcome:
        """Look a request up and refresh what it reads.

        `sizes` are tokens, block by block, then what trails the last block.
        """
        digests, upto = chain(prompt), [0, *accumulate(sizes)]
        markers = _effective(prompt.markers, rules, upto)
        with self._lock:
            here = self._route(scope) if cross_region else scope
            now = self._clock()
            hit = self._deepest(here, digests, markers, rules.lookback, now)
            self._refresh(here, digests, hit, markers, now)
            pending = self._unheld(here, digests, markers, now)
        last = markers[-1].position if markers else 0
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

    def _route(self, scope: Scope) -> Scope:
        lost = self._reroute > 0 and self._random.random() < self._reroute
        return replace(scope, region=f"{scope.region}/rerouted") if lost else scope

    def _deepest(
        self, scope: Scope, digests: list[bytes], markers: Sequence[Marker], lookback: int, now: float
    ) -> int:
        for marker in reversed(markers):
            for position in range(marker.position, max(0, marker.position - lookback - 1), -1):
                if self._live((scope, digests[position - 1]), now):
                    return position
        return 0

    def _refresh(
        self, scope: Scope, digests: list[bytes], hit: int, markers: Sequence[Marker], now: float
    ) -> None:
        for position in {hit, *(m.position for m in markers if m.position <= hit)} - {0}:
            key = (scope, digests[position - 1])
            if entry := self._live(key, now):
                self._entries[key] = Entry(entry.ttl, now + entry.ttl)

    def _unheld(
        self, scope: Scope, digests: list[bytes], markers: Sequence[Marker], now: float
    ) -> tuple[tuple[_Key, Entry], ...]:
        # An entry met alive keeps its own ttl, whatever the marker says: TTL is no part of the key
        # (req_llm recording, 2026). Lifetime counts from the start of the request that wrote
        # (Anthropic docs, 2026).
        keys = (((scope, digests[marker.position - 1]), _SECONDS[marker.ttl]) for marker in markers)
        return tuple((key, Entry(ttl, now + ttl)) for key, ttl in keys if not self._live(key, now))

    def _live(self, key: _Key, now: float) -> Entry | None:
        entry = self._entries.get(key)
        return entry if entry and now < entry.expires else None

    def _store(self, key: _Key, entry: Entry) -> None:
        held = self._entries.get(key)
        if held is None or entry.expires > held.expires:
            self._entries[key] = entry

    def _sweep(self) -> None:
        now = self._clock()
        live = [(key, entry) for key, entry in self._entries.items() if now < entry.expires]
        if len(live) > _MOST_ENTRIES * 3 // 4:
            live.sort(key=lambda item: item[1].expires)
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

"""Texts that were announced, found again inside larger ones by digest and length alone."""

import hashlib
import re
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from cachepoint.core.forks import ForkSafeLock

# Texts are looked up by how they begin. A larger text is looked at in windows, one in every stride of
# characters; the first that lies inside a text begins in its first stride, whatever stands before it.
_STRIDE = 8
_WINDOW = 24
_ANCHOR = _WINDOW + _STRIDE - 1
# Where a shorter text may begin: at a word or sign that follows something else than a word.
_STARTS = re.compile(r"(?<![^\W_])\S")
# Of texts that begin alike so many lengths are tried at a place; those that come later are told apart
# by what they have a step further on. So a place costs what it has in common with them, however many.
_CROWDED = 4
_STEP = 64
_TAIL = 16
# How often, all in all, every character of a text may be looked at. In a text that repeats itself, and
# announced ones that begin so, the looks would grow with its square; what stands behind is not found then.
_LOOKS = 8
_SMALL = 10_000
# How often a window was announced, by its offset in the first stride, is kept in the bits of one number.
_BITS = 32
_OFFSETS = range(_STRIDE - 1, -1, -1)


@dataclass(slots=True, eq=False)
class _Node:
    """Announced texts that are alike as far as `key` goes.

    `ends` holds Python's hashes of how they end, by length; `under` counts those here and further on.
    """

    key: int
    parent: "_Node | None" = None
    windows: tuple[int, ...] = ()
    ends: dict[int, Counter[int]] = field(default_factory=dict)
    under: int = 0


class _Known(NamedTuple):
    node: _Node
    tail: int
    at: float


class Announced:
    """Texts known by length and keyed digest only; found again inside larger texts.

    Bounded: the `capacity` texts announced last, none older than `max_age`; one takes about 2 kB at
    most, whatever its length. Safe under threads and forks. Finding takes no lock: each look is one
    look into a table, and what it seems to find is confirmed by its digest.

    Args:
        capacity: How many texts.
        max_age: Seconds, by `clock`.
        clock: Seconds that never go back.
        least: Characters; shorter texts are not kept. White space around a text is no part of it.
    """

    def __init__(
        self,
        capacity: int = 4_096,
        max_age: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        least: int = 1,
    ) -> None:
        self._key = secrets.token_bytes(16)
        self._texts: OrderedDict[tuple[bytes, int], _Known] = OrderedDict()
        self._nodes: dict[int, _Node] = {}
        self._windows: dict[int, int] = {}
        # The lengths of the texts that are too short for windows.
        self._short: Counter[int] = Counter()
        self._capacity = capacity
        self._max_age = max_age
        self._clock = clock
        self._least = max(1, least)
        self._lock = ForkSafeLock()

    def announce(self, texts: Iterable[str]) -> None:
        """Remember these texts for a while."""
        kept = [text for raw in texts if len(text := raw.strip()) >= self._least]
        known = [((self._digest(text), len(text)), text) for text in kept]
        now = self._clock()
        with self._lock:
            for key, text in known:
                self._keep(key, text, now)
            self._expire(now)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where announced texts stand in a text: (start, end) in characters, in order.

        A span begins and ends at a boundary, never inside a word or a number. Takes time in
        proportion to the text, whatever was announced.
        """
        if not self._texts:
            return []
        now = self._clock()
        with self._lock:
            self._expire(now)
            short = sorted(self._short, reverse=True)
        starts = self._anywhere(text, short) if short else self._sampled(text)
        found: list[tuple[int, int]] = []
        end = 0
        left = _LOOKS * max(len(text), _SMALL)
        for start in starts:
            if start < end:
                continue
            length, looked = self._match(text, start, short)
            left -= looked
            if length:
                end = start + length
                found.append((start, end))
            elif left < 0:
                break
        return found

    @contextmanager
    def for_a_while(self) -> Iterator[None]:
        """What is announced inside is forgotten at the end."""
        with self._lock:
            before = set(self._texts)
        try:
            yield
        finally:
            with self._lock:
                for key in [key for key in self._texts if key not in before]:
                    self._drop(key)

    def __len__(self) -> int:
        with self._lock:
            self._expire(self._clock())
            return len(self._texts)

    def _sampled(self, text: str) -> Iterator[int]:
        """Where a text of `_ANCHOR` characters or more may begin, in order."""
        windows = self._windows
        # The one loop that runs over all of a text.
        hits = [i for i in range(0, len(text), _STRIDE) if hash(text[i : i + _WINDOW]) in windows]
        for hit in hits:
            counts = windows.get(hash(text[hit : hit + _WINDOW]), 0)
            for offset in _OFFSETS:
                if counts >> _BITS * offset & (1 << _BITS) - 1 and offset <= hit:
                    yield hit - offset

    def _anywhere(self, text: str, short: list[int]) -> list[int]:
        """Where a text of any length may begin, in order."""
        words = [match.start() for match in _STARTS.finditer(text)]
        nodes = self._nodes
        sizes = [_ANCHOR, *short] if self._windows else short
        return sorted({at for size in sizes for at in words if hash(text[at : at + size]) in nodes})

    def _match(self, text: str, start: int, short: list[int]) -> tuple[int, int]:
        """The length of the longest announced text that begins here, 0 for none; how much was looked at."""
        looked = _STEP
        if _inside(text, start):
            return 0, looked
        likely = []
        for node in self._alike(text, start, [_ANCHOR, *short]):
            for length, tails in list(node.ends.items()):
                looked += _STEP
                end = start + length
                if hash(text[max(start, end - _TAIL) : end]) in tails and not _inside(text, end):
                    likely.append(length)
        for length in sorted(likely, reverse=True):
            looked += length
            if (self._digest(text[start : start + length]), length) in self._texts:
                return length, looked
        return 0, looked

    def _alike(self, text: str, start: int, sizes: list[int]) -> Iterator[_Node]:
        """Those that begin as the text does here, and go on so as far as they were told apart."""
        for size in sizes:
            node = self._nodes.get(hash(text[start : start + size]))
            at = start + size
            while node is not None:
                yield node
                node = self._nodes.get(hash((node.key, text[at : at + _STEP])))
                at += _STEP

    def _keep(self, key: tuple[bytes, int], text: str, now: float) -> None:
        known = self._texts.get(key)
        if known is None:
            node, tail = self._node(text), hash(text[-_TAIL:])
            node.ends.setdefault(len(text), Counter())[tail] += 1
            for above in _upwards(node):
                above.under += 1
            self._texts[key] = _Known(node, tail, now)
        else:
            self._texts[key] = known._replace(at=now)
        self._texts.move_to_end(key)

    def _node(self, text: str) -> _Node:
        """Where a new text belongs."""
        at = min(_ANCHOR, len(text))
        node = self._nodes.get(hash(text[:at])) or self._root(text[:at])
        while len(node.ends) >= _CROWDED and len(text) not in node.ends and len(text) >= at + _STEP:
            key = hash((node.key, text[at : at + _STEP]))
            node = self._nodes.get(key) or self._nodes.setdefault(key, _Node(key, node))
            at += _STEP
        return node

    def _root(self, beginning: str) -> _Node:
        node = _Node(hash(beginning))
        if len(beginning) == _ANCHOR:
            node.windows = tuple(hash(beginning[i : i + _WINDOW]) for i in range(_STRIDE))
            for offset, window in enumerate(node.windows):
                self._windows[window] = self._windows.get(window, 0) + (1 << _BITS * offset)
        else:
            self._short[len(beginning)] += 1
        return self._nodes.setdefault(node.key, node)

    def _expire(self, now: float) -> None:
        while self._texts:
            key, oldest = next(iter(self._texts.items()))
            if len(self._texts) <= self._capacity and now - oldest.at <= self._max_age:
                return
            self._drop(key)

    def _drop(self, key: tuple[bytes, int]) -> None:
        (_, length), (node, tail, _) = key, self._texts.pop(key)
        _less(node.ends[length], tail)
        if not node.ends[length]:
            del node.ends[length]
        for above in _upwards(node):
            above.under -= 1
            if not above.under:
                self._nodes.pop(above.key, None)
                if above.parent is None:
                    self._unroot(above, length)

    def _unroot(self, node: _Node, length: int) -> None:
        if not node.windows:
            _less(self._short, length)
        for offset, window in enumerate(node.windows):
            self._windows[window] -= 1 << _BITS * offset
            if not self._windows[window]:
                del self._windows[window]

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


def _upwards(node: _Node | None) -> Iterator[_Node]:
    while node is not None:
        yield node
        node = node.parent


def _less(counts: Counter[int], key: int) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _inside(text: str, at: int) -> bool:
    """Whether a place is inside a word or a number ("3.14", "12:30")."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if before.isalnum():
        return after.isalnum() or (before.isdigit() and after in ".,:" and text[at + 1 : at + 2].isdigit())
    return before in ".,:" and after.isdigit() and text[at - 2 : at - 1].isdigit()

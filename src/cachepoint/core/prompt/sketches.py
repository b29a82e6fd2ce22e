"""Where texts of one place part from one another, told from digests of how they begin.

A sketch holds a digest for every line, and in long lines for sentences, of all up to there; two texts begin
alike as far as their sketches do. Where texts of a place parted before is where the next will.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

from cachepoint.core.prompt.digests import Digester

# A shorter piece is below every minimum (512 tokens) and would be split for nothing.
MIN_PIECE = 1_024
# How many boundaries of a text are compared, and the bytes of each one's digest. A clash makes a cut
# a line later than it should be, once in four billion.
_MOST = 768
_BYTES = 4
# A sentence ends a stretch where so many characters are before it since the last.
_SENTENCE = 256
# It begins with a set of characters, which is looked for without the expression's machine.
_BOUNDARY = re.compile(r"[\n ](?:(?<=\n)\n*|(?<=[.!?] ) *)")
_LINE = re.compile(r"\n+")
# What stands behind all that others share, such as a question, is looked for in so many characters.
_TAIL = 32_768
# A cut that was made before is taken where it is no more than a tenth above the best: what is written
# ends there.
_NEAR = 0.9


class Sketch(NamedTuple):
    """What is kept of a text: the digests of how it begins, and where it was cut.

    `tail` is how many lines it ended with behind the place at which it parted from an earlier one; -1: it
    parted from none, or within a line.
    """

    lines: bytes
    cuts: tuple[int, ...] = ()
    tail: int = -1

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return 160 + len(self.lines)


@dataclass(frozen=True, slots=True)
class Outline:
    """A text as it is compared: where its stretches end, and the digest of all up to each."""

    text: str
    ends: tuple[int, ...]
    lines: bytes

    @classmethod
    def of(cls, text: str, digester: Digester) -> "Outline":
        """The outline of a text."""
        ends = tuple(_ends(text))
        chain = blake2b(digester.one(b"lines"), digest_size=_BYTES)
        out = []
        for start, end in pairwise((0, *ends)):
            chain.update(text[start:end].encode("utf-8", "surrogatepass"))
            out.append(chain.digest())
        return cls(text, ends, b"".join(out))

    def shared(self, other: Sketch) -> int:
        """How many characters it begins with as the other does."""
        count = common(self.lines, other.lines)
        return self.ends[count - 1] if 0 < count < len(self.ends) else 0

    def tail(self, at: int) -> int:
        """How many lines follow; -1 where none begins there, or one that is too far from the end."""
        lines = self._last_lines
        return len(lines) - 1 - lines.index(at) if at in lines else -1

    def before_last(self, tail: int) -> int:
        """Where so many lines before the end begin; 0 where it has fewer."""
        lines = self._last_lines if tail >= 0 else []
        return lines[-1 - tail] if 0 <= tail < len(lines) else 0

    @property
    def _last_lines(self) -> list[int]:
        """Where the last lines begin."""
        return [m.end() for m in _LINE.finditer(self.text, max(0, len(self.text) - _TAIL))]


class Parting(NamedTuple):
    """Where a text is to be cut, at most twice.

    `known` of the cuts are where texts were seen to part, the others where they are guessed to; `seen` is
    how far it begins as another did, whether it is cut there or not.
    """

    cuts: tuple[int, ...]
    known: int
    seen: int
    sketch: Sketch


def common(now: bytes, before: bytes) -> int:
    """How many digests the two begin with alike. They are chained: once two differ, all that follow do."""
    low, high = 0, min(len(now), len(before)) // _BYTES
    while low < high:
        middle = (low + high + 1) // 2
        at = middle * _BYTES
        low, high = (middle, high) if now[at - _BYTES : at] == before[at - _BYTES : at] else (low, middle - 1)
    return low


def part(outline: Outline, earlier: Sequence[Sketch]) -> Parting:
    """Where a text parts from those that stood in its place before.

    Where one of those was cut in what both begin with, it is cut there as well, so that what was written
    is read; besides, where it parts from the nearest; and where none is near, as many lines before its end
    as others were seen to part at.
    """
    shared = [(outline.shared(other), other) for other in earlier]
    seen = max((at for at, _ in shared), default=0)
    used = max((_used(at, other) for at, other in shared), key=_last, default=())
    cuts = _with(used, seen) if _last(used) < _NEAR * seen else used
    if len(cuts) == 1 and not used:
        cuts = (*_popular(shared, cuts[0]), *cuts)
    known = len(cuts)
    guessed = outline.before_last(_usual_tail(earlier))
    if len(cuts) < 2 and _last(cuts) < _NEAR * guessed:  # noqa: PLR2004
        cuts = _with(cuts, guessed)
    tail = outline.tail(seen) if seen >= MIN_PIECE else -1
    return Parting(cuts, known, seen, Sketch(outline.lines, cuts, tail))


def _used(at: int, other: Sketch) -> tuple[int, ...]:
    return tuple(cut for cut in other.cuts if cut <= at)


def _last(cuts: Sequence[int]) -> int:
    return cuts[-1] if cuts else 0


def _with(cuts: tuple[int, ...], at: int) -> tuple[int, ...]:
    """One more cut, where both pieces are worth one and no more than two there are."""
    return (*cuts, at) if len(cuts) < 2 and at - _last(cuts) >= MIN_PIECE else cuts  # noqa: PLR2004


def _popular(shared: Sequence[tuple[int, Sketch]], below: int) -> tuple[int, ...]:
    """Where most of the others part from it, if that is worth a cut of its own."""
    ways = Counter(at for at, _ in shared if MIN_PIECE <= at <= below - MIN_PIECE)
    best = max(ways, key=lambda at: at * sum(n for other, n in ways.items() if other >= at), default=0)
    return (best,) if best and sum(n for other, n in ways.items() if other >= best) > 1 else ()


def _usual_tail(earlier: Sequence[Sketch]) -> int:
    """How many lines the last two that parted ended with, where they agree."""
    tails = [other.tail for other in earlier if other.tail >= 0][:2]
    return tails[0] if tails and len({*tails}) == 1 else -1


def _ends(text: str) -> Iterator[int]:
    last = count = 0
    for match in _BOUNDARY.finditer(text):
        end = match.end()
        if text[end - 1] != "\n" and end - last < _SENTENCE:
            continue
        yield (last := end)
        if (count := count + 1) >= _MOST:
            break
    if last < len(text):
        yield len(text)

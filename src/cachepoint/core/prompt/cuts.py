"""Where one text becomes two blocks, so that a checkpoint can stand between what returns and what does not.

A checkpoint changes no character; the two pieces joined are the text. A text splits where retrieved
documents end, or in front of the line that changes by the call: one that was marked with `volatile`, one
that looks like a clock, or one that was seen to change. What was decided for a text is remembered, so that
it splits the same way when it has become history, in every worker.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice, pairwise
from typing import Literal

from cachepoint.core.once import once
from cachepoint.core.prompt.dialects.reading import Reading
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.documents import Announced
from cachepoint.core.prompt.prefix import Ends, RawBlock

# A pattern begins with a set of characters, which is looked for without the expression's machine; that
# no word ends in front of it is asked behind the first.
# What changes by the call, as it looks (CacheCanary 0.4.0 `lint`, 2026-10). A date alone may be part
# of the instructions and is left to be seen changing.
CLOCKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "a time of day",
        re.compile(
            r"[0-9](?<!\w.)\d?:\d{2}(?::\d{2})?(?:\.\d+)?(?:\s?[AaPp][Mm]\b|\s?Z\b|[+-]\d{2}:?\d{2})?"
        ),
    ),
    (
        "a UUID",
        re.compile(r"[0-9a-fA-F](?<!\w.)[0-9a-fA-F]{7}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    ),
    ("a unix time", re.compile(r"1(?<!\w.)[5-9]\d{8}(?:\d{3})?\b")),
)
# A shorter first piece is below every minimum (512 tokens) and would be split for nothing.
MIN_PIECE = 1_024
_LINE = re.compile(r"\n+")
# How many lines of a text are compared with the texts before it, and the bytes of each one's digest. A
# clash makes a cut a line later than it should be, once in four billion.
_MAX_LINES = 2_048
_LINE_BYTES = 4
# Rough bytes of what was decided for a text.
_WEIGHT = 400
_DOCUMENTS = frozenset({"document", "searchResult", "search_result"})

# By (layer, path) of a whole block: where it is cut.
Cuts = dict[tuple[str, tuple[int, ...]], int]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a text becomes two, decided once: the first decision stays.

    Attributes:
        at: In characters; 0: it changes before any boundary, so that it is not split and worth no
            write; None: it stays whole.
        end: What ends there.
        what: What stands behind it, in words of ours.
    """

    at: int | None = None
    end: Literal["", "documents", "stable"] = ""
    what: str = ""

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return _WEIGHT

    def over(self, old: "Cut | None") -> "Cut":
        """The first."""
        return self if old is None else old


@dataclass(frozen=True, slots=True)
class Split:
    """A request's blocks after splitting.

    Attributes:
        raw: The blocks, those cut as two.
        starts: By block as it was read: the index of its first piece; one more for the end.
        found: By block as it was read: where it is cut, and the key of its text.
        decided: By key of a text: what is to be remembered of it, decided now or in use still.
        lines: By key of a place: the line digests of a text that was decided on here and now.
    """

    raw: list[RawBlock]
    starts: tuple[int, ...]
    found: Mapping[int, tuple[bytes, Cut]]
    decided: Mapping[bytes, Cut] = field(default_factory=dict)
    lines: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def cuts(self) -> Cuts:
        """Where texts are cut in two."""
        pieces = ((self.raw[self.starts[i]], cut) for i, (_, cut) in self.found.items())
        return {(b.layer, b.path[:-1]): cut.at or 0 for b, cut in pieces if len(b.path) > _WHOLE[b.layer]}

    @property
    def changing(self) -> str | None:
        """What in the request changes by the call; None: nothing that is known."""
        return next((cut.what for _, cut in self.found.values() if cut.end == "stable"), None)


# How long the path of a block is that was not cut.
_WHOLE = {"tools": 1, "system": 1, "messages": 2}


@dataclass(frozen=True)
class Scissors:
    """Decides where the texts of one request are cut.

    Args:
        reading: The request as it was read.
        digester: What texts are known by.
        scope: What calls must share to be compared: endpoint, API, model.
        mode: `CachePolicy.split`.
        documents: `CachePolicy.documents`.
        announced: What was retrieved.
        volatile: What was marked as changing.
    """

    reading: Reading
    digester: Digester
    scope: bytes
    mode: str
    documents: str
    announced: Announced
    volatile: Announced

    @once
    def texts(self) -> Mapping[int, bytes]:
        """By block: the key of a text that may be cut and was not there before."""
        if self.mode == "off":
            return {}
        salt = f"{self.mode}|{self.documents == 'off'}|".encode() + self.scope
        same = self.before[1]
        return {
            i: self.digester.one(salt + self.digester.text(block.payload)[0])
            for i, block in enumerate(self.reading.raw[same:], same)
            if block.kind == "text"
            and block.role != "assistant"
            and isinstance(block.payload, str)
            and len(block.payload) >= MIN_PIECE
        }

    @once
    def places(self) -> Mapping[int, bytes]:
        """By block: the key of the place of a text that is held against those before it."""
        if self.mode != "learned":
            return {}
        raw = self.reading.raw
        return {
            i: self.digester.one(self.scope + b"|text|" + repr(raw[i].path).encode())
            for i in self.texts
            if raw[i].layer == "system"
        }

    @once
    def before(self) -> tuple[Split | None, int]:
        """How the transcript was cut that this one goes on from, and how many of its blocks are the same."""
        growth = self.reading.growth
        if growth is None or growth.before is None:
            return None, 0
        split = growth.before.made.get(self._how)
        return (None, 0) if split is None else (split, growth.same)

    def split(self, known: Mapping[bytes, Cut], earlier: Mapping[bytes, Sequence[bytes]]) -> Split:
        """The blocks, cut.

        Args:
            known: By key of a text: what was decided before.
            earlier: By key of a place: the line digests of texts that stood there.
        """
        decided: dict[bytes, Cut] = {}
        lines: dict[bytes, bytes] = {}
        for i, key in self.texts.items():
            cut = decided.get(key) or known.get(key)
            if cut is None:
                place = self.places.get(i)
                if place is not None:
                    lines[place] = _line_digests(self.reading.raw[i].payload, self.digester)
                cut = self._cut(i, () if place is None else earlier.get(place, ()), lines.get(place or b""))
            decided[key] = cut
        split = self._joined(decided, lines)
        if self.reading.growth is not None:
            self.reading.growth.now.made[self._how] = split
        return split

    @property
    def _how(self) -> tuple[str, bytes, str, str]:
        return "split", self.scope, self.mode, self.documents

    def _joined(self, decided: dict[bytes, Cut], lines: Mapping[bytes, bytes]) -> Split:
        before, same = self.before
        found = {i: (key, cut) for i, key in self.texts.items() if (cut := decided[key]).at is not None}
        raw: list[RawBlock] = [] if before is None else before.raw[: before.starts[same]]
        starts = [] if before is None else list(before.starts[:same])
        if before is not None and before.found:
            kept = {i: kept for i, kept in before.found.items() if i < same}
            decided, found = decided | dict(kept.values()), kept | found
        for i, block in enumerate(_with_document_blocks(self.reading.raw[same:]), same):
            starts.append(len(raw))
            raw += _pieces(block, found[i][1]) if i in found else [block]
        return Split(raw, (*starts, len(raw)), found, decided, lines)

    def _cut(self, index: int, earlier: Sequence[bytes], lines: bytes | None) -> Cut:
        text = self.reading.raw[index].payload
        cut = self._documents_end(text)
        if cut is None and lines is not None:
            cut = self._change(text, _parted(text, lines, earlier))
        return Cut() if cut is None else cut

    def _documents_end(self, text: str) -> Cut | None:
        spans = self.announced.spans(text)
        if not spans:
            return None
        end = spans[-1][1]
        # Documents that are never written need no cut; but what holds them is no head.
        at = end if text[end:].strip() and self.documents != "off" else len(text)
        return Cut(at, "documents", f"{len(spans)} retrieved documents")

    def _change(self, text: str, seen: int | None) -> Cut | None:
        places = [(m.start(), what) for what, pattern in CLOCKS if (m := pattern.search(text))]
        places += [(start, "text marked as volatile") for start, _ in self.volatile.spans(text)[:1]]
        if seen is not None:
            places.append((seen, "text that changes by the call"))
        if not places:
            return None
        # In one line the most telling name comes first.
        at, what = min(((_boundary(text, place), what) for place, what in places), key=lambda pair: pair[0])
        return Cut(at, "stable", what)


def _line_ends(text: str) -> list[int]:
    return [*[m.end() for m in islice(_LINE.finditer(text), _MAX_LINES)], len(text)]


def _line_digests(text: str, digester: Digester) -> bytes:
    """The digests of the beginnings of a text that end with a line, one after the other."""
    chain = blake2b(digester.one(b"lines"), digest_size=_LINE_BYTES)
    out = []
    for start, end in pairwise([0, *_line_ends(text)]):
        chain.update(text[start:end].encode("utf-8", "surrogatepass"))
        out.append(chain.digest())
    return b"".join(out)


def _parted(text: str, lines: bytes, earlier: Sequence[bytes]) -> int | None:
    """The start of the first line that differs from a text that stood here in an earlier call.

    Texts that share less than a piece worth splitting are different prompts, not one that changes.
    """
    shared = max((_common(lines, other) for other in earlier), default=0)
    ends = _line_ends(text)
    if not 0 < shared < len(ends) or ends[shared - 1] < MIN_PIECE:
        return None
    return ends[shared - 1]


def _common(now: bytes, before: bytes) -> int:
    """How many digests the two begin with alike."""
    return next(_differing(now, before), min(len(now), len(before)) // _LINE_BYTES)


def _differing(now: bytes, before: bytes) -> Iterator[int]:
    step = _LINE_BYTES
    count = min(len(now), len(before)) // step
    return (i for i in range(count) if now[i * step : (i + 1) * step] != before[i * step : (i + 1) * step])


def _with_document_blocks(raw: Sequence[RawBlock]) -> Sequence[RawBlock]:
    """Blocks that are documents by their kind; the last of a message is where its documents end."""
    if _DOCUMENTS.isdisjoint({b.kind for b in raw}):
        return raw
    last = {b.path[0]: i for i, b in enumerate(raw) if b.layer == "messages" and b.kind in _DOCUMENTS}
    ends = set(last.values())
    return [b._replace(ends="documents") if i in ends else b for i, b in enumerate(raw)]


def _boundary(text: str, place: int) -> int:
    """Where the line of a place begins; 0 where what is before it is too little to be worth a split."""
    at = text.rfind("\n", 0, place) + 1
    return at if at >= MIN_PIECE and text[:at].strip() else 0


def _pieces(block: RawBlock, cut: Cut) -> list[RawBlock]:
    text, at, end = block.payload, cut.at or 0, cut.end or ""
    if at == len(text):
        return [block._replace(ends=end)]
    rest: Ends = "volatile" if end == "stable" else ""
    if not at:
        return [block._replace(ends=rest)]
    first = block._replace(payload=text[:at], path=(*block.path, 0), mark=None, ends=end)
    second = block._replace(payload=text[at:], path=(*block.path, 1), opens=False, ends=rest)
    return [first, second]

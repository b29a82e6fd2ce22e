"""Where one text becomes two blocks, so that a checkpoint can stand between what returns and what does not.

A checkpoint changes no character; the two pieces joined are the text. A text splits where retrieved
documents end, where texts of its place were seen to part, and in front of a line of the system prompt that
changes by the call: one that was marked with `volatile`, one that looks like a clock as long as nothing else
was seen, or one that was seen to change. What was decided for a text is remembered, so that
it splits the same way when it has become history, in every worker.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from cachepoint.core.once import once
from cachepoint.core.prompt.dialects.reading import Reading
from cachepoint.core.prompt.digests import Digester
from cachepoint.core.prompt.documents import Announced, Fleeting
from cachepoint.core.prompt.prefix import Ends, RawBlock
from cachepoint.core.prompt.sketches import MIN_PIECE, Outline, Parting, Sketch, part

# What changes by the call, as it looks (CacheCanary 0.4.0 `lint`, 2026-10). A date alone may be part
# of the instructions and is left to be seen changing. A pattern begins with its rarest character, which is
# looked for without the expression's machine; what stands in front of that is asked behind it, as the line
# of a match is all that counts.
CLOCKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a time of day", re.compile(r":(?:(?<=(?<!\w)[0-9]:)|(?<=(?<!\w)[0-9]\d:))\d{2}")),
    (
        "a UUID",
        re.compile(r"-(?<=(?<!\w)[0-9a-fA-F]{8}-)(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"),
    ),
    ("a unix time", re.compile(r"1(?<!\w.)[5-9]\d{8}(?:\d{3})?\b")),
)
# Rough bytes of what was decided for a text.
_WEIGHT = 400
_DOCUMENTS = frozenset({"document", "searchResult", "search_result"})

# By (layer, path) of a whole block: where it is cut.
Cuts = dict[tuple[str, tuple[int, ...]], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a text becomes two, decided once: the first decision stays.

    Attributes:
        at: In characters; 0: it changes before any boundary, so that it is not split and worth no
            write; None: it stays whole.
        end: What ends there.
        what: What stands behind it, in words of ours.
        first: Where it is cut before that; 0: nowhere.
    """

    at: int | None = None
    end: Literal["", "documents", "stable", "again", "fresh"] = ""
    what: str = ""
    first: int = 0

    @property
    def places(self) -> tuple[int, ...]:
        """Where it is cut, in order."""
        return tuple(at for at in (self.first, self.at) if at)

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
        sketches: By key of a place: the sketch of a text that was decided on here and now.
    """

    raw: list[RawBlock]
    starts: tuple[int, ...]
    found: Mapping[int, tuple[bytes, Cut]]
    decided: Mapping[bytes, Cut] = field(default_factory=dict)
    sketches: Mapping[bytes, Sketch] = field(default_factory=dict)

    @property
    def cuts(self) -> Cuts:
        """Where texts are cut in two."""
        pieces = ((self.raw[self.starts[i]], cut) for i, (_, cut) in self.found.items())
        return {(b.layer, b.path[:-1]): cut.places for b, cut in pieces if len(b.path) > _WHOLE[b.layer]}

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
        return {i: self._place(i) for i in self.texts if self._is_shared(i)}

    def undecided(self, known: Container[bytes]) -> list[bytes]:
        """The places of texts of which it is not known where they are cut."""
        return [place for i, place in self.places.items() if self.texts[i] not in known]

    def _is_shared(self, index: int) -> bool:
        """Whether what is before a text may be before others; behind the first message it is not."""
        block = self.reading.raw[index]
        return block.layer == "system" or (block.layer == "messages" and block.path[0] == 0)

    def _place(self, index: int) -> bytes:
        """Texts stand in one place where the texts before them are the same."""
        raw = self.reading.raw[:index]
        before = (self.digester.text(b.payload)[0] for b in raw if isinstance(b.payload, str))
        return self.digester.one(b"|".join((self.scope, self.reading.raw[index].layer.encode(), *before)))

    @once
    def before(self) -> tuple[Split | None, int]:
        """How the transcript was cut that this one goes on from, and how many of its blocks are the same."""
        growth = self.reading.growth
        if growth is None or growth.before is None:
            return None, 0
        split = growth.before.made.get(self._how)
        return (None, 0) if split is None else (split, growth.same)

    def split(self, known: Mapping[bytes, Cut], earlier: Mapping[bytes, Sequence[Sketch]]) -> Split:
        """The blocks, cut.

        Args:
            known: By key of a text: what was decided before.
            earlier: By key of a place: the sketches of texts that stood there.
        """
        decided: dict[bytes, Cut] = {}
        sketches: dict[bytes, Sketch] = {}
        for i, key in self.texts.items():
            cut = decided.get(key) or known.get(key)
            if cut is None:
                parting = self._parting(i, earlier)
                cut = self._cut(i, parting)
                if parting is not None:
                    sketches[self.places[i]] = parting.sketch._replace(cuts=cut.places)
            decided[key] = cut
        split = self._joined(decided, sketches)
        if self.reading.growth is not None:
            self.reading.growth.now.made[self._how] = split
        return split

    def _parting(self, index: int, earlier: Mapping[bytes, Sequence[Sketch]]) -> Parting | None:
        place = self.places.get(index)
        if place is None:
            return None
        return part(Outline.of(self.reading.raw[index].payload, self.digester), earlier.get(place, ()))

    @property
    def _how(self) -> tuple[str, bytes, str, str]:
        return "split", self.scope, self.mode, self.documents

    def _joined(self, decided: dict[bytes, Cut], sketches: Mapping[bytes, Sketch]) -> Split:
        before, same = self.before
        found = {i: (key, cut) for i, key in self.texts.items() if (cut := decided[key]).at is not None}
        raw: list[RawBlock] = [] if before is None else before.raw[: before.starts[same]]
        starts = [] if before is None else list(before.starts[:same])
        if before is not None and before.found:
            kept = {i: kept for i, kept in before.found.items() if i < same}
            decided, found = decided | dict(kept.values()), kept | found
        for i, block in enumerate(_told(self.reading.raw[same:]), same):
            starts.append(len(raw))
            raw += _pieces(block, found[i][1]) if i in found else [block]
        return Split(raw, (*starts, len(raw)), found, decided, sketches)

    def _cut(self, index: int, parting: Parting | None) -> Cut:
        block = self.reading.raw[index]
        cut = self._documents_end(block.payload)
        if cut is None and parting is not None:
            cut = self._change(block.payload, parting) if block.layer == "system" else _parted(parting)
        return Cut() if cut is None else cut

    def _documents_end(self, text: str) -> Cut | None:
        spans = self.announced.spans(text)
        if not spans:
            return None
        end = spans[-1][1]
        # Documents that are never written need no cut; but what holds them is no head.
        at = end if text[end:].strip() and self.documents != "off" else len(text)
        return Cut(at, "documents", f"{len(spans)} retrieved documents")

    def _change(self, text: str, parting: Parting) -> Cut | None:
        # What texts of the place were seen to share does not change, whatever it looks like.
        looks = CLOCKS if parting.seen < MIN_PIECE else ()
        places = [(m.start(), what) for what, pattern in looks if (m := pattern.search(text))]
        places += [(start, "text marked as volatile") for start, _ in self.volatile.spans(text)[:1]]
        at, what = min(
            ((_boundary(text, place), what) for place, what in places),
            key=lambda pair: pair[0],
            default=(len(text), ""),
        )
        cuts = [cut for cut in parting.cuts if cut < at]
        if not cuts or what:
            return Cut(at, "stable", what, max(cuts, default=0)) if what else None
        return Cut(cuts[-1], "stable", "text that changes by the call", *cuts[:-1])


def _parted(parting: Parting) -> Cut | None:
    if not parting.cuts:
        return None
    end: Literal["again", "fresh"] = "again" if len(parting.cuts) == parting.known else "fresh"
    return Cut(parting.cuts[-1], end, "", *parting.cuts[:-1])


def _told(raw: Sequence[RawBlock]) -> Sequence[RawBlock]:
    """The blocks, with what is known of some by what they are."""
    known = _with_document_blocks(raw)
    if known and type(known[-1].payload) is Fleeting:
        return [*known[:-1], known[-1]._replace(ends="volatile")]
    return known


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
    ends: list[Ends] = ["again", end, rest] if cut.first else [end, rest]
    pieces = pairwise((0, *cut.places, len(text)))
    last = len(ends) - 1
    return [
        block._replace(
            payload=text[start:stop],
            path=(*block.path, n),
            opens=block.opens and not n,
            mark=block.mark if n == last else None,
            ends=ends[n],
        )
        for n, (start, stop) in enumerate(pieces)
    ]

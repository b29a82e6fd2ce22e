"""Where one text becomes two blocks, so that a checkpoint can stand between what returns and what does not.

A checkpoint changes no character; the two pieces joined are the text (law 3). A text splits where
retrieved documents end, or in front of the line that changes by the call: one that was marked with
`volatile`, one that looks like a clock, or one that was seen to change. What was decided for a text is
remembered, so that it splits the same way when it has become history.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise, takewhile
from operator import itemgetter
from typing import Literal

from cachepoint.core.prompt.documents import Announced, changing, retrieved
from cachepoint.core.prompt.prefix import Ends, RawBlock

End = Literal["documents", "stable"]

# What changes by the call, as it looks (CacheCanary 0.4.0 `lint`, 2026-10). A date alone may be part
# of the instructions and is left to be seen changing.
CLOCKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "a time of day",
        re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:\s?[AaPp][Mm]\b|\s?Z\b|[+-]\d{2}:?\d{2})?"),
    ),
    (
        "a UUID",
        re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),
    ),
    ("a unix time", re.compile(r"\b1[5-9]\d{8}(?:\d{3})?\b")),
)
# A shorter first piece is below every minimum (512 tokens) and would be split for nothing.
MIN_PIECE = 1_024
_LINE = re.compile(r"\n+")
# How many lines of a text are compared with the texts before it, and how many texts are kept.
_MAX_LINES = 2_048
_KEEP_TEXTS = 8_192
_KEEP_SLOTS = 512
_KEEP_EARLIER = 4
_DOCUMENTS = frozenset({"document", "searchResult", "search_result"})


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a text becomes two: `at` in characters, and what ends there.

    `at` is 0 where the text changes before any boundary: it is not split, and is worth no write.
    `what` names what stands behind it.
    """

    at: int
    end: End
    what: str


Cuts = dict[tuple[str, tuple[int, ...]], int]


@dataclass(frozen=True, slots=True)
class Split:
    """A request's blocks after splitting.

    `cuts` says where a text was cut, by (layer, path) of the whole block; `changing` names what in the
    head changes by the call.
    """

    raw: Sequence[RawBlock]
    cuts: Cuts = field(default_factory=dict)
    changing: str | None = None


class Splitter:
    """Decides cuts, and remembers what was decided for a text. Keeps digests, no text; bounded."""

    def __init__(self, key: bytes, documents: Announced = retrieved, volatile: Announced = changing) -> None:
        self._key = key
        self._documents = documents
        self._volatile = volatile
        self._decided: OrderedDict[tuple[int, int, str, bool], Cut | None] = OrderedDict()
        self._slots: OrderedDict[tuple[str, tuple[int, ...]], list[list[bytes]]] = OrderedDict()

    def split(self, raw: Sequence[RawBlock], mode: str, documents: str, scope: str) -> Split:
        """Split the texts of a request.

        Args:
            raw: The blocks as they were read.
            mode: `CachePolicy.split`.
            documents: `CachePolicy.documents`.
            scope: What calls must share to be compared: API, region, model.

        Returns:
            The blocks, those cut as two, where they were cut, and what was found to change.
        """
        found = {
            i: cut
            for i, block in enumerate(raw)
            if block.kind == "text"
            and block.role != "assistant"
            and len(block.payload) >= MIN_PIECE
            and (cut := self._cut(block, mode, documents != "off", scope))
        }
        if documents != "off":
            raw = _with_document_blocks(raw)
        if not found:
            return Split(raw)
        out: list[RawBlock] = []
        cuts: Cuts = {}
        for i, block in enumerate(raw):
            pieces = _pieces(block, found[i]) if i in found else [block]
            if len(pieces) > 1:
                cuts[block.layer, block.path] = found[i].at
            out += pieces
        what = next((cut.what for cut in found.values() if cut.end == "stable"), None)
        return Split(out, cuts, what)

    def _cut(self, block: RawBlock, mode: str, documents: bool, scope: str) -> Cut | None:
        text = block.payload
        key = (hash(text), len(text), mode, documents)
        if key in self._decided:
            return self._decided[key]
        cut = self._documents_end(text) if documents else None
        if cut is None and mode == "learned" and block.layer == "system":
            cut = self._change(block, text, scope)
        self._decided[key] = cut
        if len(self._decided) > _KEEP_TEXTS:
            self._decided.popitem(last=False)
        return cut

    def _documents_end(self, text: str) -> Cut | None:
        spans = self._documents.spans(text)
        if not spans:
            return None
        end = spans[-1][1]
        at = end if text[end:].strip() else len(text)
        return Cut(at, "documents", f"{len(spans)} retrieved documents")

    def _change(self, block: RawBlock, text: str, scope: str) -> Cut | None:
        places = [(m.start(), what) for what, pattern in CLOCKS if (m := pattern.search(text))]
        places += [(start, "text marked as volatile") for start, _ in self._volatile.spans(text)[:1]]
        seen = self._seen_change(block, text, scope)
        if seen is not None:
            places.append((seen, "text that changes by the call"))
        if not places:
            return None
        # In one line the most telling name comes first.
        at, what = min(((_boundary(text, place), what) for place, what in places), key=itemgetter(0))
        return Cut(at, "stable", what)

    def _seen_change(self, block: RawBlock, text: str, scope: str) -> int | None:
        """The start of the first line that differs from a text that stood here in an earlier call.

        Texts that share less than a piece worth splitting are different prompts, not one that changes.
        """
        ends = [*[m.end() for m in _LINE.finditer(text)][:_MAX_LINES], len(text)]
        chain = blake2b(key=self._key, digest_size=8)
        digests = []
        for start, end in pairwise([0, *ends]):
            chain.update(text[start:end].encode("utf-8", "surrogatepass"))
            digests.append(chain.digest())
        slot = (scope, block.path)
        earlier = self._slots.pop(slot, [])
        self._slots[slot] = [digests, *earlier][:_KEEP_EARLIER]
        if len(self._slots) > _KEEP_SLOTS:
            self._slots.popitem(last=False)
        shared = max((_common(digests, other) for other in earlier), default=0)
        if not 0 < shared < len(ends) or ends[shared - 1] < MIN_PIECE:
            return None
        return ends[shared - 1]


def _with_document_blocks(raw: Sequence[RawBlock]) -> Sequence[RawBlock]:
    """Blocks that are documents by their kind; the last of a message is where its documents end."""
    if _DOCUMENTS.isdisjoint({b.kind for b in raw}):
        return raw
    last = {b.path[0]: i for i, b in enumerate(raw) if b.layer == "messages" and b.kind in _DOCUMENTS}
    ends = set(last.values())
    return [b._replace(ends="documents") if i in ends else b for i, b in enumerate(raw)]


def _common(now: list[bytes], before: list[bytes]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(now, before, strict=False)))


def _boundary(text: str, place: int) -> int:
    """Where the line of a place begins; 0 where what is before it is too little to be worth a split."""
    at = text.rfind("\n", 0, place) + 1
    return at if at >= MIN_PIECE and text[:at].strip() else 0


def _pieces(block: RawBlock, cut: Cut) -> list[RawBlock]:
    text = block.payload
    if cut.at == len(text):
        return [block._replace(ends=cut.end)]
    rest: Ends = "volatile" if cut.end == "stable" else ""
    if not cut.at:
        return [block._replace(ends=rest)]
    first = block._replace(payload=text[: cut.at], path=(*block.path, 0), mark=None, ends=cut.end)
    second = block._replace(payload=text[cut.at :], path=(*block.path, 1), opens=False, ends=rest)
    return [first, second]

"""Keyed digests of blocks and prefixes: a leaked memory tells nothing about the prompts.

Long transcripts come round again and again, in dicts that the frameworks make anew. So what a block hashes
to is kept in a memo by what the block is, compared in full: a block that was there a turn ago costs a
lookup. The memo holds the caller's own objects, in this process, bounded in bytes and age.
"""

import hashlib
import marshal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.once import anew
from cachepoint.core.prompt.anatomy import Anatomy, Tool, anatomy, tool_of
from cachepoint.core.prompt.dialects.reading import as_json, encoded, fields_of
from cachepoint.core.prompt.documents import Fleeting
from cachepoint.core.prompt.overlap import INSIDE
from cachepoint.core.prompt.prefix import SHORT, Block, Prefix, RawBlock, quick

DIGEST_SIZE = 16
# A transcript of 100,000 tokens is about 400 kB; both generations together hold some ten of them. Files
# have a memo of their own: one may be larger than all texts.
_MEMO_BYTES = 2 << 20
_FILES_BYTES = 16 << 20
_MEMO_SECONDS = 900.0
_MEMO_ROW = 300
# Bytes from here on are told apart by their ends and compared in full, which is far cheaper than hashing.
_LARGE = 1 << 16
_END = 64

# Rough weights in bytes where the wire size says nothing about tokens. An image is at most about
# 1,600 tokens (Anthropic vision guide, 2026); a PDF carries more layout than text.
IMAGE_WEIGHT = 6_000
PDF_SHARE = 8

# Of a block by itself: its digest, and whether it opens a message, whose.
_OWN = SHORT - 1
_OPENERS = {"user": b"user", "assistant": b"assistant", "system": b"role:system"}
_PLAIN_RESULT = frozenset({"text", "json"})

# The digest of a block alone, and its weight in bytes.
Known = tuple[bytes, int]


class Memo:
    """What things hash to, by the things themselves: those used in the last two generations.

    A generation ends when it has grown to so many bytes or so old. Nobody waits while another looks up.

    Args:
        size: Bytes that a generation may hold.
        age: Seconds that it may last.
        clock: Seconds.
    """

    def __init__(
        self,
        size: int = _MEMO_BYTES,
        age: float = _MEMO_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._age = age
        self._clock = clock
        # By key: the value and its size.
        self._young: dict[Any, tuple[Any, int]] = {}
        self._old: dict[Any, tuple[Any, int]] = {}
        self._bytes = 0
        self._since = clock()
        self._lock = ForkSafeLock()

    def get(self, key: Any) -> Any:
        """What was kept for a key; None where nothing was."""
        if (row := self._young.get(key)) is not None:
            return row[0]
        if (row := self._old.get(key)) is None:
            return None
        self.put(key, *row)
        return row[0]

    def put(self, key: Any, value: Any, size: int) -> None:
        """Keep a value of `size` bytes, its key among them; one larger than a generation is not kept."""
        if size > self._size:
            return
        now = self._clock()
        with self._lock:
            if self._bytes + size > self._size or now - self._since > self._age:
                self._old, self._young = self._young, {}
                self._bytes, self._since = 0, now
            self._young[key] = value, size
            self._bytes += size + _MEMO_ROW

    @property
    def bytes(self) -> int:
        """Bytes that the young generation holds (estimated)."""
        return self._bytes


class Digester:
    """Keyed chained digests. Safe under threads; no lock is held while anything is hashed."""

    def __init__(self, key: bytes, memo: Memo | None = None) -> None:
        self._key = key
        self._memo = Memo() if memo is None else memo
        self._files = Memo(_FILES_BYTES)

    def one(self, payload: bytes) -> bytes:
        """The digest of one payload alone."""
        return hashlib.blake2b(payload, key=self._key, digest_size=DIGEST_SIZE).digest()

    def text(self, text: str) -> Known:
        """The digest of a text alone, and its weight in bytes."""
        size = len(text)
        known: Known | None = self._memo.get(text)
        if known is None:
            body = encoded(text)
            known = self.one(b"text:" + body), len(body)
            self._memo.put(text, known, size)
        return known

    def prefix(
        self,
        raw: Sequence[RawBlock],
        *,
        seed: bytes,
        turn_seed: bytes = b"",
        orphans: int = 0,
        after: Prefix | None = None,
    ) -> Prefix:
        """Chain raw blocks into a Prefix.

        Args:
            raw: The blocks in cache order: tools, system, messages.
            seed: What everything depends on: API, region, model, settings.
            turn_seed: What only the messages depend on (a forced tool choice).
            orphans: Checkpoints that stand before any block of their list.
            after: The prefix that the blocks go on from, made with the same seeds; it holds the whole
                of the first message.
        """
        known = 0 if after is None else len(after.blocks)
        blocks: list[Block] = []
        own: list[bytes] = []
        parts: dict[str, list[bytes]] = {"tools": [], "system": [], "messages": []}
        settings = self.one(seed) if after is None else after.settings
        chained = settings if after is None else after.digests[-1]
        text, structure = self.text, self._structure
        for layer, path, kind, payload, role, opens, markable, mark, ends in raw[known:]:
            digest, size = text(payload) if isinstance(payload, str) else structure(kind, payload)
            opener = b""
            if opens:
                opener = _OPENERS.get(role) or layer.encode()
            own.append(digest[:_OWN] + (opener[-1:] or INSIDE))
            if (layer != "messages" or path[0] == 0) and type(payload) is not Fleeting:
                parts[layer].append(digest)
                if opens and layer == "messages":
                    opener += turn_seed
            # Digests have a fixed length, so no two sequences run together.
            chained = self.one(chained + digest + opener)
            blocks.append(quick(Block, (layer, path, kind, role, size, chained, markable, mark, ends)))
        if after is None:
            tools, system, opening = (self.one(b"".join(p)) for p in parts.values())
            head = len(parts["tools"]) + len(parts["system"])
            after = Prefix((), (), (), head, settings, (tools, system, opening), {}, 0)
        return _joined(after, blocks, b"".join(own), orphans)

    def named(self, values: Iterable[tuple[str, str]]) -> tuple[tuple[str, bytes], ...]:
        """The digests of short values, by name."""
        key = "named", tuple(values)
        known: tuple[tuple[str, bytes], ...] | None = self._memo.get(key)
        if known is None:
            known = tuple((name, self.text(value)[0]) for name, value in key[1])
            self._memo.put(key, known, _MEMO_ROW)
        return known

    def head(self, prefix: Prefix, raw: Sequence[RawBlock]) -> Anatomy:
        """What the tools and the system prompt of a prefix are made of."""
        key = "head", *prefix.parts[:2]
        known: Anatomy | None = self._memo.get(key)
        if known is None:
            known = anatomy(raw[: prefix.head], self._key, self._tool)
            self._memo.put(key, known, known.weight)
        return known

    def _tool(self, payload: Any) -> Tool:
        """What a tool is made of: in another order it is the same."""
        try:
            key = "tool", marshal.dumps(payload, 2)
        except ValueError:
            return tool_of(payload, self._key)
        known: Tool | None = self._memo.get(key)
        if known is None:
            known = tool_of(payload, self._key)
            self._memo.put(key, known, len(key[1]))
        return known

    def _structure(self, kind: str, payload: Any) -> Known:
        """The digest of a block that is no text, and its weight."""
        try:
            # Version 2 writes equal values alike, whatever refers to them.
            shape = marshal.dumps(payload, 2) if _is_plain(kind, payload) else None
        except ValueError:
            shape = None
        if shape is None:
            return self._serialised(kind, payload)
        known: Known | None = self._memo.get(shape)
        if known is None:
            known = self._serialised(kind, payload)
            self._memo.put(shape, known, len(shape))
        return known

    def _serialised(self, kind: str, payload: Any) -> Known:
        binary: list[int] = []
        body = as_json(payload, partial(self._binary, binary)).encode()
        weight = len(body) + sum(_weight(kind, payload, n) for n in binary)
        return self.one(encoded(kind) + b":" + body), weight

    def _binary(self, sizes: list[int], value: Any) -> str:
        if not isinstance(value, bytes | bytearray):
            return repr(value)
        sizes.append(len(value))
        return self._blob(value) if isinstance(value, bytes) else _hashed(value)

    def _blob(self, data: bytes) -> str:
        """The digest of an image or a file: what was there a moment ago is compared, not hashed."""
        if len(data) < _LARGE:
            return _hashed(data)
        key = len(data), data[:_END], data[-_END:]
        known: tuple[bytes, str] | None = self._files.get(key)
        if known is None or known[0] != data:
            known = data, _hashed(data)
            # One that is larger than a generation fills one.
            self._files.put(key, known, min(len(data), _FILES_BYTES))
        return known[1]


def _joined(after: Prefix, blocks: Sequence[Block], own: bytes, orphans: int) -> Prefix:
    known = len(after.blocks)
    sizes = accumulate([b.size for b in blocks], initial=after.sizes[-1] if known else 0)
    marks = {i: b.mark for i, b in enumerate(blocks, known) if b.mark is not None}
    ends = {i: b.ends for i, b in enumerate(blocks, known) if b.ends}
    return anew(
        after,
        blocks=(*after.blocks, *blocks),
        digests=(*after.digests, *[b.digest for b in blocks]),
        sizes=(*after.sizes, *list(sizes)[1:]),
        hand={**after.hand, **marks} if marks else after.hand,
        ends={**after.ends, **ends} if ends else after.ends,
        orphans=orphans,
        barred=(*after.barred, *[i for i, b in enumerate(blocks, known) if not b.markable]),
        short=after.short + b"".join([b.digest[:SHORT] for b in blocks]),
        own=after.own + own,
    )


def _is_plain(kind: str, payload: Any) -> bool:
    """Whether a block holds no bytes worth a look of their own, as far as its kind tells."""
    if kind == "toolResult":
        content = fields_of(payload.get("toolResult")).get("content") or ()
        return isinstance(content, list | tuple) and all(map(_is_plain_part, content))
    return kind not in _MEDIA


def _is_plain_part(part: Any) -> bool:
    return not _PLAIN_RESULT.isdisjoint(fields_of(part))


_MEDIA = frozenset({"image", "document", "video", "audio", "tool_result"})


def _hashed(data: bytes | bytearray) -> str:
    return hashlib.blake2b(data, digest_size=DIGEST_SIZE).hexdigest()


def _weight(kind: str, payload: Any, size: int) -> int:
    if kind == "document":
        return size // PDF_SHARE if _is_pdf(payload) else size
    return min(size, IMAGE_WEIGHT)


def _is_pdf(payload: Any) -> bool:
    held = fields_of(payload.get("document") or payload.get("source"))
    return held.get("format") == "pdf" or held.get("media_type") == "application/pdf"

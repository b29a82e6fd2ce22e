"""A request as Bedrock's cache sees it: ordered blocks, each with the digest of all up to it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NamedTuple

Layer = Literal["tools", "system", "messages"]
Ends = Literal["", "documents", "stable", "volatile"]

# Rough weights in bytes where the wire size says nothing about tokens. An image is at most about
# 1,600 tokens (Anthropic vision guide, 2026); a PDF carries more layout than text.
IMAGE_WEIGHT = 6_000
PDF_SHARE = 8

DIGEST_SIZE = 16
# Long transcripts come round again and again; what a text hashes to is kept by its length and Python's
# own hash, which a str computes once. A clash of the two would only cost a wrong guess at what is cached.
_MEMO_SIZE = 65_536

_OPENERS = {"user": b"user", "assistant": b"assistant", "system": b"role:system"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint that the caller placed.

    `ttl` is None where the caller named none (Bedrock: 5m); `stays` says that nothing is known against
    its place: a checkpoint of ours asks for more, see `Block.markable`.
    """

    ttl: str | None
    raw: dict[str, Any]
    stays: bool = True


# A NamedTuple without its own argument parsing: a third of the time, over hundreds of blocks a call.
quick = tuple.__new__


class RawBlock(NamedTuple):
    """What a dialect reads off the wire: one block of one layer, before it has a digest."""

    layer: Layer
    path: tuple[int, ...]
    kind: str
    payload: Any
    role: str = ""
    opens: bool = False
    markable: bool = True
    mark: Mark | None = None
    ends: Ends = ""


class Block(NamedTuple):
    """One block of the prefix.

    `path` is the index in the tools or system list, or (message, block); `size` is in bytes and
    stands for tokens until usage calibrates it; `digest` covers everything up to this block's end;
    `markable` says whether Bedrock takes a checkpoint directly behind it; `ends` what ends with it:
    retrieved documents, the part of a text that stays the same, or a text that changes by the call.
    A text that is sent as two blocks has a path that is longer by the number of the piece.
    """

    layer: Layer
    path: tuple[int, ...]
    kind: str
    role: str
    size: int
    digest: bytes
    markable: bool
    mark: Mark | None
    ends: Ends = ""

    @property
    def where(self) -> str:
        """The block's place in the request, for people: `system[0]`, `messages[3].content[1]`."""
        if self.layer != "messages":
            return f"{self.layer}[{self.path[0]}]"
        return f"messages[{self.path[0]}].content[{self.path[1]}]"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A request in cache order. Holds digests and sizes, never text.

    `sizes[i]` is the cumulative size in bytes at the end of block i. `head` is the number of blocks
    in tools and system. `settings` stands for what changes the whole prefix (thinking, effort);
    `parts` are unchained digests of tools, system and the first message, for telling what changed.
    `hand` are the caller's own checkpoints by block index; `orphans` counts those with nothing before them.
    """

    blocks: tuple[Block, ...]
    digests: tuple[bytes, ...]
    sizes: tuple[int, ...]
    head: int
    settings: bytes
    parts: tuple[bytes, bytes, bytes]
    hand: Mapping[int, Mark]
    orphans: int = 0


class Digester:
    """Keyed chained digests: a leaked store tells nothing about the prompts."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._memo: dict[tuple[int, int], tuple[bytes, int]] = {}

    def one(self, payload: bytes) -> bytes:
        """The digest of one payload alone."""
        return hashlib.blake2b(payload, key=self._key, digest_size=DIGEST_SIZE).digest()

    def prefix(
        self, raw: Iterable[RawBlock], *, seed: bytes, turn_seed: bytes = b"", orphans: int = 0
    ) -> Prefix:
        """Chain raw blocks into a Prefix.

        Args:
            raw: The blocks in cache order: tools, system, messages.
            seed: What everything depends on: API, region, model, settings.
            turn_seed: What only the messages depend on (a forced tool choice).
            orphans: Checkpoints that stand before any block of their list.
        """
        chain = hashlib.blake2b(seed, key=self._key, digest_size=DIGEST_SIZE)
        parts: dict[str, list[bytes]] = {"tools": [], "system": [], "messages": []}
        blocks: list[Block] = []
        text = self._text
        for layer, path, kind, payload, role, opens, markable, mark, ends in raw:
            digest, size = text(payload) if isinstance(payload, str) else self._structure(kind, payload)
            first = path[0] == 0
            if layer != "messages" or first:
                parts[layer].append(digest)
                if first and opens and layer == "messages":
                    chain.update(b"messages" + turn_seed)
            # Digests have a fixed length, so no two sequences run together.
            chain.update(digest)
            if opens:
                chain.update(_OPENERS.get(role) or layer.encode())
            blocks.append(quick(Block, (layer, path, kind, role, size, chain.digest(), markable, mark, ends)))
        tools, system, opening = (self.one(b"".join(p)) for p in parts.values())
        return Prefix(
            blocks=tuple(blocks),
            digests=tuple([b.digest for b in blocks]),
            sizes=tuple(accumulate([b.size for b in blocks])),
            head=len(parts["tools"]) + len(parts["system"]),
            settings=self.one(seed),
            parts=(tools, system, opening),
            hand={i: b.mark for i, b in enumerate(blocks) if b.mark is not None},
            orphans=orphans,
        )

    def _text(self, text: str) -> tuple[bytes, int]:
        """The digest of a text alone, and its weight in bytes."""
        key = (hash(text), len(text))
        known = self._memo.get(key)
        if known is None:
            body = text.encode("utf-8", "surrogatepass")
            known = self.one(b"text:" + body), len(body)
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = known
        return known

    def _structure(self, kind: str, payload: Any) -> tuple[bytes, int]:
        binary: list[int] = []
        body = json.dumps(payload, default=lambda v: _binary(v, binary)).encode()
        weight = len(body) + sum(_weight(kind, payload, n) for n in binary)
        return self.one(kind.encode() + b":" + body), weight


def _binary(value: Any, sizes: list[int]) -> str:
    if isinstance(value, bytes | bytearray):
        sizes.append(len(value))
        return hashlib.blake2b(value, digest_size=DIGEST_SIZE).hexdigest()
    return repr(value)


def _weight(kind: str, payload: Any, size: int) -> int:
    if kind == "document":
        return size // PDF_SHARE if payload.get("document", {}).get("format") == "pdf" else size
    return min(size, IMAGE_WEIGHT)

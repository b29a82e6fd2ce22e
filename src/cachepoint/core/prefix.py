"""A request as Bedrock's cache sees it: ordered blocks, each with the digest of all up to it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

Layer = Literal["tools", "system", "messages"]

# Rough weights in bytes where the wire size says nothing about tokens. An image is at most about
# 1,600 tokens (Anthropic vision guide, 2026); a PDF carries more layout than text.
IMAGE_WEIGHT = 6_000
PDF_SHARE = 8

DIGEST_SIZE = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A checkpoint that the caller placed. `ttl` is None where the caller named none (Bedrock: 5m)."""

    ttl: str | None
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RawBlock:
    """What a dialect reads off the wire: one block of one layer, before it has a digest."""

    layer: Layer
    path: tuple[int, ...]
    kind: str
    payload: Any
    role: str = ""
    opens: bool = False
    markable: bool = True
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the prefix.

    `path` is the index in the tools or system list, or (message, block); `size` is in bytes and
    stands for tokens until usage calibrates it; `digest` covers everything up to this block's end;
    `markable` says whether Bedrock takes a checkpoint directly behind it.
    """

    layer: Layer
    path: tuple[int, ...]
    kind: str
    role: str
    size: int
    digest: bytes
    markable: bool
    mark: Mark | None

    @property
    def where(self) -> str:
        """The block's place in the request, for people: `system[0]`, `messages[3].content[1]`."""
        if self.layer != "messages":
            return f"{self.layer}[{self.path[0]}]"
        return f"messages[{self.path[0]}].content[{self.path[1]}]"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A request in cache order. Holds digests and sizes, never text.

    `sizes[i]` is the cumulative size in bytes at the end of block i. `settings` stands for what
    changes the whole prefix (thinking, effort); `parts` are unchained digests of tools, system and
    the first message, for telling what changed. `orphans` counts checkpoints with nothing before them.
    """

    blocks: tuple[Block, ...]
    sizes: tuple[int, ...]
    settings: bytes
    parts: tuple[bytes, bytes, bytes]
    orphans: int = 0

    @property
    def head(self) -> int | None:
        """Index of the block that ends the shared head: the last of system, else of tools."""
        ends = [i for i, b in enumerate(self.blocks) if b.layer != "messages"]
        return ends[-1] if ends else None

    @property
    def hand(self) -> dict[int, Mark]:
        """The caller's own checkpoints, by block index."""
        return {i: b.mark for i, b in enumerate(self.blocks) if b.mark is not None}


class Digester:
    """Keyed chained digests: a leaked store tells nothing about the prompts."""

    def __init__(self, key: bytes) -> None:
        self._key = key

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
        parts = {"tools": hashlib.blake2b(key=self._key), "system": hashlib.blake2b(key=self._key)}
        first = hashlib.blake2b(key=self._key)
        blocks = []
        in_messages = False
        for r in raw:
            wire, size = _wire(r)
            if r.layer == "messages" and not in_messages:
                in_messages = True
                chain.update(b"\x00messages" + turn_seed)
            chain.update(wire)
            if not in_messages:
                parts[r.layer].update(wire)
            elif r.path[0] == 0:
                first.update(wire)
            blocks.append(Block(r.layer, r.path, r.kind, r.role, size, chain.digest(), r.markable, r.mark))
        return Prefix(
            blocks=tuple(blocks),
            sizes=tuple(accumulate(b.size for b in blocks)),
            settings=self.one(seed),
            parts=(parts["tools"].digest(), parts["system"].digest(), first.digest()),
            orphans=orphans,
        )


def _wire(raw: RawBlock) -> tuple[bytes, int]:
    """The bytes that identify a block, framed so that no two sequences run together; and its weight."""
    if isinstance(raw.payload, str):
        body = raw.payload.encode("utf-8", "surrogatepass")
        weight = len(body)
    else:
        binary: list[int] = []
        body = json.dumps(raw.payload, default=lambda v: _binary(v, binary)).encode()
        weight = len(body) + sum(_weight(raw, n) for n in binary)
    head = f"{raw.layer}/{raw.role if raw.opens else ''}/{raw.kind}/{len(body)}:".encode()
    return head + body, weight


def _binary(value: Any, sizes: list[int]) -> str:
    if isinstance(value, bytes | bytearray):
        sizes.append(len(value))
        return hashlib.blake2b(value, digest_size=DIGEST_SIZE).hexdigest()
    return repr(value)


def _weight(raw: RawBlock, size: int) -> int:
    if raw.kind == "document":
        return size // PDF_SHARE if raw.payload.get("document", {}).get("format") == "pdf" else size
    return min(size, IMAGE_WEIGHT)

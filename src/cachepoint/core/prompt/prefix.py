"""A request as Bedrock's cache sees it: ordered blocks, each with the digest of all up to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from cachepoint.core.once import anew

Layer = Literal["tools", "system", "messages"]
Ends = Literal["", "documents", "stable", "volatile", "again", "fresh"]


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
    retrieved documents, the part of a text that stays the same, a text that changes by the call, what was
    seen before (`again`) or is guessed to be seen again (`fresh`).
    A text that is sent as several blocks has a path that is longer by the number of the piece.
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
        return place(self.layer, self.path)


def place(layer: Layer, path: tuple[int, ...]) -> str:
    """A block's place in the request, for people."""
    if layer != "messages":
        return f"{layer}[{path[0]}]"
    return f"messages[{path[0]}].content[{path[1]}]"


# Bytes of a digest that tell the blocks of one conversation apart.
SHORT = 8


@dataclass(frozen=True)
class Prefix:
    """A request in cache order. Holds digests and sizes, never text.

    `sizes[i]` is the cumulative size in bytes at the end of block i. `head` is the number of blocks
    in tools and system. `settings` stands for what changes the whole prefix (thinking, effort);
    `parts` are unchained digests of tools, system and the first message, for telling what changed.
    `short` are the first eight bytes of each digest, one after the other; `own` as many of each block by
    itself, in its role: what they say does not depend on what stands before it.
    `ends` says what ends at blocks, where anything does.
    `barred` are the blocks behind which no checkpoint may stand.
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
    short: bytes = b""
    own: bytes = b""
    ends: Mapping[int, Ends] = field(default_factory=dict)
    barred: tuple[int, ...] = ()

    @property
    def fleeting(self) -> int:
        """How many blocks at its end stand in this request alone, as it says of them."""
        last = len(self.blocks) - 1
        return int(last >= self.head and self.ends.get(last) == "volatile")

    @property
    def lasting(self) -> bytes:
        """`own`, without the blocks that stand in this request alone."""
        return self.own[: -SHORT * self.fleeting] if self.fleeting else self.own

    def first(self, count: int) -> "Prefix":
        """Its first blocks; they hold the whole of the first message."""
        if count == len(self.blocks):
            return self
        return anew(
            self,
            blocks=self.blocks[:count],
            digests=self.digests[:count],
            sizes=self.sizes[:count],
            short=self.short[: SHORT * count],
            own=self.own[: SHORT * count],
            hand={i: mark for i, mark in self.hand.items() if i < count},
            ends={i: what for i, what in self.ends.items() if i < count},
            barred=tuple([i for i in self.barred if i < count]),
        )

    def marked_by_itself(self, mark: Mark | None) -> "Prefix":
        """With a mark behind the last block of the messages that takes one, where none is the caller's.

        Not in the blocks: it moves on with every turn.
        """
        takes = (i for i in range(len(self.blocks) - 1, self.head - 1, -1) if self.blocks[i].markable)
        last = None if mark is None else next(takes, None)
        if mark is None or last is None or last in self.hand:
            return self
        return anew(self, hand={**self.hand, last: mark})

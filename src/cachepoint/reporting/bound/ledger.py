"""The calls to one model as paths in a tree of prefixes: each block is kept once, whoever sent it."""

from typing import NamedTuple

from cachepoint.core.accounting.sent import Sent
from cachepoint.core.prompt.prefix import SHORT

ROOT = 0


class Visit(NamedTuple):
    """One call: when it began and when what it wrote could be read, in seconds since 1970, and its tokens.

    `end` is the node of its last block, `points` those of its checkpoints.
    """

    at: float
    ready: float
    end: int
    points: tuple[int, ...]
    fresh: int
    read: int
    write_5m: int
    write_1h: int

    @property
    def cached(self) -> int:
        """Tokens up to the deepest checkpoint that counted; 0 where none did."""
        return self.read + self.write_5m + self.write_1h

    @property
    def tokens(self) -> int:
        """All input tokens."""
        return self.fresh + self.cached


class Ledger:
    """What was sent to one model: a tree of blocks, and the calls. It only grows, and may be read meanwhile.

    Attributes:
        calls: As they came.
        parent: By node: the one before it. Node 0 is the empty prefix; a parent comes before its children.
        size: By node: bytes of the prefix that ends there.
        barred: By node: 1 where no checkpoint may stand.
    """

    __slots__ = ("_nodes", "barred", "calls", "parent", "size")

    def __init__(self) -> None:
        self.calls: list[Visit] = []
        self.parent = [ROOT]
        self.size = [0]
        self.barred = bytearray(1)
        self._nodes: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.parent)

    def add(
        self, at: float, sent: Sent, *, fresh: int, read: int = 0, write_5m: int = 0, write_1h: int = 0
    ) -> None:
        """Note one call: when it began, in seconds since 1970, its blocks and its tokens."""
        path = self._path(sent)
        points = tuple([path(i) for i in sent.points])
        end = path(len(sent.sizes) - 1)
        self.calls.append(Visit(at, at + sent.lag, end, points, fresh, read, write_5m, write_1h))

    def _path(self, sent: Sent) -> "_Nodes":
        """Its blocks as nodes; those that are new are behind the deepest that is known, as digests chain."""
        digests, sizes, known = sent.digests, sent.sizes, self._nodes
        new = len(sizes)
        while new and digests[SHORT * (new - 1) : SHORT * new] not in known:
            new -= 1
        node = known[digests[SHORT * (new - 1) : SHORT * new]] if new else ROOT
        barred = frozenset(sent.barred)
        for i in range(new, len(sizes)):
            self.barred.append(i in barred)
            self.parent.append(node)
            self.size.append(max(sizes[i], self.size[node]))
            node = known[digests[SHORT * i : SHORT * (i + 1)]] = len(self.parent) - 1
        return _Nodes(known, digests)


class _Nodes(NamedTuple):
    known: dict[bytes, int]
    digests: bytes

    def __call__(self, index: int) -> int:
        """Where the block ends; in a damaged line, whose digests do not chain, the last before it."""
        nodes = (self.known.get(self.digests[SHORT * i : SHORT * (i + 1)]) for i in range(index, -1, -1))
        return next((node for node in nodes if node is not None), ROOT)

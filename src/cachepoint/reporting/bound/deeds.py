"""What the calls did, as usage says, and which of their reads no known call accounts for."""

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from cachepoint.core.models.rules import TTL_SECONDS
from cachepoint.reporting.bound.ledger import Visit
from cachepoint.reporting.bound.tree import Tree
from cachepoint.reporting.bound.worth import SLACK, Prices, Walk


class _Held(NamedTuple):
    """What is left of a node: by which call, from when it can be read, until when, the seconds of its TTL."""

    by: int
    ready: float
    until: float
    seconds: float


def walks(tree: Tree, prices: Prices) -> list[Walk]:
    """The paths of the calls, by time, with what they read that none of them had left.

    A session may begin when all is in the cache already, another worker may have written it, and Bedrock may
    keep an entry for longer than it must. What was read is taken as it was: every other placement may read
    it as well, so that no bound is above what was paid.
    """
    deeds = _Deeds(tree, max(kind.seconds for kind in prices.kinds))
    return [deeds.walk(number, call) for number, call in enumerate(list(tree.calls))]


class _Deeds:
    def __init__(self, tree: Tree, longest: float) -> None:
        self.tree = tree
        self.longest = longest
        self.held: dict[int, _Held] = {}

    def walk(self, number: int, call: Visit) -> Walk:
        tree, nodes = self.tree, self.tree.path(call.end)
        read = _from(nodes, tree.nearest(call, call.read))
        hour = _from(nodes, tree.nearest(call, call.read + call.write_1h))
        written = _from(nodes, tree.nearest(call, call.cached))
        self._write(number, call, nodes[written:hour], TTL_SECONDS["5m"])
        self._write(number, call, nodes[hour:read], TTL_SECONDS["1h"])
        return Walk(nodes, range(read, read + self._read(number, call, nodes[read:])))

    def _write(self, number: int, call: Visit, nodes: Sequence[int], seconds: float) -> None:
        for node in nodes:
            left = self.held.get(node)
            new = _Held(number, call.ready, call.at + seconds, seconds)
            self.held[node] = new if left is None or left.until < call.at else _both(left, new)

    def _read(self, number: int, call: Visit, nodes: Sequence[int]) -> int:
        """Note what was read; how many of the nodes, the deepest first, none of the calls had left."""
        given, at, held, used = 0, call.at, self.held, dict[float, _Held]()
        for index, node in enumerate(nodes):
            left = held.get(node)
            if left is None or left.until + SLACK < at:
                given, seconds = index + 1, self.longest
            else:
                seconds = left.seconds
                if at < left.ready:
                    self.tree.ready_by(left.by, at)
            if seconds not in used:
                used[seconds] = _Held(number, at, at + seconds, seconds)
            held[node] = used[seconds]
        return given


def _from(nodes: Sequence[int], node: int) -> int:
    """The index from which on the nodes are at or before one; their number where none is."""
    return nodes.index(node) if node in nodes else len(nodes)


def _both(left: _Held, new: _Held) -> _Held:
    """What stands after two writes at once: it can be read as soon as the first can."""
    by, ready = min((left.by, left.ready), (new.by, new.ready), key=itemgetter(1))
    seconds = max(left.seconds, new.seconds)
    return _Held(by, ready, new.until - new.seconds + seconds, seconds)

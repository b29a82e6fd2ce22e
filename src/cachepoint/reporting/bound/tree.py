"""The tree of what was sent, as far as it matters: where calls part, end or had a checkpoint, in tokens.

Blocks come with their bytes; tokens are known where a call ended, where its deepest checkpoint stood and
where its read ended, as usage says. Between such places they are spread by bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cachepoint.reporting.bound.ledger import ROOT, Ledger, Visit


class Sized(NamedTuple):
    """What is known below a node, added up: places of known tokens, their tokens and bytes, the fewest."""

    places: int
    tokens: int
    bytes: int
    fewest: int


class Tree:
    """The nodes that matter, with their tokens.

    Attributes:
        calls: By the time when they began.
        parent: By node: the nearest before it at which a checkpoint may stand.
        tokens: By node: those of the prefix that ends there. They do not fall along a path, and are what
            usage says at the end of a call.
        order: The nodes that matter, parents first.
        least: Tokens of the shortest prefix that is cached.
    """

    def __init__(self, ledger: Ledger, minimum: int) -> None:
        # Calls first: what they name is there then, whatever comes meanwhile.
        self.calls = sorted(ledger.calls, key=lambda call: call.at)
        self._bytes = ledger.size
        self.order, self._before = _pruned(self.calls, ledger.parent[:])
        known: dict[int, int] = {}
        for call in self.calls:
            known.setdefault(call.end, call.tokens)
            if call.points and call.cached:
                known.setdefault(call.points[-1], call.cached)
        # A model may cache less than its row says: what was seen counts.
        self.least = min([minimum, *(call.cached for call in self.calls if call.cached)])
        self.tokens = self._measured(known)
        if self._learn_reads(known):
            self.tokens = self._measured(known)
        barred = ledger.barred[:]
        for call in self.calls:
            for point in call.points:
                barred[point] = 0
        self._place, self.parent = _places(self.order, self._before, barred)

    def path(self, end: int) -> list[int]:
        """The nodes up to `end` whose prefix can be cached, the deepest first."""
        tokens, parent, least, nodes = self.tokens, self.parent, self.least, []
        end = self._place[end]
        while end != ROOT and tokens[end] >= least:
            nodes.append(end)
            end = parent[end]
        return nodes

    def ready_by(self, number: int, at: float) -> None:
        """What a call wrote was read by then: of an answer that did not stream only the end was seen."""
        self.calls[number] = self.calls[number]._replace(ready=at)

    def own(self, node: int) -> float:
        """The tokens between a node and the one before it; those below the minimum are the first one's."""
        before = self.tokens[self.parent[node]]
        return self.tokens[node] - (before if before >= self.least else 0)

    def nearest(self, call: Visit, tokens: int) -> int:
        """The node on a call's path at which so many tokens end, up to its deepest checkpoint."""
        if not tokens or not call.points:
            return ROOT
        if tokens == call.cached:
            return call.points[-1]
        below = node = call.points[-1]
        while node != ROOT and self.tokens[node] > tokens:
            below, node = node, self._before[node]
        nearer = node != ROOT and tokens - self.tokens[node] < self.tokens[below] - tokens
        return node if nearer or below == node else below

    def _learn_reads(self, known: dict[int, int]) -> bool:
        """Take what reads say of places where nothing else is known; whether there was any."""
        learned = dict(known)
        for call in self.calls:
            node = self.nearest(call, call.read)
            if node != ROOT:
                learned.setdefault(node, call.read)
        new = len(learned) > len(known)
        known.update(learned)
        return new

    def _measured(self, known: dict[int, int]) -> list[float]:
        below = self._below(known)
        tokens, size = [0.0] * len(self._before), self._bytes
        for node in self.order:
            before = self._before[node]
            if node in known:
                tokens[node] = max(known[node], tokens[before])
                continue
            some = below[node]
            room = some.bytes - some.places * size[before]
            ratio = max(0.0, some.tokens - some.places * tokens[before]) / room if room else 0.0
            most = max(some.fewest, tokens[before])
            tokens[node] = min(tokens[before] + ratio * (size[node] - size[before]), most)
        return tokens

    def _below(self, known: dict[int, int]) -> dict[int, Sized]:
        """By node: what is known at or below it."""
        below: dict[int, Sized] = {}
        for node in reversed(self.order):
            if node in known:
                tokens = known[node]
                below[node] = Sized(1, tokens, self._bytes[node], tokens)
            one, before = below[node], self._before[node]
            other = below.get(before)
            below[before] = one if other is None else _both(one, other)
        return below


def _both(a: Sized, b: Sized) -> Sized:
    return Sized(a.places + b.places, a.tokens + b.tokens, a.bytes + b.bytes, min(a.fewest, b.fewest))


def _places(
    order: Sequence[int], before: Sequence[int], barred: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """By node: the nearest at or before it where a checkpoint may stand, and the one before that."""
    place = [ROOT] * len(before)
    parent = [ROOT] * len(before)
    for node in order:
        parent[node] = place[before[node]]
        place[node] = parent[node] if barred[node] else node
    return place, parent


def _pruned(calls: Sequence[Visit], parents: Sequence[int]) -> tuple[list[int], Sequence[int]]:
    """The nodes where something ends or parts, and by such a node the one before it."""
    keep, seen = bytearray(len(parents)), bytearray(len(parents))
    for call in calls:
        for node in (call.end, *call.points):
            keep[node] = 1
    for before in parents[1:]:
        keep[before] |= seen[before]
        seen[before] = 1
    keep[ROOT] = 1
    nearest, parent, order = [ROOT] * len(parents), [ROOT] * len(parents), []
    for node, before in enumerate(parents):
        nearest[node] = node if keep[node] else nearest[before]
        if keep[node] and node != ROOT:
            parent[node] = nearest[before]
            order.append(node)
    return order, parent

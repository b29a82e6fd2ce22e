"""A placement with foresight that Bedrock would take: what the bound says is worth it, under all the rules.

Every call writes as deep as the bound does, for one hour as far as the bound does, and has a checkpoint on
the deepest entry that lives. The slots that are left go to the places where later calls part, those that send
most tokens up to there. What stands on an entry of five minutes lives no longer than that.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import NamedTuple

from cachepoint.core.models.rules import MAX_CHECKPOINTS
from cachepoint.reporting.bound.ledger import Visit
from cachepoint.reporting.bound.tree import Tree
from cachepoint.reporting.bound.worth import SLACK, Prices, Step, Walk

_SHORT = 0


class _Entry(NamedTuple):
    """What is kept of a node: the kind of entry, until when, and from when it can be read."""

    kind: int
    until: float
    ready: float

    def live(self, at: float) -> bool:
        return self.until + SLACK >= at

    def readable(self, at: float) -> bool:
        return self.ready - SLACK <= at <= self.until + SLACK


class _Place(NamedTuple):
    """Where on a call's path something ends, by index; the deepest is 0, and nothing ends at its length."""

    covered: int
    hour: int
    read: int


def price(tree: Tree, walks: Sequence[Walk], first: dict[int, Step], prices: Prices) -> float:
    """What the plan pays for all calls, in prices of input tokens.

    Args:
        tree: The calls.
        walks: Their paths.
        first: The bound's steps with all TTLs, by node.
        prices: What tokens cost.
    """
    plan = _Plan(tree, prices, first)
    for call, walk in zip(tree.calls, walks, strict=True):
        for node in walk.nodes:
            plan.visits[node].append(call.at)
    return sum(plan.call(call, walk) for call, walk in zip(tree.calls, walks, strict=True))


class _Plan:
    def __init__(self, tree: Tree, prices: Prices, first: dict[int, Step]) -> None:
        self.tokens = tree.tokens
        self.prices = prices
        self.steps: dict[int, Step | None] = dict(first)
        self.wanted: dict[int, _Entry | None] = {}
        self.entries: dict[int, _Entry] = {}
        self.visits: dict[int, list[float]] = defaultdict(list)

    def call(self, call: Visit, walk: Walk) -> float:
        """Place the checkpoints of one call; what it pays."""
        nodes = walk.nodes
        wanted = self._wanted(nodes)
        for index in walk.given[:1]:
            self._given(call, nodes[index])
        none = len(nodes)
        readable = (i for i, n in enumerate(nodes) if n in self.entries and self.entries[n].readable(call.at))
        read = next(readable, none)
        hour = next((i for i in range(read) if (w := wanted[i]) is not None and w.kind != _SHORT), none)
        if read < none and self.entries[nodes[read]].kind == _SHORT:
            hour = none
        covered = next((i for i in range(read) if wanted[i] is not None), read)
        place = _Place(covered, hour, read)
        self._write(call, nodes, place, self._marks(call, nodes, place))
        return self._paid(call, nodes, place)

    def _paid(self, call: Visit, nodes: Sequence[int], place: _Place) -> float:
        covered, hour, read = (self.tokens[nodes[i]] if i < len(nodes) else 0.0 for i in place)
        hour = max(hour, read)
        short = covered - hour
        long = hour - read
        kinds = self.prices.kinds
        written = long * kinds[-1].price + short * kinds[_SHORT].price
        return self.prices.read * read + written + call.tokens - covered

    def _wanted(self, nodes: Sequence[int]) -> list[_Entry | None]:
        """What the bound has in the cache after the call, by node."""
        made: dict[tuple[int, _Entry | None], _Entry | None] = {}
        found = []
        for node in nodes:
            step, before = self.steps[node], self.wanted.get(node)
            key = id(step), before
            if key not in made:
                made[key] = self._after(step, before) if step is not None else None
            found.append(made[key])
            self.wanted[node] = made[key]
            self.steps[node] = step and step.next
        return found

    def _after(self, step: Step, before: _Entry | None) -> _Entry | None:
        """What the bound does at a step: the entry that is there afterwards."""
        kinds = self.prices.kinds
        if before is not None and before.live(step.at):
            kind, ready = before.kind, before.ready
            if before.readable(step.at):
                kind = step.after_read(kind, self.prices)
                return _Entry(kind, step.at + kinds[kind].seconds, 0.0)
            if 1.0 + step.waited(kinds[kind], kind, ready) <= step.dead + SLACK:
                return _Entry(kind, step.at + kinds[kind].seconds, ready)
        if step.fresh <= step.dead:
            return None
        paid = [*step.written, step.dead]
        kind = min(range(len(paid)), key=paid.__getitem__)
        if kind < len(kinds):
            return _Entry(kind, step.at + kinds[kind].seconds, step.ready)
        return _Entry(len(kinds) - 1, step.at + kinds[-1].seconds, step.at)

    def _given(self, call: Visit, node: int) -> None:
        held = self.entries.get(node)
        if held is None or not held.readable(call.at):
            self.entries[node] = _Entry(_SHORT, call.at, call.at)

    def _marks(self, call: Visit, nodes: Sequence[int], place: _Place) -> list[int]:
        """The checkpoints, by index on the path."""
        marks = {i for i in place if i < len(nodes)}
        if marks:
            left = MAX_CHECKPOINTS - len(marks)
            top = min(marks)
            partings = (p for p in self._partings(call, nodes, top) if p[1] not in marks)
            marks.update(i for _, i in nlargest(left, partings))
        return sorted(marks)

    def _partings(self, call: Visit, nodes: Sequence[int], top: int) -> Iterator[tuple[float, int]]:
        """Where later calls part from this one, weighed by the tokens that they send up to there."""
        end = call.at + self.prices.kinds[-1].seconds
        steps = [self.steps[node] for node in nodes]
        for index in range(top + 1, len(nodes)):
            if steps[index] is not steps[index - 1]:
                both = self._between(nodes[index - 1], call.at, end)
                parting = self._between(nodes[index], call.at, end) - both
                if parting:
                    yield parting * self.tokens[nodes[index]], index

    def _between(self, node: int, at: float, end: float) -> int:
        visits = self.visits[node]
        return bisect_right(visits, end) - bisect_right(visits, at)

    def _write(self, call: Visit, nodes: Sequence[int], place: _Place, marks: Sequence[int]) -> None:
        """What the checkpoints leave in the cache."""
        hit = self.entries[nodes[place.read]].kind if place.read < len(nodes) else None
        for index in marks:
            node = nodes[index]
            held = self.entries.get(node)
            kind = _SHORT if index < place.hour else len(self.prices.kinds) - 1
            ready = call.ready
            if hit is not None:
                kind = hit if index >= place.read else min(kind, hit)
            if held is not None and held.live(call.at):
                kind, ready = max(kind, held.kind), min(ready, held.ready)
            self.entries[node] = _Entry(kind, call.at + self.prices.kinds[kind].seconds, ready)

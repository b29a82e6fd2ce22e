"""What a token costs at least over all calls that send it, with foresight: backwards from the last.

A call pays one of three prices for a token: it reads it (where an entry that covers it lives and can be
read), writes it for a TTL, or sends it fresh. Whatever is worth keeping at a node is worth keeping ahead of
it, for every call that sends the node sends that as well. So without the limits of four checkpoints, of
lookback and of the order of TTLs each node is a problem of its own, over the times of its calls, and the sum
over all nodes is not above what any placement pays.

An entry that is written on top of a shorter one, or in front of its end, is taken to live no longer than that
one: nobody has shown otherwise. Where it does, its reads are among those of `Step.given`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cachepoint.core.models.rules import TTL_SECONDS, ModelRules, Ttl
from cachepoint.reporting.bound.ledger import Visit

# Times come rounded to milliseconds.
SLACK = 0.01


class Kind(NamedTuple):
    """A TTL in seconds, and what a token costs that is written for it."""

    seconds: float
    price: float


class Prices(NamedTuple):
    """What tokens cost, in those of input: `kinds` are the TTLs, the short one first."""

    read: float
    kinds: tuple[Kind, ...]

    @classmethod
    def of(cls, rules: ModelRules) -> "Prices | None":
        """The prices of a model; None where it has none for its cache."""
        prices = rules.multipliers
        kinds = {ttl: Kind(TTL_SECONDS[ttl], prices[f"write_{ttl}"]) for ttl in _ttls(rules)}
        return cls(prices["read"], tuple(kinds.values())) if "read" in prices and kinds else None

    def alone(self, seconds: int) -> "Prices":
        """With one of the TTLs, or none where the model does not take it."""
        return self._replace(kinds=tuple(kind for kind in self.kinds if kind.seconds == seconds))


def _ttls(rules: ModelRules) -> Iterable[Ttl]:
    return [ttl for ttl in TTL_SECONDS if ttl in rules.ttls and f"write_{ttl}" in rules.multipliers]


class Step:
    """A call as one of its tokens meets it, and the next call that does.

    Attributes:
        at: When the call began.
        ready: When what it writes can be read.
        next: The next call with the token; None for the last.
        given: Whether it was read there though no known call had left it: by others, or longer than its TTL.
        dead: The least that this call and those behind it pay where no entry lives.
        live: The same where one lives that can be read, by its kind.
        written: The same where this call writes, by kind.
    """

    __slots__ = ("at", "dead", "given", "live", "next", "ready", "written")

    def __init__(self, call: Visit, after: "Step | None", prices: Prices, *, given: bool) -> None:
        self.at, self.ready, self.next, self.given = call.at, call.ready, after, given
        kinds = prices.kinds
        read = [prices.read + self._then(kind, i) for i, kind in enumerate(kinds)]
        # On top of a shorter one that lives a longer one may be written.
        longer = [kind.price - prices.read + read[i] for i, kind in enumerate(kinds)]
        self.live = tuple([min([read[i], *longer[i + 1 :]]) for i in range(len(kinds))])
        self.written = tuple([kind.price + self._while_written(kind, i) for i, kind in enumerate(kinds)])
        gift = (*self.live[-1:], prices.read + _dead(after))[:1] if given else ()
        self.dead = min([1.0 + _dead(after), *self.written, *gift])

    @property
    def fresh(self) -> float:
        """What is paid where this call writes nothing."""
        return 1.0 + _dead(self.next)

    def after_read(self, kind: int, prices: Prices) -> int:
        """The kind of entry that is best after this call read one of that kind."""
        kinds = prices.kinds
        paid = {kind: prices.read + self._then(kinds[kind], kind)}
        paid |= {i: kinds[i].price + self._then(kinds[i], i) for i in range(kind + 1, len(kinds))}
        return min(paid, key=paid.__getitem__)

    def _then(self, kind: Kind, index: int) -> float:
        """What is paid behind this call, where its entry can be read."""
        after = self.next
        return after.live[index] if after is not None and self.reaches(after, kind) else _dead(after)

    def reaches(self, after: "Step", kind: Kind) -> bool:
        """Whether an entry that is used here lives until then."""
        return after.at - self.at <= kind.seconds + SLACK

    def waited(self, kind: Kind, index: int, ready: float) -> float:
        """What calls behind this one pay, where its entry can be read from `ready` on.

        Those before send all of it fresh. To write it a second time meanwhile does not pay: then the first
        write had better been the second.
        """
        paid, here, after = 0.0, self, self.next
        while after is not None and here.reaches(after, kind):
            if after.at >= ready - SLACK:
                return paid + after.live[index]
            paid, here, after = paid + 1.0, after, after.next
        return paid + _dead(after)

    def _while_written(self, kind: Kind, index: int) -> float:
        return min(self.waited(kind, index, self.ready), _dead(self.next))


class Walk(NamedTuple):
    """The nodes of a call, the deepest first, and which of them by index were given; see `Step.given`."""

    nodes: Sequence[int]
    given: range


def _dead(step: Step | None) -> float:
    return 0.0 if step is None else step.dead


def steps(calls: Sequence[Visit], walks: Sequence["Walk"], prices: Prices) -> dict[int, Step]:
    """By node: the first of its calls; in `calls` and `walks`, which belong together, by time."""
    first: dict[int, Step] = {}
    for call, (nodes, given) in zip(reversed(calls), reversed(walks), strict=True):
        # Nodes that are sent by the same calls from here on share their steps.
        made: dict[tuple[int, bool], Step] = {}
        for index, node in enumerate(nodes):
            after = first.get(node)
            key = id(after), index in given
            step = made.get(key)
            if step is None:
                step = made[key] = Step(call, after, prices, given=key[1])
            first[node] = step
    return first

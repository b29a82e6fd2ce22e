"""The bound: what calls paid for their input over the least that any placement of checkpoints pays for it.

Pure: from what was sent, when, and what usage says of it. Caches are apart by model, Region and account, and
so are the digests.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

from cachepoint.core.models.rules import TTL_SECONDS, ModelRules
from cachepoint.reporting.bound import deeds, plan
from cachepoint.reporting.bound.ledger import Ledger, Visit
from cachepoint.reporting.bound.tree import Tree
from cachepoint.reporting.bound.worth import Prices, Step, Walk, steps


@dataclass(frozen=True, slots=True)
class Bound:
    """What calls paid for their input, and what other placements would have, in prices of an input token.

    Attributes:
        calls: How many.
        paid: What they paid.
        lower: No placement of checkpoints pays less for the same blocks at the same times.
        five_minutes: The same with entries of five minutes alone.
        one_hour: With entries of one hour alone; on models that have none, without a cache.
        plan: What a placement with foresight pays that Bedrock would have taken.
    """

    calls: int
    paid: float
    lower: float
    five_minutes: float
    one_hour: float
    plan: float

    @property
    def cost_over_bound(self) -> float | None:
        """What was paid over the lower bound, 1 at least; None where nothing was sent."""
        return self.paid / self.lower if self.lower else None

    def as_dict(self) -> dict[str, int | float]:
        """For JSON, in prices of an input token."""
        return {f.name: round(getattr(self, f.name)) for f in fields(Bound)}

    def __add__(self, other: "Bound") -> "Bound":
        """Both together: caches of different models share nothing."""
        return Bound(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Bound)))


def total(bounds: Iterable[Bound]) -> Bound | None:
    """All together; None of none."""
    known = list(bounds)
    return reduce(add, known) if known else None


def bound(ledger: Ledger, rules: ModelRules) -> Bound | None:
    """The bound of the calls to one model.

    Args:
        ledger: What was sent.
        rules: The model's row.

    Returns:
        None where there were no calls, or the row names no prices for its cache.
    """
    prices = Prices.of(rules)
    if prices is None or not ledger.calls:
        return None
    tree = Tree(ledger, rules.min_tokens)
    walks = deeds.walks(tree, prices)
    first = steps(tree.calls, walks, prices)
    paid = _paid(tree.calls, prices)
    lower = min(paid, _sum(tree, walks, first))
    five_minutes, one_hour = (
        _sum(tree, walks, steps(tree.calls, walks, prices.alone(TTL_SECONDS[ttl]))) for ttl in ("5m", "1h")
    )
    return Bound(
        calls=len(tree.calls),
        paid=paid,
        lower=lower,
        five_minutes=max(five_minutes, lower),
        one_hour=max(one_hour, lower),
        plan=max(plan.price(tree, walks, first, prices), lower),
    )


def _sum(tree: Tree, walks: list[Walk], first: dict[int, Step]) -> float:
    # Below the minimum, and behind the last place where a checkpoint may stand.
    reach = (tree.tokens[walk.nodes[0]] if walk.nodes else 0.0 for walk in walks)
    loose = sum(call.tokens - tokens for call, tokens in zip(tree.calls, reach, strict=True))
    return loose + sum(tree.own(node) * step.dead for node, step in first.items())


def _paid(calls: Iterable[Visit], prices: Prices) -> float:
    short, long = prices.kinds[0].price, prices.kinds[-1].price
    return sum(c.fresh + prices.read * c.read + short * c.write_5m + long * c.write_1h for c in calls)

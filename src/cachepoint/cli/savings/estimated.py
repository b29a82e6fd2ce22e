"""The bill of a workload that is described."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cachepoint.cli.savings.answers import SAME_TOKENS, Answer, Way, in_batch, rounded
from cachepoint.cli.savings.figures import count, rate, span
from cachepoint.cli.savings.offers import Offer
from cachepoint.core.accounting.pricing import RATES, Rates
from cachepoint.core.drawing.words import counted
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.reporting import savings
from cachepoint.reporting.levers import first_token, measured_first_tokens
from cachepoint.reporting.savings import Bill, Workload

Bills = Mapping[Ttl | None, Bill]


def estimated(workload: Workload, offer: Offer, other: Offer | None, ttl: Ttl | None) -> Answer:
    """The bill of a workload that is described.

    Args:
        workload: What is sent.
        offer: What it costs.
        other: A smaller model.
        ttl: How long entries live; None: whatever costs least.

    Raises:
        ValueError: Where a price is missing; it says which.
    """
    rates = offer.needed(workload.prefix + workload.user)
    bills, limits = _bills(workload, offer, rates)
    best = savings.cheapest(bills)
    bill = best if ttl is None or len(bills) == 1 else _of_ttl(bills, ttl, offer)
    return Answer(
        title=f"{workload.requests:,} requests a month: {workload.prefix:,} tokens of prefix, "
        f"{workload.user:,} of their own, {workload.output:,} of output",
        requests=workload.requests,
        before=bills[None].amounts,
        after=bill.amounts,
        rates=rates,
        ttl=bill.ttl,
        arithmetic=_arithmetic(workload, rates, bill, _cached(workload, offer)),
        ways=[
            *(_way(option) for option in bills.values()),
            *(way for tier in offer.tiers for way in _others(workload, tier, str(tier.tier), str(tier.tier))),
            *([] if other is None else _smaller(workload, other)),
        ],
        notes=[
            *(f"{limit}." for limit in limits),
            *_arrivals(workload, bill),
            *_pays(rates, bills, best),
            *_begins(workload, bill, _cached(workload, offer)),
        ],
        facts=_facts(workload, rates, bills, bill) | _first_token(workload, _cached(workload, offer)),
    )


def _way(bill: Bill) -> Way:
    if bill.ttl is None:
        return Way("no cache", bill.total)
    return Way(f"cache, {bill.ttl}", bill.total, levers=("caching",))


def _cached(workload: Workload, offer: Offer) -> int:
    return min(workload.prefix, offer.rules.max_cached_tokens or workload.prefix)


def _bills(workload: Workload, offer: Offer, rates: Rates) -> tuple[Bills, list[str]]:
    """The bills by TTL, and what limits the model sets."""
    row, cached = offer.rules, _cached(workload, offer)
    bills = savings.choices(workload, rates, offer.ttls, cached)
    if offer.model is not None and not row.caches:
        return {None: bills[None]}, [f"{offer.name} takes no checkpoints"]
    if workload.prefix < row.min_tokens:
        note = f"{offer.name} caches from {row.min_tokens:,} tokens on"
        return {None: bills[None]}, [note]
    if cached < workload.prefix:
        return bills, [f"{offer.name} caches at most {cached:,} tokens"]
    return bills, []


def _of_ttl(bills: Bills, ttl: Ttl, offer: Offer) -> Bill:
    if ttl not in bills:
        raise ValueError(
            f"--ttl is {ttl}, and {offer.model or 'this price list'} has no price for {ttl} writes"
        )
    return bills[ttl]


def _arithmetic(workload: Workload, rates: Rates, bill: Bill, cached: int) -> dict[str, str]:
    n = f"{workload.requests:,}"
    whole = workload.prefix + workload.user
    fresh = whole if bill.ttl is None else whole - cached
    lines = {
        "input": f"{n} x {whole:,} x {rate(rates.input)}/M",
        "output": f"{n} x {workload.output:,} x {rate(rates.output)}/M",
        "uncached": f"{n} x {fresh:,} x {rate(rates.input)}/M",
    }
    if bill.ttl is None:
        return lines
    write = rates.write(bill.ttl)
    return lines | {
        "reads": f"{n} x {cached:,} x {rate(rates.read)}/M",
        "writes": f"{count(bill.writes)} x {cached:,} x ({rate(write)} - {rate(rates.read)})/M",
    }


def _arrivals(workload: Workload, bill: Bill) -> list[str]:
    """How the number of writes comes about."""
    if bill.ttl is None:
        return []
    if workload.hourly is None:
        each = f"one for every {count(workload.sharing)} requests with the same prefix"
        return [f"Writes: {each}, each within a TTL of the one before."]
    gap = Decimal(3600) / workload.hourly
    order = "every" if workload.arrivals == "regular" else "at random, on average every"
    losses = f"{float(workload.losses):g} times a day"
    note = (
        f"Writes: {count(bill.writes)} a month. Requests come {order} {span(gap)}, and a read keeps the "
        f"entry for another {bill.ttl}. Besides, it is assumed to be lost {losses}: to routing, eviction, "
        "deployments (--losses). A request that writes does not read, so a write counts as what it costs "
        "above a read."
    )
    if gap <= TTL_SECONDS[bill.ttl]:
        return [note]
    missed = f"{savings.miss_share(workload, bill.ttl):.0%}"
    late = (
        f"Entries expire: requests come less often than every {bill.ttl}, and {missed} of them write again."
    )
    return [note, late]


def _pays(rates: Rates, bills: Bills, best: Bill) -> list[str]:
    parts = [
        f"a {ttl} write pays from {counted(reads, 'read')} on ({exact:.2f})"
        for ttl in bills
        if ttl is not None
        and (exact := savings.break_even(rates, ttl)) is not None
        and (reads := savings.reuses_to_pay(rates, ttl)) is not None
    ]
    verdict = "Here nothing pays." if best.ttl is None else f"Here {best.ttl} pays most."
    return [f"Break-even: {', '.join(parts)}. {verdict}"] if parts else []


def _facts(workload: Workload, rates: Rates, bills: Bills, bill: Bill) -> dict[str, Any]:
    missed = None if bill.ttl is None else savings.miss_share(workload, bill.ttl)
    prices = {name: getattr(rates, name) for name in RATES}
    return {
        "cheapest_ttl": savings.cheapest(bills).ttl,
        "requests_that_write": rounded(bill.writes, 3),
        "miss_share": None if missed is None else rounded(missed, 9),
        "break_even_reads": {ttl: savings.reuses_to_pay(rates, ttl) for ttl in bills if ttl is not None},
        "prices_per_million": {
            name: None if price is None else float(price) for name, price in prices.items()
        },
    }


def _smaller(workload: Workload, other: Offer) -> list[Way]:
    """A smaller model, and what can be had with it."""
    ways = _others(workload, other, other.name, "smaller model")
    for tier in other.tiers:
        ways += _others(workload, tier, f"{other.name}, {tier.tier}", "smaller model", str(tier.tier))
    return [*ways, in_batch(f"{other.name}, batch", ways[0].total, "smaller model")]


def _others(workload: Workload, other: Offer, name: str, *levers: str) -> list[Way]:
    """Another model or tier without a cache and with the one that costs least."""
    bills, limits = _bills(workload, other, other.needed(workload.prefix + workload.user))
    best = savings.cheapest(bills)
    said = limits[0] if limits and best.ttl is None else SAME_TOKENS if "smaller model" in levers else ""
    bare = Way(name, bills[None].total, said, levers)
    if best.ttl is None:
        return [bare]
    return [bare, Way(f"{name}, {best.ttl}", best.total, "; ".join(limits), (*levers, "caching"))]


def _begins(workload: Workload, bill: Bill, cached: int) -> list[str]:
    """What caching does to the time to the first token, as far as anybody published it."""
    if bill.ttl is None or not cached:
        return []
    seen = first_token(workload.prefix + workload.user, cached)
    what = f"First token, an estimate: after {seen.fresh:.2f} s, {seen.read:.2f} s where the prefix is read."
    why = f"It is drawn from what {seen.source} ({seen.checked}) measured of Claude, not on Bedrock:"
    return [f"{what} {why} {measured_first_tokens()}. What your streams do says cachepoint report."]


def _first_token(workload: Workload, cached: int) -> dict[str, Any]:
    seen = first_token(workload.prefix + workload.user, cached)
    return {
        "first_token_estimate": {
            "fresh_seconds": rounded(seen.fresh, 3),
            "read_seconds": rounded(seen.read, 3),
            "source": seen.source,
            "checked": seen.checked,
        }
    }

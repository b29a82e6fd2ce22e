"""What `cachepoint savings` answers, before it is printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from cachepoint.cli.savings.calls import read_calls
from cachepoint.cli.savings.figures import count, rate, span
from cachepoint.cli.savings.offers import Offer
from cachepoint.core.accounting.pricing import RATES, Amounts, Rates
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.reporting import savings
from cachepoint.reporting.savings import BATCH_FACTOR, HOURS_A_MONTH, Bill, Measured, Workload

_SAME_TOKENS = "the same tokens; tokenizers differ"

Bills = Mapping[Ttl | None, Bill]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the workload, in US dollars."""

    name: str
    total: Decimal
    note: str = ""


@dataclass(slots=True)
class Answer:
    """Everything that is printed.

    Attributes:
        title: What is computed.
        requests: How many requests the bills are for.
        before: The bill without a cache.
        after: The bill with one.
        hours: How many hours the bills are for; None where that is not known.
        rates: What tokens cost, where it is the same for all.
        ttl: How long entries live.
        arithmetic: How the lines of the bills come about.
        ways: The bills of all ways.
        notes: What to know besides.
        facts: More figures for JSON.
        budget: A budget in US dollars.
    """

    title: str
    requests: Decimal
    before: Amounts
    after: Amounts
    hours: Decimal | None = Decimal(HOURS_A_MONTH)
    rates: Rates | None = None
    ttl: Ttl | None = None
    arithmetic: dict[str, str] = field(default_factory=dict)
    ways: list[Way] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    budget: Decimal | None = None

    def months(self, total: Decimal) -> Decimal | None:
        """How many months the budget lasts; None where there is none, or nothing to pay."""
        if self.budget is None or self.hours is None or not total:
            return None
        return self.budget / total * self.hours / HOURS_A_MONTH

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dollars as numbers, to a millionth."""
        before, after = self.before, self.after
        return {
            "before": _sums(input=before.input, output=before.output),
            "after": _sums(
                reads=after.reads, writes=after.writes, uncached=after.uncached, output=after.output
            ),
            "saved": _rounded(before.total - after.total),
            "saved_share": _ratio(before.total - after.total, before.total),
            "input_saved_share": _ratio(before.input - after.input, before.input),
            "ttl": self.ttl,
            **self.facts,
            "ways": [self._way(way) for way in self.ways],
            "notes": self.notes,
        }

    def _way(self, way: Way) -> dict[str, Any]:
        months = self.months(way.total)
        known = {"name": way.name, "total": _rounded(way.total), "note": way.note}
        return known if months is None else {**known, "months_of_credits": _rounded(months, 2)}


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
        ways=[_way(option, best) for option in bills.values()]
        + ([] if other is None else _smaller(workload, other)),
        notes=[*(f"{limit}." for limit in limits), *_arrivals(workload, bill), *_pays(rates, bills, best)],
        facts=_facts(workload, rates, bills, bill),
    )


def _way(bill: Bill, best: Bill) -> Way:
    name = "no cache" if bill.ttl is None else f"cache, {bill.ttl}"
    return Way(name, bill.total, "costs least" if bill is best else "")


def _cached(workload: Workload, offer: Offer) -> int:
    return min(workload.prefix, offer.rules.max_cached_tokens or workload.prefix)


def _bills(workload: Workload, offer: Offer, rates: Rates) -> tuple[Bills, list[str]]:
    """The bills by TTL, and what limits the model sets."""
    row, cached = offer.rules, _cached(workload, offer)
    bills = savings.choices(workload, rates, offer.ttls, cached)
    if offer.known and not row.caches:
        return {None: bills[None]}, [f"{row.name} takes no checkpoints"]
    if workload.prefix < row.min_tokens:
        note = f"{row.name} caches from {row.min_tokens:,} tokens on"
        return {None: bills[None]}, [note]
    if cached < workload.prefix:
        return bills, [f"{row.name} caches at most {cached:,} tokens"]
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
        f"a {ttl} write pays from {reads} read{'s' if reads > 1 else ''} on ({exact:.2f})"
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
        "requests_that_write": _rounded(bill.writes, 3),
        "miss_share": None if missed is None else _rounded(missed, 9),
        "break_even_reads": {ttl: savings.reuses_to_pay(rates, ttl) for ttl in bills if ttl is not None},
        "prices_per_million": {
            name: None if price is None else float(price) for name, price in prices.items()
        },
    }


def _smaller(workload: Workload, other: Offer) -> list[Way]:
    bills, limits = _bills(workload, other, other.needed(workload.prefix + workload.user))
    best = savings.cheapest(bills)
    bare = Way(other.name, bills[None].total, limits[0] if limits and best.ttl is None else _SAME_TOKENS)
    return [bare] if best.ttl is None else [bare, Way(f"{other.name}, {best.ttl}", best.total, *limits)]


def measured(path: Path, offer: Offer, other: Offer | None, requests: int | None) -> Answer:
    """The bill of calls that were made.

    Args:
        path: A call a line.
        offer: What they cost, where the lines do not name their model.
        other: A smaller model.
        requests: Scale them to so many a month; None: as they are.

    Raises:
        ValueError: Where no call has usage and a price.
    """
    made, cheaper = Measured(), Measured()
    unknown: set[str] = set()
    for call in read_calls(path):
        tokens = 0 if call.usage is None else call.usage.input_tokens
        rates = offer.rates(tokens, call.model, call.at)
        if not made.add(call.usage, rates, call.at) and call.usage is not None:
            unknown.add(str(call.model))
        elif other is not None:
            cheaper.add(call.usage, other.needed(tokens), call.at)
    if not made.calls:
        why = f"no price is known for {', '.join(sorted(unknown))}" if unknown else "no line has usage"
        raise ValueError(
            f"nothing to compute in {path}: {why}; --model or --input-price and --output-price help"
        )
    factor = Decimal(1) if requests is None else Decimal(requests) / made.calls
    answer = _of_measured(made, factor, requests is not None)
    if other is not None:
        answer.ways.append(Way(other.name, cheaper.before.total * factor, _SAME_TOKENS))
        answer.ways.append(Way(f"{other.name}, same reads", cheaper.after.total * factor))
    if unknown:
        answer.notes.append(
            f"{made.unpriced:,} calls are in no sum: no price is known for {', '.join(sorted(unknown))}."
        )
    return answer


def _of_measured(made: Measured, factor: Decimal, monthly: bool) -> Answer:
    over = "" if made.hours is None else f" over {span(made.hours * 3600)}"
    scaled = f", scaled to {made.calls * factor:,.0f} requests a month" if monthly else ""
    before, after = made.before.times(factor), made.after.times(factor)
    return Answer(
        title=f"{made.calls:,} measured calls{over}{scaled}",
        requests=made.calls * factor,
        before=before,
        after=after,
        hours=Decimal(HOURS_A_MONTH) if monthly else made.hours,
        arithmetic={name: f"{n * factor:,.0f} tokens" for name, n in _tokens(made.tokens).items()},
        ways=[Way("no cache", before.total), Way("as measured", after.total)],
        facts={"calls": made.calls, "unpriced_calls": made.unpriced, "lines_without_usage": made.without},
    )


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "reads": usage.read_tokens or 0,
        "writes": usage.write_tokens or 0,
        "uncached": usage.uncached_tokens,
    }


def add_levers(answer: Answer, hourly: Decimal | None, budget: Decimal | None) -> None:
    """Batch inference, provisioned throughput and a budget, on the same workload.

    Args:
        answer: What is computed so far.
        hourly: What provisioned throughput costs an hour, in US dollars.
        budget: US dollars to spend.
    """
    bills = {"before": answer.before.total, "after": answer.after.total}
    answer.budget = budget
    answer.ways.append(Way("batch", bills["before"] * BATCH_FACTOR, "half price, caches nothing"))
    if answer.hours is None:
        answer.notes.append("The calls carry no times: with --requests a month's figures can be told.")
        return
    limits = {name: total / answer.hours for name, total in bills.items()}
    answer.facts["provisioned_break_even_hourly"] = {name: _rounded(v) for name, v in limits.items()}
    answer.notes.append(
        f"Provisioned throughput caches nothing. It pays below ${limits['before']:,.2f} an hour against no "
        f"cache, below ${limits['after']:,.2f} against this one, where it carries the load."
    )
    if hourly is not None:
        total = hourly * answer.hours
        answer.ways.append(Way("provisioned", total, f"{answer.hours:,.0f} hours at {rate(hourly)}"))
        answer.facts["provisioned_break_even_requests"] = {
            name: _rounded(answer.requests * total / bill, 0) if bill else None
            for name, bill in bills.items()
        }


def _sums(**parts: Decimal) -> dict[str, float]:
    rounded = {name: round(value, 6) for name, value in parts.items()}
    return {name: float(v) for name, v in rounded.items()} | {"total": float(sum(rounded.values()))}


def _rounded(value: Decimal, places: int = 6) -> float:
    return float(round(value, places))


def _ratio(part: Decimal, whole: Decimal) -> float | None:
    return _rounded(part / whole) if whole else None

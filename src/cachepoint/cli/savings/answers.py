"""What `cachepoint savings` answers, before it is printed."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cachepoint.cli.savings.figures import an_hour, rate
from cachepoint.core.accounting.pricing import Amounts, Rates
from cachepoint.core.models.rules import Ttl
from cachepoint.reporting.levers import excluded, levers
from cachepoint.reporting.savings import HOURS_A_MONTH

SAME_TOKENS = "the same tokens; tokenizers differ"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the workload, in US dollars.

    `levers` are those of levers.toml that it has at once.
    """

    name: str
    total: Decimal
    note: str = ""
    levers: tuple[str, ...] = ()


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

    @property
    def cheapest(self) -> Way:
        """The way that costs least; of equally cheap ones the first."""
        return min(self.ways, key=lambda one: one.total)

    def note(self, way: Way) -> str:
        """What is said of a way; of equally cheap ones the first costs least."""
        return "; ".join(filter(None, ("costs least" if way is self.cheapest else "", way.note)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dollars as numbers, to a millionth."""
        before, after = self.before, self.after
        return {
            "before": _sums(input=before.input, output=before.output),
            "after": _sums(
                reads=after.reads, writes=after.writes, uncached=after.uncached, output=after.output
            ),
            "saved": rounded(before.total - after.total),
            "saved_share": _ratio(before.total - after.total, before.total),
            "input_saved_share": _ratio(before.input - after.input, before.input),
            "ttl": self.ttl,
            **self.facts,
            "ways": [self._way(way) for way in self.ways],
            "notes": self.notes,
        }

    def _way(self, way: Way) -> dict[str, Any]:
        months = self.months(way.total)
        known = {
            "name": way.name,
            "total": rounded(way.total),
            "note": self.note(way),
            "levers": list(way.levers),
            "costs_least": way is self.cheapest,
        }
        return known if months is None else {**known, "months_of_credits": rounded(months, 2)}


def add_levers(answer: Answer, hourly: Decimal | None, budget: Decimal | None) -> None:
    """Batch inference, provisioned throughput and a budget, on the same workload.

    Args:
        answer: What is computed so far.
        hourly: What provisioned throughput costs an hour, in US dollars.
        budget: US dollars to spend.
    """
    bills = {"before": answer.before.total, "after": answer.after.total}
    answer.budget = budget
    answer.ways.append(in_batch("batch", bills["before"]))
    if answer.hours is None:
        _add_excluded(answer)
        answer.notes.append("The calls carry no times: with --requests a month's figures can be told.")
        return
    limits = {name: total / answer.hours for name, total in bills.items()}
    answer.facts["provisioned_break_even_hourly"] = {name: rounded(v) for name, v in limits.items()}
    before, after = map(an_hour, limits.values())
    answer.notes.append(
        f"Provisioned throughput caches nothing. It pays below {before} an hour against no "
        f"cache, below {after} against this one, where it carries the load."
    )
    if hourly is not None:
        total = hourly * answer.hours
        note = f"{answer.hours:,.0f} hours at {rate(hourly)}"
        answer.ways.append(Way("provisioned", total, note, ("provisioned",)))
        answer.facts["provisioned_break_even_requests"] = {
            name: rounded(answer.requests * total / bill, 0) if bill else None for name, bill in bills.items()
        }

    _add_excluded(answer)


def in_batch(name: str, total: Decimal, *others: str) -> Way:
    """What batch inference costs.

    Args:
        name: What it is called.
        total: The bill on demand, without a cache.
        others: The levers that it has besides.
    """
    times = levers()["batch"].times or Decimal(1)
    return Way(name, total * times, "half price, caches nothing", ("batch", *others))


def _add_excluded(answer: Answer) -> None:
    """Say which of the levers here can't be had together, where it is more than batch and caching."""
    here = dict.fromkeys(lever for way in answer.ways for lever in way.levers)
    found = excluded(here)
    answer.facts["exclude_one_another"] = [list(pair.both) for pair in found]
    if len(found) > 1:
        named = ", ".join(" and ".join(pair.both) for pair in found)
        answer.notes.append(f"Of these exclude one another: {named} (cachepoint savings --table).")


def rounded(value: Decimal, places: int = 6) -> float:
    """A figure for JSON."""
    return round(float(value), places)


def _sums(**parts: Decimal) -> dict[str, float]:
    figures = {name: rounded(value) for name, value in parts.items()}
    return figures | {"total": rounded(sum(parts.values(), Decimal()))}


def _ratio(part: Decimal, whole: Decimal) -> float | None:
    return rounded(part / whole) if whole else None

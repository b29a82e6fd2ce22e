"""An audit for people and for JSON."""

from collections.abc import Iterator, Mapping
from itertools import groupby, islice
from typing import Any

from cachepoint.cli.audit.engines.plan import Audit
from cachepoint.cli.audit.figures import busiest, costliest
from cachepoint.core.accounting.money import dollars
from cachepoint.core.drawing.words import counted
from cachepoint.reporting.pictures import as_table, nearness, percent
from cachepoint.reporting.tally import Sums

_SHOWN = 8
_FAULTS = 5


def as_dict(found: Audit) -> dict[str, Any]:
    """All of it, for JSON."""
    scanned, bound = found.scanned, found.bound
    return {
        **found.figures.as_dict(),
        "records": {
            "calls": scanned.calls,
            "without_input": scanned.silent,
            "unusable": dict(sorted(scanned.reasons.items())),
            "faults": [fault._asdict() for fault in scanned.faults],
        },
        "replay": None if found.replayed is None else found.replayed.as_dict(),
        "replay_bound": None if bound is None else bound.as_dict(),
    }


def lines(found: Audit) -> Iterator[str]:
    """The figures as lines of text."""
    figures = found.figures
    yield as_table(figures.tally, figures.tally.bound)
    yield from _breaks(found)
    yield from _sums("by caller", figures.identities)
    yield from _sums("by prompt family", figures.families)
    yield from replayed_lines(found)
    yield from unusable_lines(found)


def _breaks(found: Audit) -> Iterator[str]:
    kinds = [item for item in costliest(found.figures.breaks) if item[1].tokens]
    if not kinds:
        return
    yield ""
    yield "what the largest breaks cost more than if they had been read"
    for kind, count in kinds[:_SHOWN]:
        what = f" ({kind.detail})" if kind.detail else ""
        lost = f"{counted(count.calls, 'call')}, {counted(count.tokens, 'token')}"
        yield f"  {dollars(count.dollars):>12}  {kind.cause}{what}: {lost}"
        yield f"                {count.remedy}"
    if len(kinds) > _SHOWN:
        yield f"  and {counted(len(kinds) - _SHOWN, 'more kind')}"


def _sums(title: str, sums: Mapping[str, Sums]) -> Iterator[str]:
    named = [(name, one) for name, one in busiest(sums) if name]
    if not named:
        return
    yield ""
    yield f"{title}, {len(named):,} in all"
    for name, one in islice(named, _SHOWN):
        paid = "price unknown" if one.money is None else dollars(one.money[0])
        calls = counted(one.calls, "call ", "calls")
        yield f"  {paid:>13}  {percent(one.usage.hit_share):>7} read  {calls:>15}  {name}"


def replayed_lines(found: Audit) -> Iterator[str]:
    """What the library would have paid; nothing where nobody asked."""
    replayed = found.replayed
    if replayed is None:
        return
    yield ""
    yield f"the library's placement on the same {counted(replayed.calls, 'call')}, simulated"
    if replayed.skipped:
        yield f"  not among them: {counted(replayed.skipped, 'call')} without input, tokens or a known model"
    if replayed.priced:
        yield f"  {dollars(replayed.cost)} instead of {dollars(replayed.paid)}"
    shares = percent(replayed.usage.hit_share), percent(replayed.logged.hit_share)
    yield f"  {shares[0]} of the input read instead of {shares[1]}"
    if found.library_over_bound is not None:
        yield f"  the library's: input {found.library_over_bound:.2f} of the lower bound"
    for line in nearness(found.bound, replayed.calls):
        yield f"  what was paid: {line}"
    if replayed.rate is not None:
        yield f"  {replayed.rate:,.0f} records a second and process"


def unusable_lines(found: Audit) -> Iterator[str]:
    """What could not be read, with its place."""
    scanned = found.scanned
    if scanned.silent:
        yield ""
        yield f"{counted(scanned.silent, 'call')} without input in the log: only tokens and money are known"
    if not scanned.reasons:
        return
    yield ""
    yield f"{counted(scanned.reasons.total(), 'record')} could not be used"
    faults = sorted(scanned.faults, key=lambda fault: fault.reason)
    places = {reason: list(islice(some, _FAULTS)) for reason, some in groupby(faults, key=lambda f: f.reason)}
    for reason, count in scanned.reasons.most_common():
        yield f"  {count:,} {reason}"
        for fault in places.get(reason, ()):
            yield f"    {fault.file}: line {fault.line:,}"

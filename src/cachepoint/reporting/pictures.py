"""A tally for people: a table of text, and bars per call for a notebook and for the page."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from cachepoint.core.accounting.money import dollars, minus, over
from cachepoint.core.accounting.pricing import date_of
from cachepoint.core.accounting.told import KINDS, parts, unsaid
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.html import COLOURS, fragment
from cachepoint.core.drawing.words import counted
from cachepoint.reporting.bound.bound import Bound
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import Conversation, Tally

__all__ = [
    "COLOURS",
    "KINDS",
    "as_table",
    "broke",
    "called",
    "counted",
    "dollars",
    "in_notebook",
    "legend",
    "moment",
    "nearness",
    "parts",
    "percent",
    "stack",
    "together",
    "unsaid",
]

_SLOTS = 12
_NOTEBOOK = 8
_ALONE = 120


def percent(share: float | Decimal | None) -> str:
    """A share of one."""
    return "unknown" if share is None else f"{share:.0%}"


def moment(at: float) -> str:
    """A time in UTC."""
    date = date_of(at)
    return "at an unknown time" if date is None else date.strftime("%Y-%m-%d %H:%M:%S")


def as_table(tally: Tally, bound: Bound | None = None) -> str:
    """The figures as lines of text.

    Args:
        tally: The calls.
        bound: What `tally.bound` said; where it is None nothing is said of it.
    """
    sums, usage = tally.sums, tally.sums.usage
    if not sums.calls:
        return "no calls"
    lines = [f"{counted(sums.calls, 'call')}, {counted(usage.input_tokens, 'input token')}"]
    lines += _kinds(usage)
    lines.append(f"  {'output':<18}{usage.output_tokens:>15,}")
    return "\n".join([*lines, *_money(tally), *nearness(bound, sums.calls), *_rest(tally)])


def _kinds(usage: Usage) -> Iterable[str]:
    for (name, label), tokens in zip(KINDS, parts(usage), strict=True):
        if unsaid(name, usage):
            yield f"  {label:<18}{'unknown':>15}"
        else:
            share = tokens / usage.input_tokens if usage.input_tokens else 0.0
            yield f"  {label:<18}{tokens:>15,}{share:>7.1%}"


def _money(tally: Tally) -> Iterable[str]:
    sums = tally.sums
    if sums.money is None:
        yield "cost unknown: no price of these models is known, or no usage came (a stream that was left)"
        return
    paid, full = sums.money
    saved = minus(full, paid)
    share = f" ({percent(over(saved, full))})" if full else ""
    yield f"cost {dollars(paid)}, without a cache {dollars(full)}, saved {dollars(saved)}{share}"
    keeping = tally.keeping
    if keeping.refreshes or keeping.kept_tokens:
        yield (
            f"keeping alive: {counted(keeping.refreshes, 'refresh', 'refreshes')} "
            f"for {dollars(keeping.spent)} of that cost, {dollars(keeping.saved)} saved"
        )
    if sums.priced < sums.calls:
        yield f"not in the money: {counted(sums.calls - sums.priced, 'call')} of unknown price or usage"


def nearness(bound: Bound | None, calls: int) -> Iterable[str]:
    """How near so many calls came to the cheapest; nothing where that is not known."""
    if bound is None or not bound.lower:
        return
    named = (
        ("5m alone", bound.five_minutes),
        ("1h alone", bound.one_hour),
        ("offline plan", bound.plan),
    )
    others = ", ".join(f"{name} {price / bound.lower:.2f}" for name, price in named)
    some = "" if bound.calls == calls else f" (of {counted(bound.calls, 'call')})"
    yield f"input {bound.paid / bound.lower:.2f} of the lower bound; {others}{some}"


def _rest(tally: Tally) -> Iterable[str]:
    factor, quota = tally.rewrite_factor, tally.quota_tokens
    if factor is not None:
        yield f"re-write factor {factor:.2f}: written tokens over the largest context of each conversation"
    if quota is not None:
        yield f"{counted(quota, 'token')} counted by quotas"
    yield from tally.first_tokens.words()
    for cause, (calls, tokens) in sorted(tally.waste.items(), key=lambda item: -item[1].tokens):
        lost = f"{counted(tokens, 'token')} lost" if tokens else "nothing lost"
        yield f"{cause}: {counted(calls, 'call')}, {lost}"


def stack(rows: Sequence[Row]) -> str:
    """An SVG of one stacked bar per call, without text, that stretches to the room it is given."""
    largest = max((row.usage.input_tokens for row in rows), default=0) or 1
    slot = 100 / max(len(rows), _SLOTS)
    paths: dict[str, list[str]] = {name: [] for name, _ in KINDS}
    touch = []
    for number, row in enumerate(rows):
        left, below = number * slot, 0.0
        for (name, _), tokens in zip(KINDS, parts(row.usage), strict=True):
            height = tokens * 100 / largest
            if height:
                paths[name].append(_box(left + slot * 0.08, 100 - below - height, slot * 0.84, height))
            below += height
        touch.append(
            f'<rect x="{left:.2f}" width="{slot:.2f}" height="106" fill="transparent">'
            f"<title>{_told(number + 1, row)}</title></rect>"
        )
    drawn = "".join(f'<path fill="var(--{k})" d="{"".join(d)}"/>' for k, d in paths.items() if d)
    marks = "".join(
        _box(i * slot + slot * 0.08, 102.5, slot * 0.84, 3.5) for i, r in enumerate(rows) if broke(r)
    )
    return (
        '<svg class="stack" viewBox="0 0 100 106" preserveAspectRatio="none" role="img" '
        f'aria-label="{counted(len(rows), "call")}, the largest of {counted(largest, "input token")}">'
        f'{drawn}<path fill="var(--miss)" d="{marks}"/>{"".join(touch)}</svg>'
    )


def broke(row: Row) -> bool:
    """Whether a call missed what an earlier one had written."""
    return row.cause not in {None, "first_write", "below_minimum", "not_marked"}


def _box(x: float, y: float, width: float, height: float) -> str:
    return f"M{x:.2f} {y:.2f}h{width:.2f}v{height:.2f}h-{width:.2f}z"


def _told(number: int, row: Row) -> str:
    named = zip(KINDS, parts(row.usage), strict=True)
    figures = ", ".join(f"{label} {tokens:,}" for (_, label), tokens in named if tokens)
    missed = f"; {row.cause}" + (f" at {row.where}" if row.where else "") if row.cause else ""
    return escape(f"{number}. {moment(row.at)}: {figures or 'no tokens reported'}{missed}")


def in_notebook(name: str, tally: Tally, bound: Bound | None = None) -> str:
    """Figures and bars as a fragment of HTML that brings its own style; the arguments as of `as_table`."""
    alone = [row for c in tally.conversations if c.calls == 1 for row in c.rows][:_ALONE]
    longer = [c for c in tally.conversations if c.calls > 1][:_NOTEBOOK]
    shown = [*longer, *([together(sorted(alone, key=lambda row: row.at))] if alone else [])]
    figures = f"<pre>{escape(as_table(tally, bound))}</pre><div>{legend()}</div>"
    return fragment(name, figures, *map(_drawn, shown))


def together(rows: Sequence[Row]) -> Conversation:
    """Conversations of a single call each, as if they were one."""
    one = Conversation("conversations of one call")
    for row in rows:
        one.calls += 1
        one.rows.append(row)
        one.largest = max(one.largest, row.usage.input_tokens)
    return one


def _drawn(one: Conversation) -> str:
    return f"<div>{escape(called(one))}, {size(one)}</div>{stack(one.rows)}"


def legend() -> str:
    """What the colours stand for."""
    kinds = (*KINDS, ("miss", "a break"))
    return "".join(f'<span><i style="background:var(--{k})"></i>{label}</span>' for k, label in kinds)


def called(one: Conversation) -> str:
    """A conversation's name."""
    return "without a conversation" if one.name is None else one.name


def size(one: Conversation) -> str:
    """How many calls it has, and how many of them are drawn."""
    calls = counted(one.calls, "call")
    return calls + (f" (the last {len(one.rows)} are drawn)" if one.calls > len(one.rows) else "")

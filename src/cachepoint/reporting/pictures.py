"""A tally for people: a table of text, and bars per call for a notebook and for the page."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from cachepoint.core.accounting.money import dollars, minus, over
from cachepoint.core.accounting.pricing import date_of
from cachepoint.core.accounting.usage import Usage
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
    "unsaid",
]

# (class, label), in the order of the stack, which is that of the prompt: 1h stands before 5m. The colours
# differ in lightness too, so that they stay apart for every kind of colour vision and in grey.
KINDS = (
    ("read", "read"),
    ("w1", "written for 1 h"),
    ("w5", "written for 5 min"),
    ("fresh", "fresh"),
)
COLOURS = {"read": "#2f7fc1", "w5": "#f2b134", "w1": "#b84a12", "fresh": "#9aa3ad", "miss": "#d1246f"}
_SLOTS = 12
_NOTEBOOK = 8


def parts(usage: Usage) -> tuple[int, int, int, int]:
    """Input tokens by `KINDS`. Writes that the report did not split went under Bedrock's default of 5m."""
    one_hour = usage.write_1h_tokens or 0
    return (
        usage.read_tokens or 0,
        one_hour,
        (usage.write_tokens or 0) - one_hour,
        usage.uncached_tokens,
    )


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
    lines = [f"{sums.calls:,} calls, {usage.input_tokens:,} input tokens"]
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


def unsaid(kind: str, usage: Usage) -> bool:
    """Whether no report said how many tokens of that of `KINDS` there were."""
    return {"read": usage.read_tokens, "w1": usage.write_tokens, "w5": usage.write_tokens}.get(
        kind, 0
    ) is None


def _money(tally: Tally) -> Iterable[str]:
    sums = tally.sums
    if sums.money is None:
        yield "cost unknown: these models have no known price"
        return
    paid, full = sums.money
    saved = minus(full, paid)
    share = f" ({percent(over(saved, full))})" if full else ""
    yield f"cost {dollars(paid)}, without a cache {dollars(full)}, saved {dollars(saved)}{share}"
    keeping = tally.keeping
    if keeping.refreshes or keeping.kept_tokens:
        yield (
            f"keeping alive: {keeping.refreshes:,} refreshes for {dollars(keeping.spent)} of that cost, "
            f"{dollars(keeping.saved)} saved"
        )
    if sums.priced < sums.calls:
        yield f"{sums.calls - sums.priced:,} calls are not in the money: their price is unknown"


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
    some = "" if bound.calls == calls else f" (of {bound.calls:,} calls)"
    yield f"input {bound.paid / bound.lower:.2f} of the lower bound; {others}{some}"


def _rest(tally: Tally) -> Iterable[str]:
    factor, quota = tally.rewrite_factor, tally.quota_tokens
    if factor is not None:
        yield f"re-write factor {factor:.2f}: written tokens over the largest context of each conversation"
    if quota is not None:
        yield f"{quota:,} tokens counted by quotas"
    yield from tally.first_tokens.words()
    for cause, (calls, tokens) in sorted(tally.waste.items(), key=lambda item: -item[1].tokens):
        lost = f"{tokens:,} tokens lost" if tokens else "nothing lost"
        yield f"{cause}: {calls:,} call{'' if calls == 1 else 's'}, {lost}"


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
        f'aria-label="{len(rows)} calls, the largest of {largest:,} input tokens">'
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
    variables = ";".join(f"--{k}:{v}" for k, v in COLOURS.items())
    style = (
        f".cachepoint{{{variables};font:13px/1.5 system-ui,sans-serif;max-width:44rem}}"
        ".cachepoint svg{width:100%;height:64px;display:block;margin:2px 0 10px}"
        ".cachepoint pre{margin:0 0 .8em;font:12px/1.5 ui-monospace,monospace;background:none;color:inherit}"
        ".cachepoint i{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 0}"
        ".cachepoint span{margin-right:1em}"
    )
    shown = [c for c in tally.conversations if c.calls][:_NOTEBOOK]
    return (
        f'<div class="cachepoint"><style>{style}</style><strong>{escape(name)}</strong>'
        f"<pre>{escape(as_table(tally, bound))}</pre><div>{legend()}</div>{''.join(map(_drawn, shown))}</div>"
    )


def _drawn(one: Conversation) -> str:
    return f"<div>{escape(called(one))}, {counted(one)}</div>{stack(one.rows)}"


def legend() -> str:
    """What the colours stand for."""
    kinds = (*KINDS, ("miss", "a break"))
    return "".join(f'<span><i style="background:var(--{k})"></i>{label}</span>' for k, label in kinds)


def called(one: Conversation) -> str:
    """A conversation's name."""
    return "without a conversation" if one.name is None else one.name


def counted(one: Conversation) -> str:
    """How many calls it has, and how many of them are drawn."""
    calls = f"{one.calls:,} call{'' if one.calls == 1 else 's'}"
    return calls + (f" (the last {len(one.rows)} are drawn)" if one.calls > len(one.rows) else "")

"""One call for people: in a few lines, and as a fragment of HTML."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cachepoint.core.accounting.money import dollars
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing import html
from cachepoint.core.drawing.words import counted

if TYPE_CHECKING:
    from cachepoint.core.accounting.report import CallReport

# (colour, label), in the order of a bar, which is that of the prompt: 1h stands before 5m.
KINDS = (
    ("read", "read"),
    ("w1", "written for 1 h"),
    ("w5", "written for 5 min"),
    ("fresh", "fresh"),
)


def parts(usage: Usage) -> tuple[int, int, int, int]:
    """Input tokens by `KINDS`. Writes that the report did not split went under Bedrock's default of 5m."""
    one_hour = usage.write_1h_tokens or 0
    return (
        usage.read_tokens or 0,
        one_hour,
        (usage.write_tokens or 0) - one_hour,
        usage.uncached_tokens,
    )


def unsaid(kind: str, usage: Usage) -> bool:
    """Whether no report said how many tokens of that of `KINDS` there were."""
    said = {"read": usage.read_tokens, "w1": usage.write_tokens, "w5": usage.write_tokens}
    return said.get(kind, 0) is None


def drawn(usage: Usage) -> str:
    """Input tokens as a bar with its legend, in HTML."""
    named = list(zip(KINDS, parts(usage), strict=True))
    said = [
        (colour, f"{label} {'unknown' if unsaid(colour, usage) else f'{n:,}'}")
        for (colour, label), n in named
        if n or colour != "w1"
    ]
    bar = html.bar(html.Part(colour, n, f"{label} {n:,}") for (colour, label), n in named)
    return bar + html.legend(said)


def told(report: "CallReport") -> Iterator[str]:
    """The lines of a report."""
    yield f"{report.model_id}: {_tokens(report.usage)}"
    if report.kind == "refresh":
        yield "  a refresh: it lets an entry live on while nobody calls"
    if report.cost is not None and report.saved is not None:
        yield f"  {_money(report.cost)} for the call, {_saved(report.saved)}"
    if report.kept_tokens:
        yield f"  {report.kept_tokens:,} of the tokens read were kept alive by refreshes"
    yield f"  checkpoints: {_checkpoints(report)}"
    if report.miss is not None:
        yield f"  {_missed(report)}"
        yield f"  {report.miss.remedy}"
        for name, text in (("before", report.miss.before), ("now", report.miss.after)):
            if text is not None:
                yield f"  {name}: {text!r}"


def pictured(report: "CallReport") -> str:
    """A report as HTML. Without the texts that a miss may show: a notebook is kept, and handed on."""
    usage, cost, saved = report.usage, report.cost, report.saved
    money = "" if cost is None or saved is None else f"{_money(cost)} for the call, {_saved(saved)}"
    missed = () if report.miss is None else (html.line(_missed(report)), html.line(report.miss.remedy))
    return html.fragment(
        report.model_id,
        html.line(_tokens(usage)),
        "" if usage is None else drawn(usage),
        html.line(money),
        report.plan._repr_html_(),
        *missed,
    )


def _missed(report: "CallReport") -> str:
    return f"miss: {report.miss}{'' if report.wasted is None else f', {_money(report.wasted)}'}"


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "no usage was reported"
    kinds = {"read": usage.read_tokens, "written": usage.write_tokens, "uncached": usage.uncached_tokens}
    parts = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items() if n is not None)
    return f"{counted(usage.input_tokens, 'token')} in ({parts}), {usage.output_tokens:,} out"


def _checkpoints(report: "CallReport") -> str:
    marks = [f"{c.where} {c.ttl} ({c.reason})" for c in report.plan.checkpoints]
    return ", ".join(marks) or f"none ({report.plan.note})"


def _saved(amount: Decimal) -> str:
    return f"{_money(amount)} saved" if amount >= 0 else f"{_money(-amount)} more than without a cache"


def _money(amount: Decimal) -> str:
    return dollars(amount, 6)

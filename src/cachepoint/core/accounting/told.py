"""One call in a few lines for people."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cachepoint.core.accounting.usage import Usage

if TYPE_CHECKING:
    from cachepoint.core.accounting.report import CallReport


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
        wasted = "" if report.wasted is None else f", {_money(report.wasted)}"
        yield f"  miss: {report.miss}{wasted}"
        yield f"  {report.miss.remedy}"
        for name, text in (("before", report.miss.before), ("now", report.miss.after)):
            if text is not None:
                yield f"  {name}: {text!r}"


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return "no usage was reported"
    kinds = {"read": usage.read_tokens, "written": usage.write_tokens, "uncached": usage.uncached_tokens}
    parts = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items() if n is not None)
    return f"{usage.input_tokens:,} tokens in ({parts}), {usage.output_tokens:,} out"


def _checkpoints(report: "CallReport") -> str:
    marks = [f"{c.where} {c.ttl} ({c.reason})" for c in report.plan.checkpoints]
    return ", ".join(marks) or f"none ({report.plan.note})"


def _saved(amount: Decimal) -> str:
    return f"{_money(amount)} saved" if amount >= 0 else f"{_money(-amount)} more than without a cache"


def _money(amount: Decimal) -> str:
    return f"${amount:,.6f}"

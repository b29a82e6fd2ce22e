"""An audit as one HTML page, as `cachepoint report` makes it."""

from collections.abc import Iterator, Mapping
from html import escape
from itertools import islice

from cachepoint.cli.audit.engines.plan import Audit
from cachepoint.cli.audit.figures import busiest, costliest
from cachepoint.cli.audit.text import replayed_lines, unusable_lines
from cachepoint.core.accounting.money import dollars
from cachepoint.observers import html
from cachepoint.reporting.tally import Sums

_ROWS = 40


def page(found: Audit) -> str:
    """The page: a whole HTML document, without scripts and without anything from elsewhere."""
    return html.page(found.figures.tally, "Prompt caching audit", list(_sections(found)))


def _sections(found: Audit) -> Iterator[str]:
    figures = found.figures
    yield _breaks(found)
    yield html.table("By caller", "caller", _most(figures.identities))
    yield html.table("By prompt family", "shared prefix", _most(figures.families))
    yield _listed("The library's placement, simulated", replayed_lines(found))
    yield _listed("What could not be used", unusable_lines(found))


def _most(sums: Mapping[str, Sums]) -> dict[str, Sums]:
    return dict(islice(((name or "not known", one) for name, one in busiest(sums)), _ROWS))


def _breaks(found: Audit) -> str:
    kinds = [item for item in costliest(found.figures.breaks) if item[1].tokens]
    if not kinds:
        return ""
    rows = "".join(
        f"<tr><td><b>{escape(kind.cause)}</b> {escape(kind.detail)}<br><small>{escape(count.remedy)}</small>"
        f"</td><td>{count.calls:,}</td><td>{count.tokens:,}</td><td>{dollars(count.dollars)}</td></tr>"
        for kind, count in kinds[:_ROWS]
    )
    names = ("what changed, and what to do", "calls", "tokens lost", "cost")
    heads = "".join(f"<th>{name}</th>" for name in names)
    table = f'<div class="wide"><table><tr>{heads}</tr>{rows}</table></div>'
    return f"<h2>What broke, and what it cost</h2>{table}"


def _listed(title: str, lines: Iterator[str]) -> str:
    items = "".join(f"<li>{escape(line.strip())}</li>" for line in lines if line.strip())
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>" if items else ""

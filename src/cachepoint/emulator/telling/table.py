"""Calls as a table of HTML, for a notebook: light or dark, no scripts, and not a word of a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from cachepoint.emulator.telling.lines import moment, outcome, printable

if TYPE_CHECKING:
    from cachepoint.emulator.service.calls import EmulatedCall

__all__ = ["table"]

_MOST = 50
_COUNTS = ("cacheReadInputTokens", "cacheWriteInputTokens", "inputTokens", "outputTokens")
_COLOURS = ("#2f7fc1", "#f2b134", "#9aa3ad")
_HEADS = ("time", "operation", "model", "read", "written", "uncached", "output", "input")
# Notebooks give tables stripes, and their cells borders and a place: these hold over them.
_STYLE = (
    ".bedrock-calls{font:13px/1.5 system-ui,sans-serif;color:inherit;overflow-x:auto;"
    "font-variant-numeric:tabular-nums}"
    ".bedrock-calls table{border-collapse:collapse;font-size:inherit;color:inherit;margin:.3em 0;border:0}"
    ".bedrock-calls tr{background:none!important;border:0}"
    ".bedrock-calls table th,.bedrock-calls table td{text-align:right;padding:.2em 1.2em .2em 0;border:0;"
    "vertical-align:top;border-bottom:1px solid color-mix(in srgb,currentColor 22%,transparent)}"
    ".bedrock-calls th{font-weight:500;opacity:.7}"
    ".bedrock-calls table .l{text-align:left}"
    ".bedrock-calls .bar{display:flex;height:.8em;width:8em;margin:.35em 0;border-radius:2px;overflow:hidden}"
)


def table(calls: Sequence[EmulatedCall]) -> str:
    """The latest calls, a row for each."""
    shown = calls[-_MOST:]
    largest = max((sum(_input(call)) for call in shown), default=0)
    head = "".join(f"<th{_left(i)}>{name}</th>" for i, name in enumerate(_HEADS))
    rows = "".join(f"<tr>{''.join(_row(call, largest))}</tr>" for call in shown)
    hidden = len(calls) - len(shown)
    earlier = f"<div>not shown: {hidden:,} earlier</div>" if hidden else ""
    count = f"{len(calls):,} call{'' if len(calls) == 1 else 's'}"
    inside = f"<table><tr>{head}</tr>{rows}</table>" if shown else ""
    return (
        f'<div class="bedrock-calls"><style>{_STYLE}</style><strong>{count}</strong>{earlier}{inside}</div>'
    )


def _row(call: EmulatedCall, largest: int) -> Iterator[str]:
    for index, text in enumerate((moment(call.at), call.operation, call.model_id)):
        yield f"<td{_left(index)}>{escape(printable(text))}</td>"
    if call.usage is None:
        yield f'<td class="l" colspan="{len(_HEADS) - 3}">{escape(outcome(call, call.said))}</td>'
        return
    for name in _COUNTS:
        yield f"<td>{f'{call.usage[name]:,}' if name in call.usage else ''}</td>"
    yield f"<td>{_bar(_input(call), largest)}</td>"


def _bar(parts: Iterable[int], largest: int) -> str:
    """What was read, written and neither, beside the largest call."""
    each = list(parts)
    drawn = "".join(
        f'<b style="flex:{n};background:{colour}"></b>' for n, colour in zip(each, _COLOURS, strict=True) if n
    )
    return f'<div class="bar">{drawn}<b style="flex:{largest - sum(each)}"></b></div>'


def _input(call: EmulatedCall) -> list[int]:
    usage = call.usage or {}
    return [int(usage.get(name) or 0) for name in _COUNTS[:3]]


def _left(column: int) -> str:
    return ' class="l"' if column < 3 else ""  # noqa: PLR2004

"""Fragments of HTML that bring their own style: a title, a bar, a table. All that is given is escaped.

They stand in the pages of others, light or dark, so text and lines take their colour from around them; the
colours of bars are of a middle lightness. No scripts, nothing from elsewhere.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

# They differ in lightness too, so that they stay apart for every kind of colour vision and in grey.
COLOURS = {
    "read": "#2f7fc1",
    "w5": "#f2b134",
    "w1": "#b84a12",
    "fresh": "#9aa3ad",
    "miss": "#d1246f",
    "tools": "#8a63c9",
    "system": "#2f7fc1",
    "user": "#3f9c6b",
    "assistant": "#9aa3ad",
}
_LEFT = ' class="l"'
_FIGURE = re.compile(r"-?\$?[\d,.]*%?|unknown")
# Of a mark above a bar, in em.
_ROW = 1.4
_MIDDLE = 50
_VARIABLES = ";".join(f"--{name}:{colour}" for name, colour in COLOURS.items())
_LINE = "color-mix(in srgb,currentColor 22%,transparent)"
# Notebooks give tables stripes, and their cells borders and a place: these hold over them.
_STYLE = (
    f".cachepoint{{{_VARIABLES};font:13px/1.5 system-ui,sans-serif;max-width:44rem;color:inherit;"
    "font-variant-numeric:tabular-nums;overflow-wrap:anywhere}"
    ".cachepoint p{margin:.1em 0 .5em}"
    ".cachepoint .bar{display:flex;height:1.1em;border-radius:3px;overflow:hidden;margin:.35em 0}"
    ".cachepoint .bar b{min-width:1px;box-shadow:inset -1px 0 0 rgba(255,255,255,.45)}"
    ".cachepoint .wide{overflow-x:auto;margin:.3em 0 .6em}"
    ".cachepoint table{border-collapse:collapse;font-size:inherit;color:inherit;margin:0;border:0}"
    ".cachepoint tr{background:none!important;border:0}"
    ".cachepoint table th,.cachepoint table td{text-align:right;padding:.2em 1.4em .2em 0;border:0;"
    f"border-bottom:1px solid {_LINE};vertical-align:top}}"
    ".cachepoint table .l{text-align:left}"
    ".cachepoint th{font-weight:500;opacity:.7}"
    ".cachepoint th:last-child,.cachepoint td:last-child{padding-right:0}"
    ".cachepoint span{margin-right:1em}"
    ".cachepoint i{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 0;border-radius:2px}"
    ".cachepoint svg{width:100%;height:64px;display:block;margin:2px 0 10px}"
    ".cachepoint pre{margin:0 0 .8em;font:12px/1.5 ui-monospace,monospace;background:none;color:inherit}"
    ".cachepoint .rail{position:relative;font-size:11px;line-height:1.4;margin-bottom:-.35em}"
    ".cachepoint .rail b{position:absolute;bottom:0;font-weight:500;white-space:nowrap;padding:0 .3em;"
    "border-left:2px solid currentColor}"
    ".cachepoint .rail b.left{border-left:0;border-right:2px solid currentColor}"
)


class Part(NamedTuple):
    """A part of a bar: one of `COLOURS`, how much it is, and what is said of it."""

    colour: str
    amount: int
    label: str


def fragment(title: str, *pieces: str) -> str:
    """A fragment with its style.

    Args:
        title: Its first line.
        pieces: HTML; empty ones are left out.
    """
    inside = "".join(filter(None, pieces))
    return f'<div class="cachepoint"><style>{_STYLE}</style><strong>{escape(title)}</strong>{inside}</div>'


def line(text: str) -> str:
    """A line of text; nothing where there is none."""
    return f"<p>{escape(text)}</p>" if text else ""


def bar(parts: Iterable[Part]) -> str:
    """A bar of parts, each as wide as its share; nothing where all are 0."""
    shown = [part for part in parts if part.amount > 0]
    if not shown:
        return ""
    drawn = "".join(
        f'<b style="flex:{amount};background:var(--{colour})" title="{escape(label)}"></b>'
        for colour, amount, label in shown
    )
    told = escape(", ".join(part.label for part in shown))
    return f'<div class="bar" role="img" aria-label="{told}">{drawn}</div>'


def legend(named: Iterable[tuple[str, str]]) -> str:
    """What colours stand for: pairs of one of `COLOURS` and what is said of it."""
    marks = "".join(
        f'<span><i style="background:var(--{colour})"></i>{escape(label)}</span>' for colour, label in named
    )
    return f"<div>{marks}</div>" if marks else ""


def rail(marks: Iterable[tuple[float, str]]) -> str:
    """Marks above a bar, each with a line down to it; those of its right half are named to their left.

    Args:
        marks: Where each stands, in per cent of the bar, from left to right, and its name.
    """
    each = list(marks)
    left = [mark for mark in each if mark[0] < _MIDDLE]
    # So that no line goes down through a name.
    rows = [*left, *reversed(each[len(left) :])]
    drawn = "".join(_mark(row, *mark) for row, mark in enumerate(rows))
    return f'<div class="rail" style="height:{_ROW * len(rows):.1f}em">{drawn}</div>' if rows else ""


def _mark(row: int, percent: float, name: str) -> str:
    left = percent < _MIDDLE
    side = f"left:{percent:.1f}%" if left else f"right:{100 - percent:.1f}%"
    kind = "" if left else ' class="left"'
    return f'<b{kind} style="{side};top:{_ROW * row:.1f}em">{escape(name)}</b>'


def table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """A table, its columns of figures to the right; nothing where it has no rows."""
    listed = [tuple(row) for row in rows]
    if not listed:
        return ""
    figures = [all(map(_FIGURE.fullmatch, column)) for column in zip(*listed, strict=True)]
    head = _row("th", heads, figures) if heads else ""
    body = "".join(_row("td", row, figures) for row in listed)
    return f'<div class="wide"><table>{head}{body}</table></div>'


def _row(tag: str, cells: Sequence[str], figures: Sequence[bool]) -> str:
    drawn = (
        f"<{tag}{'' if figure else _LEFT}>{escape(cell)}</{tag}>"
        for cell, figure in zip(cells, figures, strict=True)
    )
    return f"<tr>{''.join(drawn)}</tr>"

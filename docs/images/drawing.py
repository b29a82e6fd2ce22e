"""What the pictures of the docs share: shapes in SVG that are read in light, in dark and on a phone.

A picture is 460 units wide, so that its words stay readable on 390 pixels. Nothing but text is on its
ground, which is that of the page.
"""

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH, LEFT = 460, 6

LIGHT: Mapping[str, str] = {
    "ink": "#1f2328",
    "faint": "#57606a",
    "rule": "#afb8c1",
    "other": "#9aa5b1",
    "ours": "#1f7a4d",
    "worse": "#c9372c",
    "read": "#7ee2a8",
    "written": "#f2cc60",
    "fresh": "#d0d7de",
    "tools": "#a5c8f0",
    "system": "#86b6ef",
    "documents": "#c9b3ee",
    "history": "#a8d5ba",
    "question": "#d0d7de",
    "second": "#8250df",
    "third": "#bf6a02",
}
DARK: Mapping[str, str] = {
    "ink": "#e6edf3",
    "faint": "#9198a1",
    "rule": "#565e68",
    "other": "#6e7781",
    "ours": "#3fb97a",
    "worse": "#f0716a",
    "read": "#238f57",
    "written": "#9e7700",
    "fresh": "#484f58",
    "tools": "#24548c",
    "system": "#2f6bb0",
    "documents": "#68479e",
    "history": "#2b6b47",
    "question": "#484f58",
    "second": "#b58cf5",
    "third": "#e5973a",
}
_SHAPES = (
    "text { font: 13px system-ui, sans-serif; fill: var(--ink) } .small { font-size: 12px } "
    ".faint { fill: var(--faint) } .strong { font-weight: 600 } .rule { stroke: var(--rule); fill: none } "
    ".strongrule { stroke: var(--ink); stroke-width: 1.5 }"
)


def style(theme: str = "both") -> str:
    """The colours: `both` goes by the reader's setting, `light` and `dark` are one of them."""
    first = DARK if theme == "dark" else LIGHT
    rules = [_colours(first), _SHAPES]
    rules += [f".{name} {{ fill: var(--{name}) }}" for name in LIGHT if name not in {"ink", "faint", "rule"}]
    rules += [f".line-{name} {{ stroke: var(--{name}); stroke-width: 2.5; fill: none }}" for name in LIGHT]
    if theme == "both":
        rules.append(f"@media (prefers-color-scheme: dark) {{ {_colours(DARK)} }}")
    return "\n".join(rules)


def _colours(colours: Mapping[str, str]) -> str:
    return f"svg {{ {'; '.join(f'--{name}: {colour}' for name, colour in colours.items())} }}"


def rect(kind: str, x: float, y: float, width: float, height: float, told: str = "") -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
        f'height="{height:.1f}">{title}</rect>'
    )


def words(said: str, x: float, y: float, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "rule") -> str:
    return f'<path class="{kind}" d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}"/>'


def curve(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<path class="line-{kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def legend(kinds: Mapping[str, str], y: float, x: float = LEFT, step: float = 150) -> list[str]:
    """A square of each colour and what it says."""
    out = []
    for n, (kind, said) in enumerate(kinds.items()):
        out += [rect(kind, x + n * step, y - 10, 11, 11), words(said, x + n * step + 16, y, "small")]
    return out


def picture(title: str, parts: Iterable[str], height: float, theme: str = "both") -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style(theme)}\n</style>\n{body}\n</svg>\n"
    )


def save(name: str, drawn: str) -> None:
    (HERE / name).write_text(drawn, "utf-8")

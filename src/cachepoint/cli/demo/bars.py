"""A picture of every call's prompt: a bar of read, written and fresh, as wide as its share of the largest."""

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.text import Text

from cachepoint.core.accounting.usage import Usage

# Told apart without colour too; the second set is for a terminal or a pipe that knows no Unicode.
_GLYPHS = {False: "█▓░", True: "#=."}
_KINDS = ("read", "written", "fresh")
_COLOURS = ("green", "yellow", "red")
_NUMBER, _TOKENS = 3, 8
_VISIBLE = 0.25


class Legend:
    """What the glyphs stand for."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        kinds = zip(_GLYPHS[options.ascii_only], _KINDS, _COLOURS, strict=True)
        parts = (piece for glyph, name, colour in kinds for piece in ((glyph * 2, colour), f" {name}  "))
        yield Text.assemble("    with cachepoint: ", *parts)


class Bars:
    """One bar per call, as wide as the console lets it be."""

    def __init__(self, usages: Iterable[Usage]) -> None:
        self._usages = tuple(usages)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        room = options.max_width - _NUMBER - _TOKENS - 3
        largest = max((usage.input_tokens for usage in self._usages), default=0)
        glyphs = _GLYPHS[options.ascii_only]
        for number, usage in enumerate(self._usages, 1):
            widths = widths_of(usage, largest, room)
            drawn = zip(glyphs, widths, _COLOURS, strict=True)
            bar = ((glyph * width, colour) for glyph, width, colour in drawn)
            tokens = (f"  {usage.input_tokens:>{_TOKENS},}", "dim")
            yield Text.assemble(
                f"{number:>{_NUMBER}} ", *bar, " " * (room - sum(widths)), tokens, no_wrap=True
            )

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_NUMBER + _TOKENS + 12, options.max_width)


def widths_of(usage: Usage, largest: int, room: int) -> tuple[int, int, int]:
    """The widths of read, written and fresh. The bar ends exactly; its largest part takes the rounding."""
    scale = room / largest if largest else 0.0
    parts = [n * scale for n in (usage.read_tokens or 0, usage.write_tokens or 0, usage.uncached_tokens)]
    cells = [_cells(part) for part in parts]
    cells[parts.index(max(parts))] += round(usage.input_tokens * scale) - sum(cells)
    return cells[0], cells[1], cells[2]


def _cells(width: float) -> int:
    # What a turn adds is often less than half a cell, and should be seen all the same.
    return max(1, round(width)) if width >= _VISIBLE else 0

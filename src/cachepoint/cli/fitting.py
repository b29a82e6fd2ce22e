"""Tables for wide and for narrow terminals."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table

_ANY_WIDTH = 10_000


class Fitting:
    """The first of some renderables whose words and figures fit on a line; the last where none does."""

    def __init__(self, *ones: RenderableType) -> None:
        self._ones = ones

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        roomy = options.update(max_width=_ANY_WIDTH)
        for one in self._ones[:-1]:
            if Measurement.get(console, roomy, one).minimum <= options.max_width:
                yield one
                return
        yield self._ones[-1]


def plain_table(show_header: bool = True) -> Table:
    """A table without lines."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=show_header)

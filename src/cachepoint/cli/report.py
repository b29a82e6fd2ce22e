"""`cachepoint report`: what the calls in JSON lines cost, saved and missed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from cachepoint.cli import pages
from cachepoint.cli.faults import echo, told
from cachepoint.cli.lines import MOST, STDIN, Lines, opened
from cachepoint.core.accounting.sent import Sent
from cachepoint.reporting.pictures import as_table
from cachepoint.reporting.tally import Row, Tally

_PAUSE = 0.5
_PIECE = 1 << 24


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="JSON lines of observers.jsonl; - is standard input.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the page to this file; - is standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Follow one growing file, or standard input, until Ctrl-C.")
    ] = False,
) -> None:
    """Print what the calls in JSON lines cost, saved and missed; or make a page of it."""
    with told():
        sources = files or [STDIN]
        pages.refuse(html, sources, as_json=as_json)
        tally = Tally()
        taken = [_followed(tally, sources)] if live else [read(tally, source) for source in sources]
        for lines in taken:
            if lines.skipped:
                echo(f"cachepoint: {lines}", err=True)
        _say(tally, as_json, html)


def read(tally: Tally, source: Path) -> Lines:
    """Add what a source holds; says which lines could not be."""
    lines = Lines(source)
    with opened(source) as file:
        _add(tally, lines, file)
    return lines


def _add(tally: Tally, lines: Lines, text: Iterable[bytes]) -> None:
    bounds = tally.bounds

    def call(line: Mapping[str, Any]) -> tuple[Row, Sent | None]:
        sent = None if bounds.full else line.get("sent")
        return _row(line), None if sent is None else Sent.read_from(sent)

    for row, sent in lines.parsed(text, call):
        tally.add(row, sent)


def _row(line: Mapping[str, Any]) -> Row:
    """The row of a line.

    Raises:
        TypeError: Where it is no report, or one of its values is of another type; ValueError where a value
            cannot be. KeyError, AttributeError and ArithmeticError likewise.
    """
    row = Row.unchecked(line)
    kinds = tuple(map(type, row))
    known = _KINDS.get(kinds) or _checked(row, kinds)
    counts, cost, saved, began = known(row), row.cost, row.saved, row.first_token
    if not (
        min(counts) >= 0
        and max(counts) < MOST
        and 0 <= row.at < _YEAR_10000
        and (cost is None or 0 <= cost < MOST)
        and (saved is None or -MOST <= saved < MOST)
        and (began is None or 0 <= began < MOST)
    ):
        raise ValueError("a figure cannot be")
    return row


def _checked(row: Row, kinds: tuple[type, ...]) -> Callable[[Row], tuple[int, ...]]:
    """See once that values of these types can be added up; what gets the counts of such a row."""
    row.check()
    if not all(isinstance(value, hint) for value, hint in zip(row, _HINTS.values(), strict=True)):
        raise TypeError("a value is of another type")
    counts = [index for index, kind in enumerate(kinds) if kind is int]
    # Of one index it would be no tuple.
    known = _KINDS[kinds] = itemgetter(*counts, counts[0])
    return known


_HINTS = get_type_hints(Row)
# By the combination of types: a million lines come through here, of a few kinds.
_KINDS: dict[tuple[type, ...], Callable[[Row], tuple[int, ...]]] = {}
_YEAR_10000 = 253_402_300_800


def _say(tally: Tally, as_json: bool, html: Path | None) -> None:
    if html is not None:
        from cachepoint.observers import page

        pages.write(page(tally), html)
    if as_json:
        typer.echo(json.dumps(tally.as_dict(), indent=2))
    elif html is None:
        echo(as_table(tally, tally.bound))


def _followed(tally: Tally, sources: list[Path]) -> Lines:
    from rich.console import Console
    from rich.live import Live

    if len(sources) != 1:
        raise ValueError("--live follows one file, or standard input")
    lines = Lines(sources[0])
    console = Console(stderr=True)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, transient=True) as screen:
        for text in _growing(sources[0]):
            _add(tally, lines, text)
            screen.update(_screen(tally), refresh=True)
    return lines


def _screen(tally: Tally) -> Any:
    """The figures, and the latest calls as bars."""
    from rich.console import Group
    from rich.text import Text

    from cachepoint.cli.demo.bars import Bars, Legend

    latest = sorted((row for one in tally.conversations for row in one.rows), key=lambda row: row.at)[-12:]
    return Group(Text(as_table(tally)), Text(), Bars(row.usage for row in latest), Legend())


def _growing(source: Path) -> Iterator[list[bytes]]:
    """Whole lines as they come: of a file for ever, of standard input to its end."""
    with opened(source) as file:
        rest = b""
        while True:
            more = file.readline() if source == STDIN else file.read(_PIECE)
            *lines, rest = (rest + more).split(b"\n")
            if lines or more:
                yield lines
            elif source == STDIN:
                yield [rest]
                return
            else:
                time.sleep(_PAUSE)

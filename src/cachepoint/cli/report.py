"""`cachepoint report`: what the calls in JSON lines cost, saved and missed."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from cachepoint.cli.faults import told
from cachepoint.reporting.pictures import as_table
from cachepoint.reporting.tally import Row, Tally

_STDIN = Path("-")
_PAUSE = 0.5


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="JSON lines of observers.jsonl; - is standard input.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Follow one growing file, or standard input, until Ctrl-C.")
    ] = False,
) -> None:
    """Print what the calls in JSON lines cost, saved and missed; or make a page of it."""
    with told():
        sources = files or [_STDIN]
        reading = Reading()
        if live:
            _follow(reading, sources)
        else:
            for source in sources:
                reading.take(_lines(source))
        _say(reading, as_json, html)


@dataclass(slots=True)
class Reading:
    """What was read so far. `skipped` counts the lines that are no reports."""

    tally: Tally
    skipped: int = 0

    def __init__(self) -> None:
        self.tally, self.skipped = Tally(), 0

    def take(self, lines: Iterable[bytes]) -> None:
        """Read some lines."""
        add, read_from, loads = self.tally.add, Row.read_from, json.loads
        for line in lines:
            try:
                row = read_from(loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
                self.skipped += not line.isspace()
                continue
            add(row)


def _lines(source: Path) -> Iterator[bytes]:
    with _opened(source) as file:
        yield from file


def _opened(source: Path) -> IO[bytes]:
    if source != _STDIN:
        return source.open("rb")
    if sys.stdin.isatty():
        raise ValueError("name a file of JSON lines: cachepoint report calls.jsonl")
    return sys.stdin.buffer


def _say(reading: Reading, as_json: bool, html: Path | None) -> None:
    if reading.skipped:
        typer.echo(f"cachepoint: {reading.skipped:,} lines are not reports of calls", err=True)
    if html is not None:
        from cachepoint.observers import page

        html.write_text(page(reading.tally), "utf-8")
        typer.echo(f"cachepoint: wrote {html}", err=True)
    if as_json:
        typer.echo(json.dumps(reading.tally.as_dict(), indent=2))
    elif html is None:
        typer.echo(as_table(reading.tally))


def _follow(reading: Reading, sources: list[Path]) -> None:
    from rich.console import Console
    from rich.live import Live

    if len(sources) != 1:
        raise ValueError("--live follows one file, or standard input")
    console = Console(stderr=True)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, transient=True) as screen:
        for lines in _growing(sources[0]):
            reading.take(lines)
            screen.update(_screen(reading.tally), refresh=True)


def _screen(tally: Tally) -> Any:
    """The figures, and the latest calls as bars."""
    from rich.console import Group
    from rich.text import Text

    from cachepoint.cli.demo.bars import Bars, Legend

    latest = sorted((row for one in tally.conversations for row in one.rows), key=lambda row: row.at)[-12:]
    return Group(Text(as_table(tally)), Text(), Bars(row.usage for row in latest), Legend())


def _growing(source: Path) -> Iterator[list[bytes]]:
    """Whole lines as they come: of a file for ever, of standard input to its end."""
    with _opened(source) as file:
        rest = b""
        while True:
            read = file.readline() if source == _STDIN else file.read()
            *lines, rest = (rest + read).split(b"\n")
            if lines or read:
                yield lines
            elif source == _STDIN:
                yield [rest]
                return
            else:
                time.sleep(_PAUSE)

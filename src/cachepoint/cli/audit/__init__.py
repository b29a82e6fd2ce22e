"""`cachepoint audit`: what was called already, in figures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cachepoint.cli import pages
from cachepoint.cli.faults import echo, told

if TYPE_CHECKING:
    from cachepoint.cli.audit.engines.plan import Audit, Plan, Progress

_LOW = 1


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Bedrock's invocation logs, exports, calls.jsonl: files, or folders of them."),
    ],
    replay: Annotated[
        bool, typer.Option("--replay", help="Read them again: what the library would have paid.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page to this file; - is standard output.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    min_hit: Annotated[
        float | None, typer.Option(help="Exit code 1 where less of the input was read: 0 to 1.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; as many as cores unless given.")
    ] = None,
    memory: Annotated[int, typer.Option(min=512, help="Megabytes for sorting.")] = 1_024,
    temp: Annotated[
        Path | None, typer.Option(help="Where to sort what does not fit; the system's place unless given.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="Run on a Dask cluster: its address, or local for one on this machine.")
    ] = None,
) -> None:
    """Say what the calls in logs cost, read and missed, and why. No text of a prompt is written anywhere."""
    with told():
        pages.refuse(html, paths, as_json=as_json)
        _check(min_hit, temp)
        from cachepoint.cli.audit.engines.plan import Plan

        found = _run(Plan.of(paths, replay=replay), workers, memory, temp, dask)
        _say(found, html, as_json)
    _judge(found, min_hit)


def _check(min_hit: float | None, temp: Path | None) -> None:
    """What options cannot mean is said before hundreds of gigabytes are read."""
    if min_hit is not None and not 0 <= min_hit <= 1:
        raise ValueError(f"--min-hit is {min_hit!r}; give a share, 0 to 1")
    if temp is not None and not temp.is_dir():
        raise ValueError(f"--temp is {str(temp)!r}; give a folder that exists")


def _run(plan: "Plan", workers: int | None, memory: int, temp: Path | None, dask: str | None) -> "Audit":
    with _progress(plan) as progress:
        if dask is None:
            from cachepoint.cli.audit.engines import duck

            return duck.run(plan, workers=workers, memory_mb=memory, folder=temp, progress=progress)
        from cachepoint.cli.audit.engines import many

        with many.connected(dask, workers) as client:
            return many.run(plan, client, progress=progress)


@contextmanager
def _progress(plan: "Plan") -> Iterator["Progress"]:
    """A bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=plan.bytes)
        yield lambda piece: bar.advance(task, piece.path.stat().st_size)


def _say(found: "Audit", html: Path | None, as_json: bool) -> None:
    from cachepoint.cli.audit.page import page
    from cachepoint.cli.audit.text import as_dict, lines

    if html is not None:
        pages.write(page(found), html)
    if as_json:
        typer.echo(json.dumps(as_dict(found), indent=2))
        return
    if html != pages.STDOUT:
        for line in lines(found):
            echo(line)


def _judge(found: "Audit", min_hit: float | None) -> None:
    if min_hit is None:
        return
    share = found.figures.tally.sums.usage.hit_share
    if share is None or share < min_hit:
        known = "unknown" if share is None else f"{share:.4f}"
        echo(f"cachepoint: hit share {known} is below {min_hit}", err=True)
        raise typer.Exit(_LOW)

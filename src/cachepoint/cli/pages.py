"""Where `--html` writes a page."""

from collections.abc import Iterable
from pathlib import Path

import typer

from cachepoint.cli.faults import echo

STDOUT = Path("-")


def refuse(html: Path | None, sources: Iterable[Path], *, as_json: bool) -> None:
    """What `--html` cannot mean is said before everything is read, and not after.

    Raises:
        ValueError: Where it is no file in a folder, looks like an option, or would be written over what is
            read.
    """
    if html is None:
        return
    if html == STDOUT:
        if as_json:
            raise ValueError("--json and --html - both go to standard output; give --html a file")
        return
    if html.is_dir() or not html.parent.is_dir():
        raise ValueError(f"--html is {str(html)!r}; give it a file in a folder that exists")
    if str(html).startswith("-"):
        raise ValueError(f"--html is {str(html)!r}; give it a file, ./{html} where it is called so")
    if any(html.resolve().is_relative_to(source.resolve()) for source in sources):
        raise ValueError(f"--html is {str(html)!r}, which lies in what is read; give it a file elsewhere")


def write(page: str, html: Path) -> None:
    """Write a page, or print it."""
    # A name in a line may hold half a surrogate pair, which JSON allows and UTF-8 does not.
    text = page.encode("utf-8", "replace")
    if html == STDOUT:
        typer.echo(text)
        return
    html.write_bytes(text)
    echo(f"cachepoint: wrote {html}", err=True)

"""What goes wrong outside of us is said in one line, with exit code 1."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

import typer

from cachepoint.cli.helping import is_plain, knows_unicode


@contextmanager
def told() -> Iterator[None]:
    """Say a missing extra, a bad value, a busy port, a refusal or an endless agent, and exit with 1."""
    try:
        yield
    except BrokenPipeError:
        raise
    except _expected() as error:
        _say(error)
        raise typer.Exit(1) from error


@contextmanager
def written() -> Iterator[None]:
    """What standard output cannot show is escaped; what it does not take ends the program in one line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            # Here, where it can be said: what is left for the interpreter's end fails with a traceback.
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        _dropped()
        # Whoever closed the pipe has read enough.
        if not isinstance(error, BrokenPipeError):
            _say(error)
        sys.exit(1)


def echo(text: str, *, err: bool = False) -> None:
    """Print a text; what the stream cannot show is escaped, where typer would write UTF-8 all the same."""
    typer.echo(text if knows_unicode(err=err) else text.encode("ascii", "backslashreplace").decode(), err=err)


def say(text: str, colour: str) -> None:
    """Say it on standard error, in a colour where there are any."""
    echo(text if is_plain() else typer.style(text, fg=colour), err=True)


def _say(error: Exception) -> None:
    with suppress(OSError):
        say(f"cachepoint: {words(error)}", "red")


def words(error: Exception) -> str:
    """What an error says, for people who do not know error numbers."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _dropped() -> None:
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _expected() -> tuple[type[Exception], ...]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ImportError, OSError, ValueError, RecursionError
    return ImportError, OSError, ValueError, RecursionError, BotoCoreError, ClientError

"""What goes wrong outside of us is said in one line, with exit code 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def told() -> Iterator[None]:
    """Say a missing extra, a bad value, a busy port, a refusal or an endless agent, and exit with 1."""
    try:
        yield
    except _expected() as error:
        typer.secho(f"cachepoint: {error}", err=True, fg="red")
        raise typer.Exit(1) from error


def _expected() -> tuple[type[Exception], ...]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return ImportError, OSError, ValueError, RecursionError
    return ImportError, OSError, ValueError, RecursionError, BotoCoreError, ClientError

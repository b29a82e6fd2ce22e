"""The command line: one module per command."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

# A command is a module here with a function `command`; its name is the module's.
COMMANDS = ("audit", "check", "demo", "doctor", "emulator", "explain", "models", "probe", "report", "savings")


def build() -> "typer.Typer":
    """The app, with every command of `COMMANDS`.

    Raises:
        ImportError: Without typer and rich; it names the extra.
    """
    from cachepoint.cli.app import app

    return app(COMMANDS)


def main() -> None:
    """The entry of the script `cachepoint`, which pip installs without the extra too."""
    try:
        app = build()
    except ImportError as error:
        sys.exit(f"cachepoint: {error}")
    from cachepoint.cli.faults import written

    with written():
        app(prog_name="cachepoint")


__all__ = ["COMMANDS", "build", "main"]

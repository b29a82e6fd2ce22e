"""The command line: one module per command."""

from importlib import import_module

try:
    import rich as _rich  # noqa: F401
    import typer
except ImportError as error:
    raise ImportError('the command line needs typer and rich: pip install "cachepoint[cli]"') from error

# A command is a module here with a function `command`; its name is the module's.
COMMANDS = ("demo", "emulator", "models", "report", "savings")


def build() -> typer.Typer:
    """The app, with every command of `COMMANDS`."""
    app = typer.Typer(
        name="cachepoint",
        help="Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_version)
    for name in COMMANDS:
        app.command(name)(import_module(f"{__name__}.{name}").command)
    return app


def main() -> None:
    """The entry of the script `cachepoint`."""
    build()(prog_name="cachepoint")


def _print_version(asked: bool) -> None:
    if asked:
        from cachepoint import __version__

        typer.echo(f"cachepoint {__version__}")
        raise typer.Exit


def _version(
    version: bool = typer.Option(
        False, "--version", help="Print the version.", callback=_print_version, is_eager=True
    ),
) -> None:
    """Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex."""


__all__ = ["COMMANDS", "build", "main"]

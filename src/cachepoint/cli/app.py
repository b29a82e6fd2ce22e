"""The typer app."""

from collections.abc import Iterable
from importlib import import_module

try:
    import rich as _rich  # noqa: F401
    import typer
except ImportError as error:
    raise ImportError('the command line needs typer and rich: pip install "cachepoint[cli]"') from error


def app(commands: Iterable[str]) -> typer.Typer:
    """The app with these commands."""
    from cachepoint.cli.helping import FittingCommand, FittingGroup

    made = typer.Typer(
        name="cachepoint",
        cls=FittingGroup,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Amazon Bedrock prompt caching that works inside LangChain and LlamaIndex.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    made.callback()(_version)
    for name in commands:
        made.command(name, cls=FittingCommand)(import_module(f"cachepoint.cli.{name}").command)
    return made


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

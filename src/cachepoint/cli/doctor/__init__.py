"""`cachepoint doctor`: what is installed and set, what results, what is wrong, and what to do about it."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import typer

from cachepoint.cli.doctor.boto import boto3, instrumentation
from cachepoint.cli.doctor.environment import environment, policy
from cachepoint.cli.doctor.findings import Checked, Finding
from cachepoint.cli.doctor.gathering import gathered
from cachepoint.cli.doctor.installed import installed
from cachepoint.cli.doctor.memory import memory
from cachepoint.cli.doctor.model import model as known_model
from cachepoint.cli.doctor.service import access, credentials
from cachepoint.cli.doctor.setup import Asked, Setup
from cachepoint.cli.named import complete
from cachepoint.core.drawing.words import counted

# In the order in which they are shown.
CHECKS: Mapping[str, Callable[[Setup], Iterable[Finding]]] = {
    "installed": installed,
    "boto3": boto3,
    "environment": environment,
    "policy": policy,
    "model": known_model,
    "instrumentation": instrumentation,
    "memory": memory,
    "credentials": credentials,
    "access": access,
}
_PREFIXES = ("bedrock_converse:", "bedrock/converse/", "bedrock/invoke/", "bedrock/")
_LABELS = {"ok": "ok", "note": "note", "fault": "FAULT"}
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}


def command(
    model: Annotated[
        str | None,
        typer.Option(help="The model, profile or ARN that your program calls.", autocompletion=complete),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", help="The model behind an ARN, as base_model_id= in Python.")
    ] = None,
    aws: Annotated[
        bool,
        typer.Option(
            "--aws", help="Ask AWS for credentials and access: one call of the model, for one token."
        ),
    ] = False,
    region: Annotated[str | None, typer.Option(help="AWS Region, with --aws.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Another endpoint than AWS's, with --aws.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed, set and reached, what is wrong, and what to do: exit code 1 for a fault."""
    asked = None if model is None else Asked(_bare(model.strip()), base_model)
    found = examined(gathered(asked, ask_aws=aws, region=region, endpoint_url=endpoint_url))
    faults = sum(one.is_fault for one in found)
    if as_json:
        typer.echo(json.dumps({"faults": faults, "findings": [one.as_dict() for one in found]}, indent=2))
    else:
        _show(found, faults)
    if faults:
        raise typer.Exit(1)


def _bare(model: str) -> str:
    """The id without what LangChain's init_chat_model or LiteLLM put in front of it."""
    return next((model.removeprefix(one) for one in _PREFIXES if model.startswith(one)), model)


def examined(setup: Setup) -> tuple[Checked, ...]:
    """What all checks find."""
    return tuple(Checked(name, one) for name, check in CHECKS.items() for one in check(setup))


def _show(found: Iterable[Checked], faults: int) -> None:
    from rich.console import Console
    from rich.text import Text

    from cachepoint.cli.fitting import plain_table

    grid = plain_table(show_header=False)
    grid.add_column(no_wrap=True)
    # An ARN is one long word.
    grid.add_column(overflow="fold")
    for one in found:
        level = one.finding.level
        grid.add_row(Text(_LABELS[level], style=_STYLES[level]), Text(one.finding.what))
        if one.finding.remedy:
            grid.add_row("", Text(f"-> {one.finding.remedy}"))
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(grid)
    console.print(Text("no fault was found" if not faults else counted(faults, "fault"), style="bold"))

"""`cachepoint check`: what of a saved request the cache can't use, and what Bedrock would refuse."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cachepoint.cli.check.formats import as_github, as_json, as_sarif
from cachepoint.cli.check.picture import picture
from cachepoint.cli.check.rules import Checked, Finding, findings
from cachepoint.cli.check.saved import load
from cachepoint.cli.faults import echo, told
from cachepoint.cli.named import complete
from cachepoint.core.drawing.words import counted

# No finding, findings, no request: as of linters.
_FOUND, _NO_REQUEST = 1, 2


class Format(StrEnum):
    """How findings are written."""

    text = "text"
    json = "json"
    github = "github"
    sarif = "sarif"


def command(
    file: Annotated[
        Path, typer.Argument(help="A Converse request or an InvokeModel body, as JSON; - is standard input.")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="The model, where the request names none.", autocompletion=complete),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How findings are written.")] = Format.text,
    as_json_: Annotated[bool, typer.Option("--json", help="As --format json.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Notes count as findings, too.")] = False,
) -> None:
    """Check a saved request before it is sent: exit code 1 for errors and warnings, 2 for no request."""
    try:
        with told():
            checked = Checked.of(load(file, model))
    except typer.Exit as ended:
        # Whatever is no request is no finding.
        raise typer.Exit(_NO_REQUEST) from ended
    found = findings(checked)
    _print(Format.json if as_json_ else form, checked, found)
    if any(strict or one.rule.level != "note" for one in found):
        raise typer.Exit(_FOUND)


def _print(form: Format, checked: Checked, found: list[Finding]) -> None:
    if form is Format.json:
        typer.echo(json.dumps(as_json(checked, found), indent=2))
    elif form is Format.sarif:
        typer.echo(json.dumps(as_sarif(checked, found), indent=2))
    elif form is Format.github:
        for line in as_github(checked, found):
            echo(line)
    else:
        _say(checked, found)


def _say(checked: Checked, found: list[Finding]) -> None:
    saved, tokens = checked.saved, checked.tokens[-1] if checked.tokens else 0
    echo(f"{saved.rules.name}, about {counted(tokens, 'token')} in {counted(len(checked.raw), 'block')}\n")
    for line in picture(checked):
        echo(line)
    if checked.plan.note:
        echo(f"  no checkpoint: {checked.plan.note}")
    for one in found:
        echo(f"\n{one.rule.level}: {one.where}: {one.what} [{one.rule.name}]")
        if one.refusal:
            echo(f"  Bedrock: {one.refusal}")
        echo(f"  {one.remedy}")
    if not found:
        echo("\nno findings")

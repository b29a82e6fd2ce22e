"""`cachepoint probe`: ask the service what its documentation leaves open."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cachepoint.cli.faults import told
from cachepoint.cli.named import model_id

if TYPE_CHECKING:
    from cachepoint.cli.probe.examination import Findings, Wanted
    from cachepoint.cli.probe.running import Client, Runner

_STOPPED, _INTERRUPTED = 1, 130


def command(
    model: Annotated[str, typer.Option("--model", help="The model or profile that is asked.")],
    budget: Annotated[float, typer.Option(help="US dollars that may be spent, at most.")] = 5.0,
    only: Annotated[str | None, typer.Option(help="Probes, as minimum,lookback; all unless given.")] = None,
    resolution: Annotated[float, typer.Option(help="Seconds that a lifetime is found to.")] = 15.0,
    state: Annotated[
        Path | None, typer.Option(help="Keep answers in this file, and take up again what is in it.")
    ] = None,
    guardrail: Annotated[
        str | None, typer.Option(help="ID:VERSION of a guardrail: what it throws away is asked too.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where; as boto3 finds it unless given.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Another endpoint, as a local Bedrock's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say price and time, and ask nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Ask the service for a model's minimum, lookback, lifetimes, what loses its cache. It costs money."""
    with told():
        called = model if model.startswith("arn:") else model_id(model)
        wanted = _wanted(only, resolution, guardrail, budget)
        from cachepoint.cli.probe import text

        expected = text.forecast(called, wanted)
        typer.echo(text.beforehand(called, wanted, expected, Decimal(str(budget))), err=True)
        if dry_run:
            return
        runner, found, why = _examined(_client(region, endpoint_url), called, wanted, budget, state)
        if as_json:
            typer.echo(json.dumps(text.as_dict(called, runner, found, why), indent=2))
        else:
            for line in text.lines(called, runner, found, expected):
                typer.echo(line)
    if why:
        typer.echo(f"cachepoint: stopped in {found.running}: {why}", err=True)
        raise typer.Exit(_INTERRUPTED if why == "interrupted" else _STOPPED)


def _wanted(only: str | None, resolution: float, guardrail: str | None, budget: float) -> "Wanted":
    from cachepoint.cli.probe import changes
    from cachepoint.cli.probe.examination import PROBES, Wanted

    names = list(PROBES) if only is None else [name.strip() for name in only.split(",")]
    unknown = next((name for name in names if name not in PROBES), None)
    if unknown is not None:
        raise ValueError(f"--only has {unknown!r}; there are {', '.join(PROBES)}")
    if not resolution > 0:
        raise ValueError(f"--resolution is {resolution!r}; give seconds, more than 0")
    if not budget >= 0:
        raise ValueError(f"--budget is {budget!r}; give US dollars, 0 or more")
    more = {}
    if guardrail is not None:
        name, _, version = guardrail.rpartition(":")
        if not name or not version:
            raise ValueError(f"--guardrail is {guardrail!r}; give ID:VERSION")
        more = dict(changes.guarded(name, version))
    return Wanted(names, resolution, {**changes.CHANGES, **more})


def _client(region: str | None, endpoint_url: str | None) -> "Client":
    try:
        import boto3
    except ImportError as error:
        raise ImportError('cachepoint probe needs boto3: pip install "cachepoint[aws]"') from error
    made: Client = boto3.client("bedrock-runtime", region_name=region, endpoint_url=endpoint_url)
    return made


def _examined(
    client: "Client", model: str, wanted: "Wanted", budget: float, state: Path | None
) -> "tuple[Runner, Findings, str]":
    """What was found, and why no more; empty where all was asked."""
    from cachepoint.cli.probe.asking import StoppedError
    from cachepoint.cli.probe.examination import Findings, examine
    from cachepoint.cli.probe.prompts import Kit
    from cachepoint.cli.probe.running import Journal, Runner

    journal, found = Journal.at(state, model), Findings()
    runner = Runner(client, model, time.time, time.sleep, journal, Decimal(str(budget)))
    try:
        runner.run(examine(Kit(journal.seed), wanted, found))
    except StoppedError as stopped:
        return runner, found, str(stopped)
    except KeyboardInterrupt:
        return runner, found, "interrupted"
    return runner, found, ""

"""`cachepoint probe`: asks Bedrock what its documentation leaves open, and says what it costs."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cachepoint.cli.faults import told
from cachepoint.cli.named import complete, model_id
from cachepoint.cli.probe.asking import Finding
from cachepoint.cli.probe.runner import Ended, Runner
from cachepoint.cli.probe.runs import Expected, Wish, expected
from cachepoint.cli.probe.telling import differences, line, lines, row
from cachepoint.core.accounting.pricing import number
from cachepoint.core.drawing.words import counted

# A wait that is worth a word, in seconds.
_LONG = 5.0


def command(
    model: Annotated[str, typer.Option(help="The model or profile that is asked.", autocompletion=complete)],
    budget: Annotated[str, typer.Option(help="US dollars that are not gone over.")] = "5",
    state: Annotated[
        Path | None, typer.Option(help="Where answers are kept; a run is taken up again from there.")
    ] = None,
    only: Annotated[str, typer.Option(help="Names of probes, with commas between.")] = "",
    resolution: Annotated[float, typer.Option(help="Of lifetimes, in seconds.")] = 15.0,
    guardrail: Annotated[str, typer.Option(help="ID:VERSION, to ask about guard blocks.")] = "",
    region: Annotated[str | None, typer.Option(help="AWS Region.")] = None,
    endpoint_url: Annotated[str | None, typer.Option(help="Another endpoint than AWS's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say price and time, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask Bedrock: minimum, lookback, lifetimes, early losses, and what settings throw away."""
    with told():
        _check_extra()
        names = tuple(name.strip() for name in only.split(",") if name.strip())
        wish = Wish(model=model_id(model), only=names, resolution=resolution, guardrail=_guardrail(guardrail))
        limit = number(budget, "--budget")
        ahead = expected(wish)
        _say(_forecast(wish, ahead, budget))
        if dry_run:
            if as_json:
                typer.echo(json.dumps(_ahead(wish, ahead), indent=2))
            return
        runner = wish.runner(
            client(region, endpoint_url),
            clock=time.time,
            sleep=_sleep,
            budget=limit,
            state=state,
            told=lambda finding: _say(f"  {finding.name}: {line(finding)}"),
        )
        ended = wish.ask(runner)
    _out(wish, runner, ended, ahead, as_json)
    raise typer.Exit(ended.code)


def _check_extra() -> None:
    try:
        import boto3  # noqa: F401
    except ImportError as error:
        raise ImportError('cachepoint probe needs boto3: pip install "cachepoint[aws]"') from error


def client(region: str | None, endpoint_url: str | None) -> Any:
    """boto3's, which tries once: the waits between tries are ours."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": 1}, read_timeout=120)
    return boto3.client("bedrock-runtime", region_name=region, endpoint_url=endpoint_url, config=config)


def _guardrail(text: str) -> tuple[str, str] | None:
    ident, _, version = text.rpartition(":")
    if text and not (ident and version):
        raise ValueError(f"--guardrail is {text!r}; give ID:VERSION")
    return (ident, version) if text else None


def _sleep(seconds: float) -> None:
    if seconds > _LONG:
        _say(f"  waits {timedelta(seconds=round(seconds))}")
    time.sleep(seconds)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _forecast(wish: Wish, ahead: Expected, budget: str) -> str:
    spent = timedelta(seconds=round(ahead.seconds))
    return (
        f"{wish.model}: about {counted(ahead.requests, 'request')}, ${ahead.cost:.2f} and {spent} "
        f"if Bedrock does as the emulator does; entries that are lost early cost more of each. "
        f"It ends at ${budget}."
    )


def _ahead(wish: Wish, ahead: Expected) -> dict[str, Any]:
    return {
        "model": wish.model,
        "expected": {"requests": ahead.requests, "dollars": float(ahead.cost), "seconds": ahead.seconds},
    }


def _out(wish: Wish, runner: Runner, ended: Ended, ahead: Expected, as_json: bool) -> None:
    found = runner.lab.found
    differing = differences(found, ahead.found)
    printed = row(wish.rules, found, datetime.fromtimestamp(runner.clock(), UTC).date())
    if as_json:
        typer.echo(json.dumps(_as_dict(wish, runner, ended, ahead, differing, printed), indent=2))
        return
    for each in (*lines(found), "", *_against(differing, found)):
        typer.echo(each)
    if printed:
        typer.echo(f"\n{printed}")
    typer.echo(f"\n{counted(runner.asked, 'request')}, ${runner.spent:.4f} with those of before")
    if ended.why:
        _say(f"cachepoint: {ended.why}")


def _against(differing: list[tuple[str, Any, Any]], found: Mapping[str, Finding]) -> list[str]:
    if differing:
        return [
            f"the emulator differs: {name} is {ours!r}, there {theirs!r}" for name, ours, theirs in differing
        ]
    known = any(one.state in ("found", "refused") for one in found.values())
    return ["the emulator differs in nothing that was found"] if known else ["nothing was found out"]


def _as_dict(
    wish: Wish,
    runner: Runner,
    ended: Ended,
    ahead: Expected,
    differing: list[tuple[str, Any, Any]],
    printed: str,
) -> dict[str, Any]:
    return {
        **_ahead(wish, ahead),
        "found": [one.as_dict() for one in runner.lab.found.values()],
        "ended": ended.why or "all was asked",
        "asked": runner.asked,
        "spent": float(runner.spent),
        "emulator_differs": [
            {"name": name, "found": ours, "emulator": theirs} for name, ours, theirs in differing
        ],
        "row": printed,
    }

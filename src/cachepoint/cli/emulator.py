"""`cachepoint emulator`: Bedrock's prompt cache on 127.0.0.1, until it is stopped."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Annotated, Any

import typer

from cachepoint.cli.faults import told

_INTRODUCTION = """\
Bedrock's prompt cache is at {url}

  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}
  export AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local

or, in Python:

  client = boto3.client("bedrock-runtime", endpoint_url="{url}", region_name="us-east-1",
                        aws_access_key_id="local", aws_secret_access_key="local")
"""


def command(
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.", min=0, max=65_535)] = 0,
    seconds: Annotated[
        float | None, typer.Option("--for", help="Stop after so many seconds.", metavar="SECONDS", min=0)
    ] = None,
    reroute: Annotated[
        float, typer.Option(help="How likely a cross-region call meets another cache.", min=0, max=1)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the choice which calls are re-routed.")] = 0,
) -> None:
    """Run the local Bedrock until Ctrl-C, and say what was read and written."""
    from cachepoint.emulator import BedrockEmulator

    with told(), _stopped() as stop, BedrockEmulator(port=port, reroute=reroute, seed=seed) as bedrock:
        typer.echo(_INTRODUCTION.format(url=bedrock.url))
        # Event.wait() without a timeout takes no signal on Windows.
        stop.wait(seconds if seconds is not None else _FOREVER)
        typer.echo(_summary(bedrock.calls, bedrock.calls_dropped))


_FOREVER = 31_536_000.0


@contextmanager
def _stopped() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda *_: stop.set()) for kind in kinds}
    try:
        yield stop
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _summary(calls: tuple[Any, ...], dropped: int) -> str:
    answered = [call.usage for call in calls if call.usage is not None]
    read, written, fresh = (
        sum(usage.get(name) or 0 for usage in answered)
        for name in ("cacheReadInputTokens", "cacheWriteInputTokens", "inputTokens")
    )
    older = f" (without the {dropped:,} calls before these)" if dropped else ""
    return (
        f"{len(answered):,} calls answered, {len(calls) - len(answered):,} refused: "
        f"{read:,} tokens read, {written:,} written, {fresh:,} uncached{older}"
    )

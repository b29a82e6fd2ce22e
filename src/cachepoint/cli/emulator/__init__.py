"""`cachepoint emulator`: Bedrock's prompt cache on 127.0.0.1, until it is stopped."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from ipaddress import ip_address
from threading import Event
from typing import Any

import typer

from cachepoint.cli.emulator import params
from cachepoint.cli.faults import say, told
from cachepoint.core.drawing.words import counted

_INTRODUCTION = """\
Bedrock's prompt cache is at {url}

  export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}
  export AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY=local
  export ANTHROPIC_BEDROCK_BASE_URL={url}  # for Anthropic's SDK

or, in Python:

  client = boto3.client("bedrock-runtime", endpoint_url="{url}", region_name="us-east-1",
                        aws_access_key_id="{key}", aws_secret_access_key="local")
"""
_OPEN = (
    "cachepoint: whoever reaches {host} can call it and move its clock; "
    "nothing is encrypted, and no signature is checked"
)
_FOREVER = 31_536_000.0


def command(
    host: params.Host = "127.0.0.1",
    port: params.Port = 0,
    seconds: params.For = None,
    quiet: params.Quiet = False,
    access_key: params.AccessKey = None,
    guardrail: params.Guardrails = None,
    profile: params.Profiles = None,
    model_option: params.ModelOptions = None,
    seed: params.Seed = 0,
    min_tokens: params.MinTokens = None,
    lookback: params.Lookback = None,
    lifetime_5m: params.Lifetime5m = None,
    lifetime_1h: params.Lifetime1h = None,
    refresh: params.Refresh = None,
    over_5m: params.Over5m = None,
    implicit: params.Implicit = None,
    eviction: params.Eviction = None,
    reroute: params.Reroute = None,
    tokens_per_minute: params.TokensPerMinute = None,
    requests_per_minute: params.RequestsPerMinute = None,
    cut_streams: params.CutStreams = None,
    latency_base: params.LatencyBase = None,
    latency_uncached: params.LatencyUncached = None,
    latency_write: params.LatencyWrite = None,
    latency_read: params.LatencyRead = None,
) -> None:
    """Run the local Bedrock until Ctrl-C, and say what each request read and wrote, and what all did."""
    chosen = locals()
    from cachepoint.cli.emulator import given
    from cachepoint.emulator import BedrockEmulator

    with told(), _stopped() as stop:
        bedrock = BedrockEmulator(
            host=host,
            port=port,
            access_keys=access_key or None,
            guardrails=given.guardrails(guardrail or ()),
            profiles=given.profiles(profile or ()),
            models=given.by_model(model_option or ()),
            seed=seed,
            on_call=None if quiet else _print,
            **_options(chosen),
        )
        with _listening(bedrock, f"{host}:{port}"):
            _introduce(bedrock.url, host, "KEY" if access_key else "local")
            # Event.wait() without a timeout takes no signal on Windows.
            stop.wait(seconds if seconds is not None else _FOREVER)
            typer.echo(_summary(bedrock.calls, bedrock.calls_dropped))


@contextmanager
def _listening(bedrock: Any, where: str) -> Iterator[None]:
    try:
        bedrock.start()
    except OSError as error:
        raise ValueError(
            f"it can't listen on {where} ({error.strerror}); --port 0 takes a free port"
        ) from error
    with bedrock:
        yield


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `Options` that are given."""
    from cachepoint.emulator import Options

    return {f.name: given[f.name] for f in fields(Options) if given[f.name] is not None}


def _introduce(url: str, host: str, key: str) -> None:
    if not _is_loopback(host):
        say(_OPEN.format(host=host), "yellow")
    typer.echo(_INTRODUCTION.format(url=url, key=key))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _print(call: Any) -> None:
    # Whoever closed the pipe has read enough; the request is answered all the same.
    with suppress(OSError, ValueError):
        typer.echo(str(call))


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
    older = f" (without the {counted(dropped, 'call')} before these)" if dropped else ""
    return (
        f"{counted(len(answered), 'call')} answered, {len(calls) - len(answered):,} refused: "
        f"{counted(read, 'token')} read, {written:,} written, {fresh:,} uncached{older}"
    )


__all__ = ["command"]

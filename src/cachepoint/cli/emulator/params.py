"""The parameters of `cachepoint emulator`. What is not given is left to the emulator."""

from typing import Annotated, Any

import typer

_BEHAVIOUR = "How it behaves"
_LATENCY = "Time to the first token"


def _share(text: str) -> Any:
    return typer.Option(help=f"Probability, 0 to 1, that {text}.", min=0, max=1, rich_help_panel=_BEHAVIOUR)


def _seconds(text: str, panel: str = _BEHAVIOUR) -> Any:
    return typer.Option(help=text, metavar="SECONDS", min=0, rich_help_panel=panel)


def _count(text: str, least: int = 0) -> Any:
    return typer.Option(help=text, min=least, rich_help_panel=_BEHAVIOUR)


Host = Annotated[str, typer.Option(help="Where to listen: an IPv4 address or a name.")]
Port = Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.", min=0, max=65_535)]
For = Annotated[
    float | None, typer.Option("--for", help="Stop after so many seconds.", metavar="SECONDS", min=0)
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Do not print a line for each request.")]
AccessKey = Annotated[
    list[str] | None,
    typer.Option(help="A key id or bearer token that is let in; without any all are.", metavar="KEY"),
]
Guardrails = Annotated[
    list[str] | None,
    typer.Option("--guardrail", help="A guardrail and the words it blocks.", metavar="ID=WORD,WORD"),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option("--profile", help="The model behind an application profile.", metavar="ARN=MODEL"),
]
ModelOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option",
        help="An option for one model, as in us.anthropic.claude-sonnet-4-6:min-tokens=2048.",
        metavar="MODEL:OPTION=VALUE",
    ),
]
Seed = Annotated[int, typer.Option(help="Of what the options leave to chance.")]
MinTokens = Annotated[int | None, _count("Tokens of a prefix that is kept.")]
Lookback = Annotated[int | None, _count("Blocks before a checkpoint in which an entry is found.")]
Lifetime5m = Annotated[float | None, _seconds("How long an entry of 5m lives.")]
Lifetime1h = Annotated[float | None, _seconds("How long an entry of 1h lives.")]
Refresh = Annotated[
    bool | None,
    typer.Option("--refresh/--no-refresh", help="Whether a read refreshes.", rich_help_panel=_BEHAVIOUR),
]
Over5m = Annotated[
    str | None,
    typer.Option(
        "--over-5m",
        help="What a 1h checkpoint keeps on top of a 5m entry: own, 5m or 1h.",
        metavar="TTL",
        rich_help_panel=_BEHAVIOUR,
    ),
]
Implicit = Annotated[float | None, _share("a prefix is read without a checkpoint, on models that can")]
Eviction = Annotated[float | None, _share("an entry is lost in a minute in which nobody uses it")]
Reroute = Annotated[float | None, _share("a cross-region call meets another Region's cache")]
TokensPerMinute = Annotated[int | None, _count("Quota of tokens of each model and Region.", 1)]
RequestsPerMinute = Annotated[int | None, _count("Quota of requests of each model and Region.", 1)]
CutStreams = Annotated[float | None, _share("a stream ends early")]
LatencyBase = Annotated[float | None, _seconds("Of any answer.", _LATENCY)]
LatencyUncached = Annotated[float | None, _seconds("For 1,000 tokens neither read nor written.", _LATENCY)]
LatencyWrite = Annotated[float | None, _seconds("For 1,000 tokens written.", _LATENCY)]
LatencyRead = Annotated[float | None, _seconds("For 1,000 tokens read.", _LATENCY)]

"""What a probe says: before it starts, and of what it found."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from cachepoint.cli.probe.examination import Findings, Wanted, closure, examine
from cachepoint.cli.probe.local import Local
from cachepoint.cli.probe.prompts import Kit
from cachepoint.cli.probe.running import Journal, Runner
from cachepoint.core.accounting.money import dollars


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the same probes come to on the local Bedrock.

    Attributes:
        found: What they find there.
        requests: How many they send.
        spent: US dollars; None: no price is known.
        seconds: That are waited.
    """

    found: Mapping[str, Any]
    requests: int
    spent: Decimal | None
    seconds: float


def forecast(model: str, wanted: Wanted) -> Forecast | None:
    """What probes come to; None where the local Bedrock does not know the model."""
    try:
        local = Local(model)
    except ValueError:
        return None
    began, found, journal = local.now(), Findings(), Journal("forecast")
    runner = Runner(local, model, local.now, local.sleep, journal)
    runner.run(examine(Kit(journal.seed), wanted, found))
    return Forecast(found.known, runner.sent, runner.spent, local.now() - began)


def beforehand(model: str, wanted: Wanted, expected: Forecast | None, budget: Decimal) -> str:
    """What is going to happen, in a line or two."""
    names = ", ".join(name for name in closure(wanted.names))
    if expected is None:
        return f"asking {model} for {names}; what it takes is not known, the budget is {dollars(budget)}"
    price = "a price that is not known" if expected.spent is None else f"about {dollars(expected.spent)}"
    return (
        f"asking {model} for {names}: about {expected.requests:,} requests, {price} of a budget of "
        f"{dollars(budget)}, and {_time(expected.seconds)} of waiting; Ctrl-C stops it"
    )


def lines(model: str, runner: Runner, found: Findings, expected: Forecast | None) -> Iterator[str]:
    """What was found, a row for `models.toml`, and where the local Bedrock differs."""
    for name, value in found.known.items():
        yield f"{name:<12} {_said(name, value)}"
    yield ""
    yield from _row(model, runner, found)
    differing = list(_differences(found, expected))
    if differing:
        yield ""
        yield "the local Bedrock differs"
        yield from differing


def as_dict(model: str, runner: Runner, found: Findings, why: str) -> dict[str, Any]:
    """For JSON: brackets as [what held, what did not], rates as [share, low, high] a minute."""
    known = {name: _plain(value) for name, value in found.known.items()}
    return {
        "model": model,
        "checked": _today(),
        "requests": runner.sent,
        "spent_usd": None if runner.spent is None else float(runner.spent),
        "stopped": {"in": found.running, "why": why} if why else None,
        "found": known,
    }


def _row(model: str, runner: Runner, found: Findings) -> Iterator[str]:
    known, spent = found.known, "unknown" if runner.spent is None else dollars(runner.spent)
    yield f"# {model}: {len(runner.journal.kept):,} answers, {spent}"
    if known.get("minimum"):
        yield f"min_tokens = {known['minimum'][0]}"
    if known.get("lookback") is not None:
        yield f"lookback = {known['lookback']}"
    if "one_hour" in known:
        yield 'ttls = ["5m", "1h"]' if known["one_hour"] else 'ttls = ["5m"]'
    yield f"checked = {_today()}"
    yield 'source = "cachepoint probe"'


def _differences(found: Findings, expected: Forecast | None) -> Iterator[str]:
    if expected is None:
        return
    for name, value in found.known.items():
        there = expected.found.get(name)
        if (
            name in _COMPARED
            and value is not None
            and there is not None
            and not _COMPARED[name](value, there)
        ):
            yield f"  {name}: {_said(name, value)} here, {_said(name, there)} there"


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other)


# A rate is the service's; the local Bedrock loses nothing unless it is told to.
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda one, other: _overlap((one[1], one[0]), (other[1], other[0])),
    "one_hour": _equal,
    "lookback": _equal,
    "settings": _equal,
    "documents": _equal,
    "backfill": _equal,
    "ttl_key": _equal,
    "lifetime_5m": _overlap,
    "refresh": _equal,
    "lifetime_1h": _overlap,
    "upgrade": _equal,
}

_WORDS: Mapping[str, Mapping[Any, str]] = {
    "one_hour": {True: "an hour is given where it is asked for", False: "an hour is not given"},
    "backfill": {
        True: "a checkpoint in front of what is read leaves an entry",
        False: "a checkpoint in front of what is read leaves none",
    },
    "ttl_key": {True: "entries of 5m and 1h are apart", False: "an entry is read whatever TTL is asked for"},
    "refresh": {True: "a read lets an entry live anew", False: "a read changes nothing"},
    "upgrade": {
        "own": "1h behind 5m: what it wrote lives for an hour, what it read does not",
        "1h": "1h behind 5m: all lives for an hour",
        "5m": "1h behind 5m: all lives for five minutes",
    },
}
_UNKNOWN = "not to be told: entries are lost too early, or the model does not have it"


def _said(name: str, value: Any) -> str:
    if value is None:
        return "more than 64 blocks" if name == "lookback" else _UNKNOWN
    if name in _WORDS:
        return _WORDS[name][value]
    return _SAID.get(name, str)(value)


_SAID: Mapping[str, Callable[[Any], str]] = {
    "minimum": lambda found: f"{found[0]:,} tokens were kept, {found[1]:,} were not",
    "lookback": lambda blocks: f"{blocks} blocks",
    "lifetime_5m": lambda found: f"more than {found[0]:,.0f} s, at most {found[1]:,.0f} s",
    "lifetime_1h": lambda found: f"more than {found[0]:,.0f} s, at most {found[1]:,.0f} s",
    "eviction": lambda found: (
        f"{found[0].share:.1%} of entries a minute ({found[0].low:.1%} to {found[0].high:.1%}); "
        f"over a longer time {found[1].share:.1%} ({found[1].low:.1%} to {found[1].high:.1%})"
    ),
    "settings": lambda found: ", ".join(f"{name} loses {what}" for name, what in found.items()),
    "documents": lambda found: (
        "a text in one block and in two share entries"
        if all(found)
        else "a text in one block and in two share none"
        if not any(found)
        else f"{found}"
    ),
}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        fields = getattr(value, "_fields", None)
        return {n: _plain(v) for n, v in zip(fields, value, strict=True)} if fields else [*map(_plain, value)]
    return value


def _time(seconds: float) -> str:
    hours, minutes = int(seconds // 3_600), round(seconds % 3_600 / 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"

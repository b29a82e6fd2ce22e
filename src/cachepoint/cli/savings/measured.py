"""The bill of calls that were made: a line of JSON each."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from cachepoint.cli.lines import MOST, Lines, opened
from cachepoint.cli.savings.answers import SAME_TOKENS, Answer, Way, in_batch
from cachepoint.cli.savings.figures import span
from cachepoint.cli.savings.offers import Offer
from cachepoint.core.accounting.usage import Shape, Usage
from cachepoint.core.drawing.words import counted
from cachepoint.reporting.savings import HOURS_A_MONTH, Measured

# A field that only this shape has, and the shape.
_SHAPES: tuple[tuple[str, Shape], ...] = (
    ("uncached_tokens", "report"),
    ("inputTokens", "converse"),
    ("input_tokens", "messages"),
)


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """One line. `at`: seconds since 1970; `tier`: by Bedrock's names; None where the line does not say."""

    usage: Usage | None
    model: str | None
    at: float | None
    tier: str | None = None


def measured(path: Path, offer: Offer, other: Offer | None, requests: int | None) -> Answer:
    """The bill of calls that were made.

    Args:
        path: A call a line: `CallReport.as_dict()`, records of the invocation log, or usage alone. A line
            that is none of these is in no sum, and a note says how many there are.
        offer: What they cost, where the lines do not name their model.
        other: A smaller model.
        requests: Scale them to so many a month; None: as they are.

    Raises:
        ValueError: Where no call has usage and a price, or they cannot be scaled to so many.
    """
    if requests is not None and not 1 <= requests <= MOST:
        raise ValueError(f"requests is {Decimal(requests):.3g}; give a number from 1 to {MOST:,}")
    made, cheaper, lines = Measured(), Measured(), Lines(path)
    unknown: set[str] = set()
    with opened(path) as text:
        for call in lines.parsed(text, _call):
            tokens = 0 if call.usage is None else call.usage.input_tokens
            rates = offer.rates(tokens, call.model, call.at, call.tier)
            if not made.add(call.usage, rates, call.at) and call.usage is not None:
                unknown.add(str(call.model))
            elif other is not None:
                cheaper.add(call.usage, other.needed(tokens), call.at)
    if not made.calls:
        raise ValueError(f"nothing to compute: {_why(lines, unknown)}")
    factor = Decimal(1) if requests is None else Decimal(requests) / made.calls
    answer = _answer(made, factor, requests is not None)
    answer.facts["lines_that_are_no_calls"] = lines.skipped
    if other is not None:
        bare, smaller = cheaper.before.total * factor, "smaller model"
        answer.ways.append(Way(other.name, bare, SAME_TOKENS, (smaller,)))
        cached = cheaper.after.total * factor
        answer.ways.append(Way(f"{other.name}, same reads", cached, levers=(smaller, "caching")))
        answer.ways.append(in_batch(f"{other.name}, batch", bare, smaller))
    if lines.skipped:
        answer.notes.append(f"{lines}.")
    if unknown:
        answer.notes.append(
            f"In no sum: {counted(made.unpriced, 'call')}, as no price is known for "
            f"{', '.join(sorted(unknown))}."
        )
    return answer


def _why(lines: Lines, unknown: set[str]) -> str:
    if unknown:
        names = ", ".join(sorted(unknown))
        return f"no price is known for {names}; --model or --input-price and --output-price help"
    return str(lines) if lines.skipped else f"no line of {lines.where} has usage"


def _call(line: Mapping[str, Any]) -> MeasuredCall:
    """The call of a line.

    Raises:
        ValueError: Where a figure of it cannot be; TypeError and AttributeError where it is no such line.
    """
    model = line.get("priced_as") or line.get("model_id") or line.get("modelId")
    if not isinstance(model, str | None):
        raise TypeError("the model's id is no text")
    tier = line.get("tier")
    if not isinstance(tier, str | None):
        raise TypeError("the service tier is no text")
    return MeasuredCall(_usage(line), model, _when(line.get("started") or line.get("timestamp")), tier)


def _usage(line: Mapping[str, Any]) -> Usage | None:
    if "input" in line and "output" in line:
        if not isinstance(line["input"], Mapping) or not isinstance(line["output"], Mapping):
            raise TypeError("a part of the record is no object")
        return _sound(Usage.from_log_record(line))
    usage = line.get("usage", line) or {}
    if not isinstance(usage, Mapping):
        raise TypeError("the usage is no object")
    shape, key = next(((shape, key) for key, shape in _SHAPES if key in usage), (None, ""))
    # What reads usage takes what is no count as unknown; in a file it is a wrong line.
    if shape is not None and usage[key] is not None and type(usage[key]) is not int:
        raise TypeError("a number of tokens is none")
    found = None if shape is None else _sound(Usage.of(shape, {"usage": usage}))
    if found is None and shape is not None:
        raise ValueError("a number of tokens cannot be")
    return found


def _sound(usage: Usage | None) -> Usage | None:
    if usage is not None:
        for tokens in usage.as_dict().values():
            if tokens is not None and (type(tokens) is not int or not 0 <= tokens < MOST):
                raise ValueError("a number of tokens is none")
    return usage


def _when(said: Any) -> float | None:
    with suppress(ValueError, OverflowError, OSError, TypeError):
        when = datetime.fromisoformat(said) if isinstance(said, str) else datetime.fromtimestamp(said, UTC)
        at = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        return at if datetime.fromtimestamp(at, UTC) else None
    return None


def _answer(made: Measured, factor: Decimal, monthly: bool) -> Answer:
    over = "" if made.hours is None else f" over {span(made.hours * 3600)}"
    scaled = f", scaled to {made.calls * factor:,.0f} requests a month" if monthly else ""
    before, after = made.before.times(factor), made.after.times(factor)
    return Answer(
        title=f"{counted(made.calls, 'measured call')}{over}{scaled}",
        requests=made.calls * factor,
        before=before,
        after=after,
        hours=Decimal(HOURS_A_MONTH) if monthly else made.hours,
        arithmetic={name: f"{n * factor:,.0f} tokens" for name, n in _tokens(made.tokens).items()},
        ways=[Way("no cache", before.total), Way("as measured", after.total, levers=("caching",))],
        facts={"calls": made.calls, "unpriced_calls": made.unpriced, "lines_without_usage": made.without},
    )


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "reads": usage.read_tokens or 0,
        "writes": usage.write_tokens or 0,
        "uncached": usage.uncached_tokens,
    }

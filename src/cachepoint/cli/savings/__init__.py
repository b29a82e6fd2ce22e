"""`cachepoint savings`: what caching would save, or did, and what the other ways cost."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cachepoint.cli.faults import words
from cachepoint.cli.named import complete, model_id
from cachepoint.cli.savings.answers import Answer, add_levers
from cachepoint.cli.savings.estimated import estimated
from cachepoint.cli.savings.measured import measured
from cachepoint.cli.savings.offers import Given, Offer
from cachepoint.cli.savings.text import show, show_modes
from cachepoint.core.accounting.pricing import number
from cachepoint.core.models.rules import Ttl
from cachepoint.reporting.savings import LOSSES_A_DAY, TTLS, Workload

# US dollars per million tokens: far above any price, and every sum made of it can be printed.
_DEAREST = 1_000_000


def command(
    requests: Annotated[int | None, typer.Option(help="Requests a month.")] = None,
    prefix: Annotated[int, typer.Option(help="Tokens at the front that other requests send too.")] = 0,
    user: Annotated[int, typer.Option(help="Input tokens of a request's own.")] = 0,
    output: Annotated[int, typer.Option(help="Output tokens of a request.")] = 0,
    model: Annotated[
        str | None, typer.Option(help="Model or profile: its prices, limits, TTLs.", autocompletion=complete)
    ] = None,
    input_price: Annotated[str | None, typer.Option(help="US dollars per million tokens.")] = None,
    output_price: Annotated[str | None, typer.Option(help="The same, of output.")] = None,
    read_price: Annotated[str | None, typer.Option(help="The same, of reads.")] = None,
    write_price: Annotated[str | None, typer.Option(help="The same, of 5m writes.")] = None,
    write_1h_price: Annotated[str | None, typer.Option(help="The same, of 1h writes.")] = None,
    read_multiplier: Annotated[str | None, typer.Option(help="Reads, of the input price.")] = None,
    write_multiplier: Annotated[str | None, typer.Option(help="5m writes, of the input price.")] = None,
    write_1h_multiplier: Annotated[str | None, typer.Option(help="1h writes, of the input price.")] = None,
    ttl: Annotated[str, typer.Option(help="5m, 1h, or auto: what costs least, nothing included.")] = "auto",
    reuse: Annotated[
        float | None, typer.Option(help="Requests per TTL window, the one that writes included.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Requests an hour with the same prefix.")] = None,
    regular: Annotated[bool, typer.Option("--regular", help="They come at equal distances.")] = False,
    losses: Annotated[
        float, typer.Option(help="How often a day an entry is lost otherwise than by idleness.")
    ] = float(LOSSES_A_DAY),
    provisioned_hourly: Annotated[
        float | None, typer.Option(help="Provisioned throughput: US dollars an hour.")
    ] = None,
    smaller: Annotated[
        str | None, typer.Option(help="A smaller model, on the same workload.", autocompletion=complete)
    ] = None,
    credit: Annotated[float | None, typer.Option("--credits", help="A budget in US dollars.")] = None,
    date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Prices as of.")] = None,
    calls: Annotated[
        Path | None,
        typer.Option("--from", help="Measured calls: a report or usage a line; - is standard input."),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Print the pricing modes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the bill before and after caching, when a write pays, and what the other levers give."""
    if table:
        show_modes(as_json)
        return
    at = time.time() if date is None else date.replace(tzinfo=UTC).timestamp()
    with _said_well():
        given = _numbers(
            {
                "input": (input_price, "--input-price"),
                "output": (output_price, "--output-price"),
                "read": (read_price, "--read-price"),
                "write_5m": (write_price, "--write-price"),
                "write_1h": (write_1h_price, "--write-1h-price"),
            }
        )
        multipliers = _numbers(
            {
                "read": (read_multiplier, "--read-multiplier"),
                "write_5m": (write_multiplier, "--write-multiplier"),
                "write_1h": (write_1h_multiplier, "--write-1h-multiplier"),
            }
        )
        offer = Offer(_model(model), at, given, multipliers)
        other = None if smaller is None else Offer(_model(smaller), at)
        if calls is not None:
            answer = measured(calls, offer, other, requests)
        else:
            workload = Workload(
                requests=_needed(requests),
                prefix=prefix,
                user=user,
                output=output,
                reuse=_decimal(reuse, "--reuse"),
                rate=_decimal(rate, "--rate"),
                arrivals="regular" if regular else "poisson",
                losses=_decimal(losses, "--losses") or Decimal(),
            )
            answer = estimated(workload, offer, other, _ttl(ttl))
        answer.notes[:0] = [*_taken(model, offer), *_taken(smaller, other)]
        add_levers(
            answer, _decimal(provisioned_hourly, "--provisioned-hourly"), _decimal(credit, "--credits")
        )
    _out(answer, as_json)


def _out(answer: Answer, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer.as_dict(), indent=2))
    else:
        show(answer)


@contextmanager
def _said_well() -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise typer.BadParameter(words(error)) from None


def _numbers(texts: dict[str, tuple[str | None, str]]) -> Given:
    return {key: None if text is None else _number(text, name) for key, (text, name) in texts.items()}


def _number(text: str, name: str) -> Decimal:
    value = number(text, name)
    if value >= _DEAREST:
        raise ValueError(f"{name} is {value:.3g}; give US dollars per million tokens below {_DEAREST:,}")
    return value


def _decimal(value: float | None, name: str) -> Decimal | None:
    if value is None:
        return None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} is {value:g}; give a number of at least 0")
    return Decimal(str(value))


def _model(text: str | None) -> str | None:
    return None if text is None else model_id(text)


def _taken(text: str | None, offer: Offer | None) -> list[str]:
    if text is None or offer is None or text == offer.model:
        return []
    return [f"{text!r} is taken for {offer.model}. A profile (global., us., eu.) may have another price."]


def _needed(requests: int | None) -> Decimal:
    if requests is None:
        raise ValueError("--requests is missing: requests a month, or measured calls with --from")
    return Decimal(requests)


def _ttl(text: str) -> Ttl | None:
    for ttl in TTLS:
        if text == ttl:
            return ttl
    if text != "auto":
        raise ValueError(f"--ttl is {text!r}; use auto or one of {', '.join(TTLS)}")
    return None

"""Money, on genai-prices. Decimal US dollars; an unknown model gives None, never a guess."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import Ttl, base_model, rules_for

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Amounts:
    """US dollars by what they were paid for."""

    uncached: Decimal = Decimal()
    reads: Decimal = Decimal()
    writes: Decimal = Decimal()
    output: Decimal = Decimal()

    @property
    def input(self) -> Decimal:
        """All input."""
        return self.uncached + self.reads + self.writes

    @property
    def total(self) -> Decimal:
        """Input and output."""
        return self.input + self.output

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, factor: Decimal) -> "Amounts":
        """These amounts, multiplied."""
        return Amounts(*(getattr(self, f.name) * factor for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens. None: the price list names no price."""

    input: Decimal
    output: Decimal
    read: Decimal | None = None
    write_5m: Decimal | None = None
    write_1h: Decimal | None = None

    def write(self, ttl: Ttl) -> Decimal | None:
        """The price of writes for a TTL."""
        return self.write_5m if ttl == "5m" else self.write_1h

    def times(self, factor: Decimal, output: Decimal | None = None) -> "Rates":
        """These rates, multiplied; the output's by a factor of its own where one is given."""
        return Rates(
            self.input * factor,
            self.output * (factor if output is None else output),
            *(None if rate is None else rate * factor for rate in (self.read, self.write_5m, self.write_1h)),
        )

    def amounts(self, usage: Usage) -> Amounts | None:
        """What tokens cost. Writes that no report split by TTL are priced as 5m, Bedrock's default.

        Returns:
            None where tokens were read or written and that has no price.
        """
        hour = usage.write_1h_tokens or 0
        parts = [
            _paid(n, rate)
            for n, rate in (
                (usage.uncached_tokens, self.input),
                (usage.read_tokens or 0, self.read),
                ((usage.write_tokens or 0) - hour, self.write_5m),
                (hour, self.write_1h),
                (usage.output_tokens, self.output),
            )
        ]
        if None in parts:
            return None
        fresh, read, five, one_hour, output = (part or Decimal() for part in parts)
        return Amounts(fresh, read, five + one_hour, output)


RATES = tuple(f.name for f in fields(Rates))


@dataclass(frozen=True, slots=True)
class PriceList:
    """What one model costs, by the size of a prompt.

    Attributes:
        base: The rates.
        tiers: (tokens, rates): the rates of calls with more input tokens than that, smallest first.
    """

    base: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()

    def at(self, input_tokens: int) -> Rates:
        """The rates of a call with that much input."""
        reached = [rates for above, rates in self.tiers if input_tokens > above]
        return reached[-1] if reached else self.base

    def times(self, factor: Decimal) -> "PriceList":
        """This list, multiplied."""
        tiers = tuple((above, rates.times(factor)) for above, rates in self.tiers)
        return PriceList(self.base.times(factor), tiers)


class _Own:
    lists: tuple[tuple[str, PriceList], ...] = ()


def set_prices(prices: Mapping[str, Mapping[str, Any]] | None) -> None:
    """Own prices, for this process: they come before every list.

    Args:
        prices: By a pattern of the model id as it is called (`*` stands for anything; ARNs are matched
            whole), US dollars per million tokens: `input` and `output`, and `read`, `write_5m` and
            `write_1h`; those left out follow from `input` by the multipliers of the model's row. The first
            pattern that matches counts. None: no own prices.

    Raises:
        ValueError: Where a price is unknown, missing or no number; it names the pattern.
    """
    _Own.lists = tuple((pattern, _own(pattern, given)) for pattern, given in (prices or {}).items())


def own_prices() -> Mapping[str, PriceList]:
    """What `set_prices` set."""
    return dict(_Own.lists)


def prices(model_id: str, at: float) -> PriceList | None:
    """What a model costs on a day.

    Args:
        model_id: A base model id, a cross-region profile or an ARN of one. Profiles of a geography
            cost more than global ones, GovCloud more than both.
        at: When the call was made, in seconds since 1970.

    Returns:
        None where the model has no known price.
    """
    own = next((prices for pattern, prices in _Own.lists if fnmatchcase(model_id, pattern)), None)
    return _listed(model_id, int(at // 86_400)) if own is None else _completed(own, model_id)


def cost(usage: Usage, model_id: str, at: float) -> Decimal | None:
    """What a call's tokens cost in US dollars.

    Args:
        usage: The tokens of one call; prices of long prompts depend on the size of a call, so a
            sum of calls must be priced call by call.
        model_id: A base model id, a cross-region profile or an ARN of one. Profiles of a
            geography cost more than global ones.
        at: When the call was made, in seconds since 1970.

    Returns:
        None where the model has no known price.
    """
    spent = amounts(usage, model_id, at)
    return None if spent is None else spent.total


def amounts(usage: Usage, model_id: str, at: float) -> Amounts | None:
    """What a call's tokens cost, by what they were; None where the model has no known price."""
    known = prices(model_id, at)
    return None if known is None else known.at(usage.input_tokens).amounts(usage)


def warm() -> None:
    """Load the prices now (a few tenths of a second), so that no call has to wait for them."""
    import genai_prices  # noqa: F401, PLC0415


def uncached(usage: Usage) -> Usage:
    """The same tokens, had there been no cache."""
    return Usage(uncached_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def number(value: Any, name: str) -> Decimal:
    """A price, as Decimal.

    Raises:
        ValueError: Where it is no number, or below 0.
    """
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise ValueError(f"{name} is {value!r}; give US dollars per million tokens, as 3 or '0.3'")
    return price


def _paid(tokens: int, rate: Decimal | None) -> Decimal | None:
    if not tokens:
        return Decimal()
    return None if rate is None else rate * tokens / MILLION


def _own(pattern: str, given: Mapping[str, Any]) -> PriceList:
    for name in given:
        if name not in RATES:
            raise ValueError(f"prices[{pattern!r}] has no price {name!r}; it has {', '.join(RATES)}")
    for name in ("input", "output"):
        if name not in given:
            raise ValueError(f"prices[{pattern!r}] lacks {name!r}: US dollars per million tokens")
    return PriceList(Rates(**{n: number(v, f"prices[{pattern!r}][{n!r}]") for n, v in given.items()}))


def _completed(own: PriceList, model_id: str) -> PriceList:
    """The prices of reads and writes that were left out, by the multipliers of the model's row."""
    return PriceList(completed(own.base, rules_for(model_id).multipliers))


def completed(rates: Rates, multipliers: Mapping[str, Any]) -> Rates:
    """Rates whose missing prices of reads and writes follow from the input price.

    Args:
        rates: `read`, `write_5m` and `write_1h` may be None.
        multipliers: Any of those three, of the input price.
    """
    missing = {name: times for name, times in multipliers.items() if getattr(rates, name) is None}
    return replace(rates, **{name: rates.input * Decimal(str(times)) for name, times in missing.items()})


@lru_cache(maxsize=1_024)
def _listed(model_id: str, day: int) -> PriceList | None:
    priced = _priced_id(model_id)
    for premium in _corrections("premiums"):
        if _in_partition(model_id, priced, premium["prefix"]):
            return _with_premium(premium, priced, day)
    return _of_table(priced) or _of_genai_prices(priced, day)


def _priced_id(model_id: str) -> str:
    if not model_id.startswith("arn:"):
        return model_id
    return model_id.rpartition("/")[2] if base_model(model_id) else ""


def _in_partition(model_id: str, priced: str, prefix: str) -> bool:
    return priced.startswith(f"{prefix}.") or model_id.startswith(f"arn:aws-{prefix}:")


def _with_premium(premium: Mapping[str, Any], priced: str, day: int) -> PriceList | None:
    base = base_model(priced) or ""
    known = next(filter(None, (_listed(name, day) for name in (f"global.{base}", base))), None)
    return None if known is None else known.times(Decimal(str(premium["times"])))


def _of_table(priced: str) -> PriceList | None:
    base = base_model(priced) or ""
    where = "global" if priced.startswith("global.") else "geo"
    row = next((row for row in _corrections("models") if re.match(row["pattern"], base)), {})
    return PriceList(Rates(**row[where])) if where in row else None


def _of_genai_prices(priced: str, day: int) -> PriceList | None:
    # genai-prices takes long to import, and few calls ask for money.
    from genai_prices import Usage as PricedUsage  # noqa: PLC0415
    from genai_prices import calc_price  # noqa: PLC0415

    try:
        model = calc_price(
            PricedUsage(input_tokens=1),
            model_ref=priced,
            provider_id="aws",
            genai_request_timestamp=datetime.fromtimestamp(day * 86_400, UTC),
        ).model_price
    except LookupError:
        return None
    if model.input_mtok is None or model.output_mtok is None:
        return None
    starts = sorted({t.start for _, price in _priced(model) for t in getattr(price, "tiers", ())})
    base = _rates(model, lambda price: getattr(price, "base", price), priced)
    tiers = tuple((start, _rates(model, _from(start), priced)) for start in starts)
    return PriceList(base, tiers or _long_prompts(priced, base))


# How genai-prices names what `Rates` names.
_MTOK = {
    "input": "input_mtok",
    "output": "output_mtok",
    "read": "cache_read_mtok",
    "write_5m": "cache_write_mtok",
    "write_1h": "cache_write_1h_mtok",
}


def _priced(model: Any) -> list[tuple[str, Any]]:
    pairs = [(name, getattr(model, field)) for name, field in _MTOK.items()]
    return [(name, price) for name, price in pairs if price is not None]


def _rates(model: Any, choose: Callable[[Any], Decimal], priced: str) -> Rates:
    chosen = {name: Decimal(choose(price)) for name, price in _priced(model)}
    # Nova lists no write price: writes are billed as plain input (bedrock-facts §3).
    row = rules_for(priced)
    return completed(Rates(**chosen), row.multipliers if row.is_nova else {})


def _from(start: int) -> Callable[[Any], Decimal]:
    def choose(price: Any) -> Decimal:
        """The price of a call with more than `start` tokens."""
        reached = [t.price for t in getattr(price, "tiers", ()) if t.start <= start]
        found: Decimal = reached[-1] if reached else getattr(price, "base", price)
        return found

    return choose


def _long_prompts(priced: str, base: Rates) -> tuple[tuple[int, Rates], ...]:
    stem = base_model(priced) or ""
    return tuple(
        (row["above"], base.times(Decimal(row["input"]), Decimal(row["output"])))
        for row in _corrections("long_prompts")
        if re.match(row["pattern"], stem)
    )


@cache
def _corrections(kind: str) -> list[dict[str, Any]]:
    text = files("cachepoint.core.accounting").joinpath("prices.toml").read_text("utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(text, parse_float=Decimal)[kind]
    return [{k: _decimals(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]


def _decimals(rates: Mapping[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(rate) for name, rate in rates.items()}

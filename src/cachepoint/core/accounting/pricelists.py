"""Where prices come from: prices.toml first, which corrects genai-prices, then genai-prices."""

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from cachepoint.core.accounting.money import EXACT
from cachepoint.core.accounting.rates import PriceList, Rates, completed
from cachepoint.core.models.rules import base_model, rules_for


@lru_cache(maxsize=1_024)
def listed(model_id: str, day: int) -> PriceList | None:
    """What a model costs on a day, counted from 1970; None where no list has it."""
    with localcontext(EXACT):
        return _found(model_id, day)


@lru_cache(maxsize=1_024)
def tier_factor(model_id: str, tier: str | None) -> Decimal | None:
    """What a service tier costs, over the price of the default one.

    Args:
        model_id: The model that was called.
        tier: None and `"default"` are the default tier.

    Returns:
        None where it is not known. `reserved` is paid by the month, not by the token.
    """
    if tier in {None, "default"}:
        return Decimal(1)
    priced = _priced_id(model_id)
    rows = (row for row in _corrections("service_tiers") if re.match(row["pattern"], priced))
    return next((row["times"][tier] for row in rows if tier in row["times"]), None)


def _found(model_id: str, day: int) -> PriceList | None:
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
    known = next(filter(None, (listed(name, day) for name in (f"global.{base}", base))), None)
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
    # Nova lists no write price: writes are billed as plain input (models.dev#6793, 2026-09-11).
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

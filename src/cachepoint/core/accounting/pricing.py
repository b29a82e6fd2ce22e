"""Money, for calls. Decimal US dollars; an unknown model gives None, never a guess."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from cachepoint.core.accounting.counts import part
from cachepoint.core.accounting.money import tidy
from cachepoint.core.accounting.pricelists import listed, tier_factor
from cachepoint.core.accounting.rates import (
    MILLION,
    RATES,
    Amounts,
    PriceList,
    Rates,
    completed,
    number,
)
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import rules_for

__all__ = [
    "MILLION",
    "RATES",
    "Amounts",
    "PriceList",
    "Rates",
    "amounts",
    "completed",
    "cost",
    "date_of",
    "number",
    "own_prices",
    "prices",
    "set_prices",
    "tier_of",
    "uncached",
    "warm",
]


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
        InvalidOptionError: Where a price is unknown, missing or no number; it names the pattern.
    """
    if not isinstance(prices, Mapping | None):
        raise InvalidOptionError(f"prices is {prices!r}; give a dict of prices by model id pattern")
    _Own.lists = tuple((str(pattern), _own(pattern, given)) for pattern, given in (prices or {}).items())


def own_prices() -> Mapping[str, PriceList]:
    """What `set_prices` set."""
    return dict(_Own.lists)


def prices(model_id: str, at: float | None, tier: str | None = None) -> PriceList | None:
    """What a model costs on a day.

    Args:
        model_id: A base model id, a cross-region profile or an ARN of one. Profiles of a geography
            cost more than global ones, GovCloud more than both.
        at: When the call was made, in seconds since 1970.
        tier: The service tier by Bedrock's names: None or `"default"`, `"flex"`, `"priority"`, `"reserved"`.

    Returns:
        None where the model has no known price, in that tier or at all, or the time is no date.
    """
    factor, day = tier_factor(model_id, tier), _day(at)
    if factor is None or day is None:
        return None
    own = next((prices for pattern, prices in _Own.lists if fnmatchcase(model_id, pattern)), None)
    known = listed(model_id, day) if own is None else _completed(own, model_id)
    return known if known is None or factor == 1 else known.times(factor)


def cost(usage: Usage, model_id: str, at: float | None, tier: str | None = None) -> Decimal | None:
    """What a call's tokens cost in US dollars.

    Args:
        usage: The tokens of one call; prices of long prompts depend on the size of a call, so a
            sum of calls must be priced call by call.
        model_id: As for `prices`.
        at: When the call was made, in seconds since 1970.
        tier: As for `prices`.

    Returns:
        None where the model has no known price.
    """
    spent = amounts(usage, model_id, at, tier)
    return None if spent is None else tidy(spent.total)


def amounts(usage: Usage, model_id: str, at: float | None, tier: str | None = None) -> Amounts | None:
    """What a call's tokens cost, by what they were; None where the model has no known price."""
    known = prices(model_id, at, tier)
    return None if known is None else known.at(usage.input_tokens).amounts(usage)


def date_of(at: float | None) -> datetime | None:
    """A time in seconds since 1970; None where it is none, as of a clock that counts milliseconds."""
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def tier_of(*said: Any) -> str | None:
    """The service tier of a call.

    Args:
        said: The answer first, then the request. The answer (of a stream its `metadata` event) says which
            tier served the call: what exceeds a reservation goes to the default one (AWS user guide,
            service-tiers-inference.html, 2026-11). It is `{"type": …}` in Converse, a text in InvokeModel.

    Returns:
        None where neither names one.
    """
    for one in said:
        named = part(one, "metadata") or part(one)
        tier = named.get("serviceTier")
        tier = part(tier).get("type") if isinstance(tier, Mapping) else tier
        if isinstance(tier, str):
            return tier
    return None


def warm() -> None:
    """Load the prices now (a few tenths of a second), so that no call has to wait for them."""
    import genai_prices  # noqa: F401, PLC0415


def uncached(usage: Usage) -> Usage:
    """The same tokens, had there been no cache."""
    return Usage(uncached_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def _own(pattern: object, given: Mapping[str, Any]) -> PriceList:
    if not isinstance(given, Mapping):
        raise InvalidOptionError(f"prices[{pattern!r}] is {given!r}; give a dict with {', '.join(RATES)}")
    for name in given:
        if name not in RATES:
            raise InvalidOptionError(f"prices[{pattern!r}] has no price {name!r}; it has {', '.join(RATES)}")
    for name in ("input", "output"):
        if name not in given:
            raise InvalidOptionError(f"prices[{pattern!r}] lacks {name!r}: US dollars per million tokens")
    return PriceList(Rates(**{n: number(v, f"prices[{pattern!r}][{n!r}]") for n, v in given.items()}))


def _completed(own: PriceList, model_id: str) -> PriceList:
    """The prices of reads and writes that were left out, by the multipliers of the model's row."""
    return PriceList(completed(own.base, rules_for(model_id).multipliers))


def _day(at: float | None) -> int | None:
    return None if date_of(at) is None or at is None else int(at // 86_400)

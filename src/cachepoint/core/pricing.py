"""Money, on genai-prices. Decimal US dollars; an unknown model gives None, never a guess."""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from cachepoint.core.rules import base_model, rules_for
from cachepoint.core.usage import Usage


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
    return _price(
        _priced_id(model_id),
        int(at // 86_400),
        usage.uncached_tokens,
        usage.read_tokens or 0,
        _writes(usage, model_id),
        usage.output_tokens,
    )


def warm() -> None:
    """Load the prices now (a few tenths of a second), so that no call has to wait for them."""
    import genai_prices  # noqa: F401, PLC0415


def uncached(usage: Usage) -> Usage:
    """The same tokens, had there been no cache."""
    return Usage(uncached_tokens=usage.input_tokens, output_tokens=usage.output_tokens)


def _priced_id(model_id: str) -> str:
    if not model_id.startswith("arn:"):
        return model_id
    return model_id.rpartition("/")[2] if base_model(model_id) else ""


def _writes(usage: Usage, model_id: str) -> tuple[int, int]:
    """(5m, 1h). Where the report did not split them, Bedrock's default TTL was used."""
    total = usage.write_tokens or 0
    # Nova lists no write price: writes are billed as plain input (bedrock-facts §3).
    if rules_for(model_id).is_nova:
        return total, 0
    one_hour = usage.write_1h_tokens or 0
    return total - one_hour, one_hour


@lru_cache(maxsize=2_048)
def _price(
    model: str, day: int, fresh: int, read: int, writes: tuple[int, int], output: int
) -> Decimal | None:
    # genai-prices takes long to import, and few calls ask for money.
    from genai_prices import Usage as PricedUsage  # noqa: PLC0415
    from genai_prices import calc_price  # noqa: PLC0415

    nova = "amazon.nova" in model
    tokens = {"input_tokens": fresh + read + sum(writes), "cache_read_tokens": read}
    if not nova:
        tokens |= {"cache_write_tokens": sum(writes), "cache_write_1h_tokens": writes[1]}
    try:
        return calc_price(
            PricedUsage(**tokens, output_tokens=output),
            model_ref=model,
            provider_id="aws",
            genai_request_timestamp=datetime.fromtimestamp(day * 86_400, UTC),
        ).total_price
    except LookupError:
        return None

"""Usage as on the wire."""

from typing import Any

from cachepoint.emulator.cache.engine import Outcome
from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["wire_usage"]


def wire_usage(outcome: Outcome, output: int, rules: ModelRules) -> dict[str, Any]:
    """The `usage` of an answer: totalTokens is the sum of all four (535 of 535 recorded usages)."""
    return {
        **_details(outcome, rules),
        # 281 recorded usages carry no cache keys, and which models leave them out is not known.
        # Here they are those that cannot cache.
        **(_cached(outcome) if rules.explicit else {}),
        "inputTokens": outcome.uncached,
        "outputTokens": output,
        "serverToolUsage": {},
        "totalTokens": outcome.read + outcome.write + outcome.uncached + output,
    }


def _details(outcome: Outcome, rules: ModelRules) -> dict[str, Any]:
    if not (rules.cache_details and outcome.details):
        return {}
    return {"cacheDetails": [{"inputTokens": tokens, "ttl": ttl} for ttl, tokens in outcome.details]}


def _cached(outcome: Outcome) -> dict[str, int]:
    return {
        "cacheReadInputTokenCount": outcome.read,
        "cacheReadInputTokens": outcome.read,
        "cacheWriteInputTokenCount": outcome.write,
        "cacheWriteInputTokens": outcome.write,
    }

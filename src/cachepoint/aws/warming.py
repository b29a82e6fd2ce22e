"""Calls that are made for what they write: what is asked, and what stands for an answer nobody needs."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.prompt.dialects import converse

# Converse wants a question: a conversation ends with its user, and newer models refuse any other end.
_QUESTION = {"role": "user", "content": [{"text": "."}]}
# Thinking is part of what the cache holds, so it stays as it is; its budget must be less than maxTokens
# (Anthropic's documentation on extended thinking, 2026).
_BUDGETS = ("thinking", "reasoning_config")
_BUDGET = "budget_tokens"
NOTHING: Mapping[str, Any] = MappingProxyType({})


def cheapest(request: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the request that is answered with as few tokens as it allows.

    Args:
        request: What `client.converse` takes; messages may be missing, or end with an answer.
    """
    messages = list(request.get("messages") or ())
    asked = messages if messages and messages[-1]["role"] == "user" else [*messages, _QUESTION]
    inference = {k: v for k, v in (request.get("inferenceConfig") or {}).items() if k != "maxTokens"}
    return {**request, "messages": asked, "inferenceConfig": inference | _least(request)}


def _least(request: Mapping[str, Any]) -> dict[str, int]:
    fields = request.get("additionalModelRequestFields") or {}
    # With this, Nova takes no maxTokens (AWS user guide of Nova 2, 2026).
    if (fields.get("reasoningConfig") or {}).get("maxReasoningEffort") == "high":
        return {}
    budgets = [(fields.get(name) or {}).get(_BUDGET) or 0 for name in _BUDGETS]
    # boto3 takes no 0.
    return {"maxTokens": max(budgets) + 1}


def untold(cache: PromptCache, model_id: str, response: Mapping[str, Any] = NOTHING) -> CallReport:
    """The report of a call that could not be planned: its usage, where there is one."""
    return cache.settle(cache.prepare({}, model_id or "unknown", policy="off"), response)


class Unsent(dict[str, Any]):
    """What stands for the response of a call that would write nothing, and was not made."""


def sent(send: Callable[..., Any], **request: Any) -> Any:
    """The response, where the request holds a checkpoint."""
    return send(**request) if any(converse.points(request)) else _nothing()


async def asent(send: Callable[..., Awaitable[Any]], **request: Any) -> Any:
    """As `sent`."""
    return await send(**request) if any(converse.points(request)) else _nothing()


def _nothing() -> Unsent:
    return Unsent(
        output={"message": {"role": "assistant", "content": [{"text": ""}]}},
        stopReason="max_tokens",
        usage={},
        metrics={"latencyMs": 0},
        ResponseMetadata={},
    )

"""Calls that are made for what they write: what is asked, and what stands for an answer nobody needs."""

import json
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from types import MappingProxyType
from typing import Any

from cachepoint.aws import bodies
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.prompt.dialects import converse

# A conversation ends with its user, and newer models refuse any other end. By dialect.
_QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    "converse": {"role": "user", "content": [{"text": "."}]},
    "nova": {"role": "user", "content": [{"text": "."}]},
    "messages": {"role": "user", "content": [{"type": "text", "text": "."}]},
}
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
    fields = request.get("additionalModelRequestFields") or {}
    return {
        **request,
        "messages": _asking(request, "converse"),
        "inferenceConfig": _short(request.get("inferenceConfig"), fields),
    }


def cheapest_body(body: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    """As `cheapest`, of a body of InvokeModel.

    Args:
        body: The body as a dict.
        dialect: Its form.
    """
    asked = {**body, "messages": _asking(body, dialect)}
    if dialect == "messages":
        return {**asked, "max_tokens": _budget(body) + 1}
    inference = body.get("inferenceConfig") or {}
    return {**asked, "inferenceConfig": _short(inference, inference)}


def _asking(request: Mapping[str, Any], dialect: str) -> list[Any]:
    messages = list(request.get("messages") or ())
    return messages if messages and messages[-1]["role"] == "user" else [*messages, _QUESTIONS[dialect]]


def _short(inference: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the least `maxTokens` that the thinking among these fields allows."""
    kept = {k: v for k, v in (inference or {}).items() if k not in {"maxTokens", "max_new_tokens"}}
    # With this, Nova takes no maxTokens (AWS user guide of Nova 2, 2026).
    if (fields.get("reasoningConfig") or {}).get("maxReasoningEffort") == "high":
        return kept
    # boto3 takes no 0.
    return kept | {"maxTokens": _budget(fields) + 1}


def _budget(fields: Mapping[str, Any]) -> int:
    return max((fields.get(name) or {}).get(_BUDGET) or 0 for name in _BUDGETS)


def untold(cache: PromptCache, model_id: str, response: Mapping[str, Any] = NOTHING) -> CallReport:
    """The report of a call that could not be planned: its usage, where there is one."""
    return cache.settle(cache.prepare({}, model_id or "unknown", policy="off"), response)


class Unsent(dict[str, Any]):
    """What stands for the response of a call that would write nothing, and was not made."""


def sent(send: Callable[..., Any], **request: Any) -> Any:
    """The response, where the request holds a checkpoint."""
    return send(**request) if _writes(request) else _nothing(request)


async def asent(send: Callable[..., Awaitable[Any]], **request: Any) -> Any:
    """As `sent`."""
    if _writes(request):
        return await send(**request)
    nothing = _nothing(request)
    return Unsent(nothing, body=_Awaited(nothing["body"])) if "body" in request else nothing


class Catching:
    """A client that sends nothing: it keeps what it was asked.

    Args:
        client: What it stands for; all else is asked of that.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.request: Mapping[str, Any] | None = None

    def converse(self, **request: Any) -> Unsent:
        """`client.converse`."""
        self.request = request
        return _nothing(request)

    def invoke_model(self, **request: Any) -> Unsent:
        """`client.invoke_model`."""
        return self.converse(**request)

    def caught(self, ask: Callable[[], Any]) -> Mapping[str, Any]:
        """What `ask()` asked of it; what that raises is raised, unless it had asked already."""
        try:
            ask()
        except Exception:
            if self.request is None:
                raise
        return self.request or {}

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made asks before there is a client.
        if name.startswith("__") or name == "_client":
            raise AttributeError(name)
        return getattr(self._client, name)


class _Awaited:
    """A body that is awaited."""

    def __init__(self, body: BytesIO) -> None:
        self._body = body

    async def read(self, amt: int | None = None) -> bytes:
        """What is left of it, or so many bytes."""
        return self._body.read(amt)


def _writes(request: Mapping[str, Any]) -> bool:
    return any(bodies.points(request) if "body" in request else converse.points(request))


def _nothing(request: Mapping[str, Any]) -> Unsent:
    if "body" in request:
        said = json.dumps({**_CONVERSED, **_MESSAGE}).encode()
        return Unsent(body=BytesIO(said), contentType="application/json", ResponseMetadata={})
    return Unsent(**_CONVERSED, metrics={"latencyMs": 0}, ResponseMetadata={})


_CONVERSED: Mapping[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": ""}]}},
    "stopReason": "max_tokens",
    "usage": {},
}
_MESSAGE: Mapping[str, Any] = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": ""}],
    "stop_reason": "max_tokens",
    "stop_sequence": None,
}

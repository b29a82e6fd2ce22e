"""LlamaIndex's own ways to ask for a checkpoint: CachePoint blocks and the two flags.

Upstream drops a CachePoint's ttl, and writes into the caller's object where its type is not "default".
Its conversion copies `cache_control.type` into the request, so the ttl rides on a string that equals
"default": whatever does not look at it sends what upstream would have sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import CacheControl, CachePoint, ChatMessage

from cachepoint.core.models.rules import Ttl

CACHE_POINT = "cachePoint"


class _Default(str):
    """The type "default", and the ttl that was asked for."""

    __slots__ = ("ttl",)
    ttl: str

    @classmethod
    def lasting(cls, ttl: str) -> "_Default":
        made = cls("default")
        made.ttl = ttl
        return made


def copied(messages: Sequence[ChatMessage], *, carry: bool) -> list[ChatMessage]:
    """The messages, those with CachePoints as copies that upstream may write into.

    Args:
        messages: The caller's; they stay as they are.
        carry: Whether the copies' CachePoints carry their ttl.
    """
    return [_copied(message, carry=carry) for message in messages]


def _copied(message: ChatMessage, *, carry: bool) -> ChatMessage:
    if not any(isinstance(block, CachePoint) for block in message.blocks):
        return message
    blocks = [
        _point(block, carry=carry) if isinstance(block, CachePoint) else block for block in message.blocks
    ]
    return message.model_copy(update={"blocks": blocks})


def _point(block: CachePoint, *, carry: bool) -> CachePoint:
    asked = block.cache_control
    kind = _Default.lasting(asked.ttl) if carry else asked.type
    return block.model_copy(update={"cache_control": CacheControl.model_construct(type=kind, ttl=asked.ttl)})


def own_tools(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a call, with a list of tools that upstream may append a checkpoint to."""
    config = options.get("tools")
    if not isinstance(config, Mapping) or "tools" not in config:
        return dict(options)
    return {**options, "tools": {**config, "tools": list(config["tools"])}}


def with_ttls(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the ttl of every CachePoint in its place."""
    out = dict(request)
    if request.get("system"):
        out["system"] = _listed(request["system"])
    out["messages"] = [
        {**message, "content": _listed(message["content"])} if "content" in message else message
        for message in request.get("messages") or ()
    ]
    return out


def _listed(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [_item(item) for item in items]


def _item(item: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = (item.get(CACHE_POINT) or {}).get("type")
    if isinstance(kind, _Default):
        return {CACHE_POINT: {"type": "default"} | _ttl(kind.ttl)}
    result = item.get("toolResult")
    if result is None or not any(CACHE_POINT in part for part in result.get("content") or ()):
        return item
    return {"toolResult": {**result, "content": _listed(result["content"])}}


def point(ttl: Ttl) -> dict[str, Any]:
    """A `cachePoint` block."""
    return {CACHE_POINT: {"type": "default"} | _ttl(ttl)}


def _ttl(ttl: str) -> dict[str, str]:
    return {} if ttl == "5m" else {"ttl": ttl}


def with_tools_point(request: Mapping[str, Any], ttl: Ttl, *, asked: bool) -> dict[str, Any]:
    """The request with one checkpoint behind its tools, where a flag asked for it.

    Args:
        request: What upstream made; `chat_with_tools(tool_caching=True)` has put a bare one there.
        ttl: How long it is to live; a flag names no ttl, so the policy's holds.
        asked: Whether the constructor's flag asks for it.
    """
    config = request.get("toolConfig") or {}
    tools = list(_without_bare(config.get("tools") or ()))
    bare = len(tools) < len(config.get("tools") or ())
    if not tools or not (asked or bare) or CACHE_POINT in tools[-1]:
        return dict(request)
    return {**request, "toolConfig": {**config, "tools": [*tools, point(ttl)]}}


def _without_bare(tools: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (tool for tool in tools if tool.get(CACHE_POINT) != {"type": "default"})


def without_flag(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without the checkpoint that upstream's `system_prompt_caching` put at its system's end.

    The callers' own carry their ttl by now, so that a plain one is upstream's.
    """
    system = request.get("system") or ()
    kind = (system[-1].get(CACHE_POINT) or {}).get("type") if system else None
    return dict(request) if type(kind) is not str else {**request, "system": list(system[:-1])}


def with_system_point(request: Mapping[str, Any], ttl: Ttl) -> dict[str, Any]:
    """The request with one checkpoint at the end of its system prompt."""
    system = request.get("system") or ()
    if not system or CACHE_POINT in system[-1]:
        return dict(request)
    return {**request, "system": [*system, point(ttl)]}


def without_points(request: Mapping[str, Any], keeps: Iterator[bool]) -> dict[str, Any]:
    """A copy of the request with some of its checkpoints left out.

    Args:
        request: What the core wrote; it stays as it is.
        keeps: For every checkpoint of it, in the order tools, system, messages, whether it stays.
    """
    out = dict(request)
    if request.get("toolConfig"):
        tools = _some(request["toolConfig"].get("tools") or (), keeps)
        out["toolConfig"] = {**request["toolConfig"], "tools": tools}
    if request.get("system"):
        out["system"] = _some(request["system"], keeps)
    out["messages"] = [
        {**message, "content": _some(message.get("content") or (), keeps)}
        for message in request.get("messages") or ()
    ]
    return out


def _some(items: Sequence[Mapping[str, Any]], keeps: Iterator[bool]) -> list[Mapping[str, Any]]:
    return [item for item in items if CACHE_POINT not in item or next(keeps)]

"""The wire forms, as plain dicts: each reads a request into raw blocks and writes a plan into a copy."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from cachepoint.core.prompt.dialects import converse, messages, nova

DIALECTS: dict[str, ModuleType] = {"converse": converse, "messages": messages, "nova": nova}


def dialect_of(request: Mapping[str, Any]) -> str:
    """The form that a request looks like: `converse`, `messages` (Anthropic's body) or `nova`.

    Raises:
        KeyError: Where it has no messages.
    """
    if "anthropic_version" in request or "max_tokens" in request:
        return "messages"
    if "schemaVersion" in request:
        return "nova"
    return "messages" if any("type" in block for block in _blocks(request)) else "converse"


def _blocks(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    contents = [m.get("content") for m in request["messages"] if isinstance(m, Mapping)]
    lists = [c for c in (*contents, request.get("system"), request.get("tools")) if isinstance(c, list)]
    return [block for each in lists for block in each if isinstance(block, Mapping)]

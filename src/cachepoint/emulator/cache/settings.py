"""What a Converse body sets besides its text, as far as caching or the checks depend on it."""

from typing import Any

__all__ = ["effort", "is_forced", "text_format", "thinking", "tool_choice"]

_FORCED = ("any", "tool")


def tool_choice(request: dict[str, Any]) -> dict[str, Any]:
    """`toolChoice`; empty where the model may choose."""
    return (request.get("toolConfig") or {}).get("toolChoice") or {}


def is_forced(request: dict[str, Any]) -> bool:
    """Whether the model has to call a tool."""
    return any(key in _FORCED for key in tool_choice(request))


def thinking(request: dict[str, Any]) -> dict[str, Any] | None:
    """How the model is to think; None where thinking is off."""
    extra = request.get("additionalModelRequestFields") or {}
    wanted = extra.get("thinking") or extra.get("reasoning_config") or {}
    return wanted if wanted.get("type", "disabled") != "disabled" else None


def effort(request: dict[str, Any]) -> str:
    """The effort asked for, in either of its places; "high" is what the models take where none is named."""
    extra = (request.get("additionalModelRequestFields") or {}).get("output_config") or {}
    return str(extra.get("effort") or (request.get("outputConfig") or {}).get("effort") or "high")


def text_format(request: dict[str, Any]) -> dict[str, Any]:
    """`outputConfig.textFormat`; empty where the text is free."""
    return (request.get("outputConfig") or {}).get("textFormat") or {}

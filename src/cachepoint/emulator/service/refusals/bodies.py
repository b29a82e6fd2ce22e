"""The fields of an Anthropic body of InvokeModel, by model.

After Anthropic's Messages API, 2026-11, and what people saw Bedrock refuse of it.
"""

from functools import cache
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.refusals.pydantic import (
    Kind,
    anything,
    boolean,
    choice,
    each,
    matching,
    nullable,
    number,
    record,
    structure,
    tagged,
    text,
    text_or,
    whole,
)

__all__ = ["body_fault"]

_NAME = matching("^[a-zA-Z0-9_-]{1,128}$")
_ID = matching("^[a-zA-Z0-9_-]+$")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TYPE: dict[str, Kind] = {"type": text}
_FORMAT = tagged({"json_schema": structure({**_TYPE, "schema": record}, "schema")})
# Tools of Anthropic's that Bedrock knows; claude-quickstarts#251, 2025-04, names the older ones.
_THEIR_TOOLS = (
    "bash_20241022",
    "bash_20250124",
    "computer_20241022",
    "computer_20250124",
    "computer_20251124",
    "memory_20250818",
    "text_editor_20241022",
    "text_editor_20250124",
    "text_editor_20250429",
    "text_editor_20250728",
    "tool_search_tool_bm25_20251119",
    "tool_search_tool_regex_20251119",
)
# Blocks that the API makes or refers to; what is in them is not looked into.
_THEIR_BLOCKS = (
    "container_upload",
    "mcp_tool_result",
    "mcp_tool_use",
    "search_result",
    "server_tool_use",
    "tool_addition",
    "tool_reference",
    "tool_removal",
    "tool_search_tool_result",
)


def body_fault(body: Any, rules: ModelRules) -> str | None:
    """What is wrong with the fields of an Anthropic body; None if nothing is."""
    return _body(rules)(body, "")


@cache
def _body(rules: ModelRules) -> Kind:
    control = _control(rules)
    fields: dict[str, Kind] = {
        "anthropic_version": text,
        "anthropic_beta": each(text),
        "max_tokens": whole(1),
        "messages": each(_message(control)),
        "system": text_or(each(structure({"type": choice("text"), "text": text, **control}, "type", "text"))),
        "temperature": number(0, 1),
        "top_p": number(0, 1),
        "top_k": whole(0),
        "stop_sequences": each(text),
        "tools": each(_tool(control)),
        "tool_choice": _tool_choice(),
        "thinking": _thinking(),
        "metadata": structure({"user_id": nullable(text)}),
        "output_config": structure({"effort": text, "format": nullable(_FORMAT), "task_budget": record}),
        "output_format": nullable(_FORMAT),
        "context_management": nullable(record),
    }
    automatic = control if rules.automatic else {}
    return structure({**fields, **automatic}, "anthropic_version", "max_tokens", "messages")


def _control(rules: ModelRules) -> dict[str, Kind]:
    """`cache_control`, where the model has it.

    A model that only knows 5m has no `ttl`: litellm#15880, 2025-10; earendil-works/pi#1570, 2026-02.
    """
    if not rules.explicit:
        return {}
    ttl: dict[str, Kind] = {"ttl": choice("5m", "1h")} if "1h" in rules.ttls else {}
    return {"cache_control": nullable(tagged({"ephemeral": structure({**_TYPE, **ttl})}))}


def _message(control: dict[str, Kind]) -> Kind:
    result = structure(
        {
            **_TYPE,
            "tool_use_id": _ID,
            "content": text_or(each(tagged(_parts(control)))),
            "is_error": boolean,
            **control,
        },
        "tool_use_id",
    )
    blocks: dict[str, Kind] = {
        **_parts(control),
        "tool_use": structure(
            {**_TYPE, "id": _ID, "name": text, "input": record, "caller": anything, **control},
            "id",
            "name",
            "input",
        ),
        "tool_result": result,
        "thinking": structure({**_TYPE, "thinking": text, "signature": text}, "thinking", "signature"),
        "redacted_thinking": structure({**_TYPE, "data": text}, "data"),
        **dict.fromkeys(_THEIR_BLOCKS, record),
    }
    return structure({"role": text, "content": text_or(each(tagged(blocks)))}, "role", "content")


def _parts(control: dict[str, Kind]) -> dict[str, Kind]:
    """The blocks that a message and a tool's result both may have."""
    image = structure({**_TYPE, "media_type": choice(*_IMAGES), "data": text}, "media_type", "data")
    data = structure({**_TYPE, "media_type": text, "data": text}, "media_type", "data")
    content = structure({**_TYPE, "content": text_or(each(record))}, "content")
    document = {
        **_TYPE,
        "source": tagged({"base64": data, "text": data, "content": content}),
        "title": nullable(text),
        "context": nullable(text),
        "citations": nullable(structure({"enabled": boolean})),
    }
    return {
        "text": structure({**_TYPE, "text": text, "citations": nullable(each(record)), **control}, "text"),
        "image": structure({**_TYPE, "source": tagged({"base64": image}), **control}, "source"),
        "document": structure({**document, **control}, "source"),
        "search_result": record,
        "tool_reference": record,
    }


def _tool(control: dict[str, Kind]) -> Kind:
    custom = structure(
        {
            **_TYPE,
            "name": _NAME,
            "description": text,
            "input_schema": record,
            "strict": boolean,
            "defer_loading": boolean,
            "input_examples": each(record),
            "allowed_callers": each(text),
            "eager_input_streaming": nullable(boolean),
            **control,
        },
        "name",
        "input_schema",
    )
    return tagged({"custom": custom, **dict.fromkeys(_THEIR_TOOLS, record)}, default="custom")


def _tool_choice() -> Kind:
    alone: dict[str, Kind] = {**_TYPE, "disable_parallel_tool_use": boolean}
    return tagged(
        {
            "auto": structure(alone),
            "any": structure(alone),
            "tool": structure({**alone, "name": text}, "name"),
            "none": structure(_TYPE),
        }
    )


def _thinking() -> Kind:
    display: dict[str, Kind] = {**_TYPE, "display": nullable(text)}
    return tagged(
        {
            "enabled": structure({**display, "budget_tokens": whole(1024)}, "budget_tokens"),
            "adaptive": structure(display),
            "disabled": structure(_TYPE),
        }
    )

"""What Anthropic's API refuses of a conversation, and Converse before it in words of its own."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from cachepoint.emulator.cache.settings import text_format
from cachepoint.emulator.responders.schema_form import is_schema
from cachepoint.emulator.responders.strict_json import read_json
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, model_error

__all__ = ["CHECKS"]

_ROLES = ("user", "assistant")


def _no_messages(checked: Checked) -> Refusal | None:
    return None if checked.messages else model_error("messages: at least one message is required")


def _roles(checked: Checked) -> Refusal | None:
    # hermes-agent and litellm#32578, 2026-07, on Haiku 4.5 and Sonnet 4.6; Opus 4.7 has other words for it.
    roles = (message["role"] for message in checked.messages)
    known = (*_ROLES, "system") if checked.rules.late_system else _ROLES
    role = next((role for role in roles if role not in known), None)
    if role is None:
        return None
    hint = (
        'The Messages API accepts a top-level `system` parameter, not "system" as an input message role.'
        if role == "system"
        else 'Allowed roles are "user" or "assistant".'
    )
    return model_error(f'messages: Unexpected role "{role}". {hint}')


def _empty_content(checked: Checked) -> Refusal | None:
    empty = (index for index, message in enumerate(checked.messages[:-1]) if not message["content"])
    text = "all messages must have non-empty content except for the optional final assistant message"
    index = next(empty, None)
    return None if index is None else model_error(f"messages.{index}: {text}")


def _marked_empty_text(checked: Checked) -> Refusal | None:
    # hermes-agent#1216, 2026-03; in system without a word behind the index: batch API, 2026.
    point = next((point for point in checked.points if point.before.get("text") == ""), None)
    if point is None:
        return None
    at = f"{point.path.replace('/', '.')}.{point.carrier}"
    where = at if point.path == "system" else f"{at}.text"
    return model_error(f"{where}: cache_control cannot be set for empty text blocks")


def _empty_text(checked: Checked) -> Refusal | None:
    # continuedev/continue#11045, 2026-03, on InvokeModelWithResponseStream
    if any(block.get("text") == "" for block in checked.system):
        return model_error("system: text content blocks must be non-empty")
    blocks = (block for message in checked.messages for block in message["content"])
    empty = any(part.get("text") == "" for block in blocks for part in _with_parts(block))
    return model_error("messages: text content blocks must be non-empty") if empty else None


def _with_parts(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield block
    yield from (block.get("toolResult") or {}).get("content", ())


def _tool_pairs(checked: Checked) -> Refusal | None:
    turns: list[dict[str, Any]] = [{"content": []}, *checked.messages, {"content": []}]
    for index, (before, after) in enumerate(pairwise(turns), start=-1):
        if refusal := _unanswered(index, before, after) or _uncalled(index + 1, before, after):
            return refusal
    return None


def _ids(message: dict[str, Any], key: str) -> list[str]:
    return [block[key]["toolUseId"] for block in message["content"] if key in block]


def _unanswered(index: int, before: dict[str, Any], after: dict[str, Any]) -> Refusal | None:
    # anthropics/claude-code#7929, 2025-09
    answered = set(_ids(after, "toolResult"))
    missing = ", ".join(call for call in _ids(before, "toolUse") if call not in answered)
    text = (
        "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}."
        " Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )
    return model_error(text.format(index, missing)) if missing else None


def _uncalled(index: int, before: dict[str, Any], after: dict[str, Any]) -> Refusal | None:
    # anthropics/claude-code#13460, 2025-12
    called = set(_ids(before, "toolUse"))
    blocks = [block for block in after["content"] if "cachePoint" not in block]
    results = ((number, block["toolResult"]["toolUseId"]) for number, block in _results(blocks))
    text = (
        "messages.{}.content.{}: unexpected `tool_use_id` found in `tool_result` blocks: {}."
        " Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
    )
    extra = next(((number, call) for number, call in results if call not in called), None)
    return model_error(text.format(index, *extra)) if extra else None


def _results(blocks: list[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((number, block) for number, block in enumerate(blocks) if "toolResult" in block)


def _output_schema(checked: Checked) -> Refusal | None:
    definition = (text_format(checked.body).get("structure") or {}).get("jsonSchema")
    wrong = definition and not is_schema(read_json(definition["schema"]))
    # The words are those for a tool's schema.
    return model_error("output_config.format.schema: JSON schema is invalid.") if wrong else None


CHECKS: tuple[Check, ...] = (
    _no_messages,
    _roles,
    _empty_content,
    _marked_empty_text,
    _empty_text,
    _tool_pairs,
    _output_schema,
)

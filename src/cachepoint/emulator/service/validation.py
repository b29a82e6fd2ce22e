"""What Bedrock refuses, in its own words: a table of checks, of which the first refusal is the answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cachepoint.emulator.cache.prompt import Prompt
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.schema_form import is_schema
from cachepoint.emulator.service.shape import shape_fault

__all__ = ["UNKNOWN_MODEL", "Refusal", "invalid", "refuse_prompt", "refuse_request"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, error code and text."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A request on its way through the checks; `body` has passed the check of its shape."""

    body: dict[str, Any]
    rules: ModelRules

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body.get("messages") or []

    @property
    def system(self) -> list[dict[str, Any]]:
        return self.body.get("system") or []

    @property
    def tools(self) -> list[dict[str, Any]]:
        return (self.body.get("toolConfig") or {}).get("tools") or []


def invalid(message: str) -> Refusal:
    """A 400, the form of nearly all of them."""
    return Refusal(400, "ValidationException", message)


UNKNOWN_MODEL = invalid("The provided model identifier is invalid.")
_REMOVE = "Please remove the invalid cache point and try again."
_NOTHING = f"There is nothing available to cache. {_REMOVE}"
_REASONING = f"Cache point cannot be inserted after reasoning block. {_REMOVE}"
_UNSUPPORTED = {
    "denied": Refusal(
        403,
        "AccessDeniedException",
        "You invoked an unsupported model or your request did not allow prompt caching."
        " See the documentation for more information.",
    ),
    "field": invalid(
        "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again."
    ),
}
_EXTRANEOUS = (
    "Malformed input request: #/{}: extraneous key [cachePoint] is not permitted,"
    " please reformat your input and try again."
)
_EXTENDED_TTL = "Extended TTL prompt caching is only supported for Anthropic models"
_TOO_MANY = "A maximum of {} blocks with cache_control may be provided. Found {}."
_TTL_ORDER = (
    "{}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    " Note that blocks are processed in the following order: `tools`, `system`, `messages`."
)
_MODEL_ERRORS = "The model returned the following errors: {}"


def refuse_request(body: Any, rules: ModelRules) -> Refusal | None:
    """The refusal of a Converse body, or None."""
    if fault := shape_fault(body):
        return invalid(fault)
    checked = Checked(body, rules)
    return next((refusal for check in _CHECKS if (refusal := check(checked))), None)


def refuse_prompt(prompt: Prompt, rules: ModelRules, tokens: int) -> Refusal | None:
    """The refusal of what is only known once the prompt is read: number and order of checkpoints, length."""
    return _count(prompt, rules) or _ttl_order(prompt) or _window(rules, tokens)


def _count(prompt: Prompt, rules: ModelRules) -> Refusal | None:
    found = len(prompt.markers)
    return invalid(_TOO_MANY.format(rules.max_checkpoints, found)) if found > rules.max_checkpoints else None


def _ttl_order(prompt: Prompt) -> Refusal | None:
    pairs = pairwise(prompt.markers)
    late = next((after for before, after in pairs if (before.ttl, after.ttl) == ("5m", "1h")), None)
    return invalid(_TTL_ORDER.format(late.at)) if late else None


def _window(rules: ModelRules, tokens: int) -> Refusal | None:
    return invalid("Input is too long for requested model.") if tokens > rules.context_window else None


def _lists(checked: Checked) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    yield "toolConfig/tools", checked.tools
    yield "system", checked.system
    for index, message in enumerate(checked.messages):
        yield f"messages/{index}/content", message["content"]


def _points(checked: Checked) -> Iterator[tuple[str, list[dict[str, Any]], int]]:
    """Every checkpoint: the list it is in, that list's path, its index there."""
    for path, items in _lists(checked):
        yield from ((path, items, index) for index, item in enumerate(items) if "cachePoint" in item)


def _carrier(items: list[dict[str, Any]], index: int) -> int:
    """The block that a checkpoint sits on, counted as if checkpoints were no blocks."""
    return sum("cachePoint" not in item for item in items[:index]) - 1


def _before(items: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """The nearest block before a checkpoint; empty if there is none."""
    return next((item for item in reversed(items[:index]) if "cachePoint" not in item), {})


def _unsupported_model(checked: Checked) -> Refusal | None:
    asked = next(_points(checked), None)
    return _UNSUPPORTED[checked.rules.unsupported] if asked and not checked.rules.explicit else None


def _nothing_before(checked: Checked) -> Refusal | None:
    lone = any(_carrier(items, index) < 0 for _, items, index in _points(checked))
    return invalid(_NOTHING) if lone else None


def _after_reasoning(checked: Checked) -> Refusal | None:
    # Only the block before: rig#1673 suspects that the whole message is looked at, rig#1833 disputes it.
    after = any("reasoningContent" in _before(items, index) for _, items, index in _points(checked))
    return invalid(_REASONING) if after else None


def _after_document(checked: Checked) -> Refusal | None:
    # [text, document, cachePoint] is refused at content.2: the point itself, left without a block to
    # sit on (aws-sdk-java-v2#6277; agentcore-public-stack#668, 2026-07).
    for path, items, index in _points(checked):
        if _unmarkable(_before(items, index)):
            at = f"{path.replace('/', '.')}.{_carrier(items, index) + 1}"
            return invalid(_MODEL_ERRORS.format(f"{at}.type: Field required"))
    return None


def _unmarkable(block: dict[str, Any]) -> bool:
    # PDFs and images carry a checkpoint, other documents and videos do not: strands#1966, pydantic-ai.
    return "video" in block or ("document" in block and block["document"].get("format", "txt") != "pdf")


def _nova_tools(checked: Checked) -> Refusal | None:
    if checked.rules.family != "nova":
        return None
    for path, items, index in _points(checked):
        if path == "toolConfig/tools" or any("toolUse" in item or "toolResult" in item for item in items):
            return invalid(_EXTRANEOUS.format(f"{path}/{max(0, _carrier(items, index))}"))
    return None


def _nova_ttl(checked: Checked) -> Refusal | None:
    extended = any(items[index]["cachePoint"].get("ttl") == "1h" for _, items, index in _points(checked))
    return invalid(_EXTENDED_TTL) if extended and checked.rules.family == "nova" else None


def _latency(checked: Checked) -> Refusal | None:
    # boto3#4626
    point = next(_points(checked), None)
    if point is None or (checked.body.get("performanceConfig") or {}).get("latency") != "optimized":
        return None
    path, items, index = point
    at = path.replace("toolConfig/", "").replace("/", ".")
    return invalid(f"{at}.{max(0, _carrier(items, index))}.cache_control: Extra inputs are not permitted")


def _no_messages(checked: Checked) -> Refusal | None:
    start = "A conversation must start with a user message."
    return (
        None
        if checked.messages
        else invalid(f"{start} Try again with a conversation that starts with a user message.")
    )


def _system_role(checked: Checked) -> Refusal | None:
    # stdapi.ai#266, 2026-09-10: refused on every model for which the answer is known.
    late = any(message["role"] == "system" for message in checked.messages)
    return invalid("This model doesn't support system messages.") if late else None


def _tool_changes(checked: Checked) -> Refusal | None:
    # No model served these through Converse on 2026-08-02 and 2026-09-10: stdapi.ai#266.
    for key in ("toolAddition", "toolRemoval"):
        if any(key in block for message in checked.messages for block in message["content"]):
            return invalid(f"This model doesn't support the {key} field for system messages.")
    return None


def _empty_content(checked: Checked) -> Refusal | None:
    empty = next((index for index, message in enumerate(checked.messages) if not message["content"]), None)
    if empty is None:
        return None
    text = (
        "The content field in the Message object at messages.{} is empty."
        " Add a ContentBlock object to the content field and try again."
    )
    return invalid(text.format(empty))


def _blank_text(checked: Checked) -> Refusal | None:
    # Sonnet 4.5 refuses "" (hermes-agent#55092, 2026-09) and took "\n" (pydantic-ai recording, 2026-08);
    # other models refuse white space too (langchain-aws#403, 2025-03).
    blank = _is_empty if checked.rules.family == "claude" else _is_white
    text = (
        "The text field in the ContentBlock object at messages.{}.content.{} is blank."
        " Add text to the text field, and try again."
    )
    for i, message in enumerate(checked.messages):
        for j, block in enumerate(message["content"]):
            if blank(block.get("text")):
                return invalid(text.format(i, j))
    return None


def _is_empty(text: str | None) -> bool:
    return text == ""


def _is_white(text: str | None) -> bool:
    return text is not None and not text.strip()


def _document_without_text(checked: Checked) -> Refusal | None:
    # archestra#4220, 2026-04
    def bare(message: dict[str, Any]) -> bool:
        keys = {key for block in message["content"] for key in block}
        return "document" in keys and "text" not in keys

    alone = any(message["role"] == "user" and bare(message) for message in checked.messages)
    return invalid("A text block must be included when using documents.") if alone else None


def _tools_undefined(checked: Checked) -> Refusal | None:
    keys = {key for message in checked.messages for block in message["content"] for key in block}
    undefined = not checked.tools and keys & {"toolUse", "toolResult"}
    text = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    return invalid(text) if undefined else None


def _tool_pairs(checked: Checked) -> Refusal | None:
    turns = [{"role": "user", "content": []}, *checked.messages]
    for index, (before, message) in enumerate(pairwise(turns)):
        if refusal := _unanswered(index, before, message) or _uncalled(index, before, message):
            return refusal
    return _open_call(len(turns) - 2, turns[-1])


def _ids(message: dict[str, Any], key: str) -> list[str]:
    return [block[key]["toolUseId"] for block in message["content"] if key in block]


def _unanswered(index: int, before: dict[str, Any], message: dict[str, Any]) -> Refusal | None:
    # agno#6698, 2026-02; camel#3954, 2026-03
    answered = _ids(message, "toolResult")
    missing = [call for call in _ids(before, "toolUse") if call not in answered]
    text = "Expected toolResult blocks at messages.{}.content for the following Ids: {}"
    return invalid(text.format(index, ", ".join(missing))) if missing else None


def _uncalled(index: int, before: dict[str, Any], message: dict[str, Any]) -> Refusal | None:
    # pydantic-ai#2327
    extra = len(_ids(message, "toolResult")) > len(_ids(before, "toolUse"))
    exceeds = "exceeds the number of toolUse blocks of previous turn."
    text = f"The number of toolResult blocks at messages.{{}}.content {exceeds}"
    return invalid(text.format(index)) if extra else None


def _open_call(index: int, last: dict[str, Any]) -> Refusal | None:
    ids = ", ".join(_ids(last, "toolUse"))
    text = (
        f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}."
        " Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )
    return invalid(_MODEL_ERRORS.format(text)) if ids else None


def _empty_error_result(checked: Checked) -> Refusal | None:
    # sample-multi-agent-orchestration-chat-on-agentcore#15, 2026-06
    text = (
        "The content field at messages.{}.content.{}.toolResult cannot be empty when status value is error."
    )
    for i, message in enumerate(checked.messages):
        for j, block in enumerate(message["content"]):
            result = block.get("toolResult") or {}
            if result.get("status") == "error" and not result.get("content"):
                return invalid(text.format(i, j))
    return None


def _tool_schema(checked: Checked) -> Refusal | None:
    # aws-sdk-net#3377
    text = (
        "The format of the value at toolConfig.tools.{}.toolSpec.inputSchema.json is invalid."
        " Provide a json object for the field and try again."
    )
    for index, tool in enumerate(checked.tools):
        if "toolSpec" in tool and not isinstance(tool["toolSpec"]["inputSchema"].get("json"), dict):
            return invalid(text.format(index))
    return None


def _tool_schema_form(checked: Checked) -> Refusal | None:
    # Anthropic's words for a tool schema that is none.
    text = "tools.{}.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12"
    for index, tool in enumerate(checked.tools):
        if "toolSpec" in tool and not is_schema(tool["toolSpec"]["inputSchema"]["json"]):
            return invalid(_MODEL_ERRORS.format(text.format(index)))
    return None


def _output_schema(checked: Checked) -> Refusal | None:
    text_format = (checked.body.get("outputConfig") or {}).get("textFormat") or {}
    at = "outputConfig.textFormat.structure.jsonSchema.schema"
    text = f"The format of the value at {at} is invalid. Provide a json object for the field and try again."
    definition = (text_format.get("structure") or {}).get("jsonSchema")
    return invalid(text) if definition and not _is_json_object(definition["schema"]) else None


def _is_json_object(text: str) -> bool:
    try:
        parsed = json.loads(text)
        return isinstance(parsed, dict) and is_schema(parsed)
    except (ValueError, RecursionError):
        return False


_CHECKS: tuple[Callable[[Checked], Refusal | None], ...] = (
    _no_messages,
    _empty_content,
    _system_role,
    _tool_changes,
    _blank_text,
    _document_without_text,
    _tools_undefined,
    _tool_schema,
    _tool_schema_form,
    _output_schema,
    _empty_error_result,
    _tool_pairs,
    _unsupported_model,
    _nova_tools,
    _nothing_before,
    _after_reasoning,
    _after_document,
    _nova_ttl,
    _latency,
)

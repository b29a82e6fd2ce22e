"""What tools, their schemas, their calls and their results may not be."""

from itertools import pairwise
from typing import Any

from cachepoint.emulator.cache.settings import text_format, tool_choice
from cachepoint.emulator.responders.schema_form import is_schema
from cachepoint.emulator.responders.strict_json import read_json
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = ["CHECKS", "MODEL_CHECKS"]


def _tools_undefined(checked: Checked) -> Refusal | None:
    keys = {key for message in checked.messages for block in message["content"] for key in block}
    undefined = not checked.tools and keys & {"toolUse", "toolResult"}
    text = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    return invalid(text) if undefined else None


def _tool_choice(checked: Checked) -> Refusal | None:
    # any: llama_index#19886, 2025-09, and harness-sdk#1241, 2025-11; tool: bifrost#3196, 2026-05
    if checked.rules.family != "llama":
        return None
    forced = next((key for key in ("any", "tool") if key in tool_choice(checked.body)), None)
    text = "This model doesn't support the {0} field. Remove {0} and try again."
    return invalid(text.format(f"toolConfig.toolChoice.{forced}")) if forced else None


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
            return model_error(text.format(index))
    return None


def _strict_tool(checked: Checked) -> Refusal | None:
    # lobehub#19876, 2026-09, on Opus 5.5 and Fable 5.1; Opus 5 and Fable 5 take it
    specs = [tool["toolSpec"] for tool in checked.tools if "toolSpec" in tool]
    strict = next((index for index, spec in enumerate(specs) if "strict" in spec), None)
    if checked.rules.strict_tools or strict is None:
        return None
    return model_error(f"tools.{strict}.custom.strict: Extra inputs are not permitted")


def _refused_schema(checked: Checked) -> Refusal | None:
    # models.dev#1765, 2026-05, and vercel/ai#19988, 2026-08: from 4.7 on; vercel/ai#17719, 2026-07: Sonnet 4
    refused = checked.rules.refused_schema if text_format(checked.body) else ""
    return model_error(f"{refused}: Extra inputs are not permitted") if refused else None


def _output_schema(checked: Checked) -> Refusal | None:
    at = "outputConfig.textFormat.structure.jsonSchema.schema"
    text = f"The format of the value at {at} is invalid. Provide a json object for the field and try again."
    definition = (text_format(checked.body).get("structure") or {}).get("jsonSchema")
    return invalid(text) if definition and not _is_json_object(definition["schema"]) else None


def _is_json_object(text: str) -> bool:
    try:
        schema = read_json(text)
    except ValueError:
        return False
    return isinstance(schema, dict) and is_schema(schema)


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


def _result_json(checked: Checked) -> Refusal | None:
    # bifrost#5762, 2026-08
    text = (
        "The format of the value at messages.{}.content.{}.toolResult.content.{}.json is invalid."
        " Provide a json object for the field and try again."
    )
    for i, message in enumerate(checked.messages):
        for j, block in enumerate(message["content"]):
            for k, part in enumerate((block.get("toolResult") or {}).get("content", ())):
                if not isinstance(part.get("json", {}), dict):
                    return invalid(text.format(i, j, k))
    return None


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
    answered = set(_ids(message, "toolResult"))
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
    return model_error(text) if ids else None


CHECKS: tuple[Check, ...] = (
    _tools_undefined,
    _tool_choice,
    _tool_schema,
    _output_schema,
    _empty_error_result,
    _result_json,
    _tool_pairs,
)
MODEL_CHECKS: tuple[Check, ...] = (_strict_tool, _refused_schema, _tool_schema_form)

"""What was seen of Nova's bodies of InvokeModel."""

from functools import partial
from typing import Any

from tests.emulator import wire
from tests.emulator.reported.row import INVOKE, Row
from tests.emulator.wire import NOVA

EXTRANEOUS = (
    "Malformed input request: {}: extraneous key [{}] is not permitted,"
    " please reformat your input and try again."
)
POINT = {"cachePoint": {"type": "default"}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}}


def nova(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks) or [{"text": "hi"}]}], **more}


_row = partial(Row, operation=INVOKE)
ROWS = (
    _row(
        "field that Nova has not",
        "rollwagen/bods#51",
        "2024-12",
        NOVA,
        nova(top_p=1),
        EXTRANEOUS.format("#", "top_p"),
    ),
    _row(
        "field that Nova has not",
        "obsidian-copilot#2145",
        "2026-02",
        NOVA,
        nova(max_tokens=9),
        EXTRANEOUS.format("#", "max_tokens"),
    ),
    _row(
        "field that Nova has not",
        "AWS user guide of Nova 2, Request and response schema",
        "2026-11",
        "us.amazon.nova-2-lite-v1:0",
        nova(inferenceConfig={"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
    ),
    _row(
        "required field",
        "amazon-bedrock-client-for-mac#59",
        "2024-12",
        NOVA,
        {"prompt": "hi"},
        "Malformed input request: #: required key [messages] not found, please reformat your input and try again.",
    ),
    _row(
        "type of a value",
        "rollwagen/bods#51",
        "2024-12",
        NOVA,
        {"messages": [{"role": "user", "content": "hi"}]},
        "Malformed input request: #/messages/0/content: expected type: JSONArray, found: String,"
        " please reformat your input and try again.",
        by_sense=True,
    ),
    _row(
        "checkpoint on Nova",
        "LiteLLM 1.109.1",
        "2026-11",
        NOVA,
        nova({"text": "a"}, POINT),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
    ),
    _row(
        "checkpoint on Nova",
        "LiteLLM 1.109.1",
        "2026-11",
        NOVA,
        nova({"text": "a"}, {**IMAGE, **POINT}),
        EXTRANEOUS.format("#/messages/0/content/1", "cachePoint"),
    ),
    _row(
        "checkpoint on Nova",
        "LiteLLM 1.109.1",
        "2026-11",
        NOVA,
        nova(toolConfig={"tools": [{**wire.TOOL, **POINT}]}),
        EXTRANEOUS.format("#/toolConfig/tools/0", "cachePoint"),
    ),
    _row(
        "1h where there is none",
        "AWS user guide: 5m only",
        "2026-10",
        NOVA,
        nova({"text": "a", "cachePoint": {"type": "default", "ttl": "1h"}}),
        "Extended TTL prompt caching is only supported for Anthropic models",
    ),
    _row(
        "checkpoint on Nova",
        "amazon-bedrock-samples#554",
        "2025-04",
        NOVA,
        nova({"text": "a", **POINT}, {"text": "b"}),
    ),
    _row(
        "field that Nova has not",
        "boto3#4467",
        "2025-03",
        NOVA,
        nova(schemaVersion="messages-v1", inferenceConfig={"maxTokens": 300, "topP": 0.9}),
    ),
    _row(
        "field that Nova has not",
        "Nova user guide",
        "2026",
        NOVA,
        nova(inferenceConfig={"max_new_tokens": 300, "topK": 20}),
    ),
)

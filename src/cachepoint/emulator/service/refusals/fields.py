"""The fields of a Converse and of a CountTokens body, after botocore 1.44.5 `bedrock-runtime`, 2026-11."""

from typing import Any

from cachepoint.emulator.service.refusals.shape import (
    Anything,
    AtLeast,
    Choice,
    Closed,
    ListOf,
    Name,
    OneOf,
    Scalar,
    Shape,
    Struct,
    fault_of,
    stripped,
)

__all__ = ["input_fault", "nova_fault", "shape_fault", "without_nulls", "without_nulls_of_nova"]

_TEXT, _OBJECT, _ANY = Scalar("String", (str,)), Scalar("JSONObject", (dict,)), Anything()
_BOOLEAN = Scalar("Boolean", (bool,))
_NOVA_KEYS = ("text", "image", "document", "video", "audio", "toolUse", "toolResult", "reasoningContent")
_ID, _TOOL_NAME = Name(64, "[a-zA-Z0-9_.:-]+"), Name(64, "[a-zA-Z0-9_-]+")
_CACHE_POINT = Struct({"type": Choice(("default",)), "ttl": Choice(("5m", "1h"))}, ("type",))
_SOURCE = Struct({"bytes": _TEXT, "text": _TEXT, "s3Location": _OBJECT, "content": ListOf(_OBJECT)})
_IMAGE_FORMAT = Choice(("png", "jpeg", "gif", "webp"))
_IMAGE = Struct({"format": _IMAGE_FORMAT, "source": _SOURCE, "error": _OBJECT}, ("source",))
_VIDEO_FORMATS = ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")
_VIDEO = Struct({"format": Choice(_VIDEO_FORMATS), "source": _SOURCE}, ("source",))
_AUDIO = Struct({"format": _TEXT, "source": _SOURCE, "error": _OBJECT}, ("source",))
# In the order in which Bedrock lists them: vercel/ai#5606, 2025-04.
_DOCUMENT_FORMATS = ("docx", "csv", "html", "txt", "pdf", "md", "doc", "xlsx", "xls")
_DOCUMENT = Struct(
    {
        "format": Choice(_DOCUMENT_FORMATS),
        "name": Name(200),
        "source": _SOURCE,
        "context": _TEXT,
        "citations": Struct({"enabled": _BOOLEAN}, ("enabled",)),
    },
    ("name", "source"),
)
_RESULT_PART = OneOf(
    "ToolResultContentBlock",
    # cachePoint is no member of this union; raw HTTP takes it all the same (CacheCanary 0.4.0, 2026-10).
    {
        "json": _ANY,
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _VIDEO,
        "searchResult": _OBJECT,
        "cachePoint": _CACHE_POINT,
    },
)
_TOOL_USE = Struct(
    {"toolUseId": _ID, "name": _TOOL_NAME, "input": _ANY, "type": _TEXT}, ("toolUseId", "name", "input")
)
_TOOL_RESULT = Struct(
    {
        "toolUseId": _ID,
        "content": ListOf(_RESULT_PART),
        "status": Choice(("success", "error")),
        "type": _TEXT,
    },
    ("toolUseId", "content"),
)
_REASONING = Struct(
    {"reasoningText": Struct({"text": _TEXT, "signature": _TEXT}, ("text",)), "redactedContent": _TEXT}
)
_CONTENT = OneOf(
    "ContentBlock",
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _VIDEO,
        "audio": _AUDIO,
        "toolUse": _TOOL_USE,
        "toolResult": _TOOL_RESULT,
        "guardContent": _OBJECT,
        "cachePoint": _CACHE_POINT,
        "reasoningContent": _REASONING,
        "citationsContent": _OBJECT,
        "searchResult": _OBJECT,
        "toolAddition": _OBJECT,
        "toolRemoval": _OBJECT,
    },
)
_SYSTEM = OneOf("SystemContentBlock", {"text": _TEXT, "guardContent": _OBJECT, "cachePoint": _CACHE_POINT})
_TOOL_SPEC = Struct(
    {"name": _TOOL_NAME, "description": Name(), "inputSchema": _OBJECT, "strict": _BOOLEAN},
    ("name", "inputSchema"),
)
_TOOL = OneOf("Tool", {"toolSpec": _TOOL_SPEC, "systemTool": _OBJECT, "cachePoint": _CACHE_POINT})
_TOOL_CHOICE = OneOf(
    "ToolChoice", {"auto": _OBJECT, "any": _OBJECT, "tool": Struct({"name": _TOOL_NAME}, ("name",))}
)
_MESSAGE = Struct(
    {"role": Choice(("user", "assistant", "system")), "content": ListOf(_CONTENT)}, ("role", "content")
)
_INFERENCE = Struct(
    {
        "maxTokens": AtLeast((int,), 1),
        "temperature": AtLeast((int, float), 0, 1),
        "topP": AtLeast((int, float), 0, 1),
        "stopSequences": ListOf(_TEXT),
    }
)
_GUARDRAIL = Struct(
    {
        "guardrailIdentifier": _TEXT,
        "guardrailVersion": _TEXT,
        "trace": Choice(("enabled", "disabled", "enabled_full")),
        "streamProcessingMode": Choice(("sync", "async")),
    },
    ("guardrailIdentifier", "guardrailVersion"),
)
_JSON_SCHEMA = Struct({"schema": _TEXT, "name": _TEXT, "description": _TEXT}, ("schema",))
_TEXT_FORMAT = Struct(
    {"type": Choice(("json_schema",)), "structure": Struct({"jsonSchema": _JSON_SCHEMA})},
    ("type", "structure"),
)
_PROMPT: dict[str, Shape] = {
    "messages": ListOf(_MESSAGE),
    "system": ListOf(_SYSTEM),
    "toolConfig": Struct({"tools": ListOf(_TOOL), "toolChoice": _TOOL_CHOICE}, ("tools",)),
    "additionalModelRequestFields": Struct(
        {
            "thinking": _OBJECT,
            "reasoning_config": _OBJECT,
            "output_config": _OBJECT,
            "anthropic_beta": ListOf(_TEXT),
        },
        open=True,
    ),
}
_FIELDS: dict[str, Shape] = {
    **_PROMPT,
    "inferenceConfig": _INFERENCE,
    "guardrailConfig": _GUARDRAIL,
    "promptVariables": _OBJECT,
    "projectIdentifier": _TEXT,
    "additionalModelResponseFieldPaths": ListOf(_TEXT),
    "requestMetadata": _OBJECT,
    "performanceConfig": Struct({"latency": Choice(("standard", "optimized"))}),
    "serviceTier": Struct({"type": _TEXT}, ("type",)),
    "outputConfig": Struct({"textFormat": _TEXT_FORMAT, "effort": _TEXT}),
}
_CONVERSE = Struct(_FIELDS, ("messages",))
_PROMPT_CALL = Struct(_FIELDS)
_COUNT_INPUT = OneOf(
    "CountTokensInput",
    {"converse": Struct(_PROMPT, ("messages",)), "invokeModel": Struct({"body": _TEXT}, ("body",))},
)
_COUNT = Struct({"input": _COUNT_INPUT}, ("input",))
# Where `cachePoint` is a key is told apart by the place: LiteLLM 1.109.1, 2026-11.
_NOVA_POINT: dict[str, Shape] = {"cachePoint": _CACHE_POINT}
_NOVA_BLOCKS = {key: shape for key, shape in _CONTENT.keys.items() if key in _NOVA_KEYS}
_NOVA_BODY = Closed(
    {
        "schemaVersion": Choice(("messages-v1",)),
        "messages": ListOf(
            Closed(
                {
                    "role": Choice(("user", "assistant")),
                    "content": ListOf(Closed({**_NOVA_BLOCKS, **_NOVA_POINT})),
                },
                ("role", "content"),
            )
        ),
        "system": ListOf(Closed({"text": _TEXT, **_NOVA_POINT}, ("text",))),
        "inferenceConfig": Closed(
            {
                **_INFERENCE.fields,
                "topK": AtLeast((int,), 0, 128),
                "max_new_tokens": AtLeast((int,), 1),
                "top_p": AtLeast((int, float), 0, 1),
                # AWS user guide of Nova 2, "Request and response schema", 2026-11.
                "reasoningConfig": _OBJECT,
            }
        ),
        "toolConfig": Closed({"tools": ListOf(_OBJECT), "toolChoice": _TOOL_CHOICE}, ("tools",)),
        "reasoningConfig": _OBJECT,
        "additionalModelRequestFields": _OBJECT,
    },
    ("messages",),
)
_ANY_BODY = Struct({**_CONVERSE.fields, **_COUNT.fields})


def shape_fault(body: Any, *, brings_messages: bool = False) -> str | None:
    """What is wrong with the shape of a Converse body, in Bedrock's words; None if nothing is.

    With `brings_messages` the model id is that of a prompt, and the body needs none.
    """
    return fault_of(body, _PROMPT_CALL if brings_messages else _CONVERSE)


def input_fault(body: Any) -> str | None:
    """The same for a CountTokens body."""
    return fault_of(body, _COUNT)


def nova_fault(body: Any) -> str | None:
    """The same for Nova's body of InvokeModel."""
    return fault_of(body, _NOVA_BODY)


def without_nulls(body: Any) -> Any:
    """A Converse or CountTokens body without the fields that are null, which Bedrock takes as absent."""
    return stripped(body, _ANY_BODY)


def without_nulls_of_nova(body: Any) -> Any:
    """The same of Nova's body of InvokeModel."""
    return stripped(body, _NOVA_BODY)

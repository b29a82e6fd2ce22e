"""The shape of a Converse body: which fields, of which type, and how Bedrock says that one is wrong.

Fields after botocore 1.44.5 `bedrock-runtime`, 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["input_fault", "shape_fault", "without_nulls"]

_Path = tuple[str | int, ...]

_JSON_NAMES = {
    dict: "JSONObject",
    list: "JSONArray",
    str: "String",
    bool: "Boolean",
    int: "Number",
    float: "Number",
}


@dataclass(frozen=True, slots=True)
class Scalar:
    name: str
    types: tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    types: tuple[type, ...]
    least: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    item: Shape


@dataclass(frozen=True, slots=True)
class Struct:
    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OneOf:
    """A union: exactly one of `keys`, which are checked as deep as the cache needs."""

    name: str
    keys: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Anything:
    pass


Shape = Scalar | Choice | AtLeast | ListOf | Struct | OneOf | Anything

_TEXT, _OBJECT, _ANY = Scalar("String", (str,)), Scalar("JSONObject", (dict,)), Anything()
_BOOLEAN = Scalar("Boolean", (bool,))
_CACHE_POINT = Struct({"type": Choice(("default",)), "ttl": Choice(("5m", "1h"))}, ("type",))
_SOURCE = Struct({"bytes": _TEXT, "text": _TEXT, "s3Location": _OBJECT})
_MEDIA = Struct({"format": _TEXT, "source": _SOURCE}, ("source",))
_DOCUMENT = Struct({"format": _TEXT, "name": _TEXT, "source": _SOURCE}, ("name", "source"))
_RESULT_PART = OneOf(
    "ToolResultContentBlock",
    # cachePoint is no member of this union; raw HTTP takes it all the same (CacheCanary 0.4.0, 2026-10).
    {
        "json": _ANY,
        "text": _TEXT,
        "image": _MEDIA,
        "document": _DOCUMENT,
        "video": _MEDIA,
        "searchResult": _OBJECT,
        "cachePoint": _CACHE_POINT,
    },
)
_TOOL_USE = Struct({"toolUseId": _TEXT, "name": _TEXT, "input": _ANY}, ("toolUseId", "name", "input"))
_TOOL_RESULT = Struct(
    {"toolUseId": _TEXT, "content": ListOf(_RESULT_PART), "status": Choice(("success", "error"))},
    ("toolUseId", "content"),
)
_CONTENT = OneOf(
    "ContentBlock",
    {
        "text": _TEXT,
        "image": _MEDIA,
        "document": _DOCUMENT,
        "video": _MEDIA,
        "audio": _MEDIA,
        "toolUse": _TOOL_USE,
        "toolResult": _TOOL_RESULT,
        "guardContent": _OBJECT,
        "cachePoint": _CACHE_POINT,
        "reasoningContent": _OBJECT,
        "citationsContent": _OBJECT,
        "searchResult": _OBJECT,
        "toolAddition": _OBJECT,
        "toolRemoval": _OBJECT,
    },
)
_SYSTEM = OneOf("SystemContentBlock", {"text": _TEXT, "guardContent": _OBJECT, "cachePoint": _CACHE_POINT})
_TOOL_SPEC = Struct(
    {"name": _TEXT, "description": _TEXT, "inputSchema": _OBJECT, "strict": _BOOLEAN}, ("name", "inputSchema")
)
_TOOL = OneOf("Tool", {"toolSpec": _TOOL_SPEC, "systemTool": _OBJECT, "cachePoint": _CACHE_POINT})
_TOOL_CHOICE = OneOf(
    "ToolChoice", {"auto": _OBJECT, "any": _OBJECT, "tool": Struct({"name": _TEXT}, ("name",))}
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
        {"thinking": _OBJECT, "reasoning_config": _OBJECT, "output_config": _OBJECT}
    ),
}
_CONVERSE = Struct(
    {
        **_PROMPT,
        "inferenceConfig": _INFERENCE,
        "guardrailConfig": _OBJECT,
        "promptVariables": _OBJECT,
        "additionalModelResponseFieldPaths": ListOf(_TEXT),
        "requestMetadata": _OBJECT,
        "performanceConfig": Struct({"latency": Choice(("standard", "optimized"))}),
        "serviceTier": Struct({"type": _TEXT}, ("type",)),
        "outputConfig": Struct({"textFormat": _TEXT_FORMAT, "effort": _TEXT}),
    },
    ("messages",),
)
_COUNT_INPUT = OneOf(
    "CountTokensInput",
    {"converse": Struct(_PROMPT, ("messages",)), "invokeModel": Struct({"body": _TEXT}, ("body",))},
)
_COUNT = Struct({"input": _COUNT_INPUT}, ("input",))
_ANY_BODY = Struct({**_CONVERSE.fields, **_COUNT.fields})


def shape_fault(body: Any) -> str | None:
    """What is wrong with the shape of a Converse body, in Bedrock's words; None if nothing is."""
    return _fault(body, _CONVERSE, ())


def input_fault(body: Any) -> str | None:
    """The same for a CountTokens body."""
    return _fault(body, _COUNT, ())


def without_nulls(body: Any) -> Any:
    """A Converse or CountTokens body without the fields that are null, which Bedrock takes as absent."""
    return _stripped(body, _ANY_BODY)


def _stripped(value: Any, shape: Shape) -> Any:
    if isinstance(shape, ListOf) and isinstance(value, list):
        return [_stripped(item, shape.item) for item in value]
    members = getattr(shape, "fields", None) or getattr(shape, "keys", None)
    if members is None or not isinstance(value, dict):
        return value
    return {key: _stripped(item, members.get(key, _ANY)) for key, item in value.items() if item is not None}


def _fault(value: Any, shape: Shape, path: _Path) -> str | None:
    return _FAULTS[type(shape)](value, shape, path)


def _scalar(value: Any, shape: Scalar, path: _Path) -> str | None:
    return None if type(value) in shape.types else _wrong_type(path, shape.name, value)


def _choice(value: Any, shape: Choice, path: _Path) -> str | None:
    if not isinstance(value, str):
        return _wrong_type(path, "String", value)
    constraint = f"Member must satisfy enum value set: [{', '.join(shape.values)}]"
    return None if value in shape.values else _constraint(f"'{value}'", path, constraint)


def _at_least(value: Any, shape: AtLeast, path: _Path) -> str | None:
    if type(value) not in shape.types:
        return _wrong_type(path, "Number", value)
    if value < shape.least:
        return _constraint(
            f"'{value}'", path, f"Member must have value greater than or equal to {shape.least}"
        )
    over = shape.most is not None and value > shape.most
    return (
        _constraint(f"'{value}'", path, f"Member must have value less than or equal to {shape.most}")
        if over
        else None
    )


def _list(value: Any, shape: ListOf, path: _Path) -> str | None:
    if not isinstance(value, list):
        return _wrong_type(path, "JSONArray", value)
    faults = (_fault(item, shape.item, (*path, index)) for index, item in enumerate(value))
    return next(filter(None, faults), None)


def _struct(value: Any, shape: Struct, path: _Path) -> str | None:
    if not isinstance(value, dict):
        return _wrong_type(path, "JSONObject", value)
    for name in shape.required:
        if value.get(name) is None:
            return _constraint("null", (*path, name), "Member must not be null")
    return _members(value, shape.fields, path)


def _one_of(value: Any, shape: OneOf, path: _Path) -> str | None:
    if not isinstance(value, dict):
        return _wrong_type(path, "JSONObject", value)
    known = [key for key in shape.keys if value.get(key) is not None]
    if len(known) == 1:
        return _members(value, shape.keys, path)
    # envoy ai-gateway#1717
    verb = "can only" if known else "must"
    keys = ", ".join(shape.keys)
    return f"{shape.name} object at {_dotted(path)} {verb} set one of the following keys: {keys}."


def _anything(_value: Any, _shape: Anything, _path: _Path) -> None:
    return None


def _members(value: dict[str, Any], fields: Mapping[str, Shape], path: _Path) -> str | None:
    present = ((name, shape) for name, shape in fields.items() if value.get(name) is not None)
    return next(filter(None, (_fault(value[name], shape, (*path, name)) for name, shape in present)), None)


def _constraint(shown: str, path: _Path, constraint: str) -> str:
    at = ".".join(f"{part + 1}.member" if isinstance(part, int) else part for part in path)
    return f"1 validation error detected: Value {shown} at '{at}' failed to satisfy constraint: {constraint}"


def _wrong_type(path: _Path, expected: str, value: Any) -> str:
    found = _JSON_NAMES.get(type(value), "Null")
    at = "/".join(map(str, path))
    return (
        f"Malformed input request: #/{at}: expected type: {expected}, found: {found},"
        " please reformat your input and try again."
    )


def _dotted(path: _Path) -> str:
    return ".".join(map(str, path))


_FAULTS: dict[type, Callable[[Any, Any, _Path], str | None]] = {
    Scalar: _scalar,
    Choice: _choice,
    AtLeast: _at_least,
    ListOf: _list,
    Struct: _struct,
    OneOf: _one_of,
    Anything: _anything,
}

"""Values that satisfy a JSON schema, taken from a text where the text has them. No randomness."""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from cachepoint.emulator.responders.patterns import sample
from cachepoint.emulator.responders.schema_form import is_schema

__all__ = ["Hints", "valid_value"]

_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?![\w])")
_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|“([^“”\n]{1,200})”|`([^`\n]{1,200})`"
)
_PROPER = re.compile(r"(?<=[a-z,:] )[A-Z][\w-]*(?:,? [A-Z][\w-]*)*")
_MAX_DEPTH = 12
_HINT_CHARS = 40_000
_MOST_VALUES = 1_000
_MOST_CHARS = 10_000
_VALUE_CHARS = 200
_FORMATS = {
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(slots=True)
class Hints:
    """Numbers and phrases of a text, each handed out once, in the order in which they stand there.

    Of a long text the end, where the question is. `left` is how many values may still be made; a long one
    counts as several.
    """

    text: str
    numbers: Iterator[str] = field(init=False)
    phrases: Iterator[str] = field(init=False)
    lowered: str = field(init=False)
    last_words: str = field(init=False)
    left: int = _MOST_VALUES

    def __post_init__(self) -> None:
        self.text = self.text[-_HINT_CHARS:]
        self.numbers = iter(_NUMBER.findall(self.text))
        self.phrases = iter(
            [*_quoted(self.text), *(one[:_VALUE_CHARS] for one in _PROPER.findall(self.text))]
        )
        self.lowered = self.text.lower()
        self.last_words = " ".join(self.text.split()[-8:])[-_VALUE_CHARS:]


def valid_value(schema: Any, hints: Hints) -> Any:
    """A value that the schema allows.

    Knows required, enum, bounds, simple patterns, `$ref`, `allOf`, `anyOf`, formats. Where a schema asks for
    more than 1,000 values or 10,000 characters, it gives less: a model writes no more.
    """
    return _value(schema, _Context(schema, hints))


@dataclass(frozen=True, slots=True)
class _Context:
    root: Any
    hints: Hints
    name: str = ""
    depth: int = 0
    settled: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    targets: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def into(self, name: str) -> Self:
        return replace(self, name=name, depth=self.depth + 1)


_Maker = Callable[[Mapping[str, Any], _Context], Any]


def _value(schema: Any, context: _Context) -> Any:
    context.hints.left -= 1
    if context.hints.left < 0 or context.depth > 2 * _MAX_DEPTH:
        return None
    schema = _settled(_plain(schema), context)
    make: _Maker = _MAKERS.get(_type(schema), _object)
    value = schema["const"] if "const" in schema else make(schema, context)
    if "const" in schema or isinstance(value, str):
        context.hints.left -= len(json.dumps(value)) // _VALUE_CHARS
    return value


def _plain(schema: Any) -> Mapping[str, Any]:
    """`true` and `false` are schemas too."""
    return schema if isinstance(schema, dict) else _ANY


_ANY: Mapping[str, Any] = {}


def _settled(schema: Mapping[str, Any], context: _Context) -> Mapping[str, Any]:
    """The schema merged and its enum decided: once for each that stands in the root, which keeps it alive."""
    if id(schema) not in context.settled:
        merged = _merged(schema, context)
        if merged.get("enum"):
            merged = {"const": _pick(merged["enum"], context.hints.lowered), **merged}
        context.settled[id(schema)] = merged
    return context.settled[id(schema)]


def _merged(schema: Mapping[str, Any], context: _Context) -> Mapping[str, Any]:
    """The schema with `$ref`, `allOf` and the first fitting branch of `anyOf` and `oneOf` taken in."""
    for _ in range(_MAX_DEPTH):
        if "$ref" in schema:
            schema = {**_target(schema["$ref"], context), **_without(schema, "$ref")}
        elif schema.get("allOf"):
            schema = _joined([_without(schema, "allOf"), *map(_plain, schema["allOf"])])
        elif branches := schema.get("anyOf") or schema.get("oneOf"):
            branch = next(
                (one for one in map(_plain, branches) if one.get("type") != "null"), {"type": "null"}
            )
            schema = _joined([_without(schema, "anyOf", "oneOf"), branch])
        else:
            return schema
    return {"type": "null"}


def _without(schema: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


def _joined(parts: list[Mapping[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in parts:
        whole |= part
        properties |= part.get("properties", {})
        required += part.get("required", [])
    whole |= {"properties": properties} if properties else {}
    whole |= {"required": required} if required else {}
    return whole


def _target(reference: str, context: _Context) -> Mapping[str, Any]:
    path = reference.removeprefix("#").strip("/")
    if path not in context.targets:
        node = context.root
        for step in path.split("/") if path else ():
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, dict) else None
        context.targets[path] = _plain(node) if is_schema(node) else _ANY
    return context.targets[path]


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return kind or next((known for key, known in _IMPLIED.items() if key in schema), "string")


_IMPLIED = {"properties": "object", "items": "array", "minimum": "number", "maximum": "number"}


def _pick(values: list[Any], lowered: str) -> Any:
    return next((value for value in values if isinstance(value, str) and value.lower() in lowered), values[0])


def _object(schema: Mapping[str, Any], context: _Context) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", []) if context.depth < _MAX_DEPTH else []
    return {name: _value(properties.get(name, _ANY), context.into(name)) for name in dict.fromkeys(required)}


def _array(schema: Mapping[str, Any], context: _Context) -> list[Any]:
    least = max(schema.get("minItems", 0), 0 if context.depth >= _MAX_DEPTH else 1)
    first = schema.get("prefixItems", [])
    rest = schema.get("items") if isinstance(schema.get("items"), dict) else {}
    count = max(len(first), min(least, schema.get("maxItems", least)))
    return [
        _value(first[i] if i < len(first) else rest or _ANY, context.into(context.name))
        for i in range(min(count, context.hints.left))
    ]


def _string(schema: Mapping[str, Any], context: _Context) -> str:
    if known := _FORMATS.get(schema.get("format", "")):
        return known
    text = sample(schema["pattern"]) if schema.get("pattern") else None
    if text is None:
        text = next(context.hints.phrases, None) or context.hints.last_words or context.name or "value"
    return text.ljust(min(schema.get("minLength", 0), _MOST_CHARS), "x")[: schema.get("maxLength")]


def _integer(schema: Mapping[str, Any], context: _Context) -> int:
    return int(_bounded(int(float(next(context.hints.numbers, "1"))), schema, 1))


def _number(schema: Mapping[str, Any], context: _Context) -> float:
    return _bounded(float(next(context.hints.numbers, "1")), schema, 0.5)


def _bounded(value: float, schema: Mapping[str, Any], step: float) -> float:
    low = max(
        (b for b in (schema.get("minimum"), _shift(schema.get("exclusiveMinimum"), step)) if b is not None),
        default=None,
    )
    high = min(
        (b for b in (schema.get("maximum"), _shift(schema.get("exclusiveMaximum"), -step)) if b is not None),
        default=None,
    )
    value = value if low is None else max(value, low)
    value = value if high is None else min(value, high)
    return _multiple(value, schema.get("multipleOf"), low)


def _shift(bound: Any, step: float) -> float | None:
    return bound + step if isinstance(bound, int | float) and not isinstance(bound, bool) else None


def _multiple(value: float, of: float | None, low: float | None) -> float:
    if not of:
        return value
    down = value // of * of
    nearest = down if low is None or down >= low else down + of
    return nearest if math.isfinite(nearest) else value


def _quoted(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def _true(_schema: Mapping[str, Any], _context: _Context) -> bool:
    return True


def _null(_schema: Mapping[str, Any], _context: _Context) -> None:
    return None


_MAKERS: dict[str, _Maker] = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _true,
    "null": _null,
}

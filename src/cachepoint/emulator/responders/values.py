"""Values that satisfy a JSON schema, taken from a text where the text has them. No randomness."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Hints", "valid_value"]

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")
_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|“([^”\n]{1,200})”|`([^`\n]{1,200})`"
)
_PROPER = re.compile(r"(?<=[a-z,:] )[A-Z][\w-]*(?:,? [A-Z][\w-]*)*")
_MAX_DEPTH = 12
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
    """Numbers and phrases of a text, each handed out once, in the order in which they stand there."""

    text: str
    numbers: Iterator[str] = field(init=False)
    phrases: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = iter(_NUMBER.findall(self.text))
        self.phrases = iter([*_quoted(self.text), *_PROPER.findall(self.text)])


def valid_value(schema: Any, hints: Hints) -> Any:
    """A value that the schema allows. Knows required, enum, bounds, `$ref`, `allOf`, `anyOf`, formats."""
    return _value(schema, _Context(schema, hints))


@dataclass(frozen=True, slots=True)
class _Context:
    root: Any
    hints: Hints
    name: str = ""
    depth: int = 0

    def into(self, name: str) -> Self:
        return type(self)(self.root, self.hints, name, self.depth + 1)


_Maker = Callable[[Mapping[str, Any], _Context], Any]


def _value(schema: Any, context: _Context) -> Any:
    schema = _merged(_plain(schema), context)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return _pick(schema["enum"], context.hints.text)
    make: _Maker = _MAKERS.get(_type(schema), _object)
    return make(schema, context)


def _plain(schema: Any) -> Mapping[str, Any]:
    """`true` and `false` are schemas too."""
    return schema if isinstance(schema, dict) else {}


def _merged(schema: Mapping[str, Any], context: _Context) -> Mapping[str, Any]:
    """The schema with `$ref`, `allOf` and the first fitting branch of `anyOf` and `oneOf` taken in."""
    for _ in range(_MAX_DEPTH):
        if "$ref" in schema:
            schema = {**_target(schema["$ref"], context.root), **_without(schema, "$ref")}
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
    for part in parts:
        properties = {**whole.get("properties", {}), **part.get("properties", {})}
        required = [*whole.get("required", []), *part.get("required", [])]
        whole |= part
        whole |= {"properties": properties} if properties else {}
        whole |= {"required": required} if required else {}
    return whole


def _target(reference: str, root: Any) -> Mapping[str, Any]:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        node = node.get(key, {}) if isinstance(node, dict) else {}
    return node if isinstance(node, dict) else {}


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return kind or next((known for key, known in _IMPLIED.items() if key in schema), "string")


_IMPLIED = {"properties": "object", "items": "array", "minimum": "number", "maximum": "number"}


def _pick(values: list[Any], text: str) -> Any:
    lowered = text.lower()
    return next((value for value in values if isinstance(value, str) and value.lower() in lowered), values[0])


def _object(schema: Mapping[str, Any], context: _Context) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", []) if context.depth < _MAX_DEPTH else []
    return {name: _value(properties.get(name, {}), context.into(name)) for name in dict.fromkeys(required)}


def _array(schema: Mapping[str, Any], context: _Context) -> list[Any]:
    least = max(schema.get("minItems", 0), 0 if context.depth >= _MAX_DEPTH else 1)
    first = schema.get("prefixItems", [])
    rest = schema.get("items") if isinstance(schema.get("items"), dict) else {}
    count = max(len(first), min(least, schema.get("maxItems", least)))
    return [
        _value(first[i] if i < len(first) else rest or {}, context.into(context.name)) for i in range(count)
    ]


def _string(schema: Mapping[str, Any], context: _Context) -> str:
    if known := _FORMATS.get(schema.get("format", "")):
        return known
    text = next(context.hints.phrases, None) or _fallback(context)
    text = _matching(text, schema.get("pattern"))
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _fallback(context: _Context) -> str:
    words = context.hints.text.split()
    return " ".join(words[-8:]) or context.name or "value"


def _matching(text: str, pattern: str | None) -> str:
    """The text if it fits, else the first common sample that does. Patterns in general are not solved."""
    if not pattern:
        return text
    return next((one for one in (text, *_SAMPLES) if re.search(pattern, one)), text)


_SAMPLES = (
    "value",
    "VALUE",
    "a",
    "A",
    "1",
    "123",
    "1234",
    "12345",
    "AB",
    "ABC",
    "AB123",
    "a1",
    "a-1",
    *_FORMATS.values(),
)


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
    return down if low is None or down >= low else down + of


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

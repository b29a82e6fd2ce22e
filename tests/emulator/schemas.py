"""As much of JSON schema as the tests need, written apart from the generator that it checks."""

import re
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None) -> list[str]:
    """What is wrong with a value; empty if the schema allows it."""
    root = schema if root is None else root
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    return [
        *_combined(value, schema, root),
        *(name for name, wrong in _plain(value, schema) if wrong),
        *_parts(value, schema, root),
    ]


def _combined(value, schema, root):
    for key in ("anyOf", "oneOf"):
        if key in schema and not any(not faults(value, branch, root) for branch in schema[key]):
            yield key
    for branch in schema.get("allOf", ()):
        yield from faults(value, branch, root)


def _plain(value, schema):
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    yield "type", kinds and not any(_is(value, kind) for kind in kinds)
    yield "enum", "enum" in schema and value not in schema["enum"]
    yield "const", "const" in schema and value != schema["const"]
    if isinstance(value, str):
        yield "minLength", len(value) < schema.get("minLength", 0)
        yield "maxLength", len(value) > schema.get("maxLength", len(value))
        yield "pattern", not re.search(schema.get("pattern", ""), value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield "minimum", value < schema.get("minimum", value)
        yield "maximum", value > schema.get("maximum", value)
        yield "exclusiveMinimum", "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]
        yield "exclusiveMaximum", "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]
        yield "multipleOf", value % schema.get("multipleOf", 1) if "multipleOf" in schema else 0
    if isinstance(value, list):
        yield "minItems", len(value) < schema.get("minItems", 0)
        yield "maxItems", len(value) > schema.get("maxItems", len(value))
    if isinstance(value, dict):
        yield "required", set(schema.get("required", ())) - value.keys()


def _is(value, kind):
    if kind == "integer":
        return type(value) is int
    return type(value) in (int, float) if kind == "number" else isinstance(value, _TYPES[kind])


def _parts(value, schema, root):
    if isinstance(value, dict):
        for name, item in value.items():
            yield from faults(item, schema.get("properties", {}).get(name, {}), root)
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            yield from faults(item, first[index] if index < len(first) else schema.get("items", {}), root)

"""Whether a tool's input schema is a JSON schema at all, as far as values are made from it."""

from collections.abc import Callable
from typing import Any

__all__ = ["is_schema"]

_LARGEST = 1e300


def is_schema(value: Any) -> bool:
    """Whether every keyword that matters has a value of its kind; unknown keywords may say what they like."""
    if isinstance(value, bool):
        return True
    return isinstance(value, dict) and all(
        check(value[key]) for key, check in _KEYWORDS.items() if key in value
    )


def _schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_schema, value.values()))


def _branches(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_schema, value))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    # Beyond it neither JSON's readers nor arithmetic agree on what it is; NaN is not within it.
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": lambda value: _text(value) or _texts(value),
    "properties": _schemas,
    "$defs": _schemas,
    "definitions": _schemas,
    "required": _texts,
    "items": lambda value: is_schema(value) or _branches(value),
    "prefixItems": _branches,
    "allOf": _branches,
    "anyOf": _branches,
    "oneOf": _branches,
    "enum": lambda value: isinstance(value, list),
    "$ref": _text,
    "format": _text,
    "pattern": _text,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _number),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), _count),
}

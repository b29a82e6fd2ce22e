"""Kinds of values, and how Bedrock says that one is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Anything",
    "AtLeast",
    "Choice",
    "Closed",
    "ListOf",
    "Name",
    "OneOf",
    "Scalar",
    "Shape",
    "Struct",
    "fault_of",
    "stripped",
]

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
    """One of Python's plain types, called `name` by Bedrock."""

    name: str
    types: tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A text of bounded length; `pattern` is said in the refusal as it stands here."""

    most: int | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One text of several."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number within bounds."""

    types: tuple[type, ...]
    least: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, all of one kind."""

    item: Shape


@dataclass(frozen=True, slots=True)
class Struct:
    """An object of these fields; if it is `open`, of others too."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    open: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """An object of these fields and no others, as a JSON schema has it."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OneOf:
    """A union: exactly one of `keys`, which are checked as deep as the cache needs."""

    name: str
    keys: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON at all."""


Shape = Scalar | Name | Choice | AtLeast | ListOf | Struct | Closed | OneOf | Anything

_ANYTHING = Anything()


def stripped(value: Any, shape: Shape) -> Any:
    """The value without the fields that are null, which Bedrock takes as absent."""
    if isinstance(shape, ListOf) and isinstance(value, list):
        return [stripped(item, shape.item) for item in value]
    members = getattr(shape, "fields", None) or getattr(shape, "keys", None)
    if members is None or not isinstance(value, dict):
        return value
    return {
        key: stripped(item, members.get(key, _ANYTHING)) for key, item in value.items() if item is not None
    }


def fault_of(value: Any, shape: Shape, path: _Path = ()) -> str | None:
    """What is wrong with a value, in Bedrock's words; None if nothing is."""
    return _FAULTS[type(shape)](value, shape, path)


def _scalar(value: Any, shape: Scalar, path: _Path) -> str | None:
    return None if type(value) in shape.types else _wrong_type(path, shape.name, value)


def _name(value: Any, shape: Name, path: _Path) -> str | None:
    if not isinstance(value, str):
        return _wrong_type(path, "String", value)
    if shape.pattern and not re.fullmatch(shape.pattern, value):
        # vercel/ai#17769, litellm#24668, 2026
        return _constraint(
            f"'{value}'", path, f"Member must satisfy regular expression pattern: {shape.pattern}"
        )
    if not value:
        return _constraint("''", path, "Member must have length greater than or equal to 1")
    over = shape.most is not None and len(value) > shape.most
    return (
        _constraint(f"'{value}'", path, f"Member must have length less than or equal to {shape.most}")
        if over
        else None
    )


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
    faults = (fault_of(item, shape.item, (*path, index)) for index, item in enumerate(value))
    return next(filter(None, faults), None)


def _struct(value: Any, shape: Struct, path: _Path) -> str | None:
    if not isinstance(value, dict):
        return _wrong_type(path, "JSONObject", value)
    for name in shape.required:
        if value.get(name) is None:
            return _constraint("null", (*path, name), "Member must not be null")
    return _members(value, shape.fields, path) or (None if shape.open else _extra(value, shape.fields, path))


def _closed(value: Any, shape: Closed, path: _Path) -> str | None:
    # Nova's words: aws-samples/amazon-bedrock-client-for-mac#59 and rollwagen/bods#51, 2024-12
    if not isinstance(value, dict):
        return _wrong_type(path, "JSONObject", value)
    missing = next((name for name in shape.required if value.get(name) is None), None)
    if missing is not None:
        return _malformed(path, f"required key [{missing}] not found")
    return _extra(value, shape.fields, path) or _members(value, shape.fields, path)


def _extra(value: dict[str, Any], fields: Mapping[str, Shape], path: _Path) -> str | None:
    # On a content block with `type`: zed#28521, 2025-04. On other objects of Converse by sense.
    extra = next((name for name, item in value.items() if name not in fields and item is not None), None)
    return None if extra is None else _malformed(path, f"extraneous key [{extra}] is not permitted")


def _malformed(path: _Path, what: str) -> str:
    at = "/".join(("#", *map(str, path)))
    return f"Malformed input request: {at}: {what}, please reformat your input and try again."


def _one_of(value: Any, shape: OneOf, path: _Path) -> str | None:
    if not isinstance(value, dict):
        return _wrong_type(path, "JSONObject", value)
    known = [key for key in shape.keys if value.get(key) is not None]
    if len(known) == 1:
        return _members(value, shape.keys, path) or _extra(value, shape.keys, path)
    # envoy ai-gateway#1717
    verb = "can only" if known else "must"
    keys = ", ".join(shape.keys)
    return f"{shape.name} object at {_dotted(path)} {verb} set one of the following keys: {keys}."


def _anything(_value: Any, _shape: Anything, _path: _Path) -> None:
    return None


def _members(value: dict[str, Any], fields: Mapping[str, Shape], path: _Path) -> str | None:
    present = ((name, shape) for name, shape in fields.items() if value.get(name) is not None)
    return next(filter(None, (fault_of(value[name], shape, (*path, name)) for name, shape in present)), None)


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
    Name: _name,
    Choice: _choice,
    AtLeast: _at_least,
    ListOf: _list,
    Struct: _struct,
    Closed: _closed,
    OneOf: _one_of,
    Anything: _anything,
}

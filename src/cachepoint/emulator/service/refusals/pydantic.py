"""Kinds of values, and how Anthropic's own API says that one is wrong: in pydantic's words."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = [
    "Kind",
    "anything",
    "boolean",
    "choice",
    "each",
    "matching",
    "nullable",
    "number",
    "record",
    "structure",
    "tagged",
    "text",
    "text_or",
    "whole",
]

Kind = Callable[[Any, str], str | None]
"""From a value and its path to what is wrong with it; None if nothing is."""


def anything(_value: Any, _at: str) -> None:
    """Any JSON at all."""


def _typed(types: tuple[type, ...], name: str) -> Kind:
    wrong = f"Input should be a valid {name}"
    return lambda value, at: None if type(value) in types else f"{at}: {wrong}"


text, boolean, record = _typed((str,), "string"), _typed((bool,), "boolean"), _typed((dict,), "dictionary")
_integer, _number, _listed = (
    _typed((int,), "integer"),
    _typed((int, float), "number"),
    _typed((list,), "list"),
)


def whole(least: int) -> Kind:
    """A whole number, at least so large."""
    return lambda value, at: _integer(value, at) or _least(value, at, least)


def number(least: float, most: float) -> Kind:
    """A number within bounds."""

    def kind(value: Any, at: str) -> str | None:
        over = f"{at}: Input should be less than or equal to {most}"
        return _number(value, at) or _least(value, at, least) or (over if value > most else None)

    return kind


def _least(value: float, at: str, least: float) -> str | None:
    return f"{at}: Input should be greater than or equal to {least}" if value < least else None


def matching(pattern: str) -> Kind:
    """A text of a form."""
    wrong = f"String should match pattern '{pattern}'"
    return lambda value, at: (
        text(value, at) or (None if re.fullmatch(pattern.strip("^$"), value) else f"{at}: {wrong}")
    )


def choice(*values: str) -> Kind:
    """One text of several."""
    *rest, last = map(repr, values)
    wrong = f"Input should be {', '.join(rest)} or {last}" if rest else f"Input should be {last}"
    return lambda value, at: None if value in values and isinstance(value, str) else f"{at}: {wrong}"


def nullable(kind: Kind) -> Kind:
    """The same, or null."""
    return lambda value, at: None if value is None else kind(value, at)


def each(kind: Kind) -> Kind:
    """A list, all of one kind."""

    def listed(value: Any, at: str) -> str | None:
        return _listed(value, at) or _first(kind(item, f"{at}.{n}") for n, item in enumerate(value))

    return listed


def text_or(kind: Kind) -> Kind:
    """A text, or what else may stand for it."""
    return lambda value, at: None if isinstance(value, str) else kind(value, at)


def structure(fields: Mapping[str, Kind], *required: str) -> Kind:
    """An object of these fields and no others."""

    def kind(value: Any, at: str) -> str | None:
        if fault := record(value, at):
            return fault
        dot = f"{at}." if at else ""
        missing = (f"{dot}{name}: Field required" for name in required if name not in value)
        wrong = (
            fields[name](item, f"{dot}{name}") if name in fields else f"{dot}{name}: {_EXTRA}"
            for name, item in value.items()
        )
        return _first(missing) or _first(wrong)

    return kind


_EXTRA = "Extra inputs are not permitted"


def tagged(kinds: Mapping[str, Kind], *, default: str | None = None) -> Kind:
    """An object whose `type` says what it is; the path of what is wrong in it goes through its type."""
    expected = ", ".join(map(repr, sorted(kinds)))

    def kind(value: Any, at: str) -> str | None:
        if fault := record(value, at):
            return fault
        tag = value.get("type", default)
        if tag is None:
            return f"{at}.type: Field required"
        if not isinstance(tag, str) or tag not in kinds:
            # claude-quickstarts#251, 2025-04, on Bedrock
            wrong = "found using 'type' does not match any of the expected tags"
            return f"{at}: Input tag '{tag}' {wrong}: {expected}"
        return kinds[tag](value, f"{at}.{tag}")

    return kind


def _first(faults: Iterable[str | None]) -> str | None:
    return next(filter(None, faults), None)

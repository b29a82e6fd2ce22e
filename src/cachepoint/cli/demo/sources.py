"""A real text that is installed with the dependencies: botocore's own description of the Bedrock API."""

import html
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.loaders import create_loader
from botocore.model import ServiceModel

_BREAK = re.compile(r"</?(?:p|ul|ol|note|important|dl|dt|dd|br ?/?)>")
_ITEM = re.compile(r"<li>\s*")
_TAG = re.compile(r"<[^>]+>")
_BLANKS = re.compile(r"[ \t]+")
_LINES = re.compile(r"\s*\n\s*")
_SENTENCE = re.compile(r"(?<=[.!?])\s")


@cache
def api() -> ServiceModel:
    """The description of bedrock-runtime."""
    return ServiceModel(create_loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def plain(documentation: str | None) -> str:
    """Documentation HTML as text: one line per paragraph or item."""
    text = _ITEM.sub("\n- ", _BREAK.sub("\n", documentation or ""))
    return _LINES.sub("\n", _BLANKS.sub(" ", html.unescape(_TAG.sub("", text)))).strip()


def first_sentence(documentation: str | None) -> str:
    """What a thing is, in one sentence."""
    return _SENTENCE.split(plain(documentation).replace("\n", " "), maxsplit=1)[0]


@cache
def section(operation: str) -> str:
    """All that the description says of one operation: what it does, its request, its response, its errors."""
    model = api().operation_model(operation)
    parts = (
        f"# {operation}",
        plain(model.documentation),
        "## Request",
        *fields(model.input_shape),
        "## Response",
        *fields(model.output_shape),
        "## Errors",
        *(f"- {shape.name}: {plain(shape.documentation)}" for shape in model.error_shapes),
    )
    return "\n".join(parts)


@cache
def sections() -> dict[str, str]:
    """The section of every operation, by its name."""
    return {name: section(name) for name in api().operation_names}


def fields(shape: Any, depth: int = 0, above: tuple[str, ...] = ()) -> Iterator[str]:
    """One line per field of a shape and of the shapes within, indented by depth."""
    if shape is None or shape.name in above:
        return
    if shape.type_name == "list":
        yield from fields(shape.member, depth, (*above, shape.name))
    for name, member in _members(shape).items():
        must = ", required" if name in shape.required_members else ""
        text = plain(member.documentation).replace("\n", " ")
        yield f"{'  ' * depth}- {name} ({member.name}{must}): {text}"
        yield from fields(member, depth + 1, (*above, shape.name))


@cache
def glossary(operation: str) -> str:
    """The documented structures behind an operation, one sentence each."""
    model = api().operation_model(operation)
    shapes = {
        shape.name: shape for root in (model.input_shape, model.output_shape) for shape in _within(root)
    }
    lines = ((name, first_sentence(shape.documentation)) for name, shape in sorted(shapes.items()))
    return "\n".join(f"- {name}: {sentence}" for name, sentence in lines if sentence)


def _within(shape: Any, above: tuple[str, ...] = ()) -> Iterator[Any]:
    if shape.name in above:
        return
    if shape.type_name == "structure":
        yield shape
    inner = [shape.member] if shape.type_name == "list" else _members(shape).values()
    for member in inner:
        yield from _within(member, (*above, shape.name))


def _members(shape: Any) -> dict[str, Any]:
    return dict(shape.members) if shape.type_name == "structure" else {}

"""The text that the demo is about: a description of the Bedrock runtime API, the same with every botocore."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from botocore.model import ServiceModel

_SENTENCE = re.compile(r"(?<=[.!?])\s")
_FIELD = re.compile(r"(?P<open>[\[{]?)(?P<shape>\w+)[\]}]?(?P<required>!?): (?P<is>.+)")
_SHAPES = ("is", "one", "one_of", "string")
_PRIMITIVES = ("String", "Integer", "Long", "Float", "Double", "Boolean", "Blob", "Timestamp")


@cache
def api() -> ServiceModel:
    """The description, as botocore understands it."""
    raw = tomllib.loads(files(__package__).joinpath("api.toml").read_text("utf-8"))
    operations, errors = raw.pop("operations"), raw.pop("errors")
    shapes: dict[str, Any] = {name: {"type": name.lower()} for name in _PRIMITIVES}
    shapes["Json"] = {"type": "structure", "members": {}, "document": True}
    for name, told in errors.items():
        shapes[f"{name}Exception"] = {
            "type": "structure",
            "exception": True,
            "documentation": told,
            "members": {},
        }
    for name, told in raw.items():
        shapes[name] = _shape(told, shapes)
    described = {name: _operation(name, told) for name, told in operations.items()}
    metadata = {"serviceId": "Bedrock Runtime", "endpointPrefix": "bedrock-runtime"}
    return ServiceModel({"metadata": metadata, "operations": described, "shapes": shapes}, "bedrock-runtime")


def _operation(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    method, path = told["http"].split()
    return {
        "name": name,
        "http": {"method": method, "requestUri": path},
        "input": {"shape": f"{name}Request"},
        "output": {"shape": f"{name}Response"},
        "errors": [{"shape": f"{error}Exception"} for error in told["errors"]],
        "documentation": told["is"],
    }


def _shape(told: Mapping[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    if "one_of" in told:
        return {"type": "string", "enum": told["one_of"], "documentation": told["is"]}
    if "string" in told:
        return {"type": "string", **told["string"], "documentation": told["is"]}
    members, required = {}, []
    for name, text in told.items():
        if name in _SHAPES:
            continue
        field = _FIELD.fullmatch(text)
        if field is None:
            raise ValueError(f"{name} is {text!r}; write 'Type: what it is'")
        members[name] = {"shape": _member(field, shapes), "documentation": field["is"]}
        if field["required"]:
            required.append(name)
    kind = {"union": True} if told.get("one") else {}
    return {
        "type": "structure",
        "members": members,
        "required": required,
        "documentation": told["is"],
        **kind,
    }


def _member(field: re.Match[str], shapes: dict[str, Any]) -> str:
    """The shape of a field; lists and maps become shapes of their own."""
    of = {"shape": field["shape"]}
    made = {
        "[": (f"{field['shape']}List", {"type": "list", "member": of}),
        "{": (f"{field['shape']}Map", {"type": "map", "key": {"shape": "String"}, "value": of}),
    }
    if not field["open"]:
        return field["shape"]
    name, shape = made[field["open"]]
    shapes[name] = shape
    return name


def first_sentence(documentation: str | None) -> str:
    """What a thing is, in one sentence."""
    return _SENTENCE.split(documentation or "", maxsplit=1)[0]


@cache
def section(operation: str) -> str:
    """All that the description says of one operation: what it does, its request, its response, its errors."""
    model = api().operation_model(operation)
    parts = (
        f"# {operation}",
        model.documentation,
        "## Request",
        *fields(model.input_shape),
        "## Response",
        *fields(model.output_shape),
        "## Errors",
        *(f"- {shape.name}: {shape.documentation}" for shape in model.error_shapes),
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
    if (inner := _inner(shape)) is not None:
        yield from fields(inner, depth, (*above, shape.name))
    for name, member in _members(shape).items():
        must = ", required" if name in shape.required_members else ""
        values = f" One of {', '.join(member.metadata['enum'])}." if member.metadata.get("enum") else ""
        yield f"{'  ' * depth}- {name} ({member.name}{must}): {member.documentation}{values}"
        yield from fields(member, depth + 1, (*above, shape.name))


@cache
def glossary(operation: str) -> str:
    """The structures behind an operation, one sentence each."""
    model = api().operation_model(operation)
    names = {shape.name for root in (model.input_shape, model.output_shape) for shape in _within(root)}
    lines = ((name, first_sentence(api().shape_for(name).documentation)) for name in sorted(names))
    return "\n".join(f"- {name}: {sentence}" for name, sentence in lines if sentence)


def _within(shape: Any, above: tuple[str, ...] = ()) -> Iterator[Any]:
    if shape.name in above:
        return
    if shape.type_name == "structure":
        yield shape
    inner = _inner(shape)
    for member in _members(shape).values() if inner is None else (inner,):
        yield from _within(member, (*above, shape.name))


def _inner(shape: Any) -> Any:
    """What a list or a map is of."""
    if shape.type_name == "list":
        return shape.member
    return shape.value if shape.type_name == "map" else None


def _members(shape: Any) -> dict[str, Any]:
    return dict(shape.members) if shape.type_name == "structure" else {}

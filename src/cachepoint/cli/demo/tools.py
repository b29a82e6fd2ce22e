"""What the agent of the demo can do: plain functions over the Bedrock API's description."""

from typing import Any

from botocore.model import NoShapeFoundError, OperationNotFoundError
from botocore.validate import ParamValidator

from cachepoint.cli.demo.sources import api, first_sentence

_MOST_HITS = 12
_LIMITS = ("min", "max", "pattern")


def list_operations() -> str:
    """List the operations of the Bedrock runtime API, each with a sentence on what it does.

    Call this first when you do not know which operation serves the user's purpose.
    """
    names = api().operation_names
    return "\n".join(f"{n}: {first_sentence(api().operation_model(n).documentation)}" for n in names)


def describe_operation(operation: str) -> str:
    """Describe one operation: what it does, and the fields of its request and of its response.

    Args:
        operation: The operation's name as in the API, for example Converse.
    """
    try:
        model = api().operation_model(operation)
    except OperationNotFoundError:
        return f"There is no operation {operation!r}; there are {', '.join(api().operation_names)}."
    return "\n".join(
        (
            f"{operation}: {model.http['method']} {model.http['requestUri']}",
            model.documentation,
            "Request:",
            *_lines(model.input_shape),
            "Response:",
            *_lines(model.output_shape),
        )
    )


def describe_shape(name: str) -> str:
    """Describe one shape of the API: its type, its limits, its allowed values and its fields.

    Args:
        name: The shape's name, for example ContentBlock or TokenUsage.
    """
    try:
        shape = api().shape_for(name)
    except NoShapeFoundError:
        return f"There is no shape {name!r}; look for its field with find_fields."
    limits = [f"{key} {shape.metadata[key]}" for key in _LIMITS if key in shape.metadata]
    values = [f"one of {', '.join(shape.metadata['enum'])}"] if shape.metadata.get("enum") else []
    head = f"{name} ({', '.join((shape.type_name, *limits, *values))}): {shape.documentation}"
    return "\n".join((head, *_lines(shape)))


def find_fields(word: str) -> str:
    """Find fields whose name or description holds a word; the answer names the shape of each.

    Args:
        word: A word or part of one, for example cache.
    """
    shapes = (api().shape_for(name) for name in api().shape_names)
    fields = ((s.name, n, m) for s in shapes if s.type_name == "structure" for n, m in s.members.items())
    hits = [
        f"{owner}.{name}: {first_sentence(member.documentation)}"
        for owner, name, member in fields
        if word.lower() in f"{name} {member.documentation}".lower()
    ]
    more = f"\n… and {len(hits) - _MOST_HITS} more" if len(hits) > _MOST_HITS else ""
    return "\n".join(hits[:_MOST_HITS]) + more if hits else f"No field mentions {word!r}."


def validate_request(operation: str, request: dict[str, Any]) -> str:
    """Check a request against the API's description, without sending it; the answer lists every fault.

    Args:
        operation: The operation's name as in the API.
        request: The request's parameters, as boto3 takes them.
    """
    try:
        shape = api().operation_model(operation).input_shape
    except OperationNotFoundError:
        return f"There is no operation {operation!r}; there are {', '.join(api().operation_names)}."
    return ParamValidator().validate(request, shape).generate_report() or "The request is valid."


def list_errors(operation: str) -> str:
    """List the errors that an operation may answer with, and what each means.

    Args:
        operation: The operation's name as in the API.
    """
    try:
        shapes = api().operation_model(operation).error_shapes
    except OperationNotFoundError:
        return f"There is no operation {operation!r}; there are {', '.join(api().operation_names)}."
    return "\n".join(f"{s.name}: {s.documentation}" for s in shapes)


def _lines(shape: Any) -> list[str]:
    if shape is None or shape.type_name != "structure":
        return []
    required = shape.required_members
    return [
        f"- {name} ({member.name}{', required' if name in required else ''}): {member.documentation}"
        for name, member in shape.members.items()
    ]


TOOLS = (list_operations, describe_operation, describe_shape, find_fields, validate_request, list_errors)

__all__ = ["TOOLS"]

"""The bodies of InvokeModel: read as boto3 takes them, written anew only where a checkpoint is put in."""

import json
import re
from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from cachepoint.core.call import Call
from cachepoint.core.models.rules import base_model, rules_for
from cachepoint.core.prompt.dialects import DIALECTS

# Parameters beside a body that say who serves it, and how; what is planned is a body with these in it.
BESIDE = ("modelId", "serviceTier", "performanceConfigLatency")
# By the provider of the model: the dialect of its bodies, and whether they say their version.
_FORMS: Mapping[str, tuple[str, bool]] = {"anthropic": ("messages", True), "amazon": ("nova", False)}
_VERSION = "anthropic_version"

# No body holds it, so that numbers can be put back behind json's back.
_SIGN = token_hex(16)
_SIGNED = re.compile(f'"{_SIGN}([^"]*)"')


class Literal:
    """A number as it was written, where Python would write it otherwise: 1e-7, 1.50, -0."""

    __slots__ = ("_written",)

    def __init__(self, written: str) -> None:
        self._written = written

    def __repr__(self) -> str:
        return self._written


# Models of InvokeModel that write no text, by their ids in AWS's list of models (2026-11).
_OTHER_WORK = re.compile(r"embed|rerank|image|canvas|reel|sonic|stability\.|luma\.|twelvelabs\.")


def writes_text(model_id: str) -> bool:
    """Whether a model answers prompts, as far as its id tells: embeddings and pictures are none of ours."""
    return _OTHER_WORK.search(base_model(model_id) or "") is None


def dialect_of(model_id: str) -> str | None:
    """The dialect of a model's bodies; None where no checkpoint can be placed in them."""
    rules = rules_for(model_id)
    return _FORMS[rules.provider][0] if rules.caches and rules.provider in _FORMS else None


def beside(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the parameters say of who serves a body, and how."""
    return {name: request[name] for name in BESIDE if isinstance(request.get(name), str)}


def read(request: Mapping[str, Any], model_id: str) -> dict[str, Any] | None:
    """The body and what says who serves it, and how, as `PromptCache.prepare` takes them.

    Args:
        request: The keyword arguments of `client.invoke_model`. A file among them is left where it stands.
        model_id: The model behind the id that is called.

    Returns:
        None where the body is no JSON that can be written again as it is, or none of the model's form.
    """
    _, versioned = _FORMS[rules_for(model_id).provider]
    body = parsed(_bytes(request.get("body")))
    if body is None or "json" not in str(request.get("contentType", "json")):
        return None
    if (_VERSION in body) is not versioned or not body.keys().isdisjoint(BESIDE):
        return None
    return {**body, **beside(request)}


def points(request: Mapping[str, Any]) -> Sequence[Any]:
    """The checkpoints in the body of a request."""
    body = parsed(_bytes(request.get("body"))) or {}
    return DIALECTS["messages" if _VERSION in body else "nova"].points(body)  # type: ignore[no-any-return]


def written(request: Mapping[str, Any], call: Call, *, anew: bool = False) -> dict[str, Any]:
    """The keyword arguments that are sent: those that were given, where the body stays as it is.

    Args:
        request: What was given.
        call: Its plan.
        anew: Whether what was planned is another body than that which was given.
    """
    if call.request == call.original and not anew:
        return dict(request)
    body = {name: value for name, value in call.request.items() if name not in BESIDE}
    return {**request, "body": dumped(body)}


def _bytes(body: Any) -> bytes:
    """What boto3 would send of a body; empty where that can't be seen, as of a pipe."""
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    try:
        if isinstance(body, str):
            return body.encode()
        return _rest_of(body) if getattr(body, "seekable", bool)() is True else b""
    except (OSError, ValueError):
        # No text, closed, or broken: boto3 says so.
        return b""


def _rest_of(file: Any) -> bytes:
    start = file.tell()
    try:
        rest = file.read()
    finally:
        file.seek(start)
    return rest if isinstance(rest, bytes) else b""


def parsed(body: bytes) -> dict[str, Any] | None:
    """The object that a body is; None where it is none, or not as `dumped` would write it again."""
    try:
        found = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_float=_float,
            parse_int=_int,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def dumped(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent, in UTF-8: numbers as they were written, keys in their order."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_signed)
    # Half a surrogate pair can only have come as an escape, and goes as one.
    return _SIGNED.sub(r"\1", text).encode(errors="backslashreplace")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _float(written: str) -> float | Literal:
    return value if repr(value := float(written)) == written else Literal(written)


def _int(written: str) -> int | Literal:
    return value if str(value := int(written)) == written else Literal(written)


def _constant(written: str) -> Any:
    raise ValueError(f"{written} is no JSON")


def _signed(value: Any) -> str:
    if not isinstance(value, Literal):
        raise TypeError(f"{type(value)!r} is no JSON")
    return f"{_SIGN}{value!r}"

"""A checkpoint's ttl through a botocore that does not know it yet.

botocore before 1.42 or so has no `ttl` in CachePointBlock and refuses it before anything is sent; aioboto3
15.5 pins botocore at 1.40.61 (checked 2026-11-22). Bedrock takes it all the same, so it goes in behind
botocore's check, in front of the signature.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_Path = tuple[str | int, ...]

_POINT = "cachePoint"
_EVENT = "before-call.bedrock-runtime.{}"
_late: ContextVar[tuple[tuple[_Path, str], ...]] = ContextVar("cachepoint_ttls", default=())


def knows_ttl(client: Any) -> bool:
    """Whether the client's botocore lets a ttl pass. What is no botocore client is let alone."""
    try:
        return "ttl" in client.meta.service_model.shape_for("CachePointBlock").members
    except Exception:
        return True


@contextmanager
def passed(client: Any, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The request as the client takes it; within the block its ttls go in behind the check.

    Args:
        client: A boto3 or aioboto3 client.
        request: What is to be sent; it stays as it is.
    """
    found = tuple(_ttls(request))
    if not found or knows_ttl(client):
        yield request
        return
    for operation in ("Converse", "ConverseStream"):
        client.meta.events.register(_EVENT.format(operation), _insert, unique_id=f"cachepoint-{operation}")
    token = _late.set(found)
    try:
        yield _without(request)
    finally:
        _late.reset(token)


def _ttls(request: Mapping[str, Any]) -> Iterator[tuple[_Path, str]]:
    for path, items in _lists(request):
        for i, item in enumerate(items):
            if "ttl" in item.get(_POINT, ()):
                yield (*path, i), item[_POINT]["ttl"]


def _lists(request: Mapping[str, Any]) -> Iterator[tuple[_Path, Sequence[Any]]]:
    yield ("toolConfig", "tools"), (request.get("toolConfig") or {}).get("tools") or ()
    yield ("system",), request.get("system") or ()
    for i, message in enumerate(request.get("messages") or ()):
        yield ("messages", i, "content"), message.get("content") or ()


def _without(request: dict[str, Any]) -> dict[str, Any]:
    out = dict(request)
    for path, items in _lists(request):
        if any("ttl" in item.get(_POINT, ()) for item in items):
            out = _put(out, path, [_bare(item) for item in items])
    return out


def _bare(item: dict[str, Any]) -> dict[str, Any]:
    return {_POINT: {k: v for k, v in item[_POINT].items() if k != "ttl"}} if _POINT in item else item


def _put(where: Any, path: _Path, value: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return value
    new: Any = list(where) if isinstance(where, list | tuple) else dict(where)
    new[path[0]] = _put(where[path[0]], path[1:], value)
    return new


def _insert(params: dict[str, Any], **_: Any) -> None:
    found = _late.get()
    if not found:
        return
    body = json.loads(params["body"])
    for path, ttl in found:
        item = body
        for step in path:
            item = item[step]
        item[_POINT]["ttl"] = ttl
    params["body"] = json.dumps(body).encode()

"""What an old botocore needs: its check refuses, before anything is sent, what Bedrock would take.

botocore 1.36 knows no `cachePoint`: nothing can be placed through it. botocore before 1.42 or so has no `ttl`
in CachePointBlock; aioboto3 15.5 pins botocore at 1.40.61 (2026-11-22). A ttl goes past that check signed, as
part of the checkpoint's `type`, and is put right in front of the signature.
"""

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from secrets import token_hex
from typing import Any

from cachepoint.aws.kinds import service_model

logger = logging.getLogger("cachepoint")

_POINT = "cachePoint"
_SHAPE = "CachePointBlock"
_EVENTS = ("before-call.bedrock-runtime.Converse", "before-call.bedrock-runtime.ConverseStream")
# No text of anybody holds it, so that the body needs no parsing to find it.
_SIGN = f" {token_hex(16)} "
_SIGNED = re.compile(rf'{_SIGN}((?:[^"\\]|\\.)*)"'.encode())


def knows_points(client: Any) -> bool:
    """Whether the client's botocore lets a checkpoint pass. What is no botocore client is let alone."""
    model = service_model(client)
    return model is None or _SHAPE in model.shape_names


def knows_ttl(client: Any) -> bool:
    """Whether the client's botocore lets a ttl pass. What is no botocore client is let alone."""
    model = service_model(client)
    return model is None or "ttl" in model.shape_for(_SHAPE).members


@cache
def say_old() -> None:
    """Say, once, that nothing can be placed through this botocore."""
    logger.warning(
        "botocore %s knows no prompt caching: calls go out without checkpoints; boto3 1.40 and later know it",
        sys.modules["botocore"].__version__,
    )


def passable(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The request as the client takes it: a copy with its ttls signed, where its botocore knows none.

    Args:
        client: A boto3 or aioboto3 client.
        request: What is to be sent; it stays as it is.
    """
    if knows_ttl(client) or not any(map(_has_ttl, _lists(request).values())):
        return request
    for event in _EVENTS:
        client.meta.events.register(event, _put_right, unique_id=f"cachepoint-{event}")
    out = dict(request)
    for path, items in _lists(request).items():
        if _has_ttl(items):
            out = _put(out, path, [_signed(item) for item in items])
    return out


def _lists(request: Mapping[str, Any]) -> dict[tuple[str | int, ...], Sequence[Any]]:
    lists: dict[tuple[str | int, ...], Any] = {
        ("toolConfig", "tools"): (request.get("toolConfig") or {}).get("tools"),
        ("system",): request.get("system"),
    }
    for i, message in enumerate(request.get("messages") or ()):
        lists["messages", i, "content"] = message.get("content")
    return {path: items for path, items in lists.items() if items}


def _has_ttl(items: Sequence[Any]) -> bool:
    return any(isinstance(item.get(_POINT, {}).get("ttl"), str) for item in items)


def _signed(item: dict[str, Any]) -> dict[str, Any]:
    if not _has_ttl([item]):
        return item
    point = dict(item[_POINT])
    ttl = point.pop("ttl")
    return {_POINT: {**point, "type": f"{point.get('type', 'default')}{_SIGN}{ttl}"}}


def _put(where: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return value
    new: Any = list(where) if isinstance(where, list | tuple) else dict(where)
    new[path[0]] = _put(where[path[0]], path[1:], value)
    return new


def _put_right(params: dict[str, Any], **_: Any) -> None:
    params["body"] = _SIGNED.sub(rb'", "ttl": "\1"', params["body"])

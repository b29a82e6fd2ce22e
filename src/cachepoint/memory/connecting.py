"""`connect`: a memory that a fleet shares, by the URL of its store."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from redis.connection import Connection, parse_url

from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.local import LIMITS, Limit
from cachepoint.core.memory.records import Table
from cachepoint.memory.remote import Settings, SharedMemory
from cachepoint.memory.store.keys import Keys, secrets_of
from cachepoint.memory.store.scripts import Bounds
from cachepoint.memory.wire.cluster import Cluster
from cachepoint.memory.wire.servers import OneServer

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
# What redis-py's pools take and its connections do not.
_OF_POOLS = ("max_connections", "timeout")
_CLUSTER = "+cluster"
_MOST = 64


def connect(
    url: str,
    *,
    key: bytes | str | None = None,
    namespace: str = "",
    limits: Mapping[Table, Limit] | None = None,
    max_connections: int = _MOST,
) -> SharedMemory:
    """See `cachepoint.memory.connect`."""
    secrets = secrets_of(key if key is not None else os.environ.get("CACHEPOINT_KEY"))
    return _made(url, secrets, namespace, dict(limits or {}), max_connections)


def _made(
    url: str, secrets: tuple[bytes, ...], namespace: str, limits: Mapping[Table, Limit], most: int
) -> SharedMemory:
    how, where = _read(url)
    servers = Cluster if _CLUSTER in url.partition("://")[0] else OneServer
    keys = Keys(secrets[0], namespace)
    bounds = {**LIMITS, **limits}
    return SharedMemory(
        Settings(
            where=where,
            servers=partial(servers, how, most, keys.probe),
            keys=keys,
            older=Keys(secrets[1], namespace) if len(secrets) > 1 else None,
            bounds=Bounds(bounds),
            again=(_made, url, secrets, namespace, limits, most),
        )
    )


def _read(url: str) -> tuple[dict[str, Any], str]:
    """What redis-py takes, and the place for people. No error shows the URL: it may hold a password."""
    scheme, colon, rest = str(url).partition("://")
    shown, scheme = scheme, scheme.removesuffix(_CLUSTER)
    if not colon or scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise InvalidOptionError(f"the URL of the memory begins with none of {known}")
    try:
        how = parse_url(f"{_SCHEMES[scheme]}://{rest}")  # type: ignore[no-untyped-call]
        split = urlsplit(f"{_SCHEMES[scheme]}://{rest}")
        where = f"{shown}://{split.hostname or ''}{f':{split.port}' if split.port else ''}{split.path}"
        how = {name: value for name, value in how.items() if name not in _OF_POOLS}
        _ = how.get("connection_class", Connection)(
            **{k: v for k, v in how.items() if k != "connection_class"}
        )
    except (ValueError, TypeError):
        raise InvalidOptionError(
            "the URL of the memory can't be read; write redis://user:password@host:6379/0, "
            "with what is special in the password percent-encoded"
        ) from None
    return {**how, "decode_responses": False}, where

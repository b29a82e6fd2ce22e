"""The memories that a `PromptCache` takes."""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cachepoint.core.memory.local import LIMITS, Limit, LocalMemory
from cachepoint.core.memory.protocol import Memory
from cachepoint.core.memory.records import Table

if TYPE_CHECKING:
    from cachepoint.memory.remote import SharedMemory

logger = logging.getLogger("cachepoint")

__all__ = ["LIMITS", "Limit", "LocalMemory", "Memory", "Table", "connect"]


def connect(
    url: str,
    *,
    key: bytes | str | None = None,
    namespace: str = "",
    limits: Mapping[Table, Limit] | None = None,
    max_connections: int = 64,
) -> "SharedMemory":
    """The memory that a fleet of workers shares, on Redis from 6.2 on, or Valkey.

    Nothing is sent yet: the first call, or `open()`, makes the first connection.

    Args:
        url: `redis://user:password@host:6379/0`; `rediss://` for TLS, `unix://` for a socket; `valkey://` and
            `valkeys://` are the same. For a cluster `redis+cluster://`, with any of its servers.
        key: The secret that all workers share, at least 32 bytes: bytes, or hex, base64 or other text; None:
            what CACHEPOINT_KEY holds. While it is being replaced, two with a comma between them: digests are
            made with the first, and what lives under the second is found.
        namespace: Tells tenants apart that share a store.
        limits: By table, for how many seconds records are kept at most; how many there are is up to the
            store.
        max_connections: How many a process opens at most to each server.

    Raises:
        InvalidOptionError: Where there is no key, it is too short, or the URL can't be read, a ValueError.
        ImportError: Where the extra is missing: pip install "cachepoint[redis]".
    """
    try:
        from cachepoint.memory.connecting import connect as connected  # noqa: PLC0415
    except ImportError as missing:
        raise ImportError(f'{missing}; pip install "cachepoint[redis]"') from missing
    return connected(url, key=key, namespace=namespace, limits=limits, max_connections=max_connections)


def from_environment() -> "SharedMemory | None":
    """The memory that CACHEPOINT_MEMORY names, for the cache that a process shares; None: its own.

    It never raises: where there is no CACHEPOINT_KEY, or anything else is lacking, one warning says what
    to do.
    """
    url = os.environ.get("CACHEPOINT_MEMORY")
    if not url:
        return None
    try:
        return connect(url)
    except (ValueError, ImportError) as error:
        logger.warning("CACHEPOINT_MEMORY is not used, and each process remembers for itself: %s", error)
        return None

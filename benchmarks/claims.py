"""The claims that stand in a memory: who is writing what, in whose hands."""

import time
from collections.abc import Iterable
from typing import Any

from redis_server import KEY, RedisServer

from cachepoint.core import flights
from cachepoint.memory import LocalMemory, Table

# What could not be said while the store was gone is said when it is back.
_SAID_WITHIN = 12.0


def claims_left(memories: Iterable[Any], server: RedisServer | None) -> tuple[int, int]:
    """How many places are still held, and how many of them by calls that are in somebody's hands.

    The workers have ended: what they owe the store is sent.
    """
    until = time.monotonic() + _SAID_WITHIN
    for memory in memories if server is not None else ():
        while not memory.is_shared and time.monotonic() < until:
            time.sleep(0.1)
        memory.close()
    while (left := _held(memories, server)) and server is not None and time.monotonic() < until:
        time.sleep(0.5)
    return len(left), sum(not flights.is_lost(holder) for holder in left)


def _held(memories: Iterable[Any], server: RedisServer | None) -> list[bytes]:
    once = {id(memory): memory for memory in memories}.values()
    places = _shared(server) if server else [place for memory in once for place in _local(memory)]
    return [place.holder for place in places if place.held(time.time())]


def _local(memory: LocalMemory) -> list[Any]:
    return [row[0] for row in memory._tables[Table.PLACES]._rows.values()]


def _shared(server: RedisServer) -> list[Any]:
    """Each place in the store, as a worker reads it."""
    from cachepoint.memory.store.keys import Keys, secrets_of
    from cachepoint.memory.store.logs import Logs

    keys, logs = Keys(secrets_of(KEY)[0]), Logs()
    start = keys.one(Table.PLACES, b"")
    with server.client() as client:
        names = [name for name in client.scan_iter(count=10_000) if name.startswith(start)]
        values = client.mget(names) if names else []
    records = (
        logs.read(Table.PLACES, name, value, 0).record for name, value in zip(names, values, strict=True)
    )
    return [record for record in records if record is not None]

"""What a fleet's memory takes in Redis: of entries, of each kind of record, and of a call.

`entries`: so many live ones (digest, model, times, size), written through the memory's own `record`, by INFO.
`records`: by table, the median MEMORY USAGE after twenty turns of the chat and of the agent of `fleet_cpu`.
`a call`: what one takes of the server: commands, bytes in and out, its CPU, and the keys and the memory that
are left behind; the calls a second that one core of it bears, and those that one process made here.

    python benchmarks/fleet_memory.py [--entries 1000000] [--json]

It ends with an error where a million entries would take more than 256 MB.
"""

import argparse
import json
import secrets
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fleet_cpu import agent as agent_of
from fleet_cpu import call, chat
from prompts import request, text
from redis_server import KEY, RedisServer, redis_server

from cachepoint import PromptCache
from cachepoint.core.memory.deeds import Learned, Seen
from cachepoint.core.memory.records import Change, Changes, Table
from cachepoint.memory import connect

MOST = 256 * 1_000_000
MILLION = 1_000_000
_BATCH = 2_000
_TURNS = 20


def entries(server: RedisServer, count: int) -> dict[str, float]:
    """Bytes that so many places take, each written and seen by one call."""
    memory = connect(server.url, key=KEY, namespace="entries")
    with server.client() as client:
        before = client.info("memory")["used_memory"]
        began = time.perf_counter()
        for _ in range(count // _BATCH):
            now = time.time()
            memory.record(Changes(now, tuple(_places(now))), 10.0)
        seconds = time.perf_counter() - began
        grown = client.info("memory")["used_memory"] - before
        there = client.dbsize()
    shared = memory.is_shared
    memory.close()
    if not shared or there < count:
        raise SystemExit(f"{there:,} of {count:,} entries stand in the store")
    return {
        "count": there,
        "bytes": grown,
        "each": grown / there,
        "a million": MILLION * grown / there,
        "seconds": seconds,
    }


def _places(now: float) -> Iterator[Change]:
    for _ in range(_BATCH):
        key = secrets.token_bytes(16)
        size = 1_024 + secrets.randbelow(100_000)
        yield Change(Table.PLACES, key, Seen(now))
        yield Change(Table.PLACES, key, Learned("1h", now, tokens=size))


def records(server: RedisServer) -> dict[str, dict[str, float]]:
    """By table: how many records a conversation of each kind leaves, and the bytes of one, key and all."""
    from cachepoint.memory.store.keys import Keys, secrets_of

    found: dict[str, dict[str, float]] = {}
    for name, of in (("chat", chat), ("agent", agent_of)):
        memory = connect(server.url, key=KEY, namespace=name)
        cache = PromptCache(memory=memory, memory_timeout=5.0)
        for turns in range(_TURNS):
            call(cache, of(turns))
        memory.close()
        keys = Keys(secrets_of(KEY)[0], name)
        with server.client() as client:
            for table in Table:
                names = [*client.scan_iter(_literally(keys.one(table, b"")) + b"*", count=10_000)]
                sizes = [client.memory_usage(one) for one in names]
                if sizes:
                    found[f"{name} {table}"] = {
                        "records": len(sizes),
                        "median": statistics.median(sizes),
                        "most": max(sizes),
                    }
    return found


def _literally(start: bytes) -> bytes:
    """A start of names as a pattern that matches it alone."""
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^" else bytes([byte]) for byte in start)


def a_call(server: RedisServer) -> dict[str, dict[str, float]]:
    """What one call takes of the server, of turns of conversations and of single prompts."""
    found = {}
    kinds = {
        "turn of a chat": lambda n: chat(n % _TURNS) | {"system": [{"text": text(n // _TURNS, 8_000)}]},
        "turn of an agent": lambda n: agent_of(n % _TURNS) | {"system": [{"text": text(n // _TURNS, 8_000)}]},
        "one of its own": lambda n: request(text(("head", n), 8_000), text(n, 2_000)),
    }
    for name, of in kinds.items():
        memory = connect(server.url, key=KEY, namespace=f"a call {name}")
        cache = PromptCache(memory=memory, memory_timeout=5.0)
        call(cache, of(0))
        with server.client() as client:
            before = _spent(client)
            began, calls = time.perf_counter(), 10 * _TURNS
            for number in range(_TURNS, _TURNS + calls):
                call(cache, of(number))
            seconds = time.perf_counter() - began
            after = _spent(client)
        memory.close()
        found[name] = {what: (after[what] - before[what]) / calls for what in after}
        found[name] |= {"calls a core": 1e6 / found[name]["server us"], "here": calls / seconds}
    return found


def _spent(client: Any) -> dict[str, float]:
    info = client.info("everything")
    return {
        "commands": info["total_commands_processed"],
        "bytes in": info["total_net_input_bytes"],
        "bytes out": info["total_net_output_bytes"],
        "server us": 1e6 * (info["used_cpu_user"] + info["used_cpu_sys"]),
        "keys": client.dbsize(),
        "memory": info["used_memory"],
    }


def measure(server: RedisServer, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {"records": records(server), "a call": a_call(server)}
    with server.client() as client:
        client.flushall()
    return {"entries": entries(server, count), **found}


def show(found: Mapping[str, Any]) -> None:
    row = found["entries"]
    print(
        f"{row['count']:,} entries: {row['bytes'] / 1e6:.1f} MB, {row['each']:.1f} bytes each,"
        f" in {row['seconds']:.0f} s"
    )
    for part in ("records", "a call"):
        names = [*next(iter(found[part].values()))]
        print(f"\n{part:20}" + "".join(f"{name:>14}" for name in names))
        for kind, values in found[part].items():
            print(f"{kind:20}" + "".join(f"{values[name]:14,.1f}" for name in names))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--entries", type=int, default=MILLION)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with redis_server() as server:
        found = measure(server, chosen.entries)
    print(json.dumps(found)) if chosen.json else show(found)
    if found["entries"]["a million"] > MOST:
        sys.exit(f"a million entries take {found['entries']['a million'] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

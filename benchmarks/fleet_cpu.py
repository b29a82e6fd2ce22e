"""The processor time of prepare + settle with a fleet's memory, beside what it is made of.

`local`: without a store. `shared`: with one. `bare`: the round trips alone, by redis-py's own client, on as
many keys with values of the same size: an MGET for what is recalled, a script that sets each key for what is
recorded. The thread's CPU, medians, side by side in the same run, on conversations that grow.

`loop`: how much later than asked for a task ticks on an event loop, while calls are prepared and settled with
an awaited memory, above the same calls with the memory of the process: the longest of each of eight turns,
and of these the median. What other programs of the machine do to one turn is not ours.

    python benchmarks/fleet_cpu.py [--rounds 150] [--json]

It ends with an error where `shared` is more than 1.3 of `local` + `bare`, or where the loop is held for more
than 5 ms above the plain calls.
"""

import argparse
import asyncio
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from measure import timed
from prompts import MODEL, answer, message, text, tool_pair
from redis_server import KEY, RedisServer, redis_server

from cachepoint import PromptCache
from cachepoint.memory import LocalMemory, connect

BOUND, HELD = 1.3, 0.005
# Of bare trips: as many commands as one sends who keeps a record for a day.
_SET_ALL = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i], 'PX', 86400000) end"
_TICK = 0.001
# The first calls make what is made once.
_FIRST, _LOOPS = 5, 8


def chat(turns: int) -> dict[str, Any]:
    """A system prompt and a conversation of so many turns."""
    said = [message(("user", "assistant")[n % 2], {"text": text(n, 2_000)}) for n in range(2 * turns + 1)]
    return {"system": [{"text": text("system", 8_000)}], "messages": said}


def agent(turns: int) -> dict[str, Any]:
    """Forty tools, and so many calls of one of them."""
    schema = {"json": {"type": "object", "properties": {"path": {"type": "string"}}}}
    tools = [
        {"toolSpec": {"name": f"tool_{n}", "description": text(n, 400), "inputSchema": schema}}
        for n in range(40)
    ]
    said = [message("user", {"text": text("task", 2_000)})]
    said += [part for n in range(turns) for part in tool_pair(n, 3_000)]
    return {"system": [{"text": text("agent", 8_000)}], "messages": said, "toolConfig": {"tools": tools}}


# How a request is made of its turns, and how many it begins with.
KINDS: Mapping[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "chat, 20 messages": (chat, 5),
    "chat, 200 messages": (chat, 90),
    "tools, 200 messages": (agent, 90),
}
# From its first turn on a conversation has so many.
_GROWS = 20


# What is written in a trip, names and payloads, and what is read.
Made = tuple[list[bytes], list[bytes], list[bytes]]


class Bare:
    """redis-py, on as many keys as a memory's trips, with values of the same size."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client(protocol=2)
        self._script = self._client.register_script(_SET_ALL)

    def like(self, made: Sequence[Made]) -> list[Made]:
        """The same trips to copies of what they found."""
        for *_, read in made:
            for name in read:
                self._client.copy(name, b"-" + name, replace=True)
        return [([b"-" + n for n in names], told, [b"-" + n for n in read]) for names, told, read in made]

    def trips(self, made: Sequence[Made]) -> None:
        for names, told, read in made:
            if names:
                self._script(keys=names, args=told)
            if read:
                self._client.mget(read)


class Trips:
    """Stands between a memory and its store, and notes what goes there."""

    def __init__(self, servers: Any) -> None:
        self._servers = servers
        self.made: list[Made] = []

    def ask(self, trip: Any, timeout: float) -> Any:
        read = [name for names in trip.read for name in names.all]
        self.made.append((list(trip.written), list(trip.payloads), read))
        return self._servers.ask(trip, timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._servers, name)


def call(cache: PromptCache, request: dict[str, Any]) -> None:
    made = cache.prepare(request, MODEL)
    cache.settle(made, answer(made))


def cpu(server: RedisServer, kind: str, rounds: int) -> dict[str, float]:
    """Medians in seconds of one thread's CPU."""
    shared, watched = (connect(server.url, key=KEY, namespace=name) for name in ("shared", "watched"))
    caches = {
        "local": PromptCache(memory=LocalMemory()),
        "shared": PromptCache(memory=shared, memory_timeout=1.0),
    }
    watching, bare = PromptCache(memory=watched, memory_timeout=1.0), Bare(server)
    watched._servers = trips = Trips(watched._servers)
    spent: dict[str, list[float]] = {"local": [], "shared": [], "bare": []}
    keys: list[tuple[int, int]] = []
    make, begins = KINDS[kind]
    for number in range(rounds):
        request = make(begins + number % _GROWS)
        trips.made.clear()
        call(watching, copy.deepcopy(request))
        for name in sorted(caches, reverse=bool(number % 2)):
            spent[name].append(timed(call, caches[name], copy.deepcopy(request))[0])
        spent["bare"].append(timed(bare.trips, bare.like(trips.made))[0])
        keys.append((sum(len(names) for names, *_ in trips.made), sum(len(read) for *_, read in trips.made)))
    for memory in (shared, watched):
        if not memory.is_shared:
            raise SystemExit(f"the store was lost on the way: {memory!r}")
        memory.close()
    if faults := watching.faults + sum(cache.faults for cache in caches.values()):
        raise SystemExit(f"{faults} faults of ours")
    found = {name: statistics.median(times[_FIRST:]) for name, times in spent.items()}
    written, read = (statistics.median(column) for column in zip(*keys, strict=True))
    return {
        **found,
        "ratio": found["shared"] / (found["local"] + found["bare"]),
        "written": written,
        "read": read,
    }


async def _ticks(spans: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(_TICK)
        spans.append(time.perf_counter() - began - _TICK)


async def _acall(cache: PromptCache, request: dict[str, Any]) -> None:
    made = await cache.aprepare(request, MODEL)
    await cache.asettle(made, answer(made))


async def _held(cache: PromptCache, rounds: int) -> list[float]:
    """How much later than it asked for a task was woken, while calls were made beside it."""
    spans: list[float] = []
    requests = [chat(20 + number % 20) for number in range(rounds)]
    await _acall(cache, requests[0])
    ticking = asyncio.create_task(_ticks(spans))
    for request in requests:
        await _acall(cache, request)
        await asyncio.sleep(2 * _TICK)
    ticking.cancel()
    return spans


def loop(server: RedisServer, rounds: int) -> dict[str, float]:
    """Seconds for which an event loop was held, of both memories in turns."""
    kinds = {
        "local": lambda: PromptCache(memory=LocalMemory()),
        "shared": lambda: PromptCache(memory=connect(server.url, key=KEY)),
    }
    longest: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(_LOOPS):
        for name in sorted(kinds, reverse=bool(turn % 2)):
            longest[name].append(max(asyncio.run(_held(kinds[name](), max(rounds // _LOOPS, 2)))))
    found = {f"longest {name}": statistics.median(spans) for name, spans in longest.items()}
    return {**found, "above": found["longest shared"] - found["longest local"]}


def measure(server: RedisServer, rounds: int) -> dict[str, dict[str, float]]:
    return {**{kind: cpu(server, kind, rounds) for kind in KINDS}, "loop": loop(server, rounds)}


def wrong(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    said = [
        f"{kind}: {found[kind]['ratio']:.2f} of the parts" for kind in KINDS if found[kind]["ratio"] > BOUND
    ]
    held = found["loop"]["above"]
    return said + ([f"a loop is held for {1000 * held:.1f} ms above"] if held > HELD else [])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=150)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    with redis_server() as server:
        found = measure(server, chosen.rounds)
    if chosen.json:
        print(json.dumps(found))
    else:
        print(
            f"{'us of CPU':22}"
            + "".join(f"{c:>10}" for c in ("local", "shared", "bare", "ratio", "written", "read"))
        )
        for kind in KINDS:
            row = found[kind]
            print(
                f"{kind:22}" + "".join(f"{1e6 * row[c]:10.0f}" for c in ("local", "shared", "bare")), end=""
            )
            print(f"{row['ratio']:10.2f}{row['written']:10.0f}{row['read']:10.0f}")
        print(
            "loop, ms              "
            + "  ".join(f"{name} {1000 * value:.2f}" for name, value in found["loop"].items())
        )
    if bad := wrong(found):
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()

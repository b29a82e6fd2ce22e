"""Whether what a user sees is what the plain classes show, while everything that can fail does.

64 threads and 200 tasks call through LangChain (Converse and InvokeModel), LlamaIndex and boto3, sync and
async, whole and streamed; some look at a stream's first part only, some tasks are cancelled. The emulator
throttles, breaks off, cuts streams, answers garbage and restarts; Redis is killed, stalled and filled. What
befalls a request is drawn from its own id. Each id is called through the plain class and through ours, one
after the other, and the outcomes are compared: text, tool calls, usage, the error, and the HTTP requests.

Restarts of the emulator come by time, and so befall one side and not the other. Whoever was under way at one
must end all the same; then the id is called once more, until its call met none, and that outcome counts.

    python benchmarks/chaos.py [--seconds 600] [--local] [--json]

It ends with an error where an outcome differs, a call does not end within its bound (all stacks are shown),
a claim is left in the memory, or a fault of ours was counted. Without redis-server, or with `--local`, the
caches share the memory of this process.
"""

import argparse
import asyncio
import gc
import itertools
import json
import logging
import random
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import botocore.endpoint
import chaos_calls as calls
from chaos_bedrock import Bedrock, bedrock, drawn
from chaos_calls import Attempts, Id
from claims import claims_left
from redis_server import KEY, SERVER, RedisServer
from tenacity import wait_none

from cachepoint import PromptCache
from cachepoint.core.guard import guard
from cachepoint.memory import LocalMemory, connect

N_THREADS, N_TASKS, N_CACHES = 64, 200, 4
# A call ends within these seconds, with its retries and its wait for another's write.
BOUND = 120.0
# So often is one called again that met a restart.
_MOST_AGAIN = 20
_SHOWN = 5


@dataclass
class Run:
    """What is going on."""

    until: float
    numbers: Iterator[int] = field(default_factory=itertools.count)
    compared: Counter[str] = field(default_factory=Counter)
    again: int = 0
    different: list[str] = field(default_factory=list)
    under_way: dict[object, tuple[float, str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    def late(self) -> list[str]:
        """Those that have not ended within their bound."""
        now = time.monotonic()
        return [what for began, what in self.under_way.copy().values() if now - began > BOUND]


@dataclass(frozen=True)
class Place:
    """Where some workers call: an emulator, a client and the models of both sides."""

    emulator: Bedrock
    attempts: Attempts
    plain: Mapping[str, Any]
    ours: Mapping[tuple[int, str], Mapping[str, Any]]

    def model(self, kind: str, asked: Id) -> Any:
        if asked.side == "p":
            return self.plain[kind]
        cache, fan_out = drawn(asked.number, "cache", N_CACHES), drawn(asked.number, "fan_out", 3)
        return self.ours[cache, calls.FAN_OUT[fan_out]][kind]


def place(emulator: Bedrock, caches: list[PromptCache]) -> Place:
    attempts = Attempts()
    runtime = calls.client(emulator.url, attempts)
    ours = {
        (n, fan_out): calls.our_models(runtime, cache, fan_out)
        for n, cache in enumerate(caches)
        for fan_out in calls.FAN_OUT
    }
    return Place(emulator, attempts, calls.plain_models(runtime), ours)


def failed(error: BaseException, asked: Id) -> tuple[str, str]:
    """What the caller sees of an error."""
    return type(error).__qualname__, str(error).replace(asked.tag, "#")


def outcome(run: Run, here: Place, kind: str, way: calls.Way, asked: Id) -> Any:
    with working(run, kind, way, asked):
        try:
            return "said", way(here.model(kind, asked), asked)
        except Exception as error:
            return failed(error, asked)


async def aoutcome(run: Run, here: Place, kind: str, way: calls.AWay, asked: Id) -> Any:
    patience = calls.PATIENCE if calls.gives_up(asked.number) else None
    with working(run, kind, way, asked):
        try:
            return "said", await asyncio.wait_for(_awaited(way, here.model(kind, asked), asked), patience)
        except Exception as error:
            return failed(error, asked)


async def _awaited(way: calls.AWay, model: Any, asked: Id) -> Any:
    return await way(model, asked)


@contextmanager
def working(run: Run, kind: str, way: Callable[..., Any], asked: Id) -> Iterator[None]:
    mine = object()
    run.under_way[mine] = time.monotonic(), f"{kind} {way.__name__} {asked.tag}"
    try:
        yield
    finally:
        del run.under_way[mine]


def worker(run: Run, here: Place) -> None:
    while run.goes_on:
        number = next(run.numbers)
        kind, way = calls.THREADS[drawn(number, "way", len(calls.THREADS))]
        seen = {}
        for side in "po":
            for again in range(_MOST_AGAIN):
                asked, before = Id(number, again, side), here.emulator.restarts
                seen[side] = outcome(run, here, kind, way, asked), here.attempts.of(asked.tag)
                if whole(run, here, before):
                    break
        compare(run, f"{kind} {way.__name__}", number, seen)


async def task(run: Run, here: Place) -> None:
    while run.goes_on:
        number = next(run.numbers)
        kind, way = calls.TASKS[drawn(number, "way", len(calls.TASKS))]
        seen = {}
        for side in "po":
            for again in range(_MOST_AGAIN):
                asked, before = Id(number, again, side), here.emulator.restarts
                came = await aoutcome(run, here, kind, way, asked)
                made = here.attempts.of(asked.tag)
                # Whoever gave up knows nothing of what its thread still does.
                seen[side] = came, None if calls.gives_up(number) else made
                if whole(run, here, before):
                    break
        compare(run, f"{kind} {way.__name__}", number, seen)


def whole(run: Run, here: Place, before: int) -> bool:
    """Whether a call met no restart."""
    if before == here.emulator.restarts and before % 2 == 0:
        return True
    run.again += 1
    return False


def compare(run: Run, name: str, number: int, seen: Mapping[str, Any]) -> None:
    run.compared[name] += 1
    run.errors[seen["p"][0][0]] += 1
    if seen["p"] != seen["o"]:
        fate, times = calls.fate(number)
        run.different.append(f"{name} {number} ({fate}, {times}):\n  plain {seen['p']}\n  ours  {seen['o']}")


def restarting(run: Run, places: list[Place], seed: int) -> None:
    """The emulators go and come back."""
    chosen = random.Random(seed)
    while run.goes_on:
        _wait(run, chosen.uniform(4, 9))
        chosen.choice(places).emulator.restart(chosen.uniform(0.1, 0.8))


def failing(run: Run, server: RedisServer, seed: int, told: Counter[str]) -> None:
    """Redis is killed, stalled and filled in turns, and comes back."""
    chosen = random.Random(seed)
    deeds = {
        "killed": (server.kill, server.start),
        "stalled": (server.stall, server.resume),
        "filled": (server.fill, server.make_room),
    }
    for name in itertools.cycle(deeds):
        _wait(run, chosen.uniform(2, 5))
        if not run.goes_on:
            return
        befall, mend = deeds[name]
        befall()
        told[name] += 1
        _wait(run, chosen.uniform(1, 4))
        mend()


def _wait(run: Run, seconds: float) -> None:
    time.sleep(max(0.0, min(seconds, run.until - time.monotonic())))


def tasks(run: Run, here: Place) -> None:
    async def all_of_them() -> None:
        # Both frameworks run async calls of boto3 in the loop's threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(N_TASKS + 100))
        await asyncio.gather(*(task(run, here) for _ in range(N_TASKS)))

    asyncio.run(all_of_them())


@contextmanager
def quick_retries() -> Iterator[None]:
    """What retries wait is not what is looked at: a twentieth of it, and nothing in LlamaIndex."""
    with (
        patch.object(botocore.endpoint, "time", _Quick()),
        patch("llama_index.llms.bedrock_converse.utils.wait_exponential", lambda **_: wait_none()),
    ):
        yield


@contextmanager
def collected_aside() -> Iterator[None]:
    """Garbage is collected by a thread of its own.

    A stream that its caller left is held by a cycle, with the plain classes too. Where a collection begins
    while urllib3 2.8 puts a connection back, that stream's end puts back its own, in the same thread, and
    waits for the lock of the pool's queue which this thread holds: all who call by that client stand still.
    That is not what is looked at here.
    """
    ended = threading.Event()

    def collect() -> None:
        while not ended.wait(2):
            gc.collect()

    collecting = threading.Thread(target=collect, daemon=True)
    gc.disable()
    # What was imported is not looked through each time.
    gc.collect()
    gc.freeze()
    collecting.start()
    try:
        yield
    finally:
        ended.set()
        collecting.join()
        gc.unfreeze()
        gc.enable()


class _Quick:
    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 20)


def measure(seconds: float, seed: int = 1, *, local: bool = False) -> dict[str, Any]:
    """The chaos, for so many seconds."""
    guard.faults = 0
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(quick_retries())
        stack.enter_context(collected_aside())
        server = None if local or SERVER is None else stack.enter_context(RedisServer())
        memories = _memories(server)
        caches = [PromptCache(memory=m, key=None if server else KEY.encode()) for m in memories]
        places = [place(stack.enter_context(bedrock()), caches) for _ in range(2)]
        run, told = Run(time.monotonic() + seconds), Counter[str]()
        threads = [
            threading.Thread(target=worker, args=(run, places[0]), daemon=True) for _ in range(N_THREADS)
        ]
        threads.append(threading.Thread(target=tasks, args=(run, places[1]), daemon=True))
        threads.append(threading.Thread(target=restarting, args=(run, places, seed), daemon=True))
        if server is not None:
            threads.append(threading.Thread(target=failing, args=(run, server, seed, told), daemon=True))
        for thread in threads:
            thread.start()
        stuck = watch(run, threads)
        gc.collect()
        for cache in caches:
            # What dropped calls held is given back by the next call.
            cache.abandon(cache.prepare(calls.converse(Id(0, 0, "o"))))
        left, held = claims_left(memories, server)
    return {
        "seconds": time.monotonic() - started,
        "calls": run.compared.total(),
        "ways": dict(run.compared),
        "outcomes": dict(run.errors),
        "different": run.different,
        "again": run.again,
        "restarts": sum(p.emulator.restarts // 2 for p in places),
        "redis": dict(told),
        "stuck": stuck,
        "claims": left,
        "claims in hands": held,
        "faults": guard.faults + sum(cache.faults for cache in caches),
    }


def _memories(server: RedisServer | None) -> list[Any]:
    if server is None:
        return [LocalMemory()] * N_CACHES
    return [connect(server.url, key=KEY) for _ in range(N_CACHES)]


def watch(run: Run, threads: list[threading.Thread]) -> list[str]:
    """Wait for all of them; those that do not end in time, with the stacks of all threads."""
    while any(thread.is_alive() for thread in threads):
        if late := run.late():
            show_stacks()
            return late
        time.sleep(0.1)
    return []


def show_stacks() -> None:
    """Of all threads: faulthandler shows a hundred."""
    for number, frame in sys._current_frames().items():
        print(f"\nThread {number}\n" + "".join(traceback.format_stack(frame)), file=sys.stderr)


def wrong(found: Mapping[str, Any]) -> list[str]:
    """What must not be."""
    said = {
        f"{len(found['different'])} outcomes differ": found["different"],
        f"did not end: {found['stuck'][:_SHOWN]}": found["stuck"],
        f"{found['claims']} claims are left": found["claims"],
        f"{found['faults']} faults of ours": found["faults"],
    }
    return [what for what, is_so in said.items() if is_so]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--local", action="store_true", help="share the memory of this process")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    # A memory that goes is said once, and again.
    logging.getLogger("cachepoint").setLevel(logging.ERROR)
    logging.getLogger("langchain_aws").setLevel(logging.CRITICAL)
    logging.getLogger("llama_index").setLevel(logging.CRITICAL)
    found = measure(chosen.seconds, chosen.seed, local=chosen.local)
    if chosen.json:
        print(json.dumps(found))
    else:
        print(json.dumps({**found, "different": len(found["different"])}, indent=1))
        print(*found["different"][:_SHOWN], sep="\n", end="")
    if bad := wrong(found):
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()

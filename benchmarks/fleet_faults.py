"""What happens to calls while the store of a fleet is killed, stalled, full or restarted in their middle.

For each fault, 1,000 calls one after another: prepare, answer, settle. The store fails after a third of them
and comes back after two thirds (`restarted`: at once, empty). The time of prepare + settle is taken side by
side with a cache that has no store, on the same requests.

    python benchmarks/fleet_faults.py [--calls 1000] [--json]

It ends with an error where a call fails or a fault of ours is counted, where the p99 of prepare + settle is
more than the deadline above that without a store, or where the memory is not shared again within ten seconds
after the store is back.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from measure import timed
from prompts import answer, request, text
from redis_server import KEY, RedisServer, redis_server

from cachepoint import PromptCache
from cachepoint.core.cache import MEMORY_TIMEOUT
from cachepoint.memory import connect

CALLS, BACK = 1_000, 10.0
Deed = Callable[[RedisServer], None]
FAULTS: Mapping[str, tuple[Deed, Deed]] = {
    "killed": (RedisServer.kill, RedisServer.start),
    "stalled": (RedisServer.stall, RedisServer.resume),
    "full": (RedisServer.fill, RedisServer.make_room),
    "restarted": (RedisServer.restart, lambda _: None),
}
CLOCK = time.perf_counter


def asked(number: int) -> dict[str, Any]:
    """Conversations of five turns, new objects each time."""
    turns = [text(f"turn {number // 5} {n}", 1_500) for n in range(number % 5 + 1)]
    return request(text("system", 8_000), *turns)


def spent(cache: PromptCache, number: int) -> float:
    """Seconds of prepare + settle of one call; it raises where the call fails."""
    before, call = timed(cache.prepare, asked(number), "us.anthropic.claude-sonnet-4-6", clock=CLOCK)
    after, _ = timed(cache.settle, call, answer(call), clock=CLOCK)
    return before + after


def measure(fault: str, calls: int = CALLS) -> dict[str, float]:
    """What came of one fault: seconds, and how many calls failed."""
    befall, mend = FAULTS[fault]
    times: dict[str, list[float]] = {"with": [], "without": []}
    with redis_server() as server:
        memory = connect(server.url, key=KEY)
        memory.open()
        caches = {"with": PromptCache(memory=memory), "without": PromptCache()}
        failed, mended, back = 0, 0.0, float("inf")
        for number in range(calls):
            if number == calls // 3:
                befall(server)
            if number == 2 * calls // 3:
                mend(server)
                mended = time.monotonic()
            if number >= 2 * calls // 3 and memory.is_shared:
                back = min(back, time.monotonic() - mended)
            for name in sorted(caches, reverse=bool(number % 2)):
                try:
                    times[name].append(spent(caches[name], number))
                except Exception:
                    failed += 1
        back = min(back, _back(memory, caches["with"], mended))
        memory.close()
        kept = server.client().dbsize()
    return {
        "calls": len(times["with"]),
        "failed": failed,
        "faults": caches["with"].faults,
        "p50": statistics.median(times["with"]),
        "p99": _p99(times["with"]),
        "p99 without": _p99(times["without"]),
        "longest": max(times["with"]),
        "back": back if kept else float("inf"),
    }


def _back(memory: Any, cache: PromptCache, mended: float) -> float:
    """Seconds after the store's return until it is asked again; calls go on meanwhile."""
    until = mended + 2 * BACK
    while not memory.is_shared and time.monotonic() < until:
        spent(cache, int(time.monotonic() * 1_000))
        time.sleep(0.02)
    spent(cache, 0)
    return time.monotonic() - mended if memory.is_shared else float("inf")


def _p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times))]


def wrong(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    said = []
    for fault, row in found.items():
        if row["failed"] or row["faults"]:
            said.append(f"{fault}: {row['failed']} calls failed, {row['faults']} faults of ours")
        if row["p99"] > row["p99 without"] + MEMORY_TIMEOUT:
            said.append(f"{fault}: the p99 is {1000 * (row['p99'] - row['p99 without']):.1f} ms above")
        if row["back"] > BACK:
            said.append(f"{fault}: back after {row['back']:.1f} s")
    return said


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=CALLS)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    logging.getLogger("cachepoint").setLevel(logging.ERROR)
    found = {fault: measure(fault, chosen.calls) for fault in FAULTS}
    if chosen.json:
        print(json.dumps(found))
    else:
        counts, times = ("calls", "failed", "faults"), ("p50", "p99", "p99 without", "longest")
        print(
            f"{'':10}"
            + "".join(f"{c:>8}" for c in counts)
            + "".join(f"{c + ' ms':>15}" for c in times)
            + f"{'back s':>9}"
        )
        for fault, row in found.items():
            cells = "".join(f"{row[c]:8.0f}" for c in counts) + "".join(
                f"{1000 * row[c]:15.2f}" for c in times
            )
            print(f"{fault:10}{cells}{row['back']:9.2f}")
    if bad := wrong(found):
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()

"""How long a call waits for a memory that uses up its time.

The wall time of a call to the emulator: of boto3's own client, and of CachingClient with the memory of its
process and with memories that are late, side by side, medians in ms. `recalls late` and `records late` take
all the time that they are given at the one and answer the other at once; `late` takes it wherever it is
asked. `adds` is over boto3's own client, `waits` over the memory of the process, and `sleep` what a sleep as
long as the deadline takes on this machine.

    python benchmarks/deadline.py [--rounds 20] [--json]

It ends with an error where a call waits longer than such a sleep and 5 ms for the noise, or a call fails.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import boto3
from measure import timed
from prompts import MODEL, request, text

from cachepoint import PromptCache
from cachepoint.aws import CachingClient
from cachepoint.emulator import BedrockEmulator, Reply

DEADLINES = (0.010, 0.100)
NOISE = 0.005


class Late:
    """A memory that sleeps as long as it may where it is late, and has nothing to say."""

    def __init__(self, *where: str) -> None:
        self._where = where

    def recall(self, _question: Any, seconds: float) -> dict[Any, Any]:
        return self._answer("recall", seconds)

    def record(self, _changes: Any, seconds: float) -> dict[Any, Any]:
        return self._answer("record", seconds)

    def _answer(self, what: str, seconds: float) -> dict[Any, Any]:
        if what not in self._where:
            return {}
        time.sleep(seconds)
        raise TimeoutError(f"not within {seconds} s")


LATE: dict[str, tuple[str, ...]] = {
    "recalls late": ("recall",),
    "records late": ("record",),
    "late": ("recall", "record"),
}


def clients(url: str) -> dict[str, tuple[Any, float | None]]:
    """By name: a client, and the deadline of its memory where that is late."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    plain = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", **keys)
    late = {
        f"{name}, {1000 * deadline:.0f} ms": (
            CachingClient(plain, cache=PromptCache(memory=Late(*where), memory_timeout=deadline)),
            deadline,
        )
        for deadline in DEADLINES
        for name, where in LATE.items()
    }
    return {"plain": (plain, None), "local": (CachingClient(plain, cache=PromptCache()), None), **late}


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds by client."""
    with BedrockEmulator(responder=lambda _: Reply.text("ok"), max_calls=1) as bedrock:
        asked = clients(bedrock.url)
        spent: dict[object, list[float]] = {name: [] for name in (*asked, *DEADLINES)}
        # The first call of each looks up what it needs.
        for i in range(rounds + 1):
            for name, (client, _) in asked.items():
                spent[name].append(wall(client.converse, i))
            for deadline in DEADLINES:
                spent[deadline].append(timed(time.sleep, deadline, clock=time.perf_counter)[0])
    median = {name: statistics.median(times[1:]) for name, times in spent.items()}
    return {name: told(median, name, deadline) for name, (_, deadline) in asked.items()}


def told(median: dict[object, float], name: str, deadline: float | None) -> dict[str, float]:
    row = {"call": median[name], "adds": median[name] - median["plain"]}
    if deadline is None:
        return row
    return row | {"waits": median[name] - median["local"], "sleep": median[deadline]}


def wall(converse: Callable[..., Any], i: int) -> float:
    asked = request(text("system", 8_000), f"question {i}")
    return timed(lambda: converse(modelId=MODEL, **asked), clock=time.perf_counter)[0]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    # One traceback for each late memory would be right and is in the way.
    logging.getLogger("cachepoint").setLevel(logging.ERROR)
    found = measure(chosen.rounds)
    if chosen.json:
        print(json.dumps(found))
    else:
        columns = ("call", "adds", "waits", "sleep")
        print(f"{'memory':24}" + "".join(f"{c:>12}" for c in columns))
        for name, row in found.items():
            cells = (f"{1000 * row[c]:.1f} ms" if c in row else "" for c in columns)
            print(f"{name:24}" + "".join(f"{cell:>12}" for cell in cells))
    broken = [n for n, r in found.items() if "waits" in r and r["waits"] > r["sleep"] + NOISE]
    if broken:
        sys.exit(f"waits longer than its deadline: {', '.join(broken)}")


if __name__ == "__main__":
    main()

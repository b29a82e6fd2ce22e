"""What a process holds after a million calls.

All kinds of calls of `growth.py`, and such that fill every table there is: conversations that go on and come
back, prompts of one kind in great number, pauses, retries and calls that wait, models and profiles without
end, and a tenth of all with `explain="text"`. Resident memory is told after each tenth.

Files are more than are kept at a time (32 MB), each of them in some conversations.

    python benchmarks/soak.py [--calls 1000000] [--from 10000] [--json]

It ends with an error where memory grew by more than 64 MB after the first 10,000 calls, or where a step of
ours raised. Linux only.
"""

import argparse
import gc
import itertools
import json
import logging
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import growth
from measure import resident
from prompts import MODEL, Request, answer, message, request, text

from cachepoint import PromptCache

BOUND_MB = 64.0
FILES = 1_000
MODELS = (
    MODEL,
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "us.amazon.nova-pro-v1:0",
    "global.anthropic.claude-opus-4-8",
)


class Clock:
    """Seconds go by, a fifth of one a call, now and then a quarter of an hour."""

    def __init__(self, random: Random) -> None:
        self.now, self._random = 1.8e9, random

    def __call__(self) -> float:
        return self.now

    def step(self) -> None:
        self.now += 900.0 if self._random.random() < 0.0005 else 0.2


def calls(random: Random) -> Iterator[Request]:
    """Requests without end: those that have nothing in common, and conversations among them."""
    apart, talks = growth.calls(sys.maxsize), [talk(random, n) for n in range(64)]
    for n in itertools.count(len(talks)):
        yield next(apart)
        at = random.randrange(len(talks))
        asked = next(talks[at], None)
        if asked is None:
            talks[at] = talk(random, n)
            continue
        yield asked


def talk(random: Random, number: int) -> Iterator[Request]:
    """A conversation: one of some system prompts, few or many turns, a file now and then."""
    system, messages = text(f"kind {number % 500}", 4_000), []
    for n in range(random.choice((2, 5, 30))):
        asked: list[dict[str, Any]] = [{"text": text(f"question {number} {n}", random.choice((60, 900)))}]
        if n == 0 and number % 20 == 0:
            source = {"bytes": b"%PDF" + (number // 20 % FILES).to_bytes(2) * 45_000}
            asked.insert(0, {"document": {"format": "pdf", "name": "manual", "source": source}})
        messages.append(message("user", *asked))
        # A line that changes, in every tenth kind.
        said = f"{system}\nIt is {n}:{number % 60:02}." if number % 10 == 0 else system
        yield {**request(said), "messages": list(messages)}
        messages.append(message("assistant", {"text": text(f"answer {n}", 200)}))


def made(cache: PromptCache, random: Random, asked: Request, number: int) -> None:
    """One call, in one of its ways."""
    model = asked.get("modelId") or random.choice(MODELS)
    region = random.choice(("", "", "us-east-1", f"eu-west-{number % 3}"))
    policy = {"explain": "text"} if number % 10 == 0 else None
    call = cache.prepare(asked, model, region=region, policy=policy)
    if call.wait_for is not None:
        call = cache.again(call, give_up=True)
    kind = number % 50
    if kind == 0:
        cache.abandon(call)
    elif kind == 1:
        # Some are never heard of again.
        return
    else:
        if kind == 2:
            cache.began(call)
        cache.settle(call, answer(call) if kind != 3 else {})


def run(number: int, start: int, seed: int = 0) -> Iterator[tuple[int, float]]:
    """(calls, MB that are resident) after the first `start` calls, and after each tenth of all."""
    random = Random(seed)
    clock = Clock(random)
    cache = PromptCache(clock=clock)
    marks = {start, *(number * n // 10 for n in range(1, 11))}
    for n, asked in enumerate(itertools.islice(calls(random), number), 1):
        clock.step()
        made(cache, random, asked, n)
        if n in marks and n >= start:
            gc.collect()
            yield n, resident()
    assert cache.faults == 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=1_000_000)
    options.add_argument("--from", type=int, default=10_000, dest="start")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    started = time.monotonic()
    found = []
    for n, mb in run(chosen.calls, chosen.start):
        found.append((n, mb))
        if not chosen.json:
            print(f"{n:>10,} calls {mb:>8.1f} MB {mb - found[0][1]:>+8.1f}", flush=True)
    grown = max(mb for _, mb in found) - found[0][1]
    figures = {"resident_mb": {n: round(mb, 1) for n, mb in found}, "grown_mb": round(grown, 1)}
    figures |= {"seconds": round(time.monotonic() - started)}
    if chosen.json:
        print(json.dumps(figures))
    else:
        print(f"{figures['seconds']} s")
    if grown > BOUND_MB:
        sys.exit(f"grew by {grown:.1f} MB; {BOUND_MB:.0f} are allowed")


if __name__ == "__main__":
    main()

"""Keeping alive: what it costs beside not doing so, refreshes included, on arrivals of several kinds.

Calls go through the emulator's engine, on its own clock, and what is due is refreshed every 20 seconds. A
figure is the cost of input with refreshes over that without, one for each seed; below 1 it pays. `ttl` is
what entries are written for: with "auto" the library takes the hour where it learned of such pauses.
Nothing in the library was fitted to these streams or seeds.

    python benchmarks/keep_alive.py [--json] [--seeds 3] [--model us.anthropic.claude-sonnet-4-6]
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prompts import Request, message, text
from simulate import MODEL, Bedrock

from cachepoint import PromptCache
from cachepoint.aws import KeepAlive
from cachepoint.aws.carrier import called_by

HEAD, TURN = 24_000, 2_000
TICK = 20.0
# Seconds after the call before, and the request.
Calls = Iterator[tuple[float, Request]]


def conversation(name: str, turns: int, gap: Callable[[], float]) -> Calls:
    messages: list[Request] = []
    for n in range(turns):
        messages.append(message("user", {"text": text(f"question {name} {n}", TURN)}))
        yield gap(), {"system": [{"text": text("desk", HEAD)}], "messages": [*messages]}
        messages.append(message("assistant", {"text": text(f"answer {name} {n}", TURN)}))


def steady(chosen: random.Random) -> Calls:
    """Conversations without pauses."""
    for number in range(8):
        yield from conversation(f"{number}", 8, lambda: chosen.uniform(20, 150))


def pauses(chosen: random.Random) -> Calls:
    """People who answer after about seven minutes."""
    for number in range(8):
        yield from conversation(f"{number}", 8, lambda: chosen.gauss(420, 40))


def spread(chosen: random.Random) -> Calls:
    """People who answer after 6 to 20 minutes."""
    for number in range(8):
        yield from conversation(f"{number}", 8, lambda: chosen.uniform(360, 1_200))


def mixed(chosen: random.Random) -> Calls:
    """Half of the pauses short, the others of 1 to 40 minutes."""
    for number in range(8):
        gap = lambda: chosen.uniform(20, 120) if chosen.random() < 0.5 else chosen.uniform(60, 2_400)  # noqa: E731
        yield from conversation(f"{number}", 8, gap)


def dead(chosen: random.Random) -> Calls:
    """Questions that nothing follows, each to a prompt of its own, an hour and more apart."""
    for number in range(40):
        asked = message("user", {"text": text(f"question {number}", TURN)})
        yield (
            chosen.uniform(3_700, 7_200),
            {"system": [{"text": text(f"job {number}", HEAD)}], "messages": [asked]},
        )


def turncoat(chosen: random.Random) -> Calls:
    """Conversations with pauses of seven minutes, and then such as end with their first question."""
    for number in range(6):
        yield from conversation(f"{number}", 8, lambda: chosen.gauss(420, 40))
    for number in range(40):
        yield from conversation(f"last {number}", 1, lambda: chosen.uniform(4_000, 9_000))


def nightly(chosen: random.Random) -> Calls:
    """A job of twelve calls within some minutes, every night."""
    for night in range(10):
        for n in range(12):
            asked = message("user", {"text": text(f"record {night} {n}", TURN)})
            gap = 86_000.0 if not n else chosen.uniform(5, 30)
            yield gap, {"system": [{"text": text("nightly", HEAD)}], "messages": [asked]}


STREAMS: Mapping[str, Callable[[random.Random], Calls]] = {
    made.__name__: made for made in (steady, pauses, spread, mixed, dead, turncoat, nightly)
}


class Engine(Bedrock):
    """The emulator as a client."""

    meta = None

    def converse(self, **request: Any) -> Any:
        return self.send({name: value for name, value in request.items() if name != "modelId"})


def run(calls: Calls, ttl: str, model: str, *, keeping: bool) -> tuple[float, int]:
    """Input cost in uncached tokens, and how many refreshes were made.

    Args:
        calls: The traffic.
        ttl: Of the policy.
        model: The model.
        keeping: Whether entries are kept alive.
    """
    engine = Engine(model)
    cache = PromptCache({"ttl": ttl}, engine.emulator.now)
    keep = KeepAlive(engine, budget=1_000, cache=cache)
    if keeping:
        keep.follow()
    for gap, request in calls:
        ends = engine.emulator.now() + gap
        # Nobody's calls come between: where nothing is watched there is nothing to look at.
        while keeping and keep._keeper.next is not None and engine.emulator.now() + TICK < ends:
            engine.emulator.advance(TICK)
            keep.tick()
        engine.emulator.advance(max(0.0, ends - engine.emulator.now()))
        call = cache.prepare(request, model_id=model, region=called_by(engine))
        cache.settle(call, engine.send(call.request))
    return engine.units, keep.kept.refreshes


def measured(stream: str, ttl: str, seed: int, model: str) -> tuple[float, int]:
    """Cost with over cost without, and the refreshes."""
    plain, _ = run(STREAMS[stream](random.Random(seed)), ttl, model, keeping=False)
    kept, refreshes = run(STREAMS[stream](random.Random(seed)), ttl, model, keeping=True)
    return kept / plain, refreshes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default=MODEL)
    options = parser.parse_args()
    seeds, found = range(31, 31 + options.seeds), {}
    for stream in STREAMS:
        for ttl in ("5m", "auto"):
            values = [measured(stream, ttl, seed, options.model) for seed in seeds]
            found[f"{stream} {ttl}"] = values
            if not options.json:
                ratios = "".join(f"{ratio:8.3f}" for ratio, _ in values)
                refreshes = ", ".join(str(n) for _, n in values)
                print(f"{stream:<9}{ttl:<5}{ratios}   {refreshes} refreshes", flush=True)
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

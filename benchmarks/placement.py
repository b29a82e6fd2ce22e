"""Input cost of each layout of checkpoints over no caching, on traffic that must be learned. Lower is better.

Each stream is one process's calls of one kind, made from a seed; the emulator's engine keeps the cache, on
its own clock. Nothing is announced or set: `cachepoint` is the default policy.

    python benchmarks/placement.py [--seed 1] [--json] [stream ...]
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping

from prompts import Request, message, request, text, tool_pair
from simulate import LAYOUTS, Layout, cost, cost_of_ours

Calls = Iterator[tuple[float, Request]]
HEAD, PASSAGE, TURN = 12_000, 8_000, 800


def desk(chosen: random.Random) -> Calls:
    """People who answer after some minutes, one conversation beside others."""
    system = [{"text": text("desk", HEAD)}]
    for number in range(12):
        messages: list[Request] = []
        for n in range(6):
            messages.append(message("user", {"text": text(f"question {number} {n}", TURN)}))
            yield (
                chosen.uniform(60, 1_200),
                {"system": system, "messages": [*messages]},
            )
            messages.append(message("assistant", {"text": text(f"answer {number} {n}", TURN)}))


def agent(chosen: random.Random) -> Calls:
    """Tasks of ten steps, a tool in each."""
    schema = {"json": {"type": "object"}}
    spec = {"name": "read_file", "description": text("reads", TURN), "inputSchema": schema}
    base = {"toolConfig": {"tools": [{"toolSpec": spec}]}, "system": [{"text": text("agent", HEAD)}]}
    for number in range(6):
        messages = [message("user", {"text": text(f"task {number}", TURN)})]
        for n in range(10):
            yield chosen.uniform(2, 20), {**base, "messages": [*messages]}
            messages += tool_pair(100 * number + n, 3 * TURN)


def casefile(chosen: random.Random) -> Calls:
    """A document and some questions about it, each in one text with the document."""
    for number in range(12):
        document = "\n".join(text(f"paragraph {number} {n}", 500) for n in range(30))
        for n in range(chosen.randint(2, 6)):
            asked = f"Answer from the document.\n\n{document}\n\nQuestion {n}: what of {chosen.random()}?"
            yield chosen.uniform(5, 90), request("You read case files.", asked)


def passages(chosen: random.Random) -> Calls:
    """Three passages of forty, the popular ones more often, and a question."""
    weights = [1 / (rank + 1) for rank in range(40)]
    for n in range(60):
        found = sorted({*chosen.choices(range(40), weights, k=3)})
        blocks = [text(f"passage {i}", PASSAGE // 3) for i in found]
        yield chosen.uniform(5, 120), request(text("wiki", HEAD // 3), *blocks, f"Question {n}?")


def examples(chosen: random.Random) -> Calls:
    """Forty examples and an item in one text."""
    shown = "\n\n".join(f"{text(f'example {n}', 350)}\nLabel: {n % 5}" for n in range(40))
    for _ in range(50):
        asked = f"Sort the item.\n\n{shown}\n\nItem: {chosen.random()}"
        yield chosen.uniform(1, 30), {"messages": [message("user", {"text": asked})]}


def letters(chosen: random.Random) -> Calls:
    """Calls that have nothing in common."""
    for n in range(60):
        yield chosen.uniform(1, 60), request(f"You are {n}.", text(f"letter {n}", 2 * HEAD))


STREAMS: Mapping[str, Callable[[random.Random], Calls]] = {
    made.__name__: made for made in (desk, agent, casefile, passages, examples, letters)
}


def for_the_hour(layout: Layout) -> Layout:
    """The same places with a TTL of one hour."""
    point = {"cachePoint": {"type": "default"}}
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}

    def longer(value: object) -> object:
        if value == point:
            return hour
        if isinstance(value, list):
            return [longer(v) for v in value]
        return {k: longer(v) for k, v in value.items()} if isinstance(value, dict) else value

    return lambda asked: longer(layout(asked))  # type: ignore[return-value]


PEERS: Mapping[str, Layout] = {
    **{name: layout for name, layout in LAYOUTS.items() if name != "uncached"},
    "system only, 1h": for_the_hour(LAYOUTS["system only"]),
    "system and tail, 1h": for_the_hour(LAYOUTS["system and tail"]),
}


def ratios(stream: str, seed: int) -> dict[str, float]:
    """By layout, ours the last."""
    calls = list(STREAMS[stream](random.Random(f"{stream} {seed}")))
    table = {name: cost(calls, layout) for name, layout in PEERS.items()}
    return {**table, "cachepoint": cost_of_ours(calls)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="stream", default=[*STREAMS])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    table = {name: ratios(name, chosen.seed) for name in chosen.names}
    if chosen.json:
        print(json.dumps(table))
        return
    print("input cost over no caching".ljust(26), *(name.rjust(10) for name in table))
    for layout in (*PEERS, "cachepoint"):
        print(layout.ljust(26), *(f"{found[layout]:10.3f}" for found in table.values()))


if __name__ == "__main__":
    main()

"""Input cost of other libraries' checkpoints and of ours, over no caching. Lower is better.

Traffic is made from a seed, as in `placement.py`, and the emulator's engine keeps the cache. The layouts
are `peers.py`; ours is the default policy, which is told nothing of the traffic.

    python benchmarks/compare.py [--seed 1] [--json] [stream ...]
"""

import argparse
import json
import random
from collections.abc import Callable, Mapping

from peers import PEERS
from placement import HEAD, STREAMS, TURN, Calls
from prompts import Request, message, text, tool_pair
from simulate import cost, cost_of_ours

OURS = "cachepoint"


def chat(chosen: random.Random) -> Calls:
    """People who answer within a minute, one conversation after the other."""
    system = [{"text": text("chat", HEAD)}]
    for number in range(8):
        messages: list[Request] = []
        for n in range(8):
            messages.append(message("user", {"text": text(f"question {number} {n}", TURN)}))
            yield chosen.uniform(5, 60), {"system": system, "messages": [*messages]}
            messages.append(message("assistant", {"text": text(f"answer {number} {n}", TURN)}))


def wide(chosen: random.Random) -> Calls:
    """Tasks of six steps, twelve tools called at once in each."""
    system = [{"text": text("wide", HEAD)}]
    spec = {"name": "read_file", "description": "Reads.", "inputSchema": {"json": {"type": "object"}}}
    base = {"toolConfig": {"tools": [{"toolSpec": spec}]}, "system": system}
    for task in range(4):
        messages = [message("user", {"text": text(f"task {task}", TURN)})]
        for step in range(6):
            yield chosen.uniform(5, 30), {**base, "messages": [*messages]}
            pairs = [tool_pair(1_000 * task + 20 * step + n, TURN) for n in range(12)]
            messages += [
                message(role, *(pair[side]["content"][0] for pair in pairs))
                for side, role in enumerate(("assistant", "user"))
            ]


def clock(chosen: random.Random) -> Calls:
    """The same chats, and the system prompt ends with the time of day."""
    at = 9.0 * 3_600
    for gap, asked in chat(chosen):
        at += gap
        shown = f"{int(at // 3_600):02}:{int(at // 60 % 60):02}:{int(at % 60):02}"
        yield gap, {**asked, "system": [{"text": f"{asked['system'][0]['text']}\n\nIt is {shown}."}]}


KINDS: Mapping[str, tuple[str, Callable[[random.Random], Calls]]] = {
    "chat": ("a chat, answers within a minute", chat),
    "desk": ("a chat with pauses of minutes", STREAMS["desk"]),
    "agent": ("an agent, a tool a step", STREAMS["agent"]),
    "wide": ("an agent, twelve tools a step", wide),
    "clock": ("a chat with a clock in its system prompt", clock),
    "casefile": ("questions about a document, in one text", STREAMS["casefile"]),
    "passages": ("questions about popular passages", STREAMS["passages"]),
    "examples": ("forty examples and an item, in one text", STREAMS["examples"]),
    "letters": ("calls that have nothing in common", STREAMS["letters"]),
}


def ratios(kind: str, seed: int = 1) -> dict[str, float]:
    """By library, ours the first: 1 is no caching."""
    calls = list(KINDS[kind][1](random.Random(f"{kind} {seed}")))
    return {OURS: cost_of_ours(calls)} | {name: cost(calls, peer.place) for name, peer in PEERS.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="stream", default=[*KINDS])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    table = {name: ratios(name, chosen.seed) for name in chosen.names}
    if chosen.json:
        print(json.dumps(table))
        return
    print("input cost over no caching".ljust(42), *(name.rjust(13) for name in (OURS, *PEERS)))
    for kind, found in table.items():
        print(KINDS[kind][0].ljust(42), *(f"{ratio:13.2f}" for ratio in found.values()))


if __name__ == "__main__":
    main()

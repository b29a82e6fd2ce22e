"""How much memory grows over many calls that have nothing in common.

Most calls are short, some are long: other systems, conversations of several turns, texts that split, tools,
documents that are announced, profiles of applications, calls that fail. Resident memory is read after 50,000
calls and at the end.

    python benchmarks/growth.py [--calls 300000] [--from 50000] [--json]

It ends with an error where it grew by more than 8 MB. Linux only.
"""

import argparse
import json
import sys
from collections.abc import Iterator

from measure import resident
from prompts import MODEL, Request, answer, message, request, text, tool_pair

from cachepoint import PromptCache, documents

BOUND_MB = 8.0
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile"


def calls(number: int) -> Iterator[Request]:
    """Requests, none like another."""
    n = 0
    while n < number:
        for make in (short, short, short, clock, long, agent, retrieval, talk):
            for asked in make(n):
                yield asked if n % 100 else {**asked, "modelId": f"{PROFILE}/{n}"}
                n += 1


def short(n: int) -> Iterator[Request]:
    yield request(f"You are desk {n}.", f"Question {n}?")


def clock(n: int) -> Iterator[Request]:
    """A system prompt that changes by the call, in a line of its own."""
    yield request(f"{text(f'desk {n % 9}', 1_200)}\nIt is call {n}.\n{text(n, 100)}", "What now?")


def long(n: int) -> Iterator[Request]:
    yield request(text(f"system {n}", 6_000), text(f"question {n}", 2_000))


def agent(n: int) -> Iterator[Request]:
    spec = {"name": f"tool_{n}", "description": text(n, 200), "inputSchema": {"json": {"type": "object"}}}
    asked = {**request(f"agent {n}", f"task {n}"), "toolConfig": {"tools": [{"toolSpec": spec}]}}
    yield asked
    yield {**asked, "messages": [*asked["messages"], *tool_pair(n, 1_500)]}


def retrieval(n: int) -> Iterator[Request]:
    found = [documents(text(f"document {n} {i}", 800)) for i in range(2)]
    yield request(f"Answer from the documents, {n}.", "\n\n".join([*found, f"Question {n}?"]))


def talk(n: int) -> Iterator[Request]:
    messages = []
    for i in range(3):
        messages.append(message("user", {"text": text(f"question {n} {i}", 1_100)}))
        yield {"system": [{"text": f"talk {n}"}], "messages": list(messages)}
        messages.append(message("assistant", {"text": f"answer {n} {i}"}))


def run(number: int, start: int) -> list[float]:
    """Resident memory in MB after `start` calls and after all."""
    cache, found = PromptCache(), []
    for n, asked in enumerate(calls(number)):
        if n == start:
            found.append(resident())
        call = cache.prepare(asked, MODEL)
        # One in fifty fails.
        cache.settle(call, answer(call)) if n % 50 else cache.abandon(call)
    assert cache.faults == 0
    return [*found, resident()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--calls", type=int, default=300_000)
    options.add_argument("--from", type=int, default=50_000, dest="start")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    before, after = run(chosen.calls, chosen.start)
    figures = {"calls": chosen.calls, "from": chosen.start, "before_mb": before, "after_mb": after}
    if chosen.json:
        print(json.dumps(figures))
    else:
        print(
            f"{before:.1f} MB after {chosen.start:,} calls, {after:.1f} MB after {chosen.calls:,}: "
            f"{after - before:+.1f} MB"
        )
    if after - before > BOUND_MB:
        sys.exit(f"grew by more than {BOUND_MB:.0f} MB")


if __name__ == "__main__":
    main()

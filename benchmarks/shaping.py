"""Prompts in which something changes by the call, as they are and with that moved: input cost.

Costs are over what the prompt costs uncached as it is. `newest` moves what changes into the newest message
alone, as the models do with `relocate`; `kept` leaves it in the transcript, as `RelocateMiddleware` and
`RelocateMemory` do. What changes is marked with `volatile`; `learned` is kept, and nothing is marked.

    python benchmarks/shaping.py [--json] [--practice FOLDER] [--seeds 1,2,3]

Own streams: 40 conversations of four to six turns of one application, through the emulator's engine: a date,
a user's name, a session's id or a clock stands at the start, in the middle or at the end of a system prompt
of about 2,500 tokens. With `--practice` the `badge_*` streams of a folder that holds a bench for placement,
by its own engine: it ends with an error where `kept` costs more than 0.25 of the unmoved prompt uncached on a
`badge_start_*`, or 0.26 on a `badge_middle_*` or `badge_end_*`.
"""

import argparse
import dataclasses
import importlib
import json
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from simulate import Request, cost_of_ours
from trimming import text

from cachepoint import CachePolicy, PromptCache, volatile
from cachepoint.core.prompt.documents import changing
from cachepoint.shaping.changing import labelled
from cachepoint.shaping.relocating import Finder, parted_blocks, relocated

PLACES = ("start", "middle", "end")
KINDS = ("date", "name", "session", "clock")
BOUNDS = {"start": 0.25, "middle": 0.26, "end": 0.26}
STREAMS = [f"badge_{place}_{form}" for place in PLACES for form in ("text", "blocks")]
# What changes in these streams.
_CHANGES = re.compile(
    r"Today is [^.]*\.|You are helping [^.]*\.|Session [0-9a-f]*\.|It is [\d:]* in Lisbon\."
)


class Asked(NamedTuple):
    """One call: seconds since the one before, its conversation, the request."""

    gap: float
    conversation: str
    request: Request


def stream(place: str, seed: int = 7) -> Iterator[Asked]:
    """Own conversations, one after the other."""
    rng = random.Random(seed)
    people = [f"Guest {n}" for n in range(8)]
    rules = [text(1_000, "First rules"), text(1_500, "More rules")]
    clock = 0
    for number in range(40):
        kind, who, session = rng.choice(KINDS), rng.choice(people), f"{rng.getrandbits(48):012x}"
        messages: list[dict[str, Any]] = []
        for turn in range(rng.randint(4, 6)):
            gap = rng.choice((20, 40, 90)) if turn else rng.randint(30, 400)
            clock += gap
            line = {
                "date": f"Today is day {clock // 3_600}.",
                "name": f"You are helping {who}.",
                "session": f"Session {session}.",
                "clock": f"It is {clock // 3_600:02}:{clock // 60 % 60:02} in Lisbon.",
            }[kind]
            head = f"You are the {kind} desk."
            parts = {"start": [line, head, *rules], "end": [head, *rules, line]}
            parts |= {"middle": [head, rules[0], line, rules[1]]}
            messages.append(said("user", text(60, f"question {number}.{turn}")))
            system = [{"text": "\n\n".join(parts[place])}]
            yield Asked(gap, str(number), {"system": system, "messages": list(messages)})
            messages.append(said("assistant", text(150, f"answer {number}.{turn}")))


def said(role: str, body: str) -> dict[str, Any]:
    return {"role": role, "content": [{"text": body}]}


def mark(request: Request) -> None:
    """What a user does who knows what changes."""
    for block in request["system"]:
        for found in _CHANGES.finditer(block["text"]):
            volatile(found.group())


def newest(calls: Iterable[tuple[str, Request]], *, learned: bool) -> Iterator[Request]:
    """The requests with what changes in the newest message alone."""
    finder = Finder(learned=learned)
    for conversation, request in calls:
        if not learned:
            mark(request)
        yield dict(relocated(request, finder.of(conversation)))


def kept(calls: Iterable[tuple[str, Request]], *, learned: bool) -> Iterator[Request]:
    """The requests with what changes where it was first said, in the transcript."""
    finder = Finder(learned=learned)
    told: dict[str, dict[int, str]] = {}
    for conversation, request in calls:
        if not learned:
            mark(request)
        system, moved = parted_blocks(request["system"], finder.of(conversation))
        by_message = told.setdefault(conversation, {})
        if moved:
            by_message[len(request["messages"]) - 1] = labelled(moved)
        messages = [
            {**m, "content": [*m["content"], {"text": by_message[n]}]} if n in by_message else m
            for n, m in enumerate(request["messages"])
        ]
        yield {**request, "system": system, "messages": messages}


Shape = Callable[[Iterable[tuple[str, Request]]], Iterable[Request]]
SHAPES: dict[str, Shape] = {
    "unmoved": lambda calls: (request for _, request in calls),
    "newest": lambda calls: newest(calls, learned=False),
    "kept": lambda calls: kept(calls, learned=False),
    "learned": lambda calls: kept(calls, learned=True),
}


def own(place: str) -> dict[str, float]:
    """The cost of each form of own conversations."""
    calls = list(stream(place))
    pairs = [(call.conversation, call.request) for call in calls]
    row, tokens = {}, 0
    for name, shape in SHAPES.items():
        with changing.for_a_while():
            shaped = [(c.gap, r) for c, r in zip(calls, shape(pairs), strict=True)]
            share, sent = cost_of_ours(shaped), size(shaped)
        tokens = tokens or sent
        row[name] = share * sent / tokens
    return row


def size(calls: Iterable[tuple[float, Request]]) -> float:
    """How large they are, in characters."""
    blocks = (b for _, r in calls for b in (*r["system"], *(b for m in r["messages"] for b in m["content"])))
    return sum(len(block["text"]) for block in blocks)


def of_practice(folder: Path, name: str, seed: int, forms: Iterable[str] = SHAPES) -> dict[str, float]:
    """The cost of each form of one stream of a bench for placement."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    bench, streams = importlib.import_module("run"), importlib.import_module("streams")
    plain = streams.build(name, seed, 1.0)
    bench.prime(plain, "sonnet")
    tokens = sum(call.cum[-1] for call in plain.calls)
    pairs = [(call.conv, call.request) for call in plain.calls]
    row = {}
    for form in forms:
        with changing.for_a_while():
            calls = [
                dataclasses.replace(call, request=request)
                for call, request in zip(plain.calls, SHAPES[form](pairs), strict=True)
            ]
            shaped = dataclasses.replace(plain, calls=calls)
            bench.prime(shaped, "sonnet")
            found = bench.run_cache(
                lambda clock: PromptCache(policy=CachePolicy(), clock=clock), shaped, "sonnet"
            )
        wrong = {kind: n for kind, n in found.bad.items() if n}
        if wrong:
            raise RuntimeError(f"{name}, {form}: {wrong}: {dict(found.notes)}")
        row[form] = found.cost / tokens
    return row


def bound_of(name: str) -> float:
    return BOUNDS[name.split("_")[1]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--practice", type=Path)
    parser.add_argument("--seeds", default="1,2,3")
    asked = parser.parse_args()
    rows = {f"own, {place}": own(place) for place in PLACES}
    over = []
    for name in STREAMS if asked.practice else ():
        for seed in map(int, asked.seeds.split(",")):
            row = rows[f"{name} #{seed}"] = of_practice(asked.practice, name, seed)
            over += [f"{name} #{seed}: {row['kept']:.4f}"] if row["kept"] > bound_of(name) else []
    if asked.json:
        print(json.dumps(rows))
    else:
        print(f"{'':24}" + "".join(f"{form:>10}" for form in SHAPES))
        for name, row in rows.items():
            print(f"{name:24}" + "".join(f"{row[form]:10.3f}" for form in SHAPES))
    for line in over:
        print(f"above its bound: {line}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())

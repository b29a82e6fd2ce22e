"""Whatever a call is made with, nothing of ours raises, and the request stays what it is.

Requests in the three dialects, by a seed: right ones, and such with values that no reader expects, through
`prepare`, `ready`, `again`, `began`, `refused`, `outlook`, and `settle` or `abandon`, with answers that are
as odd. What a guard took is seen as well: it would be a call without a checkpoint.

    python benchmarks/fuzz_calls.py [--inputs 300000] [--seed 0] [--json]

It ends with an error where anything but `InvalidOptionError` leaves, where a guard took anything but a
request that Bedrock would not read, where the request given is another afterwards, where what is sent says
something else, or where more than four checkpoints leave. The inputs that did so are printed.
"""

import argparse
import itertools
import json
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any
from unittest import mock

import odd
from fuzz_bodies import CLAUDE, LLAMA, NOVA, OTHERS, valid

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.guard import Guard, InvalidOptionError
from cachepoint.core.prompt.dialects.reading import UnreadableError
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.operations import Incoming

FRESH = 2_000
POLICIES = (
    {},
    {"explain": "text"},
    {"ttl": "1h", "fan_out": "warm_first"},
    {"head_ttl": "1h", "tail": "always", "documents": "shared"},
    {"split": "off", "tail": "never"},
    {"split": "documents", "fan_out": "off", "explain": "text"},
)
REFUSALS = (
    "messages.0.content.1.type: Field required",
    "#/messages/6/content/0: extraneous key [cachePoint] is not permitted",
    "system.0.cache_control: Extra inputs are not permitted",
    "You did not allow prompt caching",
    "messages.%s.content.1.type: Field required" % ("9" * 5_000),
    "#/messages/%s/content: extraneous key [cachePoint]" % ("9" * 5_000),
    "\ud800",
    "",
)


@dataclass(slots=True)
class Found:
    """How many inputs there were, of which kinds, and what should not have been."""

    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str) -> None:
        self.inputs += 1
        self.kinds[kind] += 1


@contextmanager
def guarded(found: list[BaseException]) -> Iterator[None]:
    """What any guard takes, for a while."""

    def fault(self: Guard, _: str) -> None:
        self.faults += 1
        found.append(sys.exception())

    with mock.patch.object(Guard, "fault", fault):
        yield


class Time:
    """A clock that goes on, and now and then back."""

    def __init__(self, random: Random) -> None:
        self.random, self.at = random, 1.8e9

    def __call__(self) -> float:
        self.at += self.random.choice((0.001, 0.1, 1, 60, 301, 4_000, -1))
        return self.at


@dataclass(slots=True)
class Asked:
    """One input."""

    kind: str
    request: Any
    model: Any
    dialect: str


def asked(random: Random) -> Iterator[Asked]:
    """Inputs without end: a request that is right, grown by turns, and wronged."""
    while True:
        sent = valid(random)
        dialect = (
            "converse" if "converse" in sent.operation else "messages" if sent.model in CLAUDE else "nova"
        )
        yield Asked("right", json.loads(sent.body), sent.model, dialect)
        grown = json.loads(sent.body)
        grown["messages"] = [*grown["messages"], *_turn(random, dialect)]
        yield Asked("grown", grown, sent.model, dialect)
        for _ in range(random.randrange(6)):
            wrong = odd.wronged(random, json.loads(sent.body))
            model = sent.model if random.random() < 0.9 else random.choice(CLAUDE + NOVA + LLAMA + OTHERS)
            yield Asked("wrong", wrong, model, dialect if random.random() < 0.9 else "converse")
        if random.random() < 0.02:
            yield Asked("alien", odd.odd(random), sent.model, dialect)
            yield Asked("alien", json.loads(sent.body), odd.odd(random), dialect)


def _turn(random: Random, dialect: str) -> list[dict[str, Any]]:
    kind = {"type": "text"} if dialect == "messages" else {}
    said = f"turn {random.randrange(9)}: " + "and so it goes on " * random.choice((1, 90, 600))
    return [
        {"role": "assistant", "content": [{**kind, "text": said}]},
        {"role": "user", "content": [{**kind, "text": "And then?"}]},
    ]


def answer(random: Random, dialect: str) -> Any:
    """A response, most of them with a usage, some of these odd."""
    numbers = [random.choice((0, 1, 20, 3_000, 100_000)) for _ in range(4)]
    if dialect == "messages":
        names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    else:
        names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    response = {"usage": dict(zip(names, numbers, strict=True))}
    if random.random() < 0.2:
        response["usage"]["cacheDetails"] = [{"ttl": "1h", "inputTokens": numbers[3]}]
        response["usage"]["cache_creation"] = {"ephemeral_1h_input_tokens": numbers[3]}
    if random.random() < 0.4:
        response = odd.wronged(random, response, 2)
    return odd.odd(random) if random.random() < 0.02 else response


class WrongError(AssertionError):
    """What should not be."""


def tried(random: Random, cache: PromptCache, one: Asked, bedrock: BedrockEmulator) -> None:
    """One call from its beginning to its end, in one of its ways.

    Raises:
        WrongError: Where a law is broken. Whatever raises besides is wrong, too.
    """
    before, says = odd.seen(one.request), odd.said(one.request)
    try:
        call = cache.prepare(one.request, one.model, dialect=one.dialect)
        if random.random() < 0.05:
            str(cache.outlook(one.request, one.model, dialect=one.dialect))
    except InvalidOptionError:
        return
    finally:
        if odd.seen(one.request) != before:
            raise WrongError("the request given is another")
    if random.random() < 0.1:
        cache.ready(call)
        call = cache.again(call, give_up=random.random() < 0.5)
    if random.random() < 0.1:
        call = cache.refused(call, random.choice(REFUSALS)) or call
    _holds(one, call, says)
    if one.kind in ("right", "grown") and random.random() < 0.1:
        _taken(bedrock, one, call)
    if random.random() < 0.1:
        cache.began(call)
    if random.random() < 0.1:
        cache.abandon(call)
        return
    report = cache.settle(call, answer(random, one.dialect), first_token=random.choice((None, 1.0, 1.8e9)))
    json.dumps(report.as_dict(), allow_nan=False)
    str(report)
    if odd.seen(one.request) != before:
        raise WrongError("the request given is another")


def _holds(one: Asked, call: Any, says: Any) -> None:
    if not isinstance(one.request, Mapping):
        return
    if list(call.request) != [k for k in one.request if k != "cache_control" or k in call.request]:
        raise WrongError("what is sent has other keys")
    same = all(call.request[k] is v for k, v in one.request.items() if k in call.request)
    if not same and odd.said(call.request) != says and not odd.holds_itself(one.request):
        raise WrongError("what is sent says something else")
    ours = any(c.reason != "hand" for c in call.plan.checkpoints)
    if ours and (marked := odd.marked(call.request, one.dialect)) > 4:
        raise WrongError(f"{marked} checkpoints")


def _taken(bedrock: BedrockEmulator, one: Asked, call: Any) -> None:
    operation = "converse" if one.dialect == "converse" else "invoke"
    incoming = Incoming(
        "POST", f"/model/{one.model}/{operation}", "us-east-1", json.dumps(call.request).encode()
    )
    answered = bedrock._service.answer(incoming)
    if answered.status != 200:
        raise WrongError(f"Bedrock refuses it: {answered.body!r}")


def run(inputs: int, seed: int) -> Found:
    """So many inputs."""
    random, found = Random(seed), Found()
    bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"), max_calls=1)
    clock, taken = Time(random), list[BaseException]()
    caches: list[PromptCache] = []
    with guarded(taken):
        for n, one in enumerate(itertools.islice(asked(random), inputs)):
            if n % FRESH == 0:
                caches = [PromptCache(CachePolicy(**policy), clock) for policy in POLICIES]
            found.add(one.kind)
            try:
                tried(random, random.choice(caches), one, bedrock)
                _raised(taken)
            except Exception as error:
                found.wrong.append(_told(n, one, error))
            taken.clear()
    return found


def _raised(taken: list[BaseException]) -> None:
    """Raise what a guard took, but for requests that are none."""
    for fault in taken:
        if not isinstance(fault, UnreadableError):
            raise fault


def _told(number: int, one: Asked, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    try:
        shown = repr(one.request)[:1_500]
    except Exception:
        shown = "what has no repr"
    which = f"({number}, {one.dialect}, {one.model!r})"
    return f"{type(error).__name__} at {at}: {str(error)[:200]!r} {which}\n  {shown}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--inputs", type=int, default=300_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    started = time.monotonic()
    found = run(chosen.inputs, chosen.seed)
    figures = {
        "inputs": found.inputs,
        "kinds": dict(found.kinds),
        "wrong": len(found.wrong),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(figures) if chosen.json else "\n".join(f"{k:8} {v}" for k, v in figures.items()))
    for wrong in found.wrong[:10]:
        print(wrong, file=sys.stderr)
    if found.wrong:
        sys.exit(f"{len(found.wrong)} of {found.inputs} inputs went wrong")


if __name__ == "__main__":
    main()

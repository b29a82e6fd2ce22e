"""The Bedrock of the chaos: a process whose faults are drawn from a request's own id, and which restarts.

An id stands in the prompt as `#id.attempt-of-its-caller.side#`. What befalls a request, what it is answered
and how it is called are drawn from the id alone, so that both sides meet the same. An id that met a restart
is called once more, under its caller's next attempt: what befalls it is the same and begins anew.
"""

import json
import multiprocessing
import re
import threading
import time
from bisect import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import accumulate
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

from cachepoint.emulator import (
    BedrockEmulator,
    Cut,
    Delay,
    EmulatedError,
    Fault,
    Garbage,
    ParsedRequest,
    Prompt,
    Refused,
    Reply,
    Reset,
)

TAG = re.compile(r"#(\d+)\.(\d+)\.([po])#")
ALWAYS = 1_000
# So many seconds are far more than a loop of 200 tasks lags: whoever gives up does so on both sides.
LATE = 2.0
_INTERNAL = Refused("The system encountered an unexpected error.", "InternalServerException", 500)
_BUSY = Refused("Bedrock is unable to process your request.", "ServiceUnavailableException", 503)
# Of a hundred requests: how many, what befalls them, and in how many attempts.
FATES: Sequence[tuple[int, Fault | None, int]] = (
    (48, None, 0),
    (8, Refused(), 1),
    (4, Refused(), ALWAYS),
    (3, _BUSY, 1),
    (3, _INTERNAL, ALWAYS),
    (5, Reset(), 1),
    (3, Reset(), ALWAYS),
    (4, Garbage(), ALWAYS),
    (3, Garbage(after=2), ALWAYS),
    (2, Cut(0), ALWAYS),
    (3, Cut(1), ALWAYS),
    (4, Cut(4), ALWAYS),
    (4, Reset(after=3), ALWAYS),
    (6, Delay(LATE), ALWAYS),
)
_BOUNDS = [*accumulate(share for share, *_ in FATES)]
_MOST_TAGS = 50_000


def drawn(number: int, what: str, below: int) -> int:
    """A number from 0 on, which is the id's own."""
    digest = blake2b(f"{what} {number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % below


def fate(number: int) -> tuple[Fault | None, int]:
    """What befalls an id, and in how many attempts."""
    return FATES[bisect(_BOUNDS, drawn(number, "fate", 100))][1:]


def tag_of(request: ParsedRequest) -> re.Match[str] | None:
    """The last: a history may hold others."""
    return next(iter(reversed([*TAG.finditer(json.dumps(request.messages[-1:]))])), None)


class Fates:
    """What befalls each attempt at an id."""

    def __init__(self) -> None:
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def __call__(self, request: ParsedRequest) -> Fault | None:
        tag = tag_of(request)
        if tag is None:
            return None
        with self._lock:
            attempt = self._attempts.get(tag[0], 0)
            self._attempts[tag[0]] = attempt + 1
            while len(self._attempts) > _MOST_TAGS:
                self._attempts.popitem(last=False)
        fault, times = fate(int(tag[1]))
        return fault if attempt < times else None


def say(request: ParsedRequest) -> Reply:
    """The answer of an id: text, a tool that is called, or a stream that ends with an error."""
    tag = tag_of(request)
    number = int(tag[1]) if tag else 0
    text = {"text": f"Answer {number}. " + "It is as it is. " * drawn(number, "length", 12)}
    called = {
        "toolUse": {"toolUseId": f"tooluse_{number}", "name": "look_up", "input": {"word": str(number)}}
    }
    if request.tools and drawn(number, "tool", 2):
        return Reply((text, called), stop_reason="tool_use")
    broken = EmulatedError("The model broke off.", code="ModelStreamErrorException", status=424)
    return Reply((text,), fault=broken if drawn(number, "broken", 25) == 0 else None)


def size(prompt: Prompt, _rules: Any) -> list[int]:
    """A token for each character: what a text counts does not depend on where it is cut."""
    return [*(len(b.payload["text"]) if "text" in b.payload else 50 for b in prompt.blocks), 0]


class Bedrock:
    """An emulator in a process of its own.

    Attributes:
        restarts: Odd while it is gone, and another one after each.
    """

    def __init__(self, pipe: Connection, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.restarts = 0
        self._pipe = pipe

    def restart(self, gone: float) -> None:
        """End every connection, and listen again on the same port after so many seconds."""
        self.restarts += 1
        self._pipe.send(gone)
        self._pipe.recv()
        self.restarts += 1


@contextmanager
def bedrock() -> Iterator[Bedrock]:
    """One that runs in the block."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Bedrock(ours, ours.recv())
    finally:
        ours.send(None)
        process.join(10)
        process.kill()
        process.join()


def _serve(pipe: Connection) -> None:
    threading.stack_size(512 * 1024)
    emulator = BedrockEmulator(responder=say, faults=Fates(), sizer=size, max_calls=1).start()
    port = emulator.port
    emulator._address = ("127.0.0.1", port)
    pipe.send(port)
    # Its parent may end without a word.
    with suppress(EOFError):
        while (gone := pipe.recv()) is not None:
            emulator.stop()
            time.sleep(gone)
            emulator.start()
            pipe.send(port)
    emulator.stop()

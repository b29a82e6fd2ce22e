"""Waits for what another call is writing: the one place where a call of ours is held up.

A call of this process wakes those who wait for it. What another process does is asked for at intervals.
Who waits no longer takes the write over, where nobody did so before.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Event
from typing import Any

from cachepoint.core import flights
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.placement.fan_out import WAIT_SECONDS, Write

# How often the memory is asked about a call that can't wake us, and about one that can.
POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0


def longest(client: Any) -> float:
    """Seconds that a call through this client may wait: no more than it would wait for an answer."""
    own = getattr(getattr(getattr(client, "meta", None), "config", None), "read_timeout", None)
    return min(WAIT_SECONDS, own) if isinstance(own, int | float) else WAIT_SECONDS


def waited(cache: PromptCache, call: Call, seconds: float) -> Call:
    """The call as it is decided when what it waits for has ended, or the time is up.

    Args:
        cache: What prepared it.
        call: The call. It is returned as it is where what it waits for can't go on meanwhile.
        seconds: The longest wait, in all.
    """
    waiting = _Waiting(call, seconds, awaited=False)
    while (write := waiting.on(call)) is not None:
        if not _over(cache, call, write, waiting.ends) and not waiting.gives_up(write):
            return call
        call = cache.again(call, give_up=True)
    return call


async def awaited(cache: PromptCache, call: Call, seconds: float) -> Call:
    """As `waited`, while the event loop goes on."""
    waiting = _Waiting(call, seconds, awaited=True)
    while (write := waiting.on(call)) is not None:
        if not await _aover(cache, call, write, waiting.ends) and not waiting.gives_up(write):
            return call
        call = await cache.aagain(call, give_up=True)
    return call


class _Waiting:
    """How long a call waits, and for whom."""

    def __init__(self, call: Call, seconds: float, *, awaited: bool) -> None:
        self.ends = time.monotonic() + seconds
        self._awaited = awaited
        self._first = call.wait_for and call.wait_for.holder
        self._over: set[bytes] = set()

    def on(self, call: Call) -> Write | None:
        """What to wait for: of each call once, and of none that can't go on meanwhile."""
        write = call.wait_for
        if write is None or write.holder in self._over:
            return None
        self._over.add(write.holder)
        flight = flights.find(write.holder)
        return None if flight is not None and flight.stands_behind(awaited=self._awaited) else write

    def gives_up(self, write: Write) -> bool:
        """Whether one who is out of time takes a write over: where it waited for nothing else."""
        return write.holder == self._first


def _over(cache: PromptCache, call: Call, write: Write, ends: float) -> bool:
    """Wait until a write has ended; False: the time is up."""
    landed = Event()
    with _landing(write, landed.set) as pause:
        while not landed.wait(_next(pause, ends)):
            if cache.ready(call):
                return True
            if time.monotonic() >= ends:
                return False
    return True


async def _aover(cache: PromptCache, call: Call, write: Write, ends: float) -> bool:
    landed = asyncio.Event()
    with _landing(write, partial(_set, asyncio.get_running_loop(), landed)) as pause:
        while not await _within(landed, _next(pause, ends)):
            if await cache.aready(call):
                return True
            if time.monotonic() >= ends:
                return False
    return True


@contextmanager
def _landing(write: Write, wake: flights.Wake) -> Iterator[float]:
    """Within the block, `wake()` is called when a write has ended, where it is of this process.

    Yields:
        Seconds after which to ask the memory.
    """
    flight = flights.find(write.holder)
    if flight is not None:
        with flight.waking(wake):
            yield LOOK_SECONDS
        return
    if flights.is_lost(write.holder):
        wake()
    yield POLL_SECONDS


def _next(pause: float, ends: float) -> float:
    return max(0.0, min(pause, ends - time.monotonic()))


async def _within(landed: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await landed.wait()
    return landed.is_set()


def _set(loop: asyncio.AbstractEventLoop, landed: asyncio.Event) -> None:
    # A loop that is closed holds nobody who waits.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(landed.set)

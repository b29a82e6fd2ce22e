"""Waits for what another call is writing: the one place where a call of ours is held up.

A call of this process wakes those who wait for it. What another process does is asked for at intervals.
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
from cachepoint.core.flights import Flight
from cachepoint.core.placement.fan_out import WAIT_SECONDS

POLL_SECONDS = 0.1


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
    ends = time.monotonic() + seconds
    while (write := call.wait_for) is not None and (left := ends - time.monotonic()) > 0:
        flight = flights.find(write.holder)
        if flight is None:
            _poll(cache, call, ends)
        elif flight.stands_behind(awaited=False):
            return call
        else:
            landed = Event()
            with flight.waking(landed.set):
                landed.wait(left)
        call = cache.again(call)
    return call


async def awaited(cache: PromptCache, call: Call, seconds: float) -> Call:
    """As `waited`, while the event loop goes on."""
    ends = time.monotonic() + seconds
    while (write := call.wait_for) is not None and (left := ends - time.monotonic()) > 0:
        flight = flights.find(write.holder)
        if flight is None:
            await _apoll(cache, call, ends)
        elif flight.stands_behind(awaited=True):
            return call
        else:
            with suppress(TimeoutError), _landing(flight) as landed:
                await asyncio.wait_for(landed.wait(), left)
        call = await cache.aagain(call)
    return call


@contextmanager
def _landing(flight: Flight) -> Iterator[asyncio.Event]:
    landed = asyncio.Event()
    with flight.waking(partial(_set, asyncio.get_running_loop(), landed)):
        yield landed


def _set(loop: asyncio.AbstractEventLoop, landed: asyncio.Event) -> None:
    # A loop that is closed holds nobody who waits.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(landed.set)


def _poll(cache: PromptCache, call: Call, ends: float) -> None:
    while not cache.ready(call) and (left := ends - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))


async def _apoll(cache: PromptCache, call: Call, ends: float) -> None:
    while not await cache.aready(call) and (left := ends - time.monotonic()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(POLL_SECONDS, left))

"""The calls of this process that are writing something, and whom their end wakes."""

import asyncio
import secrets
from asyncio.events import _get_running_loop
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import getrandbits
from threading import get_ident
from weakref import WeakValueDictionary

from cachepoint.core.forks import at_fork

Wake = Callable[[], None]
# The token of each call that was dropped, and what it had claimed.
Dropped = deque[tuple[bytes, frozenset[bytes]]]
_BITS = 64
_OURS = 4


class Flight:
    """One call, from where it was prepared until what it writes can be read or never will be.

    Held by its call: one that is dropped is forgotten.

    Attributes:
        places: What is claimed in its name and was not given back yet.
    """

    __slots__ = ("__weakref__", "_dropped", "_landed", "_task", "_thread", "_token", "_wakes", "places")

    def __init__(self) -> None:
        self._thread = get_ident()
        self._task = _task()
        self._landed = False
        self._wakes: list[Wake] = []
        self._dropped: Dropped | None = None
        self._token = b""
        self.places: frozenset[bytes] = frozenset()

    def attended(self, token: bytes, dropped: "Dropped") -> None:
        """Should it be dropped while it holds anything, that is noted.

        Args:
            token: Its call's.
            dropped: Where.
        """
        self._token, self._dropped = token, dropped

    def __del__(self) -> None:
        # It may run in the middle of anything, under any lock: no more than this.
        if getattr(self, "places", None) and self._dropped is not None:
            self._dropped.append((self._token, self.places))

    def stands_behind(self, *, awaited: bool) -> bool:
        """Whether it can't go on while the caller waits: it is of the same task, or of the same thread.

        Args:
            awaited: Whether the caller lets other tasks of its thread go on.
        """
        return self._thread == get_ident() and not (awaited and self._task not in {None, _task()})

    def land(self) -> None:
        """Wake those who wait, once."""
        self._landed = True
        wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    @contextmanager
    def waking(self, wake: Wake) -> Iterator[None]:
        """Within the block, `wake()` is called when it lands, in whatever thread; at once where it has."""
        self._wakes.append(wake)
        # Whoever lands says so before it looks who waits.
        if self._landed:
            wake()
        try:
            yield
        finally:
            with suppress(ValueError):
                self._wakes.remove(wake)


class _Aloft(WeakValueDictionary[bytes, Flight]):
    """The flights of this process by the token of their call, which tells that it is of this process."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = b""
        self.anew()

    def anew(self) -> None:
        """In a forked child none of them goes on: what is under way in the parent is another process's."""
        self.clear()
        self.ours = secrets.token_bytes(_OURS)


_aloft = _Aloft()
at_fork(_aloft.anew)


def token() -> bytes:
    """A new call's."""
    return _aloft.ours + getrandbits(_BITS).to_bytes(_BITS // 8)


def depart(token: bytes, flight: Flight) -> None:
    """From here on it can be found by the token of its call."""
    _aloft[token] = flight


def find(token: bytes) -> Flight | None:
    """The flight of a call; None where that is in no hands here."""
    return _aloft.get(token)


def is_lost(token: bytes) -> bool:
    """Whether a call of this process is in no hands any more: nobody will say how it ended."""
    return token.startswith(_aloft.ours) and token not in _aloft


def _task() -> int | None:
    # Asked without a loop, `current_task` raises, which costs ten times as much.
    if _get_running_loop() is None:
        return None
    task = asyncio.current_task()
    return None if task is None else id(task)

"""The connections to one server: lent to one call at a time, and opened away from the calls that wait."""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any
from weakref import ref

from cachepoint.memory.wire.links import Link

# Who opens more at once floods a server that comes back.
_OPENING_AT_ONCE = 4


class Pool:
    """The connections to one server. Safe under threads; a forked child makes its own.

    Args:
        how: What redis-py takes to make a connection.
        most: How many there are at most; who finds none waits for one, as long as he has time.
    """

    def __init__(self, how: Mapping[str, Any], most: int) -> None:
        self._how = how
        self._most = most
        self._lock = Lock()
        self._idle: list[Link] = []
        self._waiting: deque[Future[Link]] = deque()
        self._opening = 0
        self._lent = 0
        self._closed = False

    def lend(self) -> "Link | Future[Link]":
        """A connection; where none is at rest, what will hold one, or the error of making it."""
        while (link := self._rested()) is not None:
            if link.is_alive:
                return link
            self.drop(link)
        waiting: Future[Link] = Future()
        with self._lock:
            self._waiting.append(waiting)
            opens = self._opening < min(_OPENING_AT_ONCE, len(self._waiting), self._most - self._lent)
            self._opening += opens
        if opens:
            Thread(
                target=_open, args=(ref(self), self._how), name="cachepoint-connecting", daemon=True
            ).start()
        return waiting

    def back(self, link: Link) -> None:
        """It is not in use any more: the next one in the row has it, or it rests."""
        link.rest()
        while True:
            with self._lock:
                waiting = self._waiting.popleft() if self._waiting else None
                if waiting is None and not self._closed:
                    self._lent -= 1
                    self._idle.append(link)
                    return
            if waiting is None:
                self.drop(link)
                return
            if waiting.set_running_or_notify_cancel():
                waiting.set_result(link)
                return

    def drop(self, link: Link) -> None:
        """It is of no use any more."""
        link.close()
        with self._lock:
            self._lent -= 1

    def opened(self, link: Link | None, error: BaseException | None) -> None:
        """One was opened, or could not be: then all who wait are told."""
        with self._lock:
            self._opening -= 1
            self._lent += link is not None
            waiting = list(self._waiting) if link is None else []
            if link is None:
                self._waiting.clear()
        if link is not None:
            self.back(link)
        for one in waiting:
            if one.set_running_or_notify_cancel():
                one.set_exception(error or ConnectionError("no connection"))

    def close(self, *, for_good: bool = False) -> None:
        """Close what rests; what is lent is closed when it comes back, where it is for good."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed = for_good
        for link in idle:
            link.close()

    def _rested(self) -> Link | None:
        with self._lock:
            if not self._idle:
                return None
            self._lent += 1
            return self._idle.pop()


def _open(pool: "ref[Pool]", how: Mapping[str, Any]) -> None:
    """In a thread of its own: names are looked up without end where the network is gone."""
    link, error = None, None
    try:
        link = Link(how)
    except Exception as raised:
        error = raised
    owner = pool()
    if owner is not None:
        owner.opened(link, error)
    elif link is not None:
        link.close()

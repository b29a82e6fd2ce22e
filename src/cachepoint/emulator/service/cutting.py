"""Streams that end too early."""

from itertools import islice
from random import Random
from threading import Lock

from cachepoint.emulator.responders import EmulatedError
from cachepoint.emulator.service.faults import Events

__all__ = ["CUT", "Cutter"]

# Why it stopped, and what it used: the last two events of every dialect.
_ENDING = 2
# What `calls` says of one. The client is told nothing.
CUT = EmulatedError("The stream was cut, as `cut_streams` says.", code="StreamCut", status=200)


class Cutter:
    """Chooses which streams end early, and where.

    The connection ends as after a whole answer, and the last events are missing: pi#4210, 2026-05, has such a
    stream of Opus 4.7 without a block of content.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(f"cut {seed}")
        self._lock = Lock()

    def chooses(self, probability: float) -> bool:
        """Whether the next stream is cut."""
        with self._lock:
            return probability > 0 and self._random.random() < probability

    def cut(self, events: Events) -> Events:
        """The beginning of a stream: its first event, and no more than all but the last two."""
        whole = list(events)
        with self._lock:
            length = self._random.randint(1, max(1, len(whole) - _ENDING))
        return islice(whole, length)

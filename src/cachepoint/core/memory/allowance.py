"""The time that one call may spend on its memory."""

import time
from collections.abc import Callable


class Allowance:
    """Seconds of waiting that a call has left for its memory; what happens between is not counted.

    Args:
        seconds: To begin with.
        clock: Seconds.
    """

    __slots__ = ("_clock", "_left", "_started")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = seconds
        self._clock = clock
        self._started = 0.0

    @property
    def left(self) -> float:
        """Seconds, 0 or more."""
        return max(self._left, 0.0)

    def __enter__(self) -> float:
        self._started = self._clock()
        return self.left

    def __exit__(self, *_: object) -> None:
        self._left -= self._clock() - self._started

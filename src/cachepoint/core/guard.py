"""A fault of ours never fails a call: a guard stands around all of ours before the sending, one after it."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

logger = logging.getLogger("cachepoint")

T = TypeVar("T")


class InvalidOptionError(ValueError, TypeError):
    """What the user gave is no valid option: refused where it is given, never swallowed by a guard."""


class CacheAlarm(RuntimeError):  # noqa: N818 -- it is an alarm; nothing failed
    """Caching has gone wrong for long in one stream of calls: raised before its next call is sent.

    Only where the user asked for it, with `cachepoint.observers.alarm("raise")`; `str()` says what is wrong
    and what to do.
    """

    def __init__(self, episode: Any) -> None:
        super().__init__(episode)

    @property
    def episode(self) -> Any:
        """What went wrong, a `cachepoint.observers.Episode`."""
        return self.args[0]


# What the user asked for, or has to put right.
_THROUGH = (InvalidOptionError, CacheAlarm)


class Guard:
    """Runs a step of ours; where it raises, the fault is counted and said once, and the call goes on.

    Args:
        within: The guard that counts what this one counts as well; the first fault of all is the warning.

    Attributes:
        faults: How many steps raised.
    """

    def __init__(self, within: "Guard | None" = None) -> None:
        self.faults = 0
        self._within = within

    def __call__(self, doing: str, step: Callable[[], T], otherwise: T) -> T:
        """What `step()` gives; `otherwise` where it raises.

        Args:
            doing: What the step does, for the warning.
            step: Takes nothing.
            otherwise: What the call goes on with.

        Raises:
            InvalidOptionError: Where what the user gave is not valid.
            CacheAlarm: Where an observer holds the call back.
        """
        try:
            return step()
        except _THROUGH:
            raise
        except Exception:
            self.fault(doing)
            return otherwise

    async def awaited(self, doing: str, step: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """As a call, for a step that is awaited."""
        try:
            return await step()
        except _THROUGH:
            raise
        except Exception:
            self.fault(doing)
            return otherwise

    def fault(self, doing: str) -> None:
        """Count a fault that is being handled; the first is a warning, the others are for debugging."""
        self.faults += 1
        if self._within is not None:
            self._within.fault(doing)
            return
        level = logging.WARNING if self.faults == 1 else logging.DEBUG
        logger.log(level, "cachepoint failed at %s; the call goes on without it", doing, exc_info=True)


guard = Guard()
"""The guard of this process, whose first fault is the one warning; `PromptCache.faults` counts its own."""

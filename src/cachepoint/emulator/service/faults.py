"""What befalls single requests: whoever runs the emulator says which, from what a request is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from cachepoint.emulator.responders import EmulatedError, ParsedRequest
from cachepoint.emulator.service.events import Event, StreamFault

__all__ = ["Cut", "Delay", "EndedError", "Events", "Fault", "Faults", "Garbage", "Refused", "Reset"]

Events = Iterator[Event | StreamFault | bytes]
# What a proxy between the two would say; it is neither JSON nor an event.
_NOISE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class EndedError(ConnectionAbortedError):
    """The connection ends here."""


class Fault:
    """What befalls a request. This one: nothing.

    Attributes:
        told: What `calls` says of it where an answer began; None: as of a whole answer.
    """

    told: ClassVar[EmulatedError | None] = None

    def before(self) -> None:
        """What happens before the model is asked; nothing is written to the cache where it raises.

        Raises:
            EmulatedError: The request is refused.
            EndedError: The connection ends without a word.
        """

    def body(self, whole: bytes) -> bytes:
        """The body of an answer that is no stream."""
        return whole

    def events(self, whole: Events) -> Events:
        """The events of a stream."""
        return whole


@dataclass(frozen=True, slots=True)
class Refused(Fault):
    """The request is refused; unless told otherwise, it is throttled."""

    message: str = "Too many requests, please wait before trying again."
    code: str = "ThrottlingException"
    status: int = 429

    def before(self) -> None:
        """Refuse it."""
        raise EmulatedError(self.message, code=self.code, status=self.status)


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """The answer begins so many seconds later."""

    seconds: float

    def before(self) -> None:
        """Wait."""
        time.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """A stream ends after so many events, as a whole one does. What is no stream is whole."""

    after: int = 1
    told: ClassVar[EmulatedError | None] = EmulatedError(
        "The stream was cut, as `faults` says.", code="StreamCut", status=200
    )

    def events(self, whole: Events) -> Events:
        """The first of them."""
        return islice(whole, self.after)


@dataclass(frozen=True, slots=True)
class Garbage(Fault):
    """A body that is no JSON; in a stream, after so many events, bytes that are none."""

    after: int = 0
    told: ClassVar[EmulatedError | None] = EmulatedError(
        "The answer was garbage, as `faults` says.", code="Garbage", status=200
    )

    def body(self, whole: bytes) -> bytes:  # noqa: ARG002
        """Something else."""
        return _NOISE

    def events(self, whole: Events) -> Events:
        """The first of them, and noise."""
        yield from islice(whole, self.after)
        yield _NOISE


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The connection ends: before the answer, or in a stream after so many events."""

    after: int = 0
    told: ClassVar[EmulatedError | None] = EmulatedError(
        "The connection ended, as `faults` says.", code="Reset", status=200
    )

    def before(self) -> None:
        """End it here."""
        if not self.after:
            raise EndedError("The connection ended, as `faults` says.")

    def events(self, whole: Events) -> Events:
        """The first of them."""
        yield from islice(whole, self.after)
        raise EndedError("The connection ended, as `faults` says.")


Faults = Callable[[ParsedRequest], Fault | None]

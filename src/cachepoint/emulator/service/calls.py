"""What goes in and out of the service, and what is kept of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cachepoint.emulator.service.events import Event, StreamFault

__all__ = ["Answer", "EmulatedCall", "Incoming"]


@dataclass(frozen=True, slots=True)
class EmulatedCall:
    """One request that the emulator answered or refused.

    `at` is the emulator's clock in seconds, `usage` the tokens as on the wire, `request` the parsed body
    and `body` its bytes. `error` and `message` are None where the call was answered, `usage` is None where
    it was refused.
    """

    at: float
    operation: str
    model_id: str
    region: str
    status: int
    error: str | None = None
    message: str | None = None
    usage: dict[str, Any] | None = None
    request: Any = None
    body: bytes = field(default=b"", repr=False)
    path: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request."""

    method: str
    path: str
    region: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent at once, `stream` event by event."""

    status: int
    body: bytes = b""
    stream: Iterator[Event | StreamFault] | None = None
    error: str | None = None

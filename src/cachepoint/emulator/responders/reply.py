"""What a responder gives: a reply, or an error that refuses the call."""

from dataclasses import dataclass
from typing import Any, Protocol, Self

from cachepoint.emulator.responders.request import ParsedRequest

__all__ = ["EmulatedError", "Reply", "Responder"]


class EmulatedError(Exception):
    """Raised by a responder to have the call refused, such as with a throttle."""

    def __init__(self, message: str, *, code: str = "ThrottlingException", status: int = 429) -> None:
        super().__init__(message)
        self.message, self.code, self.status = message, code, status


@dataclass(frozen=True, slots=True)
class Reply:
    """An assistant message in Converse form.

    `delay` is seconds before it begins, `pause` seconds between the events of a stream, `chunk_chars`
    the length of its deltas. With a `fault` a stream breaks off before messageStop; Converse is refused.
    `stop_sequence` is the one at which it was cut.
    """

    content: tuple[dict[str, Any], ...]
    stop_reason: str = "end_turn"
    delay: float = 0.0
    pause: float = 0.0
    chunk_chars: int = 24
    fault: EmulatedError | None = None
    stop_sequence: str | None = None

    @classmethod
    def text(cls, text: str) -> Self:
        """A reply of one text block."""
        return cls(({"text": text},))


class Responder(Protocol):
    """From a request to its reply. Called from many threads at once."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        ...

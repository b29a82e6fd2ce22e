"""What a probe asks, and what it is told: requests and answers as values, so that a probe does no I/O."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

Request = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to send.

    Attributes:
        request: The keyword arguments of `client.converse`, without the model.
        since: The number of an earlier answer; with `seconds`, it is sent so long after that was asked for.
        seconds: How long.
    """

    request: Request
    since: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        number: Which answer it is, from 0 on.
        at: When it was asked for, in seconds.
        read: Tokens that were read; `written` and `fresh` likewise.
        written_1h: Of those that were written, for an hour.
        refused: Why the service would not take it; empty where it did.
        age: Seconds since the earlier answer that the question named.
    """

    number: int
    at: float
    read: int = 0
    written: int = 0
    fresh: int = 0
    written_1h: int = 0
    refused: str = ""
    age: float = 0.0

    @property
    def tokens(self) -> int:
        """All of its input."""
        return self.read + self.written + self.fresh


class LateError(Exception):
    """An answer that was waited for while the probe was interrupted would come too late."""


class StoppedError(Exception):
    """Nothing more is asked; the message says why."""


# A probe yields what it asks, is sent the answers, and returns what it found.
Probing = Generator[Ask, Answer, T]

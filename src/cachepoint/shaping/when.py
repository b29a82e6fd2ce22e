"""When what was said is shortened: as soon as there is too much of it, or before, where that costs nothing.

To shorten a history is to write anew what is left of it. After a pause that is longer than the TTL the entry
has lapsed, and all is written anew anyway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from cachepoint.core.guard import InvalidOptionError

When = Literal["always", "cold"]
# Where more than one turn in so many comes after a pause, what is kept for an hour costs less than what is
# cut: in `benchmarks/pauses.py` up to 1.11 of not cutting, and never above 1 with this bound (160 runs).
_RARE = 3
_SHORT = 300.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What is remembered of a history that is shortened where it costs nothing.

    Attributes:
        at: When the call before began, in seconds; None: there was none.
        size: How many messages there were then.
        done: How much of the history's beginning was cut or cleared by then: a number of messages or results.
        early: Whether it was ever cut earlier than it had to be.
        turns: How many calls began a turn of the person's.
        pauses: How many of them came after more than five minutes.
    """

    at: float | None = None
    size: int = 0
    done: int = 0
    early: bool = False
    turns: int = 0
    pauses: int = 0

    @classmethod
    def of(cls, data: Any, size: int) -> "Cut":
        """From plain data; from nothing where there is none, or where it is of a longer history.

        Args:
            data: What `as_data` gave.
            size: How many messages there are now.
        """
        known = cls(**data) if isinstance(data, dict) else cls()
        return known if known.size <= size else cls()

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def lapsed(self, now: float, ttl: float) -> bool:
        """Whether what the call before wrote is no longer held."""
        return self.at is not None and now - self.at > ttl

    def cold(self, now: float, ttl: float) -> bool:
        """Whether it is, and pauses are so rare that nobody would write for an hour because of them."""
        return self.lapsed(now, ttl) and _RARE * (self.pauses + 1) <= self.turns

    def then(self, now: float, size: int = 0, done: int = 0, *, early: bool = False, turn: bool) -> "Cut":
        """What is remembered for the next call.

        Args:
            now: When this one begins, in seconds.
            size: How many messages there are.
            done: How much of the history's beginning is cut or cleared.
            early: Whether it was ever cut earlier than it had to be.
            turn: Whether the call begins a turn; steps of an agent follow one another without a pause.
        """
        pauses = self.pauses + (turn and self.lapsed(now, _SHORT))
        return Cut(now, size, done, early, self.turns + turn, pauses)


LONGEST = 3_600.0
"""Seconds that an entry lives at most, where it is not known what was written."""

# Of a history whose larger part lives on, little is written anew after a pause.
_MOST = 0.5


def lives(calls: Iterable[Sequence[tuple[int, float]]]) -> float:
    """How long most of what was written of a history lives, in seconds.

    A turn that was written for five minutes stands on those before it, which may live for an hour.

    Args:
        calls: By call, the newest first: tokens and seconds of each checkpoint, in order. Those of an earlier
            prefix, which was longer, count no more.
    """
    whole, lasting = 0, LONGEST
    for points in calls:
        if not points:
            continue
        size = points[-1][0]
        if not whole:
            whole, lasting, size_before = size, points[-1][1], size
        if size > size_before:
            break
        size_before = size
        lasting = max([lasting, *(seconds for tokens, seconds in points if tokens >= _MOST * whole)])
    return lasting


def check_when(when: str, ttl: float | None) -> None:
    """Whether the words are known.

    Raises:
        ValueError: Where not; it names the value.
    """
    if when not in get_args(When):
        raise InvalidOptionError(f"when is {when!r}; use one of {', '.join(map(repr, get_args(When)))}")
    if ttl is not None and not ttl > 0:
        raise InvalidOptionError(f"ttl is {ttl!r}; it must be more than 0 seconds")

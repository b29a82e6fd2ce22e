"""When what was said is shortened: as soon as there is too much of it, or before, where that costs nothing.

To shorten a history is to write anew what is left of it. After a pause that is longer than the TTL the entry
has lapsed, and all is written anew anyway.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from cachepoint.core.guard import InvalidOptionError

When = Literal["always", "cold"]


@dataclass(frozen=True, slots=True)
class Cut:
    """What is remembered of a history that is shortened where it costs nothing.

    Attributes:
        at: When the call before began, in seconds; None: there was none.
        size: How many messages there were then.
        done: How much of the history's beginning was cut or cleared by then: a number of messages or results.
        early: Whether it was ever cut earlier than it had to be.
    """

    at: float | None = None
    size: int = 0
    done: int = 0
    early: bool = False

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
        return {"at": self.at, "size": self.size, "done": self.done, "early": self.early}

    def lapsed(self, now: float, ttl: float) -> bool:
        """Whether what the call before wrote is no longer held."""
        return self.at is not None and now - self.at > ttl

    def then(self, now: float, size: int, done: int, *, early: bool) -> "Cut":
        """What is remembered for the next call."""
        return replace(self, at=now, size=size, done=done, early=early)


def check_when(when: str, ttl: float) -> None:
    """Whether the words are known.

    Raises:
        ValueError: Where not; it names the value.
    """
    if when not in get_args(When):
        raise InvalidOptionError(f"when is {when!r}; use one of {', '.join(map(repr, get_args(When)))}")
    if not ttl > 0:
        raise InvalidOptionError(f"ttl is {ttl!r}; it must be more than 0 seconds")

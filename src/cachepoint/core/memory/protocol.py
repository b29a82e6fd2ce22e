"""The one way to what is remembered: recall what a prompt asks for, record what a call changes."""

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from cachepoint.core.memory.records import Changes, Table

Keys = Mapping[Table, Collection[bytes]]
Recollection = Mapping[Table, Mapping[bytes, Any]]
NOTHING: Recollection = {}


class Question(Protocol):
    """What a prompt asks.

    Where a text is cut is itself remembered, and what stands behind the cut is known only then; so a
    question has two parts. A memory that keeps what texts were cut (a cut never changes) asks for both
    at once.
    """

    @property
    def now(self) -> float:
        """Seconds: what is too old then is not remembered."""

    @property
    def keys(self) -> Keys:
        """What can be asked at once."""

    def more(self, found: Recollection) -> Keys:
        """What is asked for besides, from what was found for `keys`. Pure; the same for the same answer."""


class Memory(Protocol):
    """Where all that is remembered lives. Bounded in count, age and bytes; safe under threads and forks.

    Both calls keep their time-out themselves: they answer within `timeout` seconds or raise. What raises
    counts as "nothing is remembered"; it never fails a call.
    """

    def recall(self, question: Question, timeout: float) -> Recollection:
        """All that is remembered of what is asked; it changes nothing, not even what is dropped next."""

    def record(self, changes: Changes, timeout: float) -> Recollection:
        """Make these changes, in order.

        Returns:
            The records of the places claimed and the texts cut, as they are now: who holds them, and
            where they are cut. This is where races end.
        """

    async def arecall(self, question: Question, timeout: float) -> Recollection:
        """As `recall`."""

    async def arecord(self, changes: Changes, timeout: float) -> Recollection:
        """As `record`."""

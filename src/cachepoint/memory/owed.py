"""What is still to be told to the store, with the next trip that goes there.

What follows a change only where that took effect is known when the store has answered; what was to be sent
and had no time left goes later. A worker that ends before its next call takes it along: a count is lost then.
"""

from collections import deque
from collections.abc import Iterable

from cachepoint.core.memory.deeds import Claim, Release
from cachepoint.core.memory.records import Change, Table

# Changes that wait at most, the oldest of too many are dropped; and how many go with one trip.
_MOST, _AT_ONCE = 4_096, 256
# What is small, and of use to others later, too.
_LATER = frozenset({Table.PLACES, Table.COUNTS, Table.CUTS, Table.ROWS})


class Owed:
    """Changes in order. Safe under threads."""

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=_MOST)

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, changes: Iterable[Change]) -> None:
        """These as well."""
        self._changes.extend(filter(_is_for_later, changes))

    def take(self) -> list[Change]:
        """The oldest, as many as go with one trip."""
        taken: list[Change] = []
        while self._changes and len(taken) < _AT_ONCE:
            try:
                taken.append(self._changes.popleft())
            except IndexError:
                break
        return taken

    def give_back(self, changes: Iterable[Change]) -> None:
        """They were not sent."""
        rest = [*filter(_is_for_later, changes), *self.take_all()]
        self._changes.extend(rest)

    def take_all(self) -> list[Change]:
        """All of them."""
        taken: list[Change] = []
        while part := self.take():
            taken += part
        return taken


def releases(changes: Iterable[Change]) -> list[Change]:
    """What is told once more where it may not have been heard: the end of a claim does no harm twice."""
    return [change for change in changes if type(change.deed) is Release]


def _is_for_later(change: Change) -> bool:
    """A claim that is told later could come after its own end, and nobody would end it again."""
    return change.table in _LATER and type(change.deed) is not Claim

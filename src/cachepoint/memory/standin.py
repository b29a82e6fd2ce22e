"""The memory of this process, which answers where the store does not.

While the store answers, it is only asked where texts are cut. The rest is noted, and made up where it is
needed: to change every record twice costs each call a tenth of what it takes.
"""

from collections import deque

from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.protocol import Question, Recollection
from cachepoint.core.memory.records import Changes, Table
from cachepoint.memory.recalling import CUT_BY

# Steps of calls that are made up for at most, the last ones; requests are too large to be kept for that.
_MOST = 1_024
_NOTED = frozenset({Table.PLACES, Table.COUNTS, Table.ROWS})


class Standin:
    """What one process knows beside its store. Safe under threads."""

    def __init__(self) -> None:
        self._memory = LocalMemory()
        self._noted: deque[Changes] = deque(maxlen=_MOST)

    def note(self, changes: Changes) -> None:
        """The store has made these changes."""
        at_once = tuple([change for change in changes.all if change.table in CUT_BY])
        if at_once:
            self._memory.record(Changes(changes.now, at_once), 0.0)
        later = tuple([change for change in changes.all if change.table in _NOTED])
        if later:
            self._noted.append(Changes(changes.now, later))

    def cuts(self, question: Question) -> Recollection:
        """Where texts are cut, as far as it is known here."""
        return self._memory.recall(question, 0.0)

    def recall(self, question: Question) -> Recollection:
        """All that is remembered of what is asked."""
        self._make_up()
        return self._memory.recall(question, 0.0)

    def record(self, changes: Changes) -> Recollection:
        """Make these changes, in order; who holds what, as far as this process knows."""
        self._make_up()
        return self._memory.record(changes, 0.0)

    def _make_up(self) -> None:
        while self._noted:
            try:
                self._memory.record(self._noted.popleft(), 0.0)
            except IndexError:
                return

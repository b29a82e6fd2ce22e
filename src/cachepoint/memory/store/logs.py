"""The logs of records as they stand in the store, and what they come to."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from cachepoint.core.memory.counts import Counts
from cachepoint.core.memory.records import Deed, Place, Row, Table, Texts, Trace
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.digests import Memo
from cachepoint.memory.store.elements import laid
from cachepoint.memory.store.scripts import HEAD

_STAMP = 4
_ARRAY = 0xDC
_KINDS: Mapping[Table, type] = {
    Table.PLACES: Place,
    Table.COUNTS: Counts,
    Table.CUTS: Cut,
    Table.TEXTS: Texts,
    Table.LAST: Trace,
    Table.TURNS: Trace,
    Table.ROWS: Row,
}
# Bytes of logs that were seen last, in each of two generations: one that is as it was is not read again, and
# of one that has grown, what was added.
_SEEN_BYTES = 4 << 20
# Elements, and about twice their size for the record that they come to.
_WEIGHT = 3


class Log(NamedTuple):
    """A log: how many elements, these, and the record that they come to; `is_bad`: they are none of ours."""

    size: int
    elements: bytes
    record: Any = None
    is_bad: bool = False

    def after(self, deeds: Sequence[Deed]) -> Any:
        """The record with some changes."""
        return reduce(_over, deeds, self.record)


NO_LOG = Log(0, b"")


class Logs:
    """Reads logs. Safe under threads.

    Attributes:
        unread: How many were none of ours, or damaged.
    """

    def __init__(self) -> None:
        self.unread = 0
        self._seen = Memo(_SEEN_BYTES)

    def read(self, table: Table, name: bytes, value: bytes | None, oldest: int) -> Log:
        """The log of one record.

        Args:
            table: Its table.
            name: What it is called in the store.
            value: What stands there; None: nothing.
            oldest: The second of the last change before which it is not found.
        """
        if value is None or len(value) < HEAD or int.from_bytes(value[:_STAMP]) < oldest:
            return NO_LOG
        known: Log | None = self._seen.get(name)
        # Most are as they were.
        if known is not None and value[HEAD:] == known.elements:
            return known
        log = self._laid(table, value, value[HEAD:], known)
        self.keep(name, log)
        return log

    def known(self, name: bytes) -> Log:
        """The log as it was seen last."""
        return self._seen.get(name) or NO_LOG

    def keep(self, name: bytes, log: Log) -> None:
        """The log is this now, as far as we know."""
        self._seen.put(name, log, len(name) + _WEIGHT * len(log.elements))

    def _laid(self, table: Table, value: bytes, elements: bytes, known: Log | None) -> Log:
        count = int.from_bytes(value[_STAMP + 1 : HEAD])
        base = NO_LOG if known is None or known.is_bad else known
        base = base if elements.startswith(base.elements) and count > base.size else NO_LOG
        try:
            record = laid(count - base.size, elements[len(base.elements) :], base.record)
            if value[_STAMP] == _ARRAY and (record is None or type(record) is _KINDS[table]):
                return Log(count, elements, record)
        # Whatever stands there, nothing is remembered of it; what is written over it is counted.
        except Exception:  # noqa: S110
            pass
        self.unread += 1
        return Log(count, elements, is_bad=True)


def _over(old: Any, deed: Deed) -> Any:
    return deed.over(old)

"""The memory of one process: a few bounded tables under one short lock."""

import math
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from cachepoint.core.forks import at_fork
from cachepoint.core.memory.protocol import Keys, Question, Recollection
from cachepoint.core.memory.records import Change, Changes, Deed, Table


@dataclass(frozen=True, slots=True)
class Limit:
    """How much one table keeps: records, seconds since a record was last used, bytes (estimated)."""

    records: int
    seconds: float
    bytes: int


_DAY = 86_400.0
_MB = 1 << 20
# An entry lives for an hour at most; that a head was seen is worth knowing for longer. Refusals are
# asked about again after an hour: a model may have learned, and one refusal costs one call sent twice.
LIMITS: Mapping[Table, Limit] = {
    Table.PLACES: Limit(24_576, _DAY, 8 * _MB),
    Table.COUNTS: Limit(2_048, 7 * _DAY, 4 * _MB),
    Table.CUTS: Limit(4_096, _DAY, 2 * _MB),
    Table.TEXTS: Limit(512, _DAY, 4 * _MB),
    Table.LAST: Limit(2_048, _DAY, 4 * _MB),
    Table.TURNS: Limit(4_096, _DAY, 4 * _MB),
    Table.ROWS: Limit(256, 3_600.0, _MB),
}
# Those whose records say who won.
_CONTESTED = (Table.PLACES, Table.CUTS)
_NO_ROW = None, -math.inf, 0


class _Rows:
    """One table: the records used last."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.bytes = 0
        # By key: the record, when it was used last, and its weight.
        self._rows: OrderedDict[bytes, tuple[Any, float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, keys: Collection[bytes], now: float) -> dict[bytes, Any]:
        oldest = now - self.limit.seconds
        # Most keys of a transcript are of no record.
        there = list(filter(self._rows.__contains__, keys))
        if not there:
            return {}
        rows = zip(there, map(self._rows.get, there), strict=True)
        return {key: row[0] for key, row in rows if row is not None and row[1] >= oldest}

    def change(self, key: bytes, deed: Deed, now: float) -> tuple[Any, Any]:
        """The record as it was, and as it is."""
        old, used, weighed = self._rows.get(key, _NO_ROW)
        if used < now - self.limit.seconds:
            old = None
        new = deed.over(old)
        if new is not None:
            weight = len(key) + new.weight
            self._rows[key] = new, now, weight
            self._rows.move_to_end(key)
            self.bytes += weight - weighed
        elif weighed:
            del self._rows[key]
            self.bytes -= weighed
        return old, new

    def trim(self, now: float) -> None:
        """Drop what is too much, what was used longest ago first."""
        rows, limit = self._rows, self.limit
        oldest = now - limit.seconds
        while rows and (
            len(rows) > limit.records or self.bytes > limit.bytes or next(iter(rows.values()))[1] < oldest
        ):
            self.bytes -= rows.popitem(last=False)[1][2]

    def weigh(self) -> None:
        """Add up the bytes anew."""
        self.bytes = sum(row[2] for row in self._rows.values())


class LocalMemory:
    """What one process remembers. Several `PromptCache`s may share one.

    Args:
        limits: By table, other bounds than `LIMITS`.
    """

    def __init__(self, limits: Mapping[Table, Limit] | None = None) -> None:
        self._limits = {**LIMITS, **(limits or {})}
        self._tables = {table: _Rows(limit) for table, limit in self._limits.items()}
        self._lock = Lock()
        at_fork(self._after_fork)

    def recall(self, question: Question, timeout: float) -> Recollection:  # noqa: ARG002
        """All that is remembered of what is asked. It waits for nobody: records are frozen."""
        first = self._find(question.keys, question.now)
        return {**first, **_joined(first, self._find(question.more(first), question.now))}

    def record(self, changes: Changes, timeout: float) -> Recollection:  # noqa: ARG002
        """Make these changes, in order. It waits for others that do so, some microseconds each."""
        held: dict[Table, dict[bytes, Any]] = {table: {} for table in _CONTESTED}
        with self._lock:
            try:
                for change in changes.all:
                    self._change(change, changes.now, held)
                for rows in self._tables.values():
                    rows.trim(changes.now)
            except BaseException:
                # A record may be in its table and not in the sum.
                self._weigh()
                raise
        return held

    async def arecall(self, question: Question, timeout: float) -> Recollection:
        """As `recall`: nothing here is waited for."""
        return self.recall(question, timeout)

    async def arecord(self, changes: Changes, timeout: float) -> Recollection:
        """As `record`: nothing here is waited for."""
        return self.record(changes, timeout)

    def sizes(self) -> Mapping[Table, tuple[int, int]]:
        """By table: how many records it holds, and their bytes (estimated)."""
        return {table: (len(rows), rows.bytes) for table, rows in self._tables.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it begins empty."""
        return LocalMemory, (self._limits,)

    def _after_fork(self) -> None:
        """The thread that held the lock is not in this process; what it was doing is at most one record."""
        self._lock = Lock()
        self._weigh()

    def _weigh(self) -> None:
        for rows in self._tables.values():
            rows.weigh()

    def _find(self, keys: Keys, now: float) -> dict[Table, dict[bytes, Any]]:
        return {table: self._tables[table].find(wanted, now) for table, wanted in keys.items()}

    def _change(self, change: Change, now: float, held: Mapping[Table, dict[bytes, Any]]) -> None:
        table, key, deed, then = change
        old, new = self._tables[table].change(key, deed, now)
        if table in held:
            held[table][key] = new
        if then and new is not old:
            for consequence in then:
                self._change(consequence, now, held)


def _joined(first: Recollection, second: Recollection) -> dict[Table, Mapping[bytes, Any]]:
    return {table: {**first.get(table, {}), **found} for table, found in second.items()}

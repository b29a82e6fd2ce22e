"""What a question asks of the store, all at once, and what the answer comes to."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cachepoint.core.memory.protocol import Keys as Asked
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Place, Table
from cachepoint.memory.store.elements import Is
from cachepoint.memory.store.keys import Keys, Names
from cachepoint.memory.store.logs import Logs
from cachepoint.memory.store.scripts import SKEW, Bound

# What decides where texts are cut, and so what else is asked.
CUT_BY = (Table.CUTS, Table.TEXTS)


# A key, and what stands there.
_Row = tuple[bytes, bytes | None]


class Known(NamedTuple):
    """A question for what this process knows of where texts are cut."""

    now: float
    keys: Asked

    def more(self, found: Recollection) -> Asked:  # noqa: ARG002
        """Nothing."""
        return {}


@runtime_checkable
class Replaced(Protocol):
    """A question that knows how what it asks was called by the key which is being replaced."""

    def replaced(self, found: Recollection) -> Mapping[Table, Mapping[bytes, bytes]]:
        """By table and key: as it was called."""


class Reading(NamedTuple):
    """Reads what was found.

    Attributes:
        keys: What records are called.
        logs: What reads them.
        bound: How old they may be.
        now: Seconds.
    """

    keys: Keys
    logs: Logs
    bound: Bound
    now: float

    def names(self, asked: Sequence[Asked]) -> list[Names]:
        """What is asked is called so in the store, in order."""
        return [self.keys.of(table, keys) for one in asked for table, keys in one.items()]

    def found(self, asked: Sequence[Asked], values: Sequence[bytes | None]) -> Recollection:
        """What the answer comes to.

        Args:
            asked: What was asked.
            values: What stands there, in the order of `names`.
        """
        found: dict[Table, dict[bytes, Any]] = {table: {} for one in asked for table in one}
        start = 0
        for one in asked:
            for table, keys in one.items():
                there = values[start : (start := start + len(keys))]
                # Most keys of a transcript are of no record.
                if any(there):
                    found[table].update(self._records(table, compress(zip(keys, there, strict=True), there)))
        return found

    def _records(self, table: Table, rows: Iterable[_Row]) -> dict[bytes, Any]:
        oldest, start, read = self.bound.oldest[table], self.keys.one(table, b""), self.logs.read
        records: dict[bytes, Any] = {}
        # Some hundred in a call: a loop takes half as long as what could be written in its place.
        for key, value in rows:
            record = read(table, start + key, value, oldest).record
            if record is not None:
                records[key] = record
        return records | _unsure(records, self.now) if table is Table.PLACES else records


class Lookup(NamedTuple):
    """What is asked, and while a key is being replaced, the same as it was called before.

    Attributes:
        reading: What reads the answer.
        asked: What is asked.
        older: What reads what lives under the key that is being replaced; None: none is.
        called: How some of what is asked was called then, by table and key.
    """

    reading: Reading
    asked: Sequence[Asked]
    older: Reading | None = None
    called: Mapping[Table, Mapping[bytes, bytes]] = MappingProxyType({})

    @property
    def names(self) -> list[Names]:
        """All that is looked up."""
        own = self.reading.names(self.asked)
        return own if self.older is None else own + self.older.names([self._before])

    def found(self, values: Sequence[bytes | None]) -> Recollection:
        """What the answer comes to, by the keys that hold from now on."""
        size = sum(len(keys) for one in self.asked for keys in one.values())
        found = self.reading.found(self.asked, values[:size] if self.older else values)
        if self.older is None:
            return found
        before = self.older.found([self._before], values[size:])
        rows = {t: {key: before[t].get(was) for key, was in keys.items()} for t, keys in self.called.items()}
        return {t: {**of, **dict(_under_both(of, rows.get(t, {})))} for t, of in found.items()}

    @property
    def _before(self) -> Asked:
        return {table: tuple(keys.values()) for table, keys in self.called.items()}


def _under_both(new: Mapping[bytes, Any], old: Mapping[bytes, Any]) -> Iterator[tuple[bytes, Any]]:
    for key, record in old.items():
        if record is not None:
            yield key, _both(new.get(key), record)


def _both(new: Any, old: Any) -> Any:
    """What is known under two keys: the entry that lives longer, and who writes it."""
    if not isinstance(old, Place):
        return old if new is None else new
    if new is None:
        return old._replace(awaited=(), out=0.0)
    if old.expires > new.expires:
        new = new._replace(expires=old.expires, ttl=old.ttl, tokens=old.tokens, failed=old.failed)
    return new if new.holder else new._replace(holder=old.holder, since=old.since)


def _unsure(places: Mapping[bytes, Place], now: float) -> dict[bytes, Place]:
    """An entry that expires within a second is gone: it was written by a clock that may be behind ours.

    To write what is there still costs nothing, as it is read. To count on what is gone looks as if Bedrock
    had lost it.
    """
    least = now + SKEW
    return {k: place._replace(expires=now) for k, place in places.items() if now < place.expires <= least}


def with_cuts(found: Recollection, known: Recollection) -> Recollection:
    """With the cuts that are known here and not there, as after a restart: texts go on being cut so."""
    cuts = known.get(Table.CUTS)
    return {**found, Table.CUTS: {**cuts, **found[Table.CUTS]}} if cuts else found


def only(found: Recollection, asked: Sequence[Asked]) -> Recollection:
    """What was found of what is asked after all."""
    wanted: dict[Table, set[bytes]] = {}
    for one in asked:
        for table, keys in one.items():
            wanted.setdefault(table, set()).update(keys)
    return {t: {k: r for k, r in found.get(t, {}).items() if k in keys} for t, keys in wanted.items()}


def missing(asked: Sequence[Asked], wanted: Asked) -> Asked:
    """What is wanted and was not asked."""
    left: dict[Table, Collection[bytes]] = {}
    for table, keys in wanted.items():
        had = {key for one in asked for key in one.get(table, ())}
        if new := [key for key in keys if key not in had]:
            left[table] = new
    return left


def joined(first: Recollection, second: Recollection) -> Recollection:
    """Both."""
    return {t: {**first.get(t, {}), **second.get(t, {})} for t in {**first, **second}}


def learned(found: Recollection, known: Recollection) -> tuple[Change, ...]:
    """What this process did not know of where texts are cut."""
    return tuple(
        Change(table, key, Is(record))
        for table in CUT_BY
        for key, record in found.get(table, {}).items()
        if known.get(table, {}).get(key) != record
    )

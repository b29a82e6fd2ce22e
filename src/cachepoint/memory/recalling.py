"""What a question asks of the store, all at once, and what the answer comes to."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any, NamedTuple

from cachepoint.core.memory.local import Limit
from cachepoint.core.memory.protocol import Keys as Asked
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Place, Table
from cachepoint.memory.store.elements import Is
from cachepoint.memory.store.keys import Keys
from cachepoint.memory.store.logs import Logs
from cachepoint.memory.store.scripts import SKEW, oldest

# What decides where texts are cut, and so what else is asked.
CUT_BY = (Table.CUTS, Table.TEXTS)


class Known(NamedTuple):
    """A question for what this process knows of where texts are cut."""

    now: float
    keys: Asked

    def more(self, found: Recollection) -> Asked:  # noqa: ARG002
        """Nothing."""
        return {}


class Reading(NamedTuple):
    """Reads what was found.

    Attributes:
        keys: What records are called.
        logs: What reads them.
        limits: How old they may be, by table.
        now: Seconds.
    """

    keys: Keys
    logs: Logs
    limits: Mapping[Table, Limit]
    now: float

    def names(self, asked: Sequence[Asked]) -> list[bytes]:
        """What is asked is called so in the store, in order."""
        return [name for one in asked for table, keys in one.items() for name in self.keys.of(table, keys)]

    def found(
        self, asked: Sequence[Asked], names: Sequence[bytes], values: Sequence[bytes | None]
    ) -> Recollection:
        """What the answer comes to.

        Args:
            asked: What was asked.
            names: What `names` gave.
            values: What stands there.
        """
        found: dict[Table, dict[bytes, Any]] = {table: {} for one in asked for table in one}
        start = 0
        for one in asked:
            for table, keys in one.items():
                end = start + len(keys)
                there = values[start:end]
                # Most keys of a transcript are of no record.
                if any(there):
                    rows = compress(zip(keys, names[start:end], there, strict=True), there)
                    found[table].update(self._records(table, rows))
                start = end
        return found

    def _records(self, table: Table, rows: Any) -> Iterator[tuple[bytes, Any]]:
        least = oldest(self.now, self.limits[table])
        for key, name, value in rows:
            record = self.logs.read(table, name, value, least).record
            if record is not None:
                yield key, _sure(record, self.now) if table is Table.PLACES else record


def _sure(place: Place, now: float) -> Place:
    """An entry that expires within a second is gone: it was written by a clock that may be behind ours.

    To write what is there still costs nothing, as it is read. To count on what is gone looks as if Bedrock
    had lost it.
    """
    return place._replace(expires=now) if now < place.expires <= now + SKEW else place


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

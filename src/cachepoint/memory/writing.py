"""Changes as they go to the store, one of it for each record, and who won, from what was there before."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

from cachepoint.core.memory.deeds import Cached, CameBack, Forget, Refreshed, Release, Unread
from cachepoint.core.memory.records import Change, Deed, Table, Trace
from cachepoint.memory.store.elements import Is, whole, written
from cachepoint.memory.store.keys import Keys
from cachepoint.memory.store.logs import NO_LOG, Log, Logs
from cachepoint.memory.store.scripts import Bound, drawn, payload

# Those whose records say who won.
CONTESTED = (Table.PLACES, Table.CUTS)
# One replaces what is there (s), some leave nothing where nothing is (x); all others are added (a).
_RULES: Mapping[type, bytes] = {
    Trace: b"s",
    **dict.fromkeys((Release, CameBack, Forget, Unread, Cached, Refreshed), b"x"),
}
# A log of more elements is drawn up by whoever saw it, for good; one of a few, where nobody came between.
_LONG, _FEW = 8, 3
_ALONE, _WITH = 1, 2


class Writing(NamedTuple):
    """What becomes of one record.

    Attributes:
        table: Its table.
        key: Its key.
        name: What it is called in the store.
        changes: Those to it, in order.
        rule: As in the script.
        elements: How many are added, and these.
        is_wanted: Whether it must be known what was there.
        seen: The log as it was seen last.
        form: How what was seen is drawn up; 0: it is not.
        instead: How many elements it comes to, and these.
    """

    table: Table
    key: bytes
    name: bytes
    changes: Sequence[Change]
    rule: bytes
    elements: tuple[int, bytes]
    is_wanted: bool
    seen: Log = NO_LOG
    form: int = 0
    instead: tuple[int, bytes] = (0, b"")

    @property
    def payload(self) -> bytes:
        """As the script takes it."""
        seen, made = self.seen, self.instead
        up = drawn(self.form, seen.elements, seen.size, *made) if self.form else b""
        return payload(self.table, self.rule, self.is_wanted, *self.elements, up)

    def guessed(self, logs: Logs) -> None:
        """What it is now, if nobody came between: whoever asks for it next then need not read it.

        If somebody did, it is seen, as it is not what was guessed.
        """
        old = NO_LOG if self.rule == b"s" else self.seen
        if self.rule == b"s" or old is not NO_LOG:
            logs.keep(self.name, self.after(old, reduce(_over, self.changes, old.record)))

    def after(self, old: Log, record: Any) -> Log:
        """The log as the script left it.

        Args:
            old: As it was.
            record: What it comes to.
        """
        there = old is not NO_LOG
        if self.rule == b"s" or not there:
            return Log(*self.elements, record) if self.rule != b"x" else NO_LOG
        if self.rule == b"n":
            return old
        same = self.form and old.elements.startswith(self.seen.elements)
        if same and self.form == _WITH and old.elements == self.seen.elements:
            return Log(*self.instead, record)
        count, elements = old.size, old.elements
        if same and self.form == _ALONE:
            rest = elements[len(self.seen.elements) :]
            count, elements = count - self.seen.size + self.instead[0], self.instead[1] + rest
        return Log(count + self.elements[0], elements + self.elements[1], record)


class Outcome(NamedTuple):
    """What came of some writings: who holds what, and what is to be done where a change took effect."""

    held: dict[Table, dict[bytes, Any]]
    owed: list[Change]


def writings(changes: Iterable[Change], keys: Keys, logs: Logs) -> list[Writing]:
    """Changes by record, in the order in which records come first. What can't be written is left out."""
    by_record: dict[tuple[Table, bytes], list[Change]] = {}
    for change in changes:
        by_record.setdefault(change[:2], []).append(change)
    made = (_writing(table, key, all_of, keys, logs) for (table, key), all_of in by_record.items())
    return [one for one in made if one is not None]


def outcome(
    made: Sequence[Writing],
    answers: Sequence[bytes | None],
    logs: Logs,
    bound: Bound,
) -> Outcome:
    """What came of writings.

    Args:
        made: These.
        answers: What was there before, for each that wanted to know.
        logs: What reads it.
        bound: How old records may be.
    """
    held: dict[Table, dict[bytes, Any]] = {table: {} for table in CONTESTED}
    owed: list[Change] = []
    for one, value in zip(made, answers, strict=True):
        if not one.is_wanted:
            one.guessed(logs)
            continue
        old = logs.read(one.table, one.name, value, bound.oldest[one.table])
        record = old.record
        for change in one.changes:
            before, record = record, change.deed.over(record)
            if change.then and record is not before:
                owed += change.then
        logs.keep(one.name, one.after(old, record))
        if one.table in held:
            held[one.table][one.key] = record
    return Outcome(held, owed)


def told(changes: Sequence[Change], held: Mapping[Table, Mapping[bytes, Any]]) -> tuple[Change, ...]:
    """The changes for the memory of this process: texts are cut as the store has it."""
    cuts = held.get(Table.CUTS)
    if not cuts:
        return tuple(changes)
    return tuple(
        c._replace(deed=Is(cuts[c.key])) if c.table is Table.CUTS and c.key in cuts else c for c in changes
    )


def _over(old: Any, change: Change) -> Any:
    return change.deed.over(old)


def _writing(table: Table, key: bytes, changes: list[Change], keys: Keys, logs: Logs) -> Writing | None:
    name = keys.one(table, key)
    seen = logs.known(name)
    deeds = [change.deed for change in changes]
    rule, deeds = _ruled(table, deeds, seen)
    try:
        elements = len(deeds), b"".join([written(deed) for deed in deeds])
        drawn_up = _drawn_up(table, seen, deeds) if seen.size and rule in b"ax" else (0, (0, b""))
        wanted = table in CONTESTED or any(change.then for change in changes)
        return Writing(table, key, name, changes, rule, elements, wanted, seen, *drawn_up)
    # A name with half a surrogate pair, a whole number of more than 64 bits.
    except (ValueError, OverflowError):
        logs.unread += 1
        return None


def _ruled(table: Table, deeds: list[Deed], seen: Log) -> tuple[bytes, list[Deed]]:
    """By what rule, and which changes are left to be made."""
    if table is Table.CUTS:
        return b"s" if seen.is_bad else b"n", deeds[:1]
    rules = [_RULES.get(type(deed), b"a") for deed in deeds]
    if b"s" in rules:
        return b"s", deeds[len(rules) - 1 - rules[::-1].index(b"s") :]
    return b"a" if b"a" in rules else b"x", deeds


def _drawn_up(table: Table, seen: Log, deeds: list[Deed]) -> tuple[int, tuple[int, bytes]]:
    """How what was seen is drawn up, where that is worth it, and what it comes to."""
    if seen.size > _LONG and not seen.is_bad:
        return _ALONE, whole(seen.record)
    if seen.is_bad or (table is Table.PLACES and seen.size + len(deeds) > _FEW):
        return _WITH, whole(seen.after(deeds))
    return 0, (0, b"")

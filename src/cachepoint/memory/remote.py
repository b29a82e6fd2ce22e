"""The memory of a fleet: what is remembered stands in a store that all workers reach."""

import asyncio
import logging
import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, Protocol, Self, TypeVar
from weakref import ref

from cachepoint.core.forks import at_fork
from cachepoint.core.memory.protocol import Keys as Asked
from cachepoint.core.memory.protocol import Question, Recollection
from cachepoint.core.memory.records import Change, Changes
from cachepoint.memory.breaker import CLOSED
from cachepoint.memory.owed import Owed, releases
from cachepoint.memory.recalling import (
    CUT_BY,
    Known,
    Lookup,
    Reading,
    Replaced,
    joined,
    learned,
    missing,
    only,
    with_cuts,
)
from cachepoint.memory.standin import Standin
from cachepoint.memory.store.keys import Keys, Names
from cachepoint.memory.store.logs import Logs
from cachepoint.memory.store.scripts import Bounds
from cachepoint.memory.wire.links import LateError
from cachepoint.memory.wire.servers import Answers, Trip, UnreachableError, UnsentError
from cachepoint.memory.writing import Writing, outcome, told, writings

logger = logging.getLogger("cachepoint")

T = TypeVar("T")
# What it yields is asked of the store. None: there is no answer, and nothing was sent; LOST: it may have
# been.
Steps = Generator[Trip, "Answers | None", T]
LOST = Answers((), ())
# Less is not worth a try, in seconds.
_TOO_LITTLE = 0.0005
# Seconds between two looks whether the store is back; for sending what was put off meanwhile; and within
# which it must answer at least to be back.
_PAUSE = 1.0
_PUT_OFF = 1.0
_SOON = 0.01


class Servers(Protocol):
    """One server, or a cluster."""

    def ask(self, trip: Trip, timeout: float) -> Answers:
        """Make a trip within so many seconds."""

    async def aask(self, trip: Trip, timeout: float) -> Answers:
        """As `ask`, awaited."""

    def probe(self, timeout: float) -> None:
        """See that all is well, and that an answer takes no longer than so many seconds."""

    def reset(self) -> None:
        """Make connections anew."""

    def close(self) -> None:
        """Close all."""


@dataclass(frozen=True)
class Settings:
    """What a shared memory is made with.

    Attributes:
        where: The store, for people: no user, no password.
        servers: What makes the connections, anew in each process.
        keys: What records are called.
        older: What they are called by the key that is being replaced; None: none is.
        bounds: For how long they are kept.
        again: What makes it anew in another process.
    """

    where: str
    servers: Any = field(repr=False)
    keys: Keys = field(repr=False)
    older: Keys | None = field(repr=False)
    bounds: Bounds = field(repr=False)
    again: tuple[Any, ...] = field(repr=False)


class SharedMemory:
    """What a fleet remembers, on Redis or Valkey; `cachepoint.memory.connect` makes one.

    Each call is one round trip. Where the store is late, full or gone, the memory of this process answers,
    and the store is asked again when it is back.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = Standin()
        self._logs = Logs()
        self._said = False
        self._patience = _PUT_OFF
        self._now = 0.0
        self._closed = False
        self._begin()
        at_fork(self._begin)

    @property
    def key(self) -> bytes:
        """The key of the digests; a `PromptCache` with this memory takes it."""
        return self._settings.keys.secret

    @property
    def older_key(self) -> bytes | None:
        """The key that is being replaced, under which a `PromptCache` looks as well; None: none is."""
        return None if self._settings.older is None else self._settings.older.secret

    @property
    def is_shared(self) -> bool:
        """Whether the store is asked; else the memory of this process answers."""
        return not (self._breaker.is_open or self._closed)

    def recall(self, question: Question, timeout: float) -> Recollection:
        """All that is remembered of what is asked, within `timeout` seconds."""
        return self._driven(self._recalling(question), timeout)

    def record(self, changes: Changes, timeout: float) -> Recollection:
        """Make these changes, in order, within `timeout` seconds."""
        return self._driven(self._recording(changes), timeout)

    async def arecall(self, question: Question, timeout: float) -> Recollection:
        """As `recall`, awaited."""
        return await self._adriven(self._recalling(question), timeout)

    async def arecord(self, changes: Changes, timeout: float) -> Recollection:
        """As `record`, awaited."""
        return await self._adriven(self._recording(changes), timeout)

    def open(self, timeout: float = 2.0) -> bool:
        """Make the first connection now, in a worker that begins; whether the store answered in time."""
        try:
            self._servers.probe(timeout)
        except Exception as error:
            self._failed(error)
        return self.is_shared

    def close(self) -> None:
        """Send what is owed, and close the connections. From here on the memory of this process answers."""
        if not self._closed:
            try:
                self._flush()
            except Exception as error:
                self._failed(error)
        self._closed = True
        self._stop.set()
        self._servers.close()

    async def aclose(self) -> None:
        """As `close`, awaited."""
        await asyncio.to_thread(self.close)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._settings.where}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it makes its own connections. What is pickled holds the key and the password."""
        return self._settings.again[0], self._settings.again[1:]

    def _begin(self) -> None:
        """In this process: a forked child has no connection of its parent's, and owes nothing for it."""
        self._servers: Servers = self._settings.servers()
        self._owed = Owed()
        self._lock = Lock()
        self._breaker = CLOSED
        self._stop = Event()

    def _recalling(self, question: Question) -> Steps[Recollection]:
        """A cut never changes: what stands behind one that is known here is asked at once."""
        now, keys, owed = question.now, question.keys, self._owed.take()
        made = self._writings(owed)
        assumed = self._local.cuts(Known(now, {t: keys[t] for t in CUT_BY if t in keys}))
        asked = [keys, question.more(assumed)]
        lookup = self._lookup(question, asked, assumed)
        answers = yield self._trip(now, made, lookup.names)
        if answers is None or answers is LOST:
            self._owed.give_back(owed if answers is None else releases(owed))
            return self._local.recall(question)
        self._came_of(made, answers, now)
        found = with_cuts(lookup.found(answers.found), assumed)
        self._learn(found, assumed, now)
        if all(found.get(table, {}) == assumed.get(table, {}) for table in CUT_BY):
            return found
        return (yield from self._more(question, asked, found))

    def _more(self, question: Question, asked: list[Asked], found: Recollection) -> Steps[Recollection]:
        """Others cut a text otherwise than was known here."""
        wanted = question.more(found)
        if wanted == asked[-1]:
            return found
        rest = [missing(asked, wanted)]
        lookup = self._lookup(question, rest, found)
        answers = (yield self._trip(question.now, (), lookup.names)) if rest[0] else None
        if answers is not None and answers is not LOST:
            found = joined(found, lookup.found(answers.found))
        return only(found, [question.keys, wanted])

    def _recording(self, changes: Changes) -> Steps[Recollection]:
        now, owed = changes.now, self._owed.take()
        made = self._writings((*owed, *changes.all))
        try:
            answers = yield self._trip(now, made, ())
        except GeneratorExit:
            # Whoever waited was cancelled.
            self._owed.add(releases((*owed, *changes.all)))
            raise
        if answers is None or answers is LOST:
            sent = (*owed, *changes.all)
            self._owed.give_back(sent if answers is None else releases(sent))
            return self._local.record(changes)
        held = self._came_of(made, answers, now)
        self._local.note(Changes(now, told(changes.all, held)))
        return {t: {c.key: rows.get(c.key) for c in changes.all if c.table is t} for t, rows in held.items()}

    def _lookup(self, question: Question, asked: list[Asked], known: Recollection) -> Lookup:
        settings, now = self._settings, question.now
        reading = Reading(settings.keys, self._logs, settings.bounds.at(now), now)
        if settings.older is None or not isinstance(question, Replaced):
            return Lookup(reading, asked)
        return Lookup(reading, asked, reading._replace(keys=settings.older), question.replaced(known))

    def _writings(self, changes: Collection[Change]) -> list[Writing]:
        return writings(changes, self._settings.keys, self._logs) if changes else []

    def _trip(self, now: float, made: Collection[Writing], read: Sequence[Names]) -> Trip:
        self._now = now
        names, payloads = [one.name for one in made], [one.payload for one in made]
        return Trip(names, payloads, self._settings.bounds.at(now).sent, read)

    def _came_of(self, made: Sequence[Writing], answers: Answers, now: float) -> Recollection:
        """Who holds what; what took effect has consequences, which are owed."""
        came = outcome(made, answers.before, self._logs, self._settings.bounds.at(now))
        self._owed.add(came.owed)
        return came.held

    def _learn(self, found: Recollection, known: Recollection, now: float) -> None:
        """Where texts are cut, so that they are cut alike where the store is gone."""
        if new := learned(found, known):
            self._local.note(Changes(now, new))

    def _driven(self, steps: Steps[T], timeout: float) -> T:
        until, answers = time.monotonic() + timeout, None
        self._patience = max(timeout, _SOON)
        while True:
            try:
                trip = steps.send(answers)
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                left = until - time.monotonic()
                answers = self._servers.ask(trip, left) if self._goes(trip, left) else _untaken(trip)
            except Exception as error:
                answers = self._failed(error)
            else:
                self._went(answers)

    async def _adriven(self, steps: Steps[T], timeout: float) -> T:
        until, answers = time.monotonic() + timeout, None
        self._patience = max(timeout, _SOON)
        while True:
            try:
                trip = steps.send(answers)
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                left = until - time.monotonic()
                answers = await self._servers.aask(trip, left) if self._goes(trip, left) else _untaken(trip)
            except Exception as error:
                answers = self._failed(error)
            else:
                self._went(answers)

    def _goes(self, trip: Trip, left: float) -> bool:
        return self.is_shared and left > _TOO_LITTLE and not trip.is_empty

    def _went(self, answers: Answers | None) -> None:
        if answers and self._breaker is not CLOSED:
            with self._lock:
                self._breaker = self._breaker.after("well")

    def _failed(self, error: Exception) -> Answers | None:
        """The store did not answer: what that means for the calls that follow, and for what was sent."""
        with self._lock:
            was, self._breaker = (
                self._breaker,
                self._breaker.after("late" if isinstance(error, LateError) else "gone"),
            )
            opened = self._breaker.is_open and not was.is_open
        if opened:
            self._servers.reset()
            self._say(error)
            Thread(
                target=_watch, args=(ref(self), self._stop), name="cachepoint-watching", daemon=True
            ).start()
        return None if isinstance(error, UnsentError | UnreachableError) else LOST

    def _say(self, error: Exception) -> None:
        level = logging.INFO if self._said else logging.WARNING
        self._said = True
        logger.log(
            level,
            "%s is not used for now (%s); the memory of this process answers until it is back",
            repr(self),
            # Its traceback would hold this memory as long as somebody keeps the record.
            str(error) if isinstance(error, OSError) else type(error).__name__,
        )

    def _look(self) -> bool:
        """Whether the store is back; then what was put off is sent, and it is used again."""
        try:
            self._servers.probe(self._patience)
            self._flush()
        except Exception as error:
            logger.debug("%s is not back: %s", repr(self), type(error).__name__)
            return False
        with self._lock:
            self._breaker = CLOSED
        logger.info("%s is back", repr(self))
        return True

    def _flush(self) -> None:
        """Send what is owed."""
        while owed := self._owed.take():
            made = self._writings(owed)
            try:
                answers = self._servers.ask(self._trip(self._now, made, ()), _PUT_OFF)
            except Exception:
                self._owed.give_back(owed)
                raise
            self._came_of(made, answers, self._now)


def _watch(memory: "ref[SharedMemory]", stop: Event) -> None:
    """Look for the store until it is back, or nobody asks for it any more."""
    while (owner := memory()) is not None and not stop.is_set() and not owner._look():  # noqa: SLF001
        del owner
        stop.wait(_PAUSE)


def _untaken(trip: Trip) -> Answers | None:
    """Of a trip that was not made: it was for nothing, or there is no answer."""
    return Answers((), ()) if trip.is_empty else None

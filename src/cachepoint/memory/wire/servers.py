"""One server, and how a trip to it goes: what is written and what is asked, at once."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import hiredis

from cachepoint.memory.store.keys import Names
from cachepoint.memory.store.scripts import probing, reading, recording
from cachepoint.memory.wire.links import OPENING, LateError, Link, Reply
from cachepoint.memory.wire.pools import Pool

# What only a server of a cluster says.
_OF_CLUSTERS = frozenset({"MOVED", "CROSSSLOT"})


class RefusedError(ConnectionError):
    """The server answered that it can't: it is full, loading, a replica now.

    Attributes:
        code: The first word of what it said.
    """

    def __init__(self, said: str) -> None:
        self.code = said.partition(" ")[0]
        hint = "; it is of a cluster: write redis+cluster://" if self.code in _OF_CLUSTERS else ""
        super().__init__(f"the server said: {said}{hint}")


class UnsentError(LateError):
    """Nothing was sent: there was no connection in time."""


class UnreachableError(ConnectionError):
    """Nothing was sent: no connection can be made."""


class Trip(NamedTuple):
    """What goes to the store at once: records to be changed, then records to be read."""

    written: Sequence[bytes] = ()
    payloads: Sequence[bytes] = ()
    bounds: bytes = b""
    read: Sequence[Names] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to go for."""
        return not (self.written or self.read)


class Answers(NamedTuple):
    """What was there before, for each that was written; and what is there, for each that is read."""

    before: Sequence[bytes | None]
    found: Sequence[bytes | None]


class OneServer:
    """A server that holds all.

    Args:
        how: What redis-py takes to make a connection.
        most: How many there are at most.
        probe: What is written to see whether there is room.
    """

    def __init__(self, how: Mapping[str, Any], most: int, probe: bytes) -> None:
        self._pool = Pool(how, most)
        self._probe = probe

    def ask(self, trip: Trip, timeout: float) -> Answers:
        """Make a trip.

        Raises:
            LateError: Where it takes longer than `timeout` seconds.
            OSError: Where the connection is lost or can't be made, or the server refuses.
        """
        until = time.monotonic() + timeout
        link = borrowed(self._pool, timeout)
        with Lent(self._pool, link) as lent:
            for known in (True, False):
                sent, count = _wire(trip, known=known)
                lent.replies = link.ask(sent, count, until - time.monotonic())
                if not is_unknown(lent.replies):
                    break
        return _answers(trip, lent.replies)

    async def aask(self, trip: Trip, timeout: float) -> Answers:
        """As `ask`, awaited."""
        until = time.monotonic() + timeout
        link = await aborrowed(self._pool, timeout)
        with Lent(self._pool, link) as lent:
            for known in (True, False):
                sent, count = _wire(trip, known=known)
                lent.replies = await link.aask(sent, count, until - time.monotonic())
                if not is_unknown(lent.replies):
                    break
        return _answers(trip, lent.replies)

    def probe(self, timeout: float) -> None:
        """See that it answers within `timeout` seconds, and that there is room for a record.

        Raises:
            OSError: As `ask`.
        """
        probe(self._pool, self._probe, timeout)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close(for_good=True)

    def reset(self) -> None:
        """Close those that rest: they lead to a server that is not there any more."""
        self._pool.close()


class Lent:
    """A connection for the length of a block; given back where its replies were read."""

    def __init__(self, pool: Pool, link: Link) -> None:
        self.replies: Sequence[Reply] | None = None
        self._pool = pool
        self.link = link

    def __enter__(self) -> "Lent":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        give = self._pool.back if kind is None and self.replies is not None else self._pool.drop
        give(self.link)


def borrowed(pool: Pool, timeout: float) -> Link:
    """A connection, within so many seconds."""
    lent = pool.lend()
    if isinstance(lent, Link):
        return lent
    try:
        return lent.result(timeout)
    except BaseException as error:
        raise _without(pool, lent, error) from None
    finally:
        # Its error holds this frame, and this frame whoever called.
        del lent


async def aborrowed(pool: Pool, timeout: float) -> Link:
    """As `borrowed`, awaited."""
    lent = pool.lend()
    if isinstance(lent, Link):
        return lent
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.shield(asyncio.wrap_future(lent))
    except BaseException as error:
        raise _without(pool, lent, error) from None
    finally:
        # Its error holds this frame, and this frame whoever called.
        del lent


def _without(pool: Pool, lent: "Future[Link]", error: BaseException) -> BaseException:
    """Nobody waits for it any more; what came in the same moment goes back."""
    if not lent.cancel() and lent.exception() is None:
        pool.back(lent.result())
    if type(error) is TimeoutError:
        return UnsentError("no connection in time")
    return UnreachableError(f"{type(error).__name__}: {error}") if isinstance(error, Exception) else error


def probe(pool: Pool, name: bytes, timeout: float) -> None:
    """See that a server does what it is asked for, and has room."""
    link = borrowed(pool, 2 * timeout + OPENING)
    with Lent(pool, link) as lent:
        lent.replies = link.ask(probing(name), 2, timeout)
    raise_refusal(lent.replies)


def is_unknown(replies: Sequence[Reply]) -> bool:
    """Whether the server lost the script, as after a restart."""
    return any(
        isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT") for reply in replies
    )


def raise_refusal(replies: Sequence[Reply]) -> None:
    """Raise the first error among replies."""
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            raise RefusedError(str(reply))


def _wire(trip: Trip, *, known: bool) -> tuple[bytes, int]:
    sent = [recording(trip.written, trip.bounds, trip.payloads, known=known)] if trip.written else []
    sent += [reading(trip.read)] if trip.read else []
    return b"".join(sent), len(sent)


def _answers(trip: Trip, replies: Sequence[Reply] | None) -> Answers:
    rest = list(replies or ())
    raise_refusal(rest)
    before = rest.pop(0) if trip.written else ()
    return Answers(before, rest[0] if trip.read else ())

"""A cluster: every record has a slot of its own, and a trip goes to all servers that hold some, at once.

Nothing shares a slot on purpose. A claim is one record, so it needs no other to be decided; what else is
recorded with it may be recorded a moment sooner or later.
"""

import asyncio
import time
from binascii import crc_hqx
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, NamedTuple

import hiredis

from cachepoint.memory.store.scripts import command, reading_one, recording
from cachepoint.memory.wire.links import OPENING, Reply
from cachepoint.memory.wire.pools import Pool
from cachepoint.memory.wire.servers import (
    Answers,
    Lent,
    RefusedError,
    Trip,
    aborrowed,
    borrowed,
    is_unknown,
    probe,
)

_SLOTS = 16_384
_WHERE = command(b"CLUSTER", b"SLOTS")
# The record has moved, or is moving, or is none of ours: nothing is remembered of it this once.
_NOTHING = ("MOVED", "ASK", "TRYAGAIN", "WRONGTYPE")


def slot(name: bytes) -> int:
    """The slot of a record. A digest may hold what Redis takes for a hash tag."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1) if start >= 0 else -1
    return crc_hqx(name[start + 1 : end] if end > start + 1 else name, 0) % _SLOTS


class Map(NamedTuple):
    """Which server holds which slots: the first of each stretch, and its server."""

    starts: tuple[int, ...]
    pools: tuple[Pool, ...]

    def of(self, name: bytes) -> Pool:
        """The server of a record."""
        return self.pools[bisect_right(self.starts, slot(name)) - 1]


class Share(NamedTuple):
    """What of a trip goes to one server: by number, what is written there and what is read."""

    written: list[int]
    read: list[int]

    def wire(self, trip: Trip, names: Sequence[bytes], *, known: bool) -> bytes:
        """As it is sent."""
        writes = [
            recording([trip.written[i]], trip.bounds, [trip.payloads[i]], known=known) for i in self.written
        ]
        return b"".join([*writes, *(reading_one(names[i]) for i in self.read)])

    @property
    def replies(self) -> int:
        """How many replies it has."""
        return len(self.written) + len(self.read)


class Cluster:
    """The servers of a cluster.

    Args:
        how: What redis-py takes to make a connection to any of them.
        most: How many there are at most to each.
        probe: How the name begins of what is written to see whether there is room.
    """

    def __init__(self, how: Mapping[str, Any], most: int, probe: bytes) -> None:
        self._how = how
        self._most = most
        self._probe = probe
        self._seed = Pool(how, most)
        self._pools: dict[tuple[str, int], Pool] = {}
        self._map: Map | None = None

    def ask(self, trip: Trip, timeout: float) -> Answers:
        """Make a trip.

        Raises:
            LateError: Where it takes longer than `timeout` seconds.
            OSError: Where a connection is lost or can't be made, or a server refuses.
        """
        until = time.monotonic() + timeout
        names = [name for some in trip.read for name in some.all]
        shares = _shares(self._known(timeout), trip, names)
        replies: dict[Pool, Sequence[Reply]] = {}
        for known in (True, False):
            asked = {pool: share for pool, share in shares.items() if known or is_unknown(replies[pool])}
            with ExitStack() as stack:
                lent = [
                    (pool, share, stack.enter_context(Lent(pool, borrowed(pool, until - time.monotonic()))))
                    for pool, share in asked.items()
                ]
                for _, share, one in lent:
                    one.link.send(share.wire(trip, names, known=known), until - time.monotonic())
                for pool, share, one in lent:
                    one.replies = one.link.receive(share.replies, until - time.monotonic())
                    replies[pool] = one.replies
        return self._answers(trip, names, shares, replies)

    async def aask(self, trip: Trip, timeout: float) -> Answers:
        """As `ask`, awaited."""
        until = time.monotonic() + timeout
        names = [name for some in trip.read for name in some.all]
        shares = _shares(await self._aknown(timeout), trip, names)

        async def asked(pool: Pool, share: Share) -> Sequence[Reply]:
            with Lent(pool, await aborrowed(pool, until - time.monotonic())) as lent:
                for known in (True, False):
                    sent = share.wire(trip, names, known=known)
                    lent.replies = await lent.link.aask(sent, share.replies, until - time.monotonic())
                    if not is_unknown(lent.replies):
                        break
            return lent.replies or ()

        came = await asyncio.gather(*(asked(pool, share) for pool, share in shares.items()))
        return self._answers(trip, names, shares, dict(zip(shares, came, strict=True)))

    def probe(self, timeout: float) -> None:
        """See that each server answers within `timeout` seconds, and has room.

        Raises:
            OSError: As `ask`.
        """
        known = self._known(2 * timeout + OPENING)
        for pool in set(known.pools):
            name = next(n for i in count() if known.of(n := self._probe + b"%d" % i) is pool)
            probe(pool, name, timeout)

    def reset(self) -> None:
        """Close the connections that rest, and ask anew who holds what."""
        self._map = None
        for pool in (self._seed, *self._pools.values()):
            pool.close()

    def close(self) -> None:
        """Close the connections."""
        for pool in (self._seed, *self._pools.values()):
            pool.close(for_good=True)

    def _known(self, timeout: float) -> Map:
        if self._map is None:
            with Lent(self._seed, borrowed(self._seed, timeout)) as lent:
                lent.replies = lent.link.ask(_WHERE, 1, timeout)
            self._map = self._mapped(lent.replies[0])
        return self._map

    async def _aknown(self, timeout: float) -> Map:
        if self._map is None:
            with Lent(self._seed, await aborrowed(self._seed, timeout)) as lent:
                lent.replies = await lent.link.aask(_WHERE, 1, timeout)
            self._map = self._mapped(lent.replies[0])
        return self._map

    def _mapped(self, told: Reply) -> Map:
        if isinstance(told, hiredis.ReplyError):
            raise RefusedError(str(told))
        stretches = sorted((start, tuple(primary[:2])) for start, _, primary, *_ in told)
        if not stretches:
            raise RefusedError("CLUSTERDOWN no slots are served")
        places = [self._place(host, port) for _, (host, port) in stretches]
        for host, port in set(places) - self._pools.keys():
            self._pools[host, port] = Pool({**self._how, "host": host, "port": port}, self._most)
        return Map(tuple(start for start, _ in stretches), tuple(self._pools[place] for place in places))

    def _place(self, host: bytes | None, port: int) -> tuple[str, int]:
        """A server that does not know its own name is at the one that was asked."""
        known = host not in {None, b"", b"?"}
        return (host.decode() if known and host else str(self._how.get("host", "localhost"))), port

    def _answers(
        self,
        trip: Trip,
        names: Sequence[bytes],
        shares: Mapping[Pool, Share],
        replies: Mapping[Pool, Sequence[Reply]],
    ) -> Answers:
        before: list[bytes | None] = [None] * len(trip.written)
        found: list[bytes | None] = [None] * len(names)
        for pool, share in shares.items():
            came = self._settled(replies[pool])
            for i in share.written:
                answer = next(came)
                before[i] = answer[0] if answer else None
            for i in share.read:
                found[i] = next(came)
        return Answers(before, found)

    def _settled(self, replies: Sequence[Reply]) -> Iterator[Reply]:
        for reply in replies:
            if not isinstance(reply, hiredis.ReplyError):
                yield reply
            elif str(reply).startswith(_NOTHING):
                self._map = self._map if str(reply).startswith("WRONGTYPE") else None
                yield None
            else:
                raise RefusedError(str(reply))


def _shares(known: Map, trip: Trip, names: Sequence[bytes]) -> dict[Pool, Share]:
    shares: dict[Pool, Share] = {}
    for i, name in enumerate(trip.written):
        shares.setdefault(known.of(name), Share([], [])).written.append(i)
    for i, name in enumerate(names):
        shares.setdefault(known.of(name), Share([], [])).read.append(i)
    return shares

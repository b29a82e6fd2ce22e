"""How the changes to a place come together with what is known of it."""

from typing import NamedTuple

from cachepoint.core.memory.counts import Counts
from cachepoint.core.memory.records import Place, Trace
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.prompt.prefix import quick


class Unread(NamedTuple):
    """What was back was not read: it is as if it had not come."""

    name: str = ""

    def over(self, old: Counts | Place | None) -> Counts | Place | None:
        """One hit less, of a count by name, or of the visits of a place."""
        if isinstance(old, Place):
            return old._replace(visits=old.visits.less(), failed=old.failed + 1)
        if old is None or self.name not in old.by_name:
            return old
        return old.but(self.name, old.by_name[self.name].less())


class Seen(NamedTuple):
    """A call went through here at `at`."""

    at: float

    def over(self, old: Place | None) -> Place:
        """The later one; where it comes after the last, the time between them counts."""
        return (old or Place()).after(self.at)


class Claim(NamedTuple):
    """A call is about to write this.

    `holder` is that call's token, `at` its start, `instead` that of a call whose claim is given up.
    """

    holder: bytes
    at: float
    instead: bytes = b""

    def over(self, old: Place | None) -> Place:
        """Held by whoever came first, for as long as a claim lives; of those who give one up, too."""
        old = old or Place()
        if old.held(self.at) and old.holder != self.instead:
            return old
        return old._replace(holder=self.holder, since=self.at)


class Release(NamedTuple):
    """A call no longer writes this."""

    holder: bytes

    def over(self, old: Place | None) -> Place | None:
        """Free, where that call held it."""
        if old is None or old.holder != self.holder:
            return old
        return old._replace(holder=b"", since=0.0)


class Learned(NamedTuple):
    """A call that started at `at` read an entry here or wrote one.

    `tokens` is its size, where it was told; `read` says that it was read.
    """

    ttl: Ttl
    at: float
    tokens: int | None = None
    read: bool = False

    def over(self, old: Place | None) -> Place:
        """Lives from the start of the call (Anthropic's documentation on TTLs, 2026).

        An entry that is read keeps its own TTL, and a late answer does not shorten it.
        """
        old = old or Place()
        ttl = old.ttl if old.live(self.at) else self.ttl
        return old._replace(
            tokens=old.tokens if self.tokens is None else self.tokens,
            ttl=ttl,
            expires=max(old.expires, self.at + TTL_SECONDS[ttl]),
            seen=max(old.seen, self.at),
            proved=max(old.proved, self.at),
            failed=0 if self.read else old.failed,
        )


class Refreshed(NamedTuple):
    """A call that started at `at` read an entry here for nothing but to let it live on: it was no visit.

    `wrote` says that it found none, and wrote it.
    """

    at: float
    wrote: bool = False

    def over(self, old: Place | None) -> Place | None:
        """Lives from the start of that call, with the TTL it has; who came last stays as it is."""
        if old is None or not (old.live(self.at) or (self.wrote and old.expires)):
            return old
        lives = max(old.expires, self.at + TTL_SECONDS[old.ttl])
        return old._replace(expires=lives, proved=max(old.proved, self.at), failed=0)


class Forget(NamedTuple):
    """A call that started at `at` found no entry here."""

    at: float

    def over(self, old: Place | None) -> Place | None:
        """No entry, unless a later call told of one."""
        if old is None or not old.expires or old.proved > self.at:
            return old
        return old._replace(expires=0.0, ttl="5m", proved=self.at)


class Await(NamedTuple):
    """Count where this comes back after `at`; what is awaited already stays awaited as it is."""

    counts: tuple[tuple[bytes, str], ...]
    at: float

    def over(self, old: Place | None) -> Place:
        """Awaited."""
        if old is not None and old.awaited:
            return old
        return (old or Place())._replace(awaited=self.counts, out=self.at)


class CameBack(NamedTuple):
    """What was awaited came; it counts once, whoever saw it first."""

    def over(self, old: Place | None) -> Place | None:
        """No longer awaited."""
        return old if old is None or not old.awaited else old._replace(awaited=(), out=0.0)


class Cached(NamedTuple):
    """So many tokens of a request were in the cache when it was answered."""

    tokens: int

    def over(self, old: Trace | None) -> Trace | None:
        """The request with that, where it is still known."""
        return None if old is None else quick(Trace, (*old[:-1], self.tokens))

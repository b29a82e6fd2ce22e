"""What is remembered: small frozen records, and the changes that are made to them.

No record is written over another's. A change says how it comes together with what is there: counts are
added, the first cut of a text stays, a claim is held by whoever made it first, what one call proved is not
forgotten on the word of an older one. So two workers may record at the same time, in any order.

Records hold keyed digests, counts, sizes and times; no text.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from cachepoint.core.memory.counts import NO_COUNT, PLACE_FADE, Count, Counts
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.prompt.anatomy import NO_ANATOMY, Anatomy
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.prefix import SHORT
from cachepoint.core.prompt.sketches import Sketch, common

# A claim ends when the answer begins. Where nobody said so, the writer is gone: the longest wait for a
# first token that botocore allows by default is 60 s, and a retry may follow.
CLAIM_SECONDS = 120.0
# A call that starts so soon after another started beside it: no answer begins earlier.
BESIDE_SECONDS = 0.4
# So long nothing that a call writes can be read (time to first token on Bedrock: 0.5 to 3 s). Later a
# checkpoint on it is worth it even where nobody said that the answer began: from one chance in five on,
# (w - 1) / (w - r).
WRITING_SECONDS = 1.5
# So often an entry is not read where it must be, one after another, before that is believed.
_FAILURES = 3
NEVER = float("-inf")
# Rough bytes of a record without what varies, its key and its place in a table included.
_OBJECT = 320


class Table(StrEnum):
    """The tables of a memory."""

    PLACES = "places"
    """By the digest of a prefix: what is known of it."""
    COUNTS = "counts"
    """By what is counted for (an application, a head, a model): counts by name."""
    CUTS = "cuts"
    """By the digest of a text: where it is cut."""
    TEXTS = "texts"
    """By a place where texts stand: the last few that stood there."""
    LAST = "last"
    """By how a conversation begins: the last request that began so."""
    TURNS = "turns"
    """By a turn that a request ended with: that request. By what requests of one kind share: the last."""
    ROWS = "rows"
    """By model: what its refusals disproved."""


class Place(NamedTuple):
    """What is known of one prefix.

    Attributes:
        tokens: Its size as Bedrock counted it; None: never reported on its own.
        expires: Until when an entry lives, in seconds; 0: none was written.
        ttl: That entry's TTL.
        seen: The start of the last call that went through it and noted it, those beside it not counted;
            `NEVER`: none did.
        times: How many did.
        visits: How they followed one another: soon, late, or after more than an hour.
        proved: The start of the call that last told of the entry.
        holder: The call that is writing it now; empty: none.
        since: When that call began.
        awaited: What is counted where it comes back: (key, name) of counts; empty: nothing.
        out: Since when it is awaited.
        failed: How often in a row it came back and was not read though it must have been there.
    """

    tokens: int | None = None
    expires: float = 0.0
    ttl: Ttl = "5m"
    seen: float = NEVER
    times: int = 0
    visits: Count = NO_COUNT
    proved: float = 0.0
    holder: bytes = b""
    since: float = 0.0
    awaited: tuple[tuple[bytes, str], ...] = ()
    out: float = 0.0
    failed: int = 0

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return _OBJECT + 200 * len(self.awaited)

    def live(self, now: float) -> bool:
        """Whether Bedrock must hold an entry now, as far as it can be believed."""
        return self.expires > now and self.failed < _FAILURES

    @property
    def unreadable(self) -> bool:
        """Whether it was not read so often that its coming back is worth nothing."""
        return self.failed >= _FAILURES

    def held(self, now: float) -> bool:
        """Whether a call is writing it now."""
        return bool(self.holder) and now - self.since <= CLAIM_SECONDS

    def writing(self, now: float) -> bool:
        """Whether what a call is writing can't be read yet, as far as its time tells."""
        return self.held(now) and now - self.since <= WRITING_SECONDS

    def unaided(self, now: float) -> bool:
        """Whether calls alone would have kept the entry: what lives longer was refreshed for its own sake."""
        return self.live(now) and self.seen + TTL_SECONDS[self.ttl] > now

    def returns(self, now: float) -> bool:
        """Whether a call at `now` comes after the last one and not beside it: what that wrote can be read.

        Where that was answered, it does; else its time tells.
        """
        return self.seen > NEVER and (self.proved >= self.seen or now - self.seen > BESIDE_SECONDS)

    def after(self, at: float) -> "Place":
        """This, after a call at `at` went through it."""
        if not self.returns(at):
            return self._replace(seen=at, times=1) if self.seen == NEVER else self
        return self._replace(seen=at, visits=self.visited(at), times=self.times + 1)

    def visited(self, at: float) -> Count:
        """How visits followed one another, after a call at `at` went through it."""
        if not self.returns(at):
            return self.visits
        return self.visits.plus(math.inf if self.unreadable else self.gap(at, self.seen), PLACE_FADE)

    def gap(self, at: float, since: float) -> float:
        """Seconds as they count between two calls: what was refreshed in between is read as if soon."""
        kept = self.live(at) and not self.unaided(at)
        return min(at - since, TTL_SECONDS["5m"]) if kept else at - since


@dataclass(frozen=True, slots=True)
class Texts:
    """The sketches of the last texts at one place, the newest first. As a change: one more."""

    sketches: tuple[Sketch, ...]

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return _OBJECT + sum(sketch.weight for sketch in self.sketches)

    def over(self, old: "Texts | None") -> "Texts":
        """Those, and this one in front, instead of one that is nearly the same."""
        if old is None:
            return self
        new = self.sketches[0]
        near = _NEAR * len(new.lines)
        others = [o for o in old.sketches if _SKETCHED * common(new.lines, o.lines) < near]
        kept = (*self.sketches, *others)[:_KEEP_TEXTS]
        weights = accumulate(sketch.weight for sketch in kept)
        return Texts(tuple(s for s, weight in zip(kept, weights, strict=True) if weight <= _KEEP_BYTES))


_KEEP_TEXTS = 96
_KEEP_BYTES = 48_000
_NEAR = 0.9
_SKETCHED = 4


class Trace(NamedTuple):
    """What is kept of a request to hold the next one against.

    Attributes:
        settings: By name, the digest of what may change the whole prefix: model, Region, API, and what the
            request asks for that is not known to be harmless.
        seed: The digest of what is known to do so.
        parts: Unchained digests of tools, system and the first message.
        blocks: The first eight bytes of the digest of each block by itself, one after the other.
        head: How many of them are tools and system.
        conversation: Stands for the conversation: the digest of the first message of its first request.
        anatomy: What the head is made of.
        at: When it was sent, in seconds.
        lives: Seconds that what it wrote last lives; 0: it marked nothing.
        cached: Tokens that were in the cache when it was answered; None: nobody said. It stands last.
    """

    settings: tuple[tuple[str, bytes], ...]
    seed: bytes
    parts: tuple[bytes, bytes, bytes]
    blocks: bytes
    head: int = 0
    conversation: bytes = b""
    anatomy: Anatomy = NO_ANATOMY
    at: float = 0.0
    lives: float = 0.0
    cached: int | None = None

    @property
    def size(self) -> int:
        """How many blocks it had."""
        return len(self.blocks) // SHORT

    @property
    def messages(self) -> bytes:
        """Those of the messages."""
        return self.blocks[self.head * SHORT :]

    @property
    def bare(self) -> "Trace":
        """What placement asks of it."""
        return self._replace(anatomy=NO_ANATOMY)

    def left(self, now: float) -> float:
        """Seconds that what it wrote last has to live; negative: it is gone."""
        return self.at + self.lives - now

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return 2 * _OBJECT + len(self.blocks) + 100 * len(self.settings) + self.anatomy.weight

    def over(self, old: "Trace | None") -> "Trace":  # noqa: ARG002
        """The last."""
        return self


@dataclass(frozen=True, slots=True)
class Row:
    """What refusals disproved of a model's row, in words of `models.refusals`."""

    facts: frozenset[str]

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return _OBJECT

    def over(self, old: "Row | None") -> "Row":
        """All that was disproved."""
        return self if old is None else Row(self.facts | old.facts)


Record = Place | Counts | Cut | Texts | Trace | Row


class Deed(Protocol):
    """How one change comes together with what is there."""

    def over(self, old: Any) -> Any:
        """The record as it is from now on: None where there is to be none, `old` where nothing changes."""


class Change(NamedTuple):
    """One change to one record; what is in `then` is done where it changed anything."""

    table: Table
    key: bytes
    deed: Deed
    then: tuple["Change", ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What one step of a call records, at `now` in seconds."""

    now: float
    all: tuple[Change, ...] = field(default=())

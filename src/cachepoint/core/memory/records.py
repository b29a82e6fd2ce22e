"""What is remembered: small frozen records, and the changes that are made to them.

No record is written over another's. A change says how it comes together with what is there: counts are
added, the first cut of a text stays, a claim is held by whoever made it first, what one call proved is not
forgotten on the word of an older one. So two workers may record at the same time, in any order.

Records hold keyed digests, counts, sizes and times; no text.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate
from typing import Any, Protocol

from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.prefix import Prefix
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
# How many tries are believed at most: of a kind of call, and of one place.
FADE = 16.0
PLACE_FADE = 8.0
# Seconds after which what comes back soon does, before any did.
PACE = 60.0
# How many of one kind are awaited at once.
_OPEN = 24
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
    """By conversation: its last request."""
    ROWS = "rows"
    """By model: what its refusals disproved."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often something happened among how many tries; also a mean, as sum and number.

    Of what comes back: `hits` within five minutes of `tries`, `late` within the hour of the `passed` that
    did not. `open` are the times since which others are awaited, `over` the same of those that count as
    tries already; `pace` is after how many seconds the hits came.
    """

    hits: float = 0.0
    tries: float = 0.0
    late: float = 0.0
    passed: float = 0.0
    open: tuple[float, ...] = ()
    over: tuple[float, ...] = ()
    pace: float = PACE

    def plus(self, gap: float, fade: float, *, tried: bool = False) -> "Count":
        """One more that came after `gap` seconds; `tried`: it counts as a try already."""
        if gap <= TTL_SECONDS["5m"]:
            pace = self.pace + (gap - self.pace) / min(self.hits + 2, fade)
            return replace(self, hits=self.hits + 1, tries=self.tries + 1, pace=pace).faded(fade)
        late = gap <= TTL_SECONDS["1h"]
        tries = self.tries + (not tried)
        return replace(self, tries=tries, late=self.late + late, passed=self.passed + 1).faded(fade)

    def less(self) -> "Count":
        """One hit less."""
        return replace(self, hits=max(self.hits - 1, 0.0))

    def aged(self, at: float, fade: float) -> "Count":
        """What is known at `at`: who is not back by then. Of too many, the oldest are not waited for."""
        count = self
        while count.open and (at - count.open[0] > TTL_SECONDS["5m"] or len(count.open) > _OPEN):
            first, *others = count.open
            over = (*count.over, first)[-_OPEN:]
            count = replace(count, tries=count.tries + 1, open=tuple(others), over=over).faded(fade)
        while count.over and at - count.over[0] > TTL_SECONDS["1h"]:
            count = replace(count, passed=count.passed + 1, over=count.over[1:]).faded(fade)
        return count

    def faded(self, fade: float) -> "Count":
        """No more evidence than `fade` tries: older ones weigh less and less."""
        if self.tries <= fade and self.passed <= fade:
            return self
        soon, late = fade / max(self.tries, fade), fade / max(self.passed, fade)
        return replace(
            self,
            hits=self.hits * soon,
            tries=self.tries * soon,
            late=self.late * late,
            passed=self.passed * late,
        )


NO_COUNT = Count()


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one prefix.

    Attributes:
        tokens: Its size as Bedrock counted it; None: never reported on its own.
        expires: Until when an entry lives, in seconds; 0: none was written.
        ttl: That entry's TTL.
        seen: The start of the last call that went through it and noted it, those beside it not counted;
            `NEVER`: none did.
        times: How many did.
        visits: How they followed one another: soon, late, or after more than an hour.
        visits: How its visits followed one another.
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
        return self.expires > now and not self.unreadable

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

    def returns(self, now: float) -> bool:
        """Whether a call at `now` comes after the last one and not beside it: what that wrote can be read."""
        return self.seen > NEVER and now - self.seen > BESIDE_SECONDS

    def after(self, at: float) -> "Place":
        """This, after a call at `at` went through it."""
        if not self.returns(at):
            return replace(self, seen=at, times=1) if self.seen == NEVER else self
        gap = math.inf if self.unreadable else at - self.seen
        visits = self.visits.plus(gap, PLACE_FADE)
        return replace(self, seen=at, visits=visits, times=self.times + 1)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by name, of one application, head or model. As a change: what is added to them.

    Attributes:
        by_name: The counts.
        fade: The evidence is never more than so many tries, so that what changes is learned anew.
    """

    by_name: Mapping[str, Count]
    fade: float = FADE

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return _OBJECT + sum(
            160 + 32 * (len(count.open) + len(count.over)) for count in self.by_name.values()
        )

    def over(self, old: "Counts | None") -> "Counts":
        """The sum; of more than `MAX_NAMES`, those added last."""
        merged = dict(old.by_name) if old is not None else {}
        for name, new in self.by_name.items():
            was = merged.pop(name, NO_COUNT)
            both = replace(was, hits=was.hits + new.hits, tries=was.tries + new.tries)
            merged[name] = both.faded(self.fade)
        for name in list(merged)[: max(0, len(merged) - MAX_NAMES)]:
            del merged[name]
        return Counts(merged, self.fade)

    def but(self, name: str, count: Count) -> "Counts":
        """These, with one of them anew."""
        merged = {**self.by_name}
        merged.pop(name, None)
        merged[name] = count
        if len(merged) > MAX_NAMES:
            del merged[next(iter(merged))]
        return Counts(merged, self.fade)


MAX_NAMES = 256


@dataclass(frozen=True, slots=True)
class Tried:
    """From `at` on one more of these is awaited; those awaited for an hour are given up."""

    name: str
    at: float

    def over(self, old: Counts | None) -> Counts:
        """Counted as tried when it is decided: a short while after it says nothing of an hour."""
        old = Counts({}) if old is None else old
        count = old.by_name.get(self.name, NO_COUNT)
        return old.but(self.name, replace(count, open=(*count.open, self.at)).aged(self.at, old.fade))


@dataclass(frozen=True, slots=True)
class Returned:
    """What was awaited since `since` came after `gap` seconds."""

    name: str
    since: float
    gap: float

    def over(self, old: Counts | None) -> Counts:
        """Decided, where it was not given up yet."""
        old = Counts({}) if old is None else old
        count = old.by_name.get(self.name, NO_COUNT)
        tried = self.since in count.over
        if not tried and self.since not in count.open:
            return old
        count = replace(count, open=_without(count.open, self.since), over=_without(count.over, self.since))
        return old.but(self.name, count.plus(self.gap, old.fade, tried=tried))


@dataclass(frozen=True, slots=True)
class Unread:
    """What was back was not read: it is as if it had not come."""

    name: str = ""

    def over(self, old: Counts | Place | None) -> Counts | Place | None:
        """One hit less, of a count by name, or of the visits of a place."""
        if isinstance(old, Place):
            return replace(old, visits=old.visits.less(), failed=old.failed + 1)
        if old is None or self.name not in old.by_name:
            return old
        return old.but(self.name, old.by_name[self.name].less())


def _without(times: tuple[float, ...], one: float) -> tuple[float, ...]:
    at = times.index(one) if one in times else len(times)
    return times[:at] + times[at + 1 :]


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
_TRACED = 8


@dataclass(frozen=True, slots=True)
class Trace:
    """What is kept of a request to hold the next one against.

    Attributes:
        model: The digest of the model's id.
        settings: The digest of what changes the whole prefix.
        parts: Unchained digests of tools, system and the first message.
        digests: The first eight bytes of the digest of each prefix, one after the other.
    """

    model: bytes
    settings: bytes
    parts: tuple[bytes, bytes, bytes]
    digests: bytes

    @classmethod
    def of(cls, prefix: Prefix, model: bytes) -> "Trace":
        """The trace of a request."""
        return cls(model, prefix.settings, prefix.parts, b"".join([d[:_TRACED] for d in prefix.digests]))

    def __len__(self) -> int:
        return len(self.digests) // _TRACED

    def extends(self, before: "Trace") -> bool:
        """Whether the request goes on where `before` ended."""
        size = len(before.digests)
        return self.digests[size - _TRACED : size] == before.digests[-_TRACED:]

    def common(self, before: "Trace") -> int:
        """How many blocks the two begin with alike."""
        low, high = 0, min(len(self), len(before))
        # Digests are chained: once two differ, all that follow do.
        while low < high:
            middle = (low + high + 1) // 2 * _TRACED
            same = self.digests[middle - _TRACED : middle] == before.digests[middle - _TRACED : middle]
            low, high = (middle // _TRACED, high) if same else (low, middle // _TRACED - 1)
        return low

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return 2 * _OBJECT + len(self.digests)

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


@dataclass(frozen=True, slots=True)
class Change:
    """One change to one record; what is in `then` is done where it changed anything."""

    table: Table
    key: bytes
    deed: Deed
    then: tuple["Change", ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A call went through here at `at`."""

    at: float

    def over(self, old: Place | None) -> Place:
        """The later one; where it comes after the last, the time between them counts."""
        return (old or Place()).after(self.at)


@dataclass(frozen=True, slots=True)
class Claim:
    """A call is about to write this. `holder` is that call's token, `at` its start."""

    holder: bytes
    at: float

    def over(self, old: Place | None) -> Place:
        """Held by whoever came first, for as long as a claim lives."""
        old = old or Place()
        return old if old.held(self.at) else replace(old, holder=self.holder, since=self.at)


@dataclass(frozen=True, slots=True)
class Release:
    """A call no longer writes this."""

    holder: bytes

    def over(self, old: Place | None) -> Place | None:
        """Free, where that call held it."""
        if old is None or old.holder != self.holder:
            return old
        return replace(old, holder=b"", since=0.0)


@dataclass(frozen=True, slots=True)
class Learned:
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
        return replace(
            old,
            tokens=old.tokens if self.tokens is None else self.tokens,
            ttl=ttl,
            expires=max(old.expires, self.at + TTL_SECONDS[ttl]),
            seen=max(old.seen, self.at),
            proved=max(old.proved, self.at),
            failed=0 if self.read else old.failed,
        )


@dataclass(frozen=True, slots=True)
class Forget:
    """A call that started at `at` found no entry here."""

    at: float

    def over(self, old: Place | None) -> Place | None:
        """No entry, unless a later call told of one."""
        if old is None or not old.expires or old.proved > self.at:
            return old
        return replace(old, expires=0.0, ttl="5m", proved=self.at)


@dataclass(frozen=True, slots=True)
class Await:
    """Count where this comes back after `at`; what is awaited already stays awaited as it is."""

    counts: tuple[tuple[bytes, str], ...]
    at: float

    def over(self, old: Place | None) -> Place:
        """Awaited."""
        if old is not None and old.awaited:
            return old
        return replace(old or Place(), awaited=self.counts, out=self.at)


@dataclass(frozen=True, slots=True)
class CameBack:
    """What was awaited came; it counts once, whoever saw it first."""

    def over(self, old: Place | None) -> Place | None:
        """No longer awaited."""
        return old if old is None or not old.awaited else replace(old, awaited=(), out=0.0)


@dataclass(frozen=True, slots=True)
class Changes:
    """What one step of a call records, at `now` in seconds."""

    now: float
    all: tuple[Change, ...] = field(default=())

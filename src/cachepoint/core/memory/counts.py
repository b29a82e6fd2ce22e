"""How often something came back, and how soon: counts that are added to, and fade."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cachepoint.core.models.rules import TTL_SECONDS
from cachepoint.core.prompt.prefix import quick

# Rough bytes of a record without what varies.
_OBJECT = 320
# How many tries are believed at most: of a kind of call, and of one place.
FADE = 14.0
PLACE_FADE = 8.0
# Seconds after which what comes back soon does, before any did.
PACE = 60.0
# How many of one kind are awaited at once.
_OPEN = 24


class Count(NamedTuple):
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

    @property
    def weight(self) -> int:
        """Rough bytes in memory."""
        return 160 + 32 * (len(self.open) + len(self.over))

    def plus(self, gap: float, fade: float, *, tried: bool = False, share: float = 1.0) -> "Count":
        """One more that came after `gap` seconds; `tried`: it counts as a try already; `share`: of a hit."""
        hits, tries, late, passed, opened, over, pace = self
        if gap <= TTL_SECONDS["5m"]:
            pace += (gap - pace) / min(hits + 2, fade)
            more = tries + (not tried)
            return quick(Count, (hits + share, more, late, passed, opened, over, pace)).faded(fade)
        late += share * (gap <= TTL_SECONDS["1h"])
        return quick(Count, (hits, tries + (not tried), late, passed + 1, opened, over, pace)).faded(fade)

    def awaiting(self, at: float) -> "Count":
        """One more is awaited since `at`."""
        return quick(Count, (*self[:4], (*self.open, at), *self[5:]))

    def without(self, since: float) -> "Count":
        """One less is awaited: that since `since`."""
        opened, over = _without(self.open, since), _without(self.over, since)
        return quick(Count, (*self[:4], opened, over, self.pace))

    def less(self) -> "Count":
        """One hit less."""
        return self._replace(hits=max(self.hits - 1, 0.0))

    def aged(self, at: float, fade: float) -> "Count":
        """What is known at `at`: who is not back by then. Of too many, the oldest are not waited for."""
        count = self
        while count.open and (at - count.open[0] > TTL_SECONDS["5m"] or len(count.open) > _OPEN):
            first, *others = count.open
            over = (*count.over, first)[-_OPEN:]
            count = count._replace(tries=count.tries + 1, open=tuple(others), over=over).faded(fade)
        while count.over and at - count.over[0] > TTL_SECONDS["1h"]:
            count = count._replace(passed=count.passed + 1, over=count.over[1:]).faded(fade)
        return count

    def faded(self, fade: float) -> "Count":
        """No more evidence than `fade` tries: older ones weigh less and less."""
        hits, tries, late, passed, opened, over, pace = self
        if tries <= fade and passed <= fade:
            return self
        soon, hour = fade / max(tries, fade), fade / max(passed, fade)
        return quick(Count, (hits * soon, tries * soon, late * hour, passed * hour, opened, over, pace))


NO_COUNT = Count()


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by name, of one application, head or model. As a change: what is added to them.

    Attributes:
        by_name: The counts.
        fade: The evidence is never more than so many tries, so that what changes is learned anew.
        weight: Rough bytes in memory; 0: to be added up.
    """

    by_name: Mapping[str, Count]
    fade: float = FADE
    weight: int = field(default=0, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.weight:
            object.__setattr__(self, "weight", _OBJECT + sum(c.weight for c in self.by_name.values()))

    def over(self, old: "Counts | None") -> "Counts":
        """The sum; of more than `MAX_NAMES`, those added last."""
        merged = dict(old.by_name) if old is not None else {}
        for name, new in self.by_name.items():
            was = merged.pop(name, NO_COUNT)
            both = was._replace(hits=was.hits + new.hits, tries=was.tries + new.tries)
            merged[name] = both.faded(self.fade)
        for name in list(merged)[: max(0, len(merged) - MAX_NAMES)]:
            del merged[name]
        return Counts(merged, self.fade)

    def but(self, name: str, count: Count) -> "Counts":
        """These, with one of them anew."""
        merged = dict(self.by_name)
        weight = self.weight + count.weight
        # It goes to the end.
        if name in merged:
            weight -= merged.pop(name).weight
        merged[name] = count
        if len(merged) > MAX_NAMES:
            weight -= merged.pop(next(iter(merged))).weight
        return Counts(merged, self.fade, weight)


MAX_NAMES = 256


class Tried(NamedTuple):
    """From `at` on one more of these is awaited; those awaited for an hour are given up."""

    name: str
    at: float

    def over(self, old: Counts | None) -> Counts:
        """Counted as tried when it is decided: a short while after it says nothing of an hour."""
        old = Counts({}) if old is None else old
        count = old.by_name.get(self.name, NO_COUNT)
        return old.but(self.name, count.awaiting(self.at).aged(self.at, old.fade))


class Returned(NamedTuple):
    """What was awaited since `since` came after `gap` seconds. It counts as this share of a hit."""

    name: str
    since: float
    gap: float
    share: float = 1.0

    def over(self, old: Counts | None) -> Counts:
        """Decided, where it was not given up yet."""
        old = Counts({}) if old is None else old
        count = old.by_name.get(self.name, NO_COUNT)
        tried = self.since in count.over
        if not tried and self.since not in count.open:
            return old
        count = count.without(self.since)
        return old.but(self.name, count.plus(self.gap, old.fade, tried=tried, share=self.share))


def _without(times: tuple[float, ...], one: float) -> tuple[float, ...]:
    if one not in times:
        return times
    at = times.index(one)
    return times[:at] + times[at + 1 :]

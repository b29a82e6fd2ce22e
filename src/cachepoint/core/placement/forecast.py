"""How likely a prefix is to come back, and when: learned per place and per kind of call.

A checkpoint that nobody reads costs a quarter more than none. Whether the end of a request comes
back is no property of the request but of the kind of call it is: a conversation goes on, a question
to a document does not. So calls are sorted into kinds, and each kind is counted: how often a prefix
that ended there came back within five minutes, and within the hour. Prefixes are watched whether or not
they were written, so that what was refused once can be learned again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cachepoint.core.memory.counts import NO_COUNT, Count, Counts
from cachepoint.core.models.rules import TTL_SECONDS, ModelRules


class Chance(NamedTuple):
    """The chance, 0 to 1, of coming back within five minutes (`soon`), and within the hour."""

    soon: float
    hour: float

    def capped(self, other: "Chance") -> "Chance":
        """No more than another: what stands behind it comes back with it or not at all."""
        return Chance(min(self.soon, other.soon), min(self.hour, other.hour))

    def at_least(self, other: "Chance") -> "Chance":
        """No less than another: what stands in front of it comes back with it."""
        return Chance(max(self.soon, other.soon), max(self.hour, other.hour))

    def unhurried(self) -> "Chance":
        """The same within five minutes, and no more of the rest than where nothing is known of the hour."""
        return Chance(self.soon, min(self.hour, self.soon + (1 - self.soon) * LATE))

    def unhasty(self, likely: float) -> "Chance":
        """The same within five minutes; where that is as likely, half of the rest within the hour."""
        late = HEAD_LATE if self.soon >= likely else 0.0
        return Chance(self.soon, max(self.hour, self.soon + (1 - self.soon) * late))

    def paced(self, count: Count, trust: float) -> "Chance":
        """The same chance within the hour, sooner or later as `count` tells of this one."""
        back = count.hits + count.late
        if not back or not self.hour:
            return self
        share = (trust * self.soon / self.hour + count.hits) / (trust + back)
        return Chance(self.hour * share, self.hour)


SURE = Chance(1.0, 1.0)

# Before anything was seen: the chance, and how many tries it weighs. The head of an application comes
# back; so does a conversation that has already grown, or an agent's step. A first turn whose text is
# small beside the head costs little to write; one that is large (a file, a long paste) is just worth a try;
# one that holds retrieved text is not.
# A head with a clock in it, documents, and a conversation whose last call went to another model (of which
# this one may be the fallback) are not written until some of their kind have come back.
# Of what is not back in five minutes a quarter is taken to come within the hour, too little for a 1h
# write: five minutes first is never more than 1.25 times the best.
PRIORS: Mapping[str, tuple[float, float]] = {
    "head": (0.75, 2.0),
    "clock": (0.2, 2.0),
    "documents": (0.2, 2.0),
    "extends": (0.75, 4.0),
    "tools": (0.67, 3.0),
    "history": (0.55, 2.0),
    "elsewhere": (0.2, 2.0),
    "small_first": (0.55, 2.0),
    "large": (0.25, 2.0),
    "retrieved": (0.2, 2.0),
    "large_turn": (0.33, 3.0),
    "gone": (0.2, 2.0),
    "stays": (0.75, 4.0),
    "again": (0.55, 2.0),
    "fresh": (0.2, 2.0),
}
LATE = 0.25
# What stands on a live 5m entry can't live longer, so a head written for five minutes keeps all behind it
# from an hour for as long as it is in use: a new one is written for the hour, where such were seen to come
# soon and nothing is known of their pauses.
HEAD_LATE = 0.5
HEAD_SOON = 0.8
# One without tools, of so few tokens, is so where nothing was seen yet, too: the hour costs at most 2,000
# tokens more, less than the end of one conversation behind it that is written again after a pause. People
# make such pauses (37 % of the gaps after an answer), agents do not (0.7 % after a tool use).
LIGHT_HEAD = 2_666
LIGHT_SOON = 0.6
# Seconds, beyond five minutes, after which what comes late does.
LATE_PACE = 900.0
# How many visits the chance of its kind weighs beside what was seen of one place, or one conversation.
OWN = 2.0
# How many of those that are awaited count at once as if they did not come.
HASTE = 6
_ROUNDS = 3
# A request that comes again word for word tells less of others of its kind than one that goes on: so much
# that after a single one the next of the kind is written, and no second.
REPEATED = 1 / 3
# How a head that was there before follows itself; what is counted is not new ones.
KNOWN_HEAD = "head:known"

# What is counted, and for what: (key of counts, name). A name is a shape, or a shape and what tells more.
Kind = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was counted so far.

    Attributes:
        counts: As they were recalled.
        now: Seconds.
    """

    counts: Mapping[bytes, Counts] = field(default_factory=dict)
    now: float = 0.0
    _known: dict[tuple[Kind, Kind | None], Chance] = field(default_factory=dict, repr=False, compare=False)

    def chance(self, kind: Kind, among: Kind | None = None) -> Chance:
        """The chance that a prefix of this kind comes back.

        Args:
            kind: The kind.
            among: A wider kind, from whose chance this one's is guessed at first.
        """
        known = self._known.get((kind, among))
        if known is None:
            known = self._known[kind, among] = self._chance(kind, among)
        return known

    def _chance(self, kind: Kind, among: Kind | None) -> Chance:
        soon, weight = PRIORS[kind[1].partition(":")[0]]
        prior = Chance(soon, soon + (1 - soon) * LATE) if among is None else self.chance(among)
        return blended(prior, weight, self.count(kind), self.now)

    def watched(self, kind: Kind) -> bool:
        """Whether anything of this kind was watched so far."""
        return self.count(kind) != NO_COUNT

    def count(self, kind: Kind) -> Count:
        """What was counted of a kind."""
        counts = self.counts.get(kind[0])
        return NO_COUNT if counts is None else counts.by_name.get(kind[1], NO_COUNT)


def blended(prior: Chance, weight: float, count: Count, now: float) -> Chance:
    """A chance guessed at, and what was counted.

    What is awaited still tells of five minutes the more the longer it takes beside what came (Kaplan and
    Meier, 1958). As long as nothing is decided, a few count at once as if they did not come.

    Args:
        prior: The guess.
        weight: How many tries it weighs.
        count: What was counted.
        now: Seconds.
    """
    hits, tries = prior.soon * weight + count.hits, weight + count.tries
    tries += min(len(count.open), max(0.0, HASTE - count.tries))
    soon = _share(hits, tries, count.open, now, 0.0, _SOON, count.pace)
    hazard = (prior.hour - prior.soon) / (1 - prior.soon) if prior.soon < 1 else 0.0
    late, passed = hazard * weight + count.late, weight + count.passed
    hazard = _share(late, passed, count.over, now, _SOON, _HOUR, LATE_PACE)
    return Chance(soon, soon + (1 - soon) * hazard)


_SOON, _HOUR = TTL_SECONDS["5m"], TTL_SECONDS["1h"]


def _share(
    hits: float, tries: float, awaited: Sequence[float], now: float, since: float, until: float, pace: float
) -> float:
    """The share of hits where some are not decided; of those as many will come as the share says."""
    share = hits / tries
    if not awaited:
        return share
    # Of each: what of those that come between the two ages comes later than it is old now.
    left = [math.exp((since - now + at) / pace) if now - at <= until else 0.0 for at in awaited]
    for _ in range(_ROUNDS):
        coming = sum([share * more / (1 - share + share * more) for more in left])
        share = (hits + coming) / (tries + len(left))
    return share


@dataclass(frozen=True, slots=True)
class Prices:
    """Multiples of the input price: of a read, and of a write at 5m and at 1h."""

    read: float
    short: float
    long: float

    @classmethod
    def of(cls, rules: ModelRules) -> "Prices":
        """A model's prices."""
        price = rules.multipliers.get
        return cls(price("read", 0.1), price("write_5m", 1.25), price("write_1h", 2.0))

    def gain(self, chance: Chance) -> tuple[float, float]:
        """What a token is worth to have written at 5m, and at 1h, by visit, against never.

        Visits follow one another with this chance; each is a read where the entry of the last one
        lives, and a write where it does not.
        """
        short = self.short - chance.soon * (self.short - self.read)
        long = self.long - chance.hour * (self.long - self.read)
        return 1 - short, 1 - long

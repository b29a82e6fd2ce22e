"""When a refresh pays: only while a return is likely enough to be worth the read of the prefix.

An entry that nobody reads ends after its TTL; a refresh reads it, for a tenth of its price, and it lives on.
Time after the TTL is cut into windows, each as long as one refresh buys. The chance of a return in a window,
where none came before, is learned by watching: every prefix that was idle so long counts, refreshed or not,
so that whoever gave up learns as well when it begins to pay. All of it is a function of values.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from cachepoint.core.accounting.money import minus
from cachepoint.core.accounting.rates import PriceList
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.memory.counts import NO_COUNT, Count, Counts
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.placement.forecast import LATE_PACE, Chance

# So long before an entry ends it is refreshed: counted from the start of the call that wrote or read it. A
# refresh that arrives after the end pays a write (21 % of them did where the time was counted from the end of
# the answer: context-guru#100, 2026).
LEAD = 20.0
# Nobody watches longer: eleven refreshes cost as much as the write that they save.
WINDOWS = 12
# How many tries the guess weighs beside what was watched.
_WEIGHT = 2.0
# Evidence is never more than so many tries, so that what changes is learned anew.
_FADE = 30.0
# Tokens that a refresh may have more than what it was made from: the question at its end.
_SLACK = 64


class Bill(NamedTuple):
    """US dollars: what a refresh costs, what a return costs more without it, what that costs at most."""

    cost: Decimal
    gain: Decimal
    most: Decimal


def step(ttl: Ttl) -> float:
    """Seconds that a refresh buys."""
    return TTL_SECONDS[ttl] - LEAD


def window(idle: float, ttl: Ttl) -> int:
    """The window in which something returned after so many seconds: 1 or later; 0: its entry still lived."""
    late = idle - TTL_SECONDS[ttl]
    return math.ceil(late / step(ttl)) if late > 0 else 0


def passed(idle: float, ttl: Ttl) -> int:
    """How many windows are over, or nearly, for what has been idle so many seconds."""
    return max(0, min(WINDOWS, int((idle - TTL_SECONDS[ttl] + LEAD) // step(ttl))))


def due(seen: float, windows: int, ttl: Ttl) -> float:
    """When to look again at what has seen so many windows pass: shortly before the next one begins."""
    return seen + TTL_SECONDS[ttl] - LEAD + windows * step(ttl)


def told(before: int, after: int, *, back: bool) -> Counts | None:
    """What the windows from one to another say; None where that is nothing.

    Args:
        before: How many were counted already.
        after: The last one.
        back: Whether it came back in that.
    """
    counts = {str(k): Count(tries=1.0) for k in range(before + 1, min(after, WINDOWS) + 1)}
    if back and str(after) in counts:
        counts[str(after)] = Count(hits=1.0, tries=1.0)
    return Counts(counts, _FADE) if counts else None


def hazards(chance: Chance, watched: Counts | None, ttl: Ttl) -> tuple[float, ...]:
    """By window, from the first: the chance that what is idle until then returns in it.

    Args:
        chance: What the forecast says of its return; it knows nothing beyond the hour.
        watched: What was watched of its kind.
        ttl: Of its entry.
    """
    known = {} if watched is None else watched.by_name
    guess = _guessed(chance) if ttl == "5m" else (0.0,) * WINDOWS
    counts = [known.get(str(k + 1), NO_COUNT) for k in range(WINDOWS)]
    pairs = zip(guess, counts, strict=True)
    return tuple((p * _WEIGHT + count.hits) / (_WEIGHT + count.tries) for p, count in pairs)


def pays(chances: Sequence[float], bill: Bill, before: int) -> bool:
    """Whether to refresh now.

    Where the chance falls from window to window, as it mostly does, this is the one-step rule: the chance of
    a return in the next window against the price of the read. Where it rises, as for pauses that are alike,
    some refreshes in a row may pay though the first alone does not.

    Args:
        chances: As `hazards`, from the next window on.
        bill: What it costs and gains.
        before: Refreshes since the last call. When they cost what a write does, it ends.
    """
    cost, gain = float(bill.cost), float(bill.gain)
    if (before + 1) * cost >= gain:
        return False
    idle, value = 1.0, 0.0
    for chance in chances:
        value += idle * (chance * gain - cost)
        if value > 0:
            return True
        idle *= 1 - chance
    return False


def bill(prices: PriceList, *, kept: int, spared: int, rest: int, output: int, ttl: Ttl) -> Bill | None:
    """What refreshing costs and gains; None where a price is unknown.

    Args:
        prices: Of the model.
        kept: Tokens that the refresh reads.
        spared: Those of them that a return would write without it.
        rest: Tokens of the refresh behind them.
        output: Tokens that its answer may have.
        ttl: The longest of its checkpoints.
    """
    rates = prices.at(kept + rest)
    reading = rates.amounts(Usage(rest, output, read_tokens=kept))
    again = rates.amounts(Usage(write_tokens=spared, write_5m_tokens=spared))
    back = rates.amounts(Usage(read_tokens=spared))
    whole = kept + rest + _SLACK
    written = rates.amounts(Usage(0, output, write_tokens=whole, write_1h_tokens=whole if ttl == "1h" else 0))
    unread = rates.amounts(Usage(whole, output))
    if reading is None or again is None or back is None or written is None or unread is None:
        return None
    return Bill(reading.total, minus(again.total, back.total), max(written.total, unread.total))


def _guessed(chance: Chance) -> tuple[float, ...]:
    """The chance of what comes after five minutes and within the hour, spread as such pauses are."""
    late = (chance.hour - chance.soon) / (1 - chance.soon) if chance.soon < 1 else 0.0
    hour = TTL_SECONDS["1h"] - TTL_SECONDS["5m"]
    come = [late * _share(k * step("5m"), hour) for k in range(WINDOWS + 1)]
    return tuple((after - before) / (1 - before) if before < 1 else 0.0 for before, after in pairwise(come))


def _share(seconds: float, most: float) -> float:
    return min(1.0, math.expm1(-seconds / LATE_PACE) / math.expm1(-most / LATE_PACE))

"""How long entries live, what lets them live longer, and how often they are lost before."""

from functools import partial

from cachepoint.cli.probe.asking import Probing
from cachepoint.cli.probe.prompts import Kit, asked, kept, point, text
from cachepoint.cli.probe.rates import Rate, copies
from cachepoint.cli.probe.trials import MOST_COPIES, Trial, again, entry, ever, lives

_NOMINAL = {"5m": 300.0, "1h": 3_600.0}
_MOST_SECONDS = 6 * 3_600.0
# Trials of a loss: the interval of the share is at most 0.196 wide (Wilson, at a half).
_LOST_OF, _MINUTE = 100, 60.0
# Over a longer time a small hazard shows.
_LATER_OF, _LATER = 60, {"5m": 240.0, "1h": 600.0}


def eviction(kit: Kit) -> Probing[tuple[Rate, Rate]]:
    """The share of entries that is lost in a minute without use, and the same as a longer time tells it."""
    soon = yield from _lost(kit, _LOST_OF, _MINUTE)
    late = yield from _lost(kit, _LATER_OF, _LATER[kit.ttl])
    return soon, late.per_minute(_LATER[kit.ttl])


def _lost(kit: Kit, number: int, seconds: float) -> Probing[Rate]:
    lost = trials = 0
    while trials < number:
        found = yield from again(lambda: [entry(kit, kit.ttl, seconds) for _ in range(10)])
        trials += len(found)
        lost += sum(1 for one in found if not one)
    return Rate.of(lost, trials)


def lifetime(kit: Kit, ttl: str, resolution: float, lost: float) -> Probing[tuple[float, float] | None]:
    """How long an entry lives, in seconds, by bisection: what it lived for, and what it did not.

    Args:
        kit: What is asked with.
        ttl: The TTL that is asked for.
        resolution: Seconds that the two are apart at most.
        lost: The share of entries that is lost in a minute: so many copies are looked for.

    Returns:
        None where too many are lost to see it.
    """
    low, high = 0.0, _NOMINAL[ttl]
    while (alive := (yield from lives(kit, ttl, high, lost))) and high < _MOST_SECONDS:
        low, high = high, 2 * high
    while alive is not None and high - low > resolution:
        # Whole steps of the resolution, so that a lifetime of whole seconds is found as such.
        middle = low + resolution * max(1, round((high - low) / 2 / resolution))
        alive = yield from lives(kit, ttl, middle, lost)
        low, high = (middle, high) if alive else (low, middle)
    return None if alive is None else (low, high)


def refresh(kit: Kit, lifetime_5m: float, lost: float) -> Probing[bool | None]:
    """Whether a read lets the lifetime begin anew; None where too many are lost to see it."""
    half = 0.6 * lifetime_5m
    number = copies(lost, 2 * half)
    if number > MOST_COPIES:
        return None
    return (yield from ever(partial(_read_between, kit, half), number))


def _read_between(kit: Kit, half: float) -> Trial:
    request = kept(kit.fresh())
    return Trial(request, ((half, request), (half, request)))


def upgrade(kit: Kit, lifetime_5m: float, lifetime_1h: float, lost: float) -> Probing[str | None]:
    """What a 1h checkpoint behind a prefix that is read from a 5m entry keeps.

    Returns:
        `"1h"`: the prefix too, for an hour. `"own"`: what it wrote for an hour, the prefix as it was. `"5m"`:
        all for five minutes. None where too many are lost, or the two lifetimes are too near, to see it.
    """
    wait = min(1.5 * lifetime_5m, (lifetime_5m + lifetime_1h) / 2)
    number = copies(lost, wait)
    if number > MOST_COPIES or wait <= lifetime_5m:
        return None
    if not (yield from ever(partial(_tail_behind, kit, wait, whole=True), number)):
        return "5m"
    raised = yield from ever(partial(_tail_behind, kit, wait, whole=False), number)
    return "1h" if raised else "own"


def _tail_behind(kit: Kit, wait: float, *, whole: bool) -> Trial:
    """A prefix at 5m, a tail behind it at 1h; then the prefix with its tail is asked for, or by itself."""
    prefix, tail = text(kit.fresh()), text("And then?")
    longer = asked(prefix, tail, point("1h"))
    return Trial(asked(prefix, point()), ((0.0, longer), (wait, longer if whole else asked(prefix, point()))))


def keyed_by_ttl(kit: Kit) -> Probing[bool]:
    """Whether an entry of 5m is another than one of 1h of the same prefix."""
    return not (yield from ever(partial(_other_ttl, kit), 3))


def _other_ttl(kit: Kit) -> Trial:
    prefix = kit.fresh()
    return Trial(kept(prefix), ((0.0, kept(prefix, "1h")),))


def backfill(kit: Kit) -> Probing[bool]:
    """Whether a checkpoint in front of what is read leaves an entry there that nobody wrote."""
    return (yield from ever(partial(_in_front, kit), 3))


def _in_front(kit: Kit) -> Trial:
    first, second = text(kit.fresh()), text("And then?")
    deep, both = asked(first, second, point()), asked(first, point(), second, point())
    return Trial(deep, ((0.0, both), (0.0, asked(first, point()))))

"""Keeps watch over what calls wrote, and says what is to be refreshed now. It sends nothing.

What was learned, who refreshes and what was spent stand in the memory: they hold for all who share it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from cachepoint.core import flights, listeners, steps
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.money import plus
from cachepoint.core.accounting.pricing import tier_of
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.call import Call
from cachepoint.core.driving import Driven, Steps
from cachepoint.core.flights import Flight
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.keeping.targets import Shape, Target, Watched, targets
from cachepoint.core.keeping.worth import (
    LEAD,
    WINDOWS,
    Bill,
    bill,
    due,
    hazards,
    passed,
    pays,
    told,
    window,
)
from cachepoint.core.memory.allowance import Allowance
from cachepoint.core.memory.counts import Count, Counts
from cachepoint.core.memory.deeds import Claim, Refreshed, Release
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Changes, Place, Table
from cachepoint.core.models.rules import Ttl
from cachepoint.core.once import anew
from cachepoint.core.placement.fan_out import Standing
from cachepoint.core.placement.forecast import OWN, Forecast, Kind, blended

T = TypeVar("T")
# Requests of one process: how many are watched, and bytes of those that are kept to be sent again.
MOST = 4_096
SIZE = 64 << 20
# No call waits for this.
_TIMEOUT = 1.0
# An entry that ends sooner may be gone when a refresh arrives.
_TOO_LATE = 2.0
# When to look again at what somebody uses or refreshes just now.
_SOON = 5.0
_SPENT = "spent"
_DAY = 86_400.0
# Sums of dollars do not fade.
_NEVER_FADES = 1e18
_MOST_UNTOLD = 1_000


class Refresh(NamedTuple):
    """A refresh that is to be sent now: `call.request`, in at most so many seconds.

    `most` is what it may cost, which stands in the budget until its answer tells.
    """

    target: Target
    call: Call
    most: Decimal
    key: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of keeping alive, in this process. Money in US dollars, over what has a known price.

    Attributes:
        refreshes: How many were answered.
        failed: How many were not.
        found_none: How many found no entry any more, and wrote it.
        spent: What they cost.
        saved: What calls through this cache had paid more without them.
        kept_tokens: Tokens that these calls read thanks to them.
    """

    refreshes: int = 0
    failed: int = 0
    found_none: int = 0
    spent: Decimal = Decimal()
    saved: Decimal = Decimal()
    kept_tokens: int = 0


class Keeper(Driven):
    """What to refresh, one after the other, within a budget.

    Args:
        cache: What prepares the calls; it is followed from `follow` to `leave`.
        region: The endpoint or Region whose calls are kept alive, as of `PromptCache.prepare`.
        budget: US dollars a day, of all who share the memory and the namespace.
        shape: Has a request answered with as few tokens as may be.
    """

    def __init__(self, cache: PromptCache, region: str, budget: Decimal, shape: Shape) -> None:
        super().__init__()
        self.memory, self.guard = cache.memory, cache.guard
        self.kept = Kept()
        self._cache = cache
        self._region = region
        self._budget = budget
        self._shape = shape
        self._lock = ForkSafeLock()
        self._watched = Watched(MOST, SIZE)
        self._untold: list[Change] = []
        # What this process spent, by day, should the memory forget.
        self._spent: dict[int, Decimal] = {}

    def follow(self) -> None:
        """Be told of the calls from now on."""
        with self._lock:
            self._cache.followers = (*self._without(), self.heard)

    def leave(self) -> None:
        """Be told no more, and forget what was watched."""
        with self._lock:
            self._cache.followers = self._without()
            self._watched.clear()

    def heard(self, call: Call, report: CallReport) -> None:
        """A call was answered: what it has in the cache is watched, what came back counted."""
        if report.kept_saved is not None:
            with self._lock:
                self.kept = replace(
                    self.kept,
                    saved=plus(self.kept.saved, report.kept_saved),
                    kept_tokens=self.kept.kept_tokens + report.kept_tokens,
                )
        if call.question is None or call.case is None or call.question.region != self._region:
            return
        new = list(targets(call, report, self._shape))
        anchor = call.case.view.anchor
        read = None if anchor < 0 else call.case.prefix.digests[anchor]
        with self._lock:
            for target in (t for t in map(self._watched.find, self._gone_through(call, read)) if t):
                self._note(target, call.at)
                self._watched.drop(target)
            for target in new:
                self._watched.put(target)
            self._watched.age(call.at)

    @property
    def next(self) -> float | None:
        """When something is to be looked at, in seconds by the cache's clock; None: nothing is watched."""
        with self._lock:
            return self._watched.next

    def ready(self) -> list[Target]:
        """What is to be looked at now, the most urgent first."""
        now = self._cache.now()
        with self._lock:
            return self._watched.ready(now)

    def look(self, target: Target) -> Refresh | None:
        """Whether something is to be refreshed now; then nobody else who shares the memory does it."""
        return self.guard("choosing what to keep alive", lambda: self._run_steps(self._looking(target)), None)

    async def alook(self, target: Target) -> Refresh | None:
        """As `look`, with an awaited memory."""
        looking = self._looking(target)
        return await self.guard.awaited(
            "choosing what to keep alive", lambda: self._adriven(looking, Allowance(_TIMEOUT)), None
        )

    def done(self, refresh: Refresh, response: Mapping[str, Any]) -> CallReport | None:
        """A refresh was answered.

        Returns:
            Its report; the observers get it too.
        """
        return self.guard(
            "settling a refresh", lambda: self._run_steps(self._answered(refresh, response)), None
        )

    async def adone(self, refresh: Refresh, response: Mapping[str, Any]) -> CallReport | None:
        """As `done`, with an awaited memory."""
        answered = self._answered(refresh, response)
        return await self.guard.awaited(
            "settling a refresh", lambda: self._adriven(answered, Allowance(_TIMEOUT)), None
        )

    def failed(self, refresh: Refresh, *, billed: bool) -> None:
        """A refresh was not answered.

        Args:
            refresh: It.
            billed: Whether it may have cost something all the same, as one whose answer did not come.
        """
        failing = self._failing(refresh, billed=billed)
        self.guard("noting that a refresh failed", lambda: self._run_steps(failing), None)

    async def afailed(self, refresh: Refresh, *, billed: bool) -> None:
        """As `failed`, with an awaited memory."""
        failing = self._failing(refresh, billed=billed)
        await self.guard.awaited(
            "noting that a refresh failed", lambda: self._adriven(failing, Allowance(_TIMEOUT)), None
        )

    def _run_steps(self, operation: Steps[T]) -> T:
        return self._driven(operation, Allowance(_TIMEOUT))

    def _without(self) -> tuple[Any, ...]:
        return tuple(f for f in self._cache.followers if f != self.heard)

    def _gone_through(self, call: Call, read: bytes | None) -> Collection[bytes]:
        """The places that a call used: what it read, and what it has a checkpoint behind."""
        assert call.case is not None  # noqa: S101
        digests = call.case.prefix.digests
        here = {digests[c.index] for c in call.plan.checkpoints}
        return here if read is None else here | {read}

    def _note(self, target: Target, at: float) -> None:
        """Count that something came back at a time."""
        back = window(at - target.seen, target.ttl)
        if back and (counts := told(target.windows, back, back=back <= WINDOWS)) is not None:
            self._untold.append(Change(Table.COUNTS, self._table(target), counts))
            del self._untold[:-_MOST_UNTOLD]

    def _looking(self, watched: Target) -> Steps[Refresh | None]:
        now = self._cache.now()
        found = yield self._standing(watched, now)
        place = found.get(Table.PLACES, {}).get(watched.place)
        untold, target = self._aged(watched, place, now)
        if untold:
            yield Changes(now, tuple(untold))
        if target is None or place is None:
            return None
        chosen = self._priced(target, place, found, now)
        if chosen is None:
            return None
        return (yield from self._claimed(target, chosen, now))

    def _aged(self, target: Target, place: Place | None, now: float) -> tuple[list[Change], Target | None]:
        """What is to be counted, and the target as it is watched on; None: it is not, or not yet.

        Where a call went through it meanwhile, in whatever worker, it came back.
        """
        with self._lock:
            untold, self._untold = self._untold, []
            if place is None or self._watched.find(target.place) is not target:
                self._watched.drop(target)
                return untold, None
            if place.seen > target.seen:
                self._note(target, place.seen)
                untold, self._untold = [*untold, *self._untold], []
                self._watched.drop(target)
                if target.shared:
                    again = due(place.seen, 0, place.ttl)
                    self._watched.put(
                        replace(target, seen=place.seen, due=again, windows=0, refreshes=0), new=False
                    )
                return untold, None
            if place.ttl != target.ttl:
                known = target
                target = replace(target, ttl=place.ttl, windows=0)
                self._watched.drop(known)
                self._watched.put(target, new=False)
            over = passed(now - target.seen, target.ttl)
            counts = told(target.windows, over, back=False)
            if counts is not None:
                untold.append(Change(Table.COUNTS, self._table(target), counts))
            aged = self._until(replace(target, windows=max(over, target.windows)), place, now)
            self._watched.drop(target)
            if aged is None:
                return untold, None
            self._watched.put(aged, new=False)
            return untold, aged if aged.weight and aged.due <= now else None

    def _until(self, target: Target, place: Place, now: float) -> Target | None:
        """The target with the time at which it is looked at next; None where it is watched no more."""
        if place.held(now):
            return replace(target, due=now + _SOON)
        left = place.expires - now
        if left > LEAD + 1 and target.weight:
            # Somebody else refreshed it.
            return replace(target, due=place.expires - LEAD)
        if left > _TOO_LATE and place.live(now) and target.weight:
            return target
        # It is gone. What becomes of such is worth knowing, for the next one.
        if target.windows >= WINDOWS:
            return None
        return replace(target.bare, due=due(target.seen, target.windows + 1, target.ttl))

    def _priced(self, target: Target, place: Place, found: Recollection, now: float) -> Bill | None:
        """What a refresh costs and gains, where it pays and the budget holds it; else it is let go."""
        priced = self._bill(target, found, now)
        counts: Mapping[bytes, Counts] = found.get(Table.COUNTS, {})
        chance = Forecast(counts, now).chance(target.kinds[0])
        chance = blended(chance, OWN, place.visits, now) if target.shared else chance
        chances = hazards(chance, counts.get(self._table(target)), place.ttl)[target.windows :]
        left = self._budget - self._day_spent(counts, now)
        if priced is not None and priced.most <= left and pays(chances, priced, target.refreshes):
            return priced
        self._give_up(target)
        return None

    def _bill(self, target: Target, found: Recollection, now: float) -> Bill | None:
        call = target.call
        prices = pricing.prices(call.priced_as, now, target.tier)
        output = most_output(call.request, call.dialect)
        if prices is None or output is None:
            return None
        spared = target.kept
        if target.head is not None:
            head = found.get(Table.PLACES, {}).get(target.head[0])
            # Others keep the head alive: a return writes what is behind it alone.
            if head is not None and head.seen > target.seen and head.live(now):
                spared = max(0, target.kept - target.head[1])
        ttl: Ttl = "1h" if any(c.ttl == "1h" for c in call.plan.checkpoints) else "5m"
        return bill(prices, kept=target.kept, spared=spared, rest=target.rest, output=output, ttl=ttl)

    def _give_up(self, target: Target) -> None:
        """Let its request go; what becomes of the prefix is watched on."""
        with self._lock:
            if self._watched.find(target.place) is target:
                after = due(target.seen, target.windows + 1, target.ttl)
                self._watched.put(replace(target.bare, due=after), new=False)

    def _claimed(self, target: Target, priced: Bill, now: float) -> Steps[Refresh | None]:
        """A refresh that is this worker's to send: of all who share the memory, one gets it.

        What it may cost is added to what was spent before anyone looks at the sum, so that workers who
        decide at once do not spend more than there is.
        """
        token, key = flights.token(), self._claim_key(target)
        self._pay(priced.most, now)
        held = yield Changes(
            now, (Change(Table.PLACES, key, Claim(token, now)), self._spending(priced.most, now))
        )
        ours = held.get(Table.PLACES, {}).get(key)
        found = yield self._standing(target, now)
        place = found.get(Table.PLACES, {}).get(target.place)
        spent = self._day_spent(found.get(Table.COUNTS, {}), now)
        won = ours is not None and ours.holder == token
        idle = place is not None and place.seen <= target.seen and place.expires - now <= LEAD + 1
        if not (won and idle and spent <= self._budget):
            self._pay(-priced.most, now)
            yield Changes(now, (Change(Table.PLACES, key, Release(token)), self._spending(-priced.most, now)))
            self._again(target, now + _SOON)
            return None
        call = anew(target.call, token=token, started=now, waited=0.0, flight=Flight())
        return Refresh(target, call, priced.most, key)

    def _answered(self, refresh: Refresh, response: Mapping[str, Any]) -> Steps[CallReport]:
        target, call, most, key = refresh
        usage = steps.usage(call, response)
        seconds = steps.since(call, self._cache.now())
        report = replace(
            steps.report(call, usage, None, seconds, None, tier_of(response, call.request)), kind="refresh"
        )
        read = 0 if usage is None else usage.read_tokens or 0
        wrote = 0 if usage is None else usage.write_tokens or 0
        cost = most if report.cost is None else report.cost
        self._pay(cost - most, call.at)
        refreshed, places = Refreshed(call.at, wrote > read), [target.place]
        places += [] if target.head is None else [target.head[0]]
        deeds = [Change(Table.PLACES, place, refreshed) for place in places] if read or wrote else []
        over = (Change(Table.PLACES, key, Release(call.token)), self._spending(cost - most, call.at))
        yield Changes(call.at, (*deeds, *over))
        with self._lock:
            self.kept = replace(
                self.kept,
                refreshes=self.kept.refreshes + 1,
                found_none=self.kept.found_none + (wrote > read),
                spent=plus(self.kept.spent, cost),
            )
        self._go_on(target, call.at, gone=wrote > read or not read)
        observers = (*self._cache.observers, *listeners.of_process(), *listeners.of_context())
        listeners.tell(report, observers, self.guard)
        return report

    def _failing(self, refresh: Refresh, *, billed: bool) -> Steps[None]:
        _, call, most, key = refresh
        with self._lock:
            self.kept = replace(self.kept, failed=self.kept.failed + 1)
        self._give_up(refresh.target)
        changes = [Change(Table.PLACES, key, Release(call.token))]
        if not billed:
            self._pay(-most, call.at)
            changes.append(self._spending(-most, call.at))
        yield Changes(call.at, tuple(changes))

    def _go_on(self, target: Target, at: float, *, gone: bool) -> None:
        """Look at it again when it is to be refreshed next. Where it found nothing, it is let go."""
        if gone:
            self._give_up(target)
            return
        with self._lock:
            if self._watched.find(target.place) is target:
                again = replace(target, due=due(at, 0, target.ttl), refreshes=target.refreshes + 1)
                self._watched.put(again, new=False)

    def _again(self, target: Target, at: float) -> None:
        with self._lock:
            if self._watched.find(target.place) is target:
                self._watched.put(replace(target, due=at), new=False)

    def _standing(self, target: Target, now: float) -> Standing:
        heads = () if target.head is None else (target.head[0],)
        keys = {target.kinds[0][0], self._table(target), self._purse(now)}
        return Standing(now, (target.place, *heads), tuple(keys))

    def _table(self, target: Target) -> bytes:
        """The key of what is counted by window: of calls that end alike."""
        key, name = _counted(target)
        return self._cache.digester.one(b"kept|" + key + f"|{name}|{target.ttl}".encode())

    def _claim_key(self, target: Target) -> bytes:
        return self._cache.digester.one(b"keeps|" + target.place)

    def _purse(self, now: float) -> bytes:
        """The key of what was spent on the day."""
        return self._cache.digester.one(f"keeping|{self._cache.namespace}|{int(now // _DAY)}".encode())

    def _spending(self, amount: Decimal, now: float) -> Change:
        spent = Counts({_SPENT: Count(hits=float(amount))}, _NEVER_FADES)
        return Change(Table.COUNTS, self._purse(now), spent)

    def _pay(self, amount: Decimal, now: float) -> None:
        day = int(now // _DAY)
        with self._lock:
            # A refresh at midnight may be counted back to the day on which it began.
            kept = {d: spent for d, spent in self._spent.items() if d >= day - 1}
            self._spent = {**kept, day: plus(kept.get(day, Decimal()), amount)}

    def _day_spent(self, counts: Mapping[bytes, Counts], now: float) -> Decimal:
        """What was spent on the day: by all as the memory knows, and no less than by this process."""
        record = counts.get(self._purse(now))
        shared = Decimal() if record is None else Decimal(str(record.by_name[_SPENT].hits))
        return max(shared, self._spent.get(int(now // _DAY), Decimal()))


def most_output(request: Mapping[str, Any], dialect: str) -> int | None:
    """The most tokens that an answer to a request may have; None where nothing bounds it."""
    if dialect == "messages":
        most = request.get("max_tokens")
    else:
        most = (request.get("inferenceConfig") or {}).get("maxTokens")
    return most if isinstance(most, int) else None


def _counted(target: Target) -> Kind:
    return (target.place, "head") if target.shared else target.kinds[0]

"""Many calls in figures of bounded size: totals, their course, conversations, the largest losses."""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from math import isnan
from typing import Any, NamedTuple, Self

from cachepoint.core.accounting.counts import add
from cachepoint.core.accounting.money import for_json, minus, plus
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import rules_for
from cachepoint.reporting.bound.bound import Bound, total
from cachepoint.reporting.bound.models import Bounds
from cachepoint.reporting.course import Course
from cachepoint.reporting.metrics import FirstTokens, first_tokens, quota_tokens
from cachepoint.reporting.rows import Row

__all__ = ["OTHER", "Conversation", "Course", "Keeping", "Loss", "Row", "Sums", "Tally", "Waste"]

OTHER = "other"
REFRESH = "refresh"
_MAX_MODELS = 256
_MAX_CONVERSATIONS = 512
_MAX_WORST = 64
_MAX_CALLS = 120
_MAX_LOSSES = 12
_MAX_CAUSES = 64
_MAX_TIMED = 1_000


class Loss(NamedTuple):
    """Tokens that a call paid for again though they were, or could have been, in the cache."""

    tokens: int
    number: int
    row: Row


class Waste(NamedTuple):
    """Of one cause: calls that read less than they could have, and the tokens where that is known."""

    calls: int = 0
    tokens: int = 0


class Keeping(NamedTuple):
    """What keeping alive came to. Money in US dollars, over what has a known price.

    Attributes:
        refreshes: How many calls were made for nothing else.
        spent: What they cost; it is in the cost of all.
        kept_tokens: Tokens that calls read and that had expired without them.
        saved: What those calls had paid more.
    """

    refreshes: int = 0
    spent: Decimal = Decimal(0)
    kept_tokens: int = 0
    saved: Decimal = Decimal(0)

    def plus(self, row: Row) -> "Keeping":
        """With one more call or refresh."""
        zero = Decimal(0)
        if row.kind == REFRESH:
            return self.joined(Keeping(1, row.cost or zero))
        return self.joined(Keeping(0, zero, row.kept, row.spared or zero)) if row.kept else self

    def joined(self, other: "Keeping") -> "Keeping":
        """Both."""
        return Keeping(*(_sum(a, b) for a, b in zip(self, other, strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "refreshes": self.refreshes,
            "spent_usd": for_json(self.spent),
            "kept_tokens": self.kept_tokens,
            "saved_usd": for_json(self.saved),
        }


@dataclass(slots=True)
class Sums:
    """Sums over calls. Money over the `priced` ones alone; a figure that no call knew stays None.

    `model` is the one whose price and quota hold; empty over many.
    """

    model: str = ""
    calls: int = 0
    priced: int = 0
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    fresh: int = 0
    output: int = 0
    read: int | None = None
    write: int | None = None
    write_5m: int | None = None
    write_1h: int | None = None

    def add(self, row: Row) -> None:
        """Count one call."""
        self.calls += 1
        self.fresh += row.fresh or 0
        self.output += row.output
        self.read = add(self.read, row.read)
        self.write = add(self.write, row.write)
        self.write_5m = add(self.write_5m, row.write_5m)
        self.write_1h = add(self.write_1h, row.write_1h)
        if row.cost is not None and row.saved is not None:
            self.priced += 1
            self._pay(row.cost, row.saved)

    def spend(self, row: Row) -> None:
        """Add what a refresh cost. It is no call, and without a cache there were none."""
        if row.cost is not None:
            self._pay(row.cost, row.cost.copy_negate())

    def _pay(self, cost: Decimal, saved: Decimal) -> None:
        self.cost = plus(self.cost, cost)
        self.saved = plus(self.saved, saved)

    def take(self, other: "Sums") -> None:
        """Add those of other calls of the same."""
        for f in fields(self)[1:]:
            setattr(self, f.name, _sum(getattr(self, f.name), getattr(other, f.name)))

    def __add__(self, other: "Sums") -> "Sums":
        """The sums of both."""
        return Sums("", *(_sum(getattr(self, f.name), getattr(other, f.name)) for f in fields(Sums)[1:]))

    @property
    def usage(self) -> Usage:
        """The tokens."""
        return Usage(self.fresh, self.output, self.read, self.write, self.write_5m, self.write_1h)

    @property
    def quota_tokens(self) -> int | None:
        """What a tokens-per-minute quota counted; None where it is not known of the model."""
        return quota_tokens(self.usage, rules_for(self.model).output_burndown)

    @property
    def money(self) -> tuple[Decimal, Decimal] | None:
        """(paid, what it would have been without a cache); None where no price was known."""
        return (self.cost, plus(self.cost, self.saved)) if self.priced or self.cost else None


def _sum(a: Any, b: Any) -> Any:
    return plus(a, b) if isinstance(a, Decimal) else add(a, b)


@dataclass(slots=True)
class Conversation:
    """One conversation: sums, and its last calls. `calls` may be more than are kept in `rows`."""

    name: str | None
    calls: int = 0
    lost: int = 0
    largest: int = 0
    held: int = 0
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=_MAX_CALLS))

    def add(self, row: Row) -> int:
        """Count one call; returns how many tokens it lost.

        Where the report could not say, it is what the call before left in the cache and this one paid
        for again.
        """
        cached = row.cached
        size = (row.fresh or 0) + cached
        lost = row.lost
        if lost is None and row.cause is not None:
            lost = max(0, min(self.held, size) - (row.read or 0))
        self.calls += 1
        self.lost += lost or 0
        self.largest = max(self.largest, size)
        self.held = cached
        self.rows.append(row)
        return lost or 0


class Tally:
    """Figures of any number of calls in bounded memory. Not safe under threads.

    Of models the first 256 are kept apart; of conversations the 512 latest, and the 64 that lost most of
    those before; of each its last 120 calls; of losses the 12 largest of each model; of causes 64. `bounds`
    has a bound of its own.
    """

    def __init__(self) -> None:
        self.by_model: dict[str, Sums] = {}
        self.waste: dict[str, Waste] = {}
        self.course = Course()
        self.bounds = Bounds()
        self.keeping = Keeping()
        self.first: float | None = None
        self.last: float | None = None
        self._numbers = count()
        self._timed: deque[tuple[Usage, float | None]] = deque(maxlen=_MAX_TIMED)
        self._contexts = 0
        self._gone = 0
        self._latest: OrderedDict[str | None, Conversation] = OrderedDict()
        self._worst: list[tuple[int, int, Conversation]] = []
        self._losses: dict[str, list[Loss]] = {}

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        """The tally of some calls."""
        tally = cls()
        for row in rows:
            tally.add(row)
        return tally

    def add(self, row: Row, sent: Sent | None = None) -> None:
        """Count one call, and note what it sent where that is known. A refresh counts in the money alone."""
        self.keeping = self.keeping.plus(row)
        if row.kind == REFRESH:
            self._sums_of(row).spend(row)
            return
        if sent is not None:
            self.bounds.add(row, sent)
        (self.by_model.get(row.model) or self._sums_of(row)).add(row)
        if not isnan(row.at):
            self._time(row)
        lost = self._conversation(row.conversation).add(row)
        if row.cause is not None:
            self._miss(row.cause, lost, row)
        if row.first_token is not None:
            self._timed.append((row.usage, row.first_token))

    def join(self, other: "Tally") -> None:
        """Add what another counted, whose calls have no conversation in common with these.

        The other is not to be used any more.
        """
        for model, sums in other.by_model.items():
            self._sums_of_model(model, sums.model).take(sums)
        for cause, waste in other.waste.items():
            self._waste(cause, waste)
        self.course.join(other.course)
        self.keeping = self.keeping.joined(other.keeping)
        self.bounds.join(other.bounds)
        self.first = min((at for at in (self.first, other.first) if at is not None), default=None)
        self.last = max((at for at in (self.last, other.last) if at is not None), default=None)
        self._timed.extend(other._timed)
        self._contexts += other._contexts
        self._gone += other._gone
        for _, _, old in other._worst:
            self._keep(old)
        for name, one in other._latest.items():
            if (known := self._latest.get(name)) is not None:
                self._retire(known)
            self._latest[name] = one
        while len(self._latest) > _MAX_CONVERSATIONS:
            self._retire(self._latest.popitem(last=False)[1])
        for loss in (loss for heap in other._losses.values() for loss in heap):
            self._lose(loss.tokens, loss.row)

    def _time(self, row: Row) -> None:
        self.course.add(row)
        if self.first is None or row.at < self.first:
            self.first = row.at
        if self.last is None or row.at > self.last:
            self.last = row.at

    def _sums_of(self, row: Row) -> Sums:
        return self._sums_of_model(row.model, row.priced_as)

    def _sums_of_model(self, model: str, priced_as: str) -> Sums:
        full = model not in self.by_model and len(self.by_model) >= _MAX_MODELS
        return self.by_model.setdefault(OTHER if full else model, Sums("" if full else priced_as))

    def _miss(self, cause: str, lost: int, row: Row) -> None:
        self._waste(cause, Waste(1, lost))
        if lost:
            self._lose(lost, row)

    def _waste(self, cause: str, more: Waste) -> None:
        if cause not in self.waste and len(self.waste) >= _MAX_CAUSES:
            cause = OTHER
        calls, tokens = self.waste.get(cause, _NO_WASTE)
        self.waste[cause] = Waste(calls + more.calls, tokens + more.tokens)

    def _lose(self, lost: int, row: Row) -> None:
        heap = self._losses.setdefault(row.model if row.model in self.by_model else OTHER, [])
        loss = Loss(lost, next(self._numbers), row)
        if len(heap) < _MAX_LOSSES:
            heapq.heappush(heap, loss)
        else:
            heapq.heappushpop(heap, loss)

    def _conversation(self, name: str | None) -> Conversation:
        known = self._latest.get(name)
        if known is not None:
            self._latest.move_to_end(name)
            return known
        fresh = self._latest[name] = Conversation(name)
        if len(self._latest) > _MAX_CONVERSATIONS:
            self._retire(self._latest.popitem(last=False)[1])
        return fresh

    def _retire(self, old: Conversation) -> None:
        self._contexts += old.largest
        self._gone += 1
        self._keep(old)

    def _keep(self, old: Conversation) -> None:
        heapq.heappush(self._worst, (old.lost, next(self._numbers), old))
        if len(self._worst) > _MAX_WORST:
            heapq.heappop(self._worst)

    @property
    def sums(self) -> Sums:
        """Of all models."""
        return sum(self.by_model.values(), Sums())

    @property
    def quota_tokens(self) -> int | None:
        """What tokens-per-minute quotas counted, over the models of which that is known; None for none."""
        known = [n for sums in self.by_model.values() if (n := sums.quota_tokens) is not None]
        return sum(known) if known else None

    @property
    def conversations(self) -> list[Conversation]:
        """Those that are kept, the ones that lost most first, then the longest."""
        kept = [*self._latest.values(), *(c for *_, c in self._worst)]
        return sorted(kept, key=lambda c: (-c.lost, -c.calls))

    @property
    def losses(self) -> list[Loss]:
        """The largest, by tokens; 12 of each model."""
        return sorted((loss for heap in self._losses.values() for loss in heap), reverse=True)

    @property
    def complete(self) -> bool:
        """Whether every conversation is among `conversations`."""
        return not self._gone

    @property
    def first_tokens(self) -> FirstTokens:
        """How soon the last 1,000 streams began, by whether they read."""
        return first_tokens(self._timed)

    @property
    def rewrite_factor(self) -> float | None:
        """Written tokens over the largest context of each conversation: 1 is a text written once.

        None where nothing was sent, or no report said what was written. A conversation that was let go and
        came back counts as two.
        """
        contexts = self._contexts + sum(c.largest for c in self._latest.values())
        written = self.sums.write
        return written / contexts if contexts and written is not None else None

    @property
    def bound(self) -> Bound | None:
        """What the calls paid beside what other placements would have; None where it is not known."""
        return self.bounds.total

    def as_dict(self, bounds: Mapping[str, Bound] | None = None) -> dict[str, Any]:
        """The figures for JSON. Money in US dollars, over the `priced_calls`.

        Args:
            bounds: By model, what `bounds.by_model` said; None: it is asked.
        """
        known = self.bounds.by_model if bounds is None else bounds
        return {
            "from": _iso(self.first),
            "to": _iso(self.last),
            **figures(self.sums),
            **_nearness(total(known.values())),
            "quota_tokens": self.quota_tokens,
            "rewrite_factor": None if self.rewrite_factor is None else round(self.rewrite_factor, 4),
            "first_token_seconds": asdict(self.first_tokens),
            "keeping": self.keeping.as_dict(),
            "waste": {cause: waste._asdict() for cause, waste in self.waste.items()},
            "models": {
                model: {**figures(sums), **_nearness(known.get(model))}
                for model, sums in self.by_model.items()
            },
        }


_NO_WASTE = Waste()


def figures(sums: Sums) -> dict[str, Any]:
    """Sums for JSON."""
    paid, uncached = (None, None) if sums.money is None else sums.money
    share = sums.usage.hit_share
    return {
        "calls": sums.calls,
        "priced_calls": sums.priced,
        "usage": sums.usage.as_dict(),
        "hit_share": None if share is None else round(share, 4),
        "cost_usd": for_json(paid),
        "uncached_cost_usd": for_json(uncached),
        "saved_usd": None if paid is None or uncached is None else for_json(minus(uncached, paid)),
        "quota_tokens": sums.quota_tokens,
    }


def _nearness(bound: Bound | None) -> dict[str, Any]:
    ratio = None if bound is None else bound.cost_over_bound
    return {
        "cost_over_bound": None if ratio is None else round(ratio, 4),
        "bound": None if bound is None else bound.as_dict(),
    }


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")

"""When caching goes wrong for long: what a stream of calls came to lately, held against thresholds."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, Literal, NamedTuple

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.drawing.words import counted
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import shown

Measure = Literal["written_share", "cost_over_uncached", "breaks"]

# What is no break: nothing was there to be read.
_NO_BREAKS = frozenset({"first_write", "below_minimum", "not_marked", "in_flight"})
# A window is kept in so many pieces, however many calls are in it, and forgets piece by piece.
_PIECES = 32
_KEPT_MISSES = 16
# An episode is over where every measure is below this part of its threshold: one that wavers about it would
# alarm again and again.
_OVER = 0.8
_MOST_CALLS = 100_000
_MOST_DOLLARS = 1_000_000.0


class Lost(NamedTuple):
    """A miss, as far as an alarm names it."""

    cause: str
    where: str | None
    remedy: str


class Span(NamedTuple):
    """What some calls in a row came to.

    Attributes:
        calls: How many.
        input: Input tokens of those whose written tokens are known.
        written: Their written tokens.
        cost: US dollars of those whose price is known.
        uncached: US dollars that these would have cost without a cache.
        breaks: Calls that read less than they could have. A first write is none.
        misses: The last misses.
    """

    calls: int = 0
    input: int = 0
    written: int = 0
    cost: float = 0.0
    uncached: float = 0.0
    breaks: int = 0
    misses: tuple[Lost, ...] = ()

    @classmethod
    def of(cls, report: CallReport) -> "Span | None":
        """One call; None where its usage is unknown."""
        usage, miss, cost, uncached = report.usage, report.miss, report.cost, report.uncached_cost
        if usage is None:
            return None
        known, priced = usage.write_tokens is not None, cost is not None and uncached is not None
        lost = () if miss is None else (Lost(miss.cause, miss.where, miss.remedy),)
        return cls(
            calls=1,
            input=usage.input_tokens if known else 0,
            written=usage.write_tokens or 0,
            cost=float(cost or 0) if priced else 0.0,
            uncached=float(uncached or 0) if priced else 0.0,
            breaks=int(miss is not None and miss.cause not in _NO_BREAKS),
            misses=lost,
        )


_MEASURES: Mapping[Measure, Callable[[Span], float | None]] = {
    "written_share": lambda span: span.written / span.input if span.input else None,
    "cost_over_uncached": lambda span: span.cost / span.uncached if span.uncached else None,
    "breaks": lambda span: float(span.breaks),
}
# What is counted can be too much before the window is full; a share of few calls says nothing.
_COUNTED = frozenset({"breaks"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much, over the last `calls` calls or those that cost the last `dollars`.

    A threshold of None is not looked at.

    Raises:
        InvalidOptionError: Where a value is not valid, there is no threshold, or both windows are given.
    """

    written_share: float | None = 0.5
    cost_over_uncached: float | None = 1.0
    breaks: int | None = 4
    calls: int | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        for name, (valid, words) in _VALID.items():
            value = getattr(self, name)
            if value is not None and not valid(value):
                raise InvalidOptionError(f"{name} is {value!r}; use {words}")
        if not self.thresholds:
            raise InvalidOptionError(f"there is nothing to alarm of; give one of {', '.join(_MEASURES)}")
        if self.calls is not None and self.dollars is not None:
            raise InvalidOptionError(
                f"a window is of calls or of dollars; give calls={self.calls!r} or dollars={self.dollars!r}"
            )

    @property
    def thresholds(self) -> Mapping[Measure, float]:
        """The thresholds that are looked at."""
        named = ((name, getattr(self, name)) for name in _MEASURES)
        return {name: value for name, value in named if value is not None}

    @property
    def size(self) -> float:
        """Of the window, in calls or dollars."""
        if self.dollars is not None:
            return float(self.dollars)
        return _CALLS if self.calls is None else self.calls

    def width(self, span: Span) -> float:
        """How much of the window some calls fill."""
        return span.calls if self.dollars is None else span.cost


_CALLS = 20


def _number(value: Any, least: float, most: float) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and isfinite(value) and least <= value <= most


_VALID: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "written_share": (lambda v: _number(v, 0, 1) and v < 1, "0 up to, but not, 1, or None"),
    "cost_over_uncached": (lambda v: _number(v, 0, 100), "0 to 100, or None"),
    "breaks": (lambda v: isinstance(v, int) and _number(v, 0, _MOST_CALLS), "a whole number from 0, or None"),
    "calls": (
        lambda v: isinstance(v, int) and _number(v, 1, _MOST_CALLS),
        f"a whole number, 1 to {_MOST_CALLS:,}, or None",
    ),
    "dollars": (lambda v: _number(v, 0, _MOST_DOLLARS) and v > 0, "a number of US dollars, or None"),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """What goes wrong in a stream of calls, as it was when a threshold was passed. `str()` says it all.

    Attributes:
        stream: The stream, such as "conversation 0a1b2c3d4e5f".
        model_id: The model of its last call.
        measure: What passed: `"written_share"`, `"cost_over_uncached"` or `"breaks"`.
        value: What it came to.
        threshold: What it must not be above.
        calls: How many calls it is about.
        cost: US dollars that they cost, those whose price is known.
        uncached: US dollars that these would have cost without a cache.
        cause: The most frequent cause of their misses, breaks before others; None: none is known.
        where: The block that it names most often.
        remedy: What to do, in a sentence.
    """

    stream: str
    model_id: str
    measure: Measure
    value: float
    threshold: float
    calls: int
    cost: float
    uncached: float
    cause: str | None
    where: str | None
    remedy: str

    def __str__(self) -> str:
        place = "" if self.where is None else f" at {self.where}"
        cause = "" if self.cause is None else f" Most often: {self.cause}{place}."
        return f"{self.stream} on {shown(self.model_id)}: {_WORDS[self.measure](self)}.{cause} {self.remedy}"


_WORDS: Mapping[Measure, Callable[[Episode], str]] = {
    "written_share": lambda e: (
        f"{e.value:.0%} of the input of the last {counted(e.calls, 'call')} was written to the cache, "
        f"more than {e.threshold:.0%}"
    ),
    "cost_over_uncached": lambda e: (
        f"the last {counted(e.calls, 'call')} cost {e.value:.2f} of what they would without a cache "
        f"(${e.cost:,.2f}, not ${e.uncached:,.2f}), more than {e.threshold:.2f}"
    ),
    "breaks": lambda e: (
        f"{e.value:.0f} of the last {counted(e.calls, 'call')} read less than they could have, "
        f"more than {e.threshold}"
    ),
}
_LOOK = "Look at report.miss of its calls; with CachePolicy(mode='off') they write nothing."
_UNREAD = "Nothing reads what these calls write: tail='auto' learns that, CachePolicy(mode='off') ends it."


@dataclass(frozen=True, slots=True)
class Stream:
    """The last calls of a stream, in pieces, and whether it is known to go wrong."""

    pieces: tuple[Span, ...] = ()
    alarmed: bool = False


def after(stream: Stream, call: Span, limits: Limits) -> tuple[Stream, Measure | None]:
    """A stream after one more call.

    Args:
        stream: The stream.
        call: The call.
        limits: What is too much.

    Returns:
        The stream, and what passed its threshold, where an episode begins with this call.
    """
    if not limits.width(call):
        return stream, None
    pieces = _windowed(_joined(stream.pieces, call, limits), limits)
    passed, over = _held(whole(pieces), limits)
    if stream.alarmed:
        return Stream(pieces, not over), None
    return Stream(pieces, passed is not None), passed


def _joined(pieces: tuple[Span, ...], call: Span, limits: Limits) -> tuple[Span, ...]:
    """The pieces with the call in them: in the last one, until that is wide enough."""
    if not pieces or limits.width(pieces[-1]) >= limits.size / _PIECES:
        return (*pieces, call)
    last = whole((pieces[-1], call))
    return (*pieces[:-1], last._replace(misses=last.misses[-_KEPT_MISSES:]))


def _windowed(pieces: tuple[Span, ...], limits: Limits) -> tuple[Span, ...]:
    """The last ones that fill the window."""
    width = sum(map(limits.width, pieces))
    first = 0
    while first < len(pieces) - 1 and width - limits.width(pieces[first]) >= limits.size:
        width -= limits.width(pieces[first])
        first += 1
    return pieces[first:]


def whole(pieces: tuple[Span, ...]) -> Span:
    """What all of them came to, one after the other."""
    *columns, misses = zip(*pieces, strict=True)
    return Span._make((*map(sum, columns), tuple(chain.from_iterable(misses))))


def _held(span: Span, limits: Limits) -> tuple[Measure | None, bool]:
    """The first measure that passed, and whether all are well below their thresholds."""
    full = limits.width(span) >= limits.size
    values = {name: _MEASURES[name](span) if full or name in _COUNTED else None for name in limits.thresholds}
    known = [(name, value, limits.thresholds[name]) for name, value in values.items() if value is not None]
    passed = next((name for name, value, threshold in known if value > threshold), None)
    return passed, all(value <= _OVER * threshold for _, value, threshold in known)


def episode(name: str, model_id: str, measure: Measure, span: Span, limits: Limits) -> Episode:
    """What is to be said of a stream.

    Args:
        name: The stream's.
        model_id: The model of its last call.
        measure: What passed.
        span: The calls in the window.
        limits: What is too much.
    """
    lost = _most_frequent(span.misses)
    return Episode(
        stream=name,
        model_id=model_id,
        measure=measure,
        value=_MEASURES[measure](span) or 0.0,
        threshold=limits.thresholds[measure],
        calls=span.calls,
        cost=span.cost,
        uncached=span.uncached,
        cause=None if lost is None else lost.cause,
        where=None if lost is None else lost.where,
        remedy=_remedy(lost),
    )


def _remedy(lost: Lost | None) -> str:
    """What to do in the long run: a first write alone needs nothing, one at every call does."""
    if lost is not None and lost.cause == "first_write":
        return _UNREAD
    return (lost and lost.remedy) or _LOOK


def _most_frequent(misses: tuple[Lost, ...]) -> Lost | None:
    """The place named most often with the cause named most often, breaks before what is none."""
    breaks = [lost for lost in misses if lost.cause not in _NO_BREAKS] or list(misses)
    if not breaks:
        return None
    cause = Counter(lost.cause for lost in breaks).most_common(1)[0][0]
    return Counter(lost for lost in breaks if lost.cause == cause).most_common(1)[0][0]

"""Speaks up when calls go wrong for long: warns, tells a function, or holds the next call back."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import iscoroutinefunction
from typing import Any, Literal, get_args

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import CacheAlarm, InvalidOptionError
from cachepoint.core.listeners import Observer
from cachepoint.core.models.rules import shown
from cachepoint.reporting.alarms import Episode, Limits, Span, Stream, after, episode, whole

logger = logging.getLogger("cachepoint")

By = Literal["conversation", "model", "all"]
Then = Literal["warn", "raise"]

_MOST_STREAMS = 512
_KEYS: Mapping[By, Callable[[str, str], str]] = {
    "conversation": lambda _, conversation: f"conversation {conversation}",
    "model": lambda model_id, _: f"model {shown(model_id)}",
    "all": lambda *_: "all calls",
}


def alarm(
    then: Then | Callable[[Episode], Any] = "warn",
    *,
    written_share: float | None = 0.5,
    cost_over_uncached: float | None = 1.0,
    breaks: int | None = 4,
    calls: int | None = None,
    dollars: float | None = None,
    by: By = "conversation",
) -> Observer:
    """Speak up when caching goes wrong for long, once per episode.

    A stream goes wrong where one of the three thresholds is passed within the window. Shares count once the
    window is full, breaks at once. The episode is over, and the alarm is set again, when all of them are at
    most 0.8 of their thresholds. At most 512 streams are remembered, the latest ones. Calls in which no
    checkpoint was considered, as with `mode="off"`, are neither counted nor held back.

    Args:
        then: `"warn"` logs one warning; `"raise"` logs it too and raises `CacheAlarm` before the next call
            of that stream is sent, once: the call after that goes out. A function is called with the
            `Episode`, after the call, in its thread; what it raises fails no call.
        written_share: Written tokens over input tokens, from 0; more is wrong. None: not looked at.
        cost_over_uncached: What the calls cost over what they would have cost without a cache; more is wrong.
            Calls without a known price are left out.
        breaks: So many calls may read less than they could have; more is wrong. First writes, prompts below
            the minimum, calls without checkpoints and those beside the writing one are none.
        calls: The window: so many calls. 20 where neither is given.
        dollars: The window: the last calls that cost so many US dollars, to some hundredths. Calls without a
            known price are left out.
        by: What a stream is: a `"conversation"`, all calls of a `"model"`, or `"all"` that it is told of, as
            those of one `PromptCache`. Jobs whose every call begins another conversation need one of the
            latter two.

    Raises:
        InvalidOptionError: Where a value is not valid, no threshold is given, or both windows are.
    """
    _refuse(then, by)
    limits = Limits(written_share, cost_over_uncached, breaks, calls, dollars)
    return _Alarm(then, limits, by)


def _refuse(then: Any, by: Any) -> None:
    if iscoroutinefunction(then) or not (callable(then) or then in get_args(Then)):
        raise InvalidOptionError(
            f"then is {then!r}; use 'warn', 'raise', or a function that takes an Episode and is not awaited"
        )
    if by not in get_args(By):
        raise InvalidOptionError(f"by is {by!r}; use one of {', '.join(map(repr, get_args(By)))}")


@dataclass(frozen=True, slots=True)
class _Known:
    """A stream, and what its next call is to be told."""

    stream: Stream = field(default_factory=Stream)
    untold: Episode | None = None


class _Alarm:
    def __init__(self, then: Then | Callable[[Episode], Any], limits: Limits, by: By) -> None:
        self._then = then
        self._limits = limits
        self._by: By = by
        self._lock = ForkSafeLock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"alarm({self._then!r}, {self._limits!r}, by={self._by!r})"

    def __call__(self, report: CallReport) -> None:
        call = Span.of(report)
        if call is None or report.conversation is None or report.kind != "call":
            return
        name = _KEYS[self._by](report.model_id, report.conversation)
        with self._lock:
            begun = self._counted(name, report.model_id, call)
        if begun is None:
            return
        if callable(self._then):
            self._then(begun)
        else:
            logger.warning("%s", begun)

    def _counted(self, name: str, model_id: str, call: Span) -> Episode | None:
        """The episode that begins with a call."""
        known = self._known.pop(name, _Known())
        stream, measure = after(known.stream, call, self._limits)
        begun = measure and episode(name, model_id, measure, whole(stream.pieces), self._limits)
        untold = (begun if self._then == "raise" else None) or known.untold
        self._known[name] = _Known(stream, untold if stream.alarmed else None)
        while len(self._known) > _MOST_STREAMS:
            self._known.popitem(last=False)
        return begun

    def before_call(self, model_id: str, conversation: str | None) -> None:
        """Hold a call back, where its stream goes wrong and was not told yet.

        Raises:
            CacheAlarm: Once per episode.
        """
        if self._then != "raise" or conversation is None:
            return
        name = _KEYS[self._by](model_id, conversation)
        with self._lock:
            known = self._known.get(name)
            if known is None or known.untold is None:
                return
            self._known[name] = replace(known, untold=None)
        raise CacheAlarm(known.untold)

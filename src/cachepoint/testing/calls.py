"""One call of a test: what the emulator answered, with what the cache that planned it says of it."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cachepoint.core import listeners
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.listeners import Observer
from cachepoint.emulator import EmulatedCall
from cachepoint.testing import conversations
from cachepoint.testing.differences import Difference, difference
from cachepoint.testing.prompts import Prompt


@dataclass(frozen=True, eq=False)
class CacheCall:
    """One call that was answered.

    Attributes:
        number: Which one it is of the test's, from 1 on.
        model_id: The id that was called.
        operation: `Converse`, `ConverseStream`, `InvokeModel` or `InvokeModelWithResponseStream`.
        at: When, by the emulator's clock, in seconds.
        usage: The tokens that were reported.
        request: The body that was sent, as parsed JSON.
        report: What the cache that planned the call says of it; None where none of ours did, as for a
            plain boto3 client.
    """

    number: int
    model_id: str
    operation: str
    at: float
    usage: Usage
    request: Any = field(repr=False)
    report: CallReport | None = field(default=None, repr=False)

    @property
    def miss(self) -> Miss | None:
        """Why it read less than it could have; None where it did not, or no cache of ours planned it."""
        return None if self.report is None else self.report.miss

    @cached_property
    def prompt(self) -> Prompt:
        """Its blocks, as they were sent."""
        return Prompt.of(self.request, self.operation, self.model_id)


@dataclass(frozen=True, slots=True)
class Moved:
    """That a call changed the prefix of the call before it in its conversation."""

    call: CacheCall
    before: CacheCall
    difference: Difference


def collected(answered: Iterable[EmulatedCall], reports: Iterable[CallReport]) -> Iterator[CacheCall]:
    """The calls that were answered, oldest first, each with its report.

    A report knows its call by the model and the tokens: of calls that are alike in both, the first report
    belongs to the first.
    """
    waiting: dict[tuple[Any, ...], deque[CallReport]] = defaultdict(deque)
    for told in reports:
        waiting[_key(told.model_id, told.usage)].append(told)
    counted = ((call, usage) for call in answered if (usage := _usage(call)) is not None)
    for number, (call, usage) in enumerate(counted, 1):
        known = waiting[_key(call.model_id, usage)]
        report = known.popleft() if known else None
        yield CacheCall(number, call.model_id, call.operation, call.at, usage, call.request, report)


def _usage(call: EmulatedCall) -> Usage | None:
    """None where it was refused, broken off, or only counted."""
    usage = call.usage or {}
    return Usage.from_converse({"usage": usage}) if "outputTokens" in usage else None


def _key(model_id: str, usage: Usage | None) -> tuple[Any, ...]:
    counts = usage or Usage()
    return (
        model_id,
        counts.uncached_tokens,
        counts.read_tokens or 0,
        counts.write_tokens or 0,
        counts.output_tokens,
    )


def paired(calls: Sequence[CacheCall]) -> Iterator[tuple[CacheCall, CacheCall | None]]:
    """Each call with the one that it goes on from."""
    of_model: dict[str, list[CacheCall]] = defaultdict(list)
    for call in calls:
        earlier = of_model[call.model_id]
        at = conversations.before([one.prompt for one in earlier], call.prompt)
        yield call, None if at is None else earlier[at]
        earlier.append(call)


def moved(calls: Sequence[CacheCall]) -> list[Moved]:
    """The calls that changed the prefix of the one that they go on from."""
    pairs = ((call, before) for call, before in paired(calls) if before is not None)
    found = ((call, before, difference(before.prompt, call.prompt)) for call, before in pairs)
    return [Moved(call, before, change) for call, before, change in found if change is not None]


class _Listening:
    observers: tuple[Observer, ...] = ()


listeners.add_source(lambda: _Listening.observers)


@contextmanager
def listening() -> Iterator[list[CallReport]]:
    """The reports of all calls that are planned inside, by whatever cache, in the order of their ends."""
    reports: list[CallReport] = []

    def seen(report: CallReport) -> None:
        reports.append(report)

    before = _Listening.observers
    _Listening.observers = (*before, seen)
    try:
        yield reports
    finally:
        _Listening.observers = before

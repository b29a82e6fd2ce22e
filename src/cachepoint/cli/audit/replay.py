"""What the library's own placement would have cost on the same calls at the same times.

The requests are read from the log once more, without the checkpoints that stood in them, planned as a client
would have them planned, and answered by the local Bedrock's cache. Tokens are scaled to what was logged.
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

from cachepoint.cli.audit.formats import calls
from cachepoint.cli.audit.formats.logged import Logged
from cachepoint.cli.audit.scan import Piece, Span
from cachepoint.cli.audit.sources import Bodies, lines
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.money import for_json, plus
from cachepoint.core.accounting.report import input_units
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.cache import PromptCache
from cachepoint.core.call import Call
from cachepoint.core.models.rules import known_as, rules_for
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.emulator import CacheEngine, ModelRules, Outcome, Scope, default_sizer, read_prompt, resolve
from cachepoint.emulator.service.dialects.messages import MESSAGES
from cachepoint.emulator.service.dialects.nova import NOVA

# Waiting for another call would change the times that were logged.
_POLICY = CachePolicy(fan_out="off")
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
_PLAIN: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "converse": dict,
    "messages": MESSAGES.plain,
    "nova": NOVA.plain,
}


@dataclass(slots=True)
class Replayed:
    """What the library's placement came to, beside what was paid for the same calls.

    Attributes:
        calls: How many were replayed.
        skipped: How many could not be: nobody logged their input or their tokens, or the model is unknown.
        usage: Their tokens as the library would have had them.
        logged: As they were.
        cost: US dollars, over the `priced`.
        paid: What was paid for these.
        priced: How many had a price.
        units: Their input in prices of an input token.
        seconds: What it took.
    """

    calls: int = 0
    skipped: int = 0
    usage: Usage = field(default_factory=Usage)
    logged: Usage = field(default_factory=Usage)
    cost: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    priced: int = 0
    units: float = 0.0
    seconds: float = 0.0

    def join(self, other: "Replayed") -> None:
        """Add what came of other calls."""
        self.calls += other.calls
        self.skipped += other.skipped
        self.usage += other.usage
        self.logged += other.logged
        self.cost = plus(self.cost, other.cost)
        self.paid = plus(self.paid, other.paid)
        self.priced += other.priced
        self.units += other.units
        self.seconds += other.seconds

    @property
    def rate(self) -> float | None:
        """Calls a second of one process; None where there were none."""
        return self.calls / self.seconds if self.seconds else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rate = self.rate
        return {
            "calls": self.calls,
            "skipped": self.skipped,
            "usage": self.usage.as_dict(),
            "logged": self.logged.as_dict(),
            "cost_usd": for_json(self.cost),
            "paid_usd": for_json(self.paid),
            "priced_calls": self.priced,
            "records_per_second": None if rate is None else round(rate, 1),
        }

    def add(self, call: Logged, usage: Usage) -> None:
        """Count a call and what it would have used."""
        assert call.usage is not None  # noqa: S101 -- the caller saw it
        self.calls += 1
        self.usage += usage
        self.logged += call.usage
        self.units += input_units(usage, rules_for(known_as(call.model, call.base)).multipliers) or 0.0
        priced_as, tier = known_as(call.model, call.base), pricing.tier_of(call.request)
        cost, paid = (pricing.cost(one, priced_as, call.at, tier) for one in (usage, call.usage))
        if cost is not None and paid is not None:
            self.cost, self.paid = plus(self.cost, cost), plus(self.paid, paid)
            self.priced += 1


def replay(spans: Sequence[Span], bodies: Bodies, account: str) -> Replayed:
    """Replay the calls of one account.

    Args:
        spans: The files that hold them.
        bodies: Where large bodies are.
        account: Whose; calls of others in these files are passed over.
    """
    began, player = time.perf_counter(), _Player()
    with _unsaid():
        for call in timeline(spans, bodies, account):
            player.play(call)
        player.settle(float("inf"))
    player.found.seconds = time.perf_counter() - began
    return player.found


@contextmanager
def _unsaid() -> Iterator[None]:
    """Advice for whoever writes the prompts is in the figures; here nobody is to be warned."""
    logger = logging.getLogger("cachepoint")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Player:
    """A `PromptCache` and the cache of a local Bedrock, by one clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.found = Replayed()
        self._cache = PromptCache(_POLICY, clock=lambda: self.now)
        self._engine = CacheEngine(lambda: self.now)
        # Calls that are not answered yet: until when, and what is to be done then.
        self._open: list[tuple[float, int, Call, Outcome, dict[str, Any]]] = []

    def play(self, call: Logged) -> None:
        """Plan a call and let the cache meet it."""
        model = known_as(call.model, call.base)
        rules = resolve(model)
        if call.request is None or call.usage is None or rules is None or not call.usage.input_tokens:
            self.found.skipped += 1
            return
        self.settle(call.at)
        self.now = call.at
        planned = self._planned(call, model)
        outcome = (
            None if planned is None else self._met(call, planned.request, rules, call.usage.input_tokens)
        )
        if planned is None or outcome is None:
            self._skip(planned)
            return
        usage = _usage(outcome, call.usage.output_tokens)
        self.found.add(call, usage)
        answered = call.at + call.lag, self.found.calls, planned, outcome, _answer(usage, call.dialect)
        heapq.heappush(self._open, answered)

    def _planned(self, call: Logged, model: str) -> Call | None:
        """The call without the checkpoints that it had, planned anew; None where its request is none."""
        try:
            bare = DIALECTS[call.dialect].write(call.request, {}, None, {})
        except _UNREADABLE:
            return None
        return self._cache.prepare(bare, model, dialect=call.dialect, region=call.region)

    def _met(self, call: Logged, request: Mapping[str, Any], rules: ModelRules, total: int) -> Outcome | None:
        """What the local Bedrock's cache makes of a request; None where it is none that it takes."""
        try:
            prompt = read_prompt(_PLAIN[call.dialect](request), rules)
            sizes = _scaled(default_sizer(prompt, rules), total)
            return self._engine.begin(prompt, rules, Scope(call.model, call.region, call.dialect), sizes)
        except _UNREADABLE:
            return None

    def _skip(self, planned: Call | None) -> None:
        self.found.skipped += 1
        if planned is not None:
            self._cache.abandon(planned)

    def settle(self, until: float) -> None:
        """Let those calls be answered that were by then."""
        while self._open and self._open[0][0] <= until:
            at, _, planned, outcome, answer = heapq.heappop(self._open)
            self.now = max(self.now, at)
            self._engine.publish(outcome)
            self._cache.settle(planned, answer)


def _scaled(sizes: Sequence[int], total: int) -> list[int]:
    """Sizes that add up to what was counted."""
    whole = sum(sizes)
    if not whole:
        return [total, *[0] * (len(sizes) - 1)] if sizes else []
    upto = [round(n * total / whole) for n in accumulate(sizes)]
    return [now - before for before, now in zip([0, *upto], upto, strict=False)]


def _usage(outcome: Outcome, output: int) -> Usage:
    written = dict(outcome.details)
    return Usage(
        uncached_tokens=outcome.uncached,
        output_tokens=output,
        read_tokens=outcome.read,
        write_tokens=outcome.write,
        write_5m_tokens=outcome.write - written.get("1h", 0),
        write_1h_tokens=written.get("1h", 0),
    )


def _answer(usage: Usage, dialect: str) -> dict[str, Any]:
    """What Bedrock would have said of them, in the words of the API."""
    if dialect == "messages":
        split = {"5m": usage.write_5m_tokens, "1h": usage.write_1h_tokens}
        return {
            "usage": {
                "input_tokens": usage.uncached_tokens,
                "output_tokens": usage.output_tokens,
                "cache_read_input_tokens": usage.read_tokens,
                "cache_creation_input_tokens": usage.write_tokens,
                "cache_creation": {f"ephemeral_{ttl}_input_tokens": n for ttl, n in split.items()},
            }
        }
    details = [("5m", usage.write_5m_tokens), ("1h", usage.write_1h_tokens)]
    return {
        "usage": {
            "inputTokens": usage.uncached_tokens,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            "cacheReadInputTokens": usage.read_tokens,
            "cacheWriteInputTokens": usage.write_tokens,
            "cacheDetails": [{"ttl": ttl, "inputTokens": n} for ttl, n in details if n],
        }
    }


class _Timed(NamedTuple):
    at: float
    file: int
    line: int
    call: Logged


def timeline(spans: Iterable[Span], bodies: Bodies, account: str) -> Iterator[Logged]:
    """The calls of an account by time. A file is open from its first call to its last, no longer."""
    waiting, heap = sorted(spans, reverse=True), list[tuple[_Timed, Iterator[_Timed]]]()
    while waiting or heap:
        while waiting and (not heap or waiting[-1].first <= heap[0][0].at):
            _push(heap, _sorted(waiting.pop(), bodies, account))
        if heap:
            first, more = heapq.heappop(heap)
            yield first.call
            _push(heap, more)


def _push(heap: list[tuple[_Timed, Iterator[_Timed]]], stream: Iterator[_Timed]) -> None:
    first = next(stream, None)
    if first is not None:
        heapq.heappush(heap, (first, stream))


def _sorted(span: Span, bodies: Bodies, account: str) -> Iterator[_Timed]:
    """The calls of a file by time: none comes later than it is known to."""
    held, latest = list[_Timed](), span.first
    for one in _timed(span.piece, bodies, account):
        heapq.heappush(held, one)
        latest = max(latest, one.at)
        while held and held[0].at < latest - span.late:
            yield heapq.heappop(held)
    while held:
        yield heapq.heappop(held)


def _timed(piece: Piece, bodies: Bodies, account: str) -> Iterator[_Timed]:
    number = 0
    for line in lines(piece.path):
        for found in () if line.fault else calls(line.text, bodies):
            number += 1
            if isinstance(found, Logged) and found.account == account:
                yield _Timed(found.at, piece.number, number, found)

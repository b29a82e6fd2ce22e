"""PromptCache: prepare / settle / abandon, the state machine that ties the rest together."""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from threading import RLock
from types import ModuleType
from typing import Any

from cachepoint.core import listeners
from cachepoint.core.accounting.diagnosis import Case, Recent, Trace, diagnose
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.listeners import Observer
from cachepoint.core.memory.mirror import CacheMirror, MemoryStore, Store, View
from cachepoint.core.memory.sizes import Scale
from cachepoint.core.models.refusals import read_refusal, stricter
from cachepoint.core.models.rules import ModelRules, base_model, rules_for
from cachepoint.core.placement.forecast import Forecast
from cachepoint.core.placement.outlook import Scene, branches, foresee
from cachepoint.core.placement.planner import (
    Outlook,
    Plan,
    Sizes,
    end_of,
    head_of,
    plan,
)
from cachepoint.core.policy import CachePolicy, resolved
from cachepoint.core.prompt.cuts import Split, Splitter
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.core.prompt.dialects.reading import Cuts, Reading
from cachepoint.core.prompt.prefix import Digester, Prefix
from cachepoint.core.prompt.rewriting import rewriting

logger = logging.getLogger("cachepoint")

_USAGE: Mapping[str, Callable[[Mapping[str, Any], str], Usage | None]] = {
    "converse": Usage.from_converse,
    "messages": lambda response, _: Usage.from_messages(response),
}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call under way. `request` is what to send; the rest is for `settle`."""

    request: dict[str, Any]
    model_id: str
    plan: Plan
    rules: ModelRules = field(repr=False)
    started: float
    priced_as: str
    dialect: str
    original: Mapping[str, Any] = field(repr=False)
    case: Case | None = field(default=None, repr=False)
    sessions: tuple[Observer, ...] = field(default=(), repr=False)


class PromptCache:
    """Plans the checkpoints of requests and learns from their answers. Knows no framework, does no I/O.

    Safe under threads. Any number of calls may be prepared before the first is settled.

    Args:
        policy: How to place; None: what `cachepoint.configure` or the environment says.
        clock: Seconds, as of Bedrock's own clock.
        store: Where the mirror lives; None: in this process.
        key: The key of the digests, 1 to 64 bytes; None: a random one of this process. Workers
            that share a store must share it.
        observers: Called with every report.

    Raises:
        ValueError: Where the key is empty or too long.
    """

    def __init__(
        self,
        policy: CachePolicy | None = None,
        clock: Callable[[], float] = time.time,
        *,
        store: Store | None = None,
        key: bytes | None = None,
        observers: Iterable[Observer] = (),
    ) -> None:
        if key is not None and not 1 <= len(key) <= blake2b.MAX_KEY_SIZE:
            raise ValueError(f"the key of the digests has {len(key)} bytes; use 1 to {blake2b.MAX_KEY_SIZE}")
        self.policy = policy
        self.observers: list[Observer] = list(observers)
        self.faults = 0
        self._clock = clock
        key = key or secrets.token_bytes(32)
        self._digester = Digester(key)
        self._splitter = Splitter(key)
        self._mirror = CacheMirror(MemoryStore() if store is None else store)
        self._forecast = Forecast()
        self._scale = Scale()
        self._recent = Recent()
        self._rows: dict[str, ModelRules] = {}
        self._unknown: set[str] = set()
        self._said: set[tuple[str, str]] = set()
        self._lock = RLock()

    def prepare(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: CachePolicy | Mapping[str, Any] | str | None = None,
        region: str = "",
    ) -> Call:
        """Plan the checkpoints of a request.

        Args:
            request: The keyword arguments of `client.converse`, or the body of an Anthropic
                InvokeModel request; it stays as it is.
            model_id: The model where `request` has no `modelId`, or the base model behind an ARN.
            dialect: `"converse"` or `"messages"` (InvokeModel).
            policy: The policy of this call alone.
            region: The region called; entries are never shared between regions.

        Returns:
            The call; send `call.request`, which has the keys that `request` had.

        Raises:
            ValueError: Where no model is named, or a dialect or an option is unknown.
        """
        if dialect not in DIALECTS:
            raise ValueError(f"dialect is {dialect!r}; use one of {', '.join(map(repr, DIALECTS))}")
        called = request.get("modelId") or model_id
        if not called:
            raise ValueError("no model is named: give model_id= or a request with modelId")
        chosen = resolved(self.policy, CachePolicy.of(policy))
        named = model_id if model_id and base_model(str(called)) is None else called
        rules = self._rows.get(str(called)) or rules_for(str(named))
        call = Call(
            request=dict(request),
            model_id=str(called),
            plan=Plan(),
            rules=rules,
            started=self._clock(),
            priced_as=str(named),
            dialect=dialect,
            original=request,
            # A stream may be settled where the context of its caller is lost.
            sessions=listeners.of_context(),
        )
        if (why := self._stands_aside(call, chosen)) is not None:
            return replace(call, plan=Plan(note=why))
        try:
            with self._lock:
                return self._planned(call, chosen, region)
        except Exception:
            self._fault("planning")
            return call

    def now(self) -> float:
        """Seconds, by this cache's clock."""
        return self._clock()

    def settle(
        self, call: Call, response: Mapping[str, Any], *, first_token: float | None = None
    ) -> CallReport:
        """Learn from the answer and say what it cost.

        Args:
            call: What `prepare` returned.
            response: The response, or the `metadata` event that ended a stream.
            first_token: When the first event of a stream came, by `now()`.

        Returns:
            The report. It goes to the observers as well.
        """
        usage = miss = None
        try:
            usage = _USAGE[call.dialect](response, call.priced_as)
            if call.case is not None and usage is not None:
                with self._lock:
                    miss = self._learned(call, call.case, usage)
        except Exception:
            self._fault("learning")
        report = CallReport(
            model_id=call.model_id,
            priced_as=call.priced_as,
            rules=call.rules,
            started=call.started,
            usage=usage,
            plan=call.plan,
            miss=miss,
            conversation=None if call.case is None else call.case.trace.parts[2].hex()[:12],
            seconds=self._clock() - call.started,
            first_token_seconds=None if first_token is None else first_token - call.started,
        )
        self._tell(report, call)
        return report

    def began(self, call: Call) -> None:
        """The answer began: what the call writes can be read from now on."""

    async def aprepare(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: CachePolicy | Mapping[str, Any] | str | None = None,
        region: str = "",
    ) -> Call:
        """As `prepare`, with an awaited memory."""
        return self.prepare(request, model_id, dialect=dialect, policy=policy, region=region)

    async def abegan(self, call: Call) -> None:
        """As `began`, with an awaited memory."""
        self.began(call)

    async def asettle(
        self, call: Call, response: Mapping[str, Any], *, first_token: float | None = None
    ) -> CallReport:
        """As `settle`, with an awaited memory."""
        return self.settle(call, response, first_token=first_token)

    async def aabandon(self, call: Call) -> None:
        """As `abandon`, with an awaited memory."""
        self.abandon(call)

    def abandon(self, call: Call) -> None:
        """The call failed: nothing of it is in the cache."""
        if call.case is None:
            return
        try:
            with self._lock:
                self._mirror.forget(
                    call.case.prefix,
                    [c.index for c in call.plan.checkpoints if c.index not in call.case.view.live],
                )
        except Exception:
            self._fault("forgetting")

    def refused(self, call: Call, message: str) -> Call | None:
        """Bedrock refused a checkpoint of ours: the call without it, and the row remembered as stricter.

        Args:
            call: What was refused.
            message: Bedrock's message.

        Returns:
            The call as the caller made it, to be sent once more; None where checkpoints are not
            what the message is about, or none were ours.
        """
        facts = read_refusal(message, _ours(call)) if call.plan.checkpoints else None
        if facts is None:
            return None
        self.abandon(call)
        with self._lock:
            self._rows[call.model_id] = stricter(call.rules, facts)
            _bound(self._rows, 1_024)
        logger.warning("Bedrock refused a checkpoint on %s; the call is sent again without", call.model_id)
        plain = DIALECTS[call.dialect].write(call.original, {}, None, {})
        return replace(call, request=plain, plan=Plan(note="Bedrock refused a checkpoint"), case=None)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process starts with an empty mirror: it has seen nothing yet."""
        return _restore, (self.policy, self._clock)

    def _stands_aside(self, call: Call, policy: CachePolicy) -> str | None:
        if policy.mode == "off":
            return "mode is off"
        if call.rules.caches:
            return None
        if call.model_id not in self._unknown:
            self._unknown.add(call.model_id)
            _bound(self._unknown, 1_024)
            logger.info("%s: no explicit prompt caching is known; no checkpoint is placed", call.model_id)
        return f"{call.rules.name} takes no checkpoints"

    def _planned(self, call: Call, policy: CachePolicy, region: str) -> Call:
        wire: ModuleType = DIALECTS[call.dialect]
        reading = wire.read(call.original, call.rules)
        if reading.refusal is not None:
            return self._callers_own(call, reading, policy)
        scope = f"{call.dialect}|{region}|{call.model_id}"
        split = Split(reading.raw)
        if policy.split != "off":
            split = self._splitter.split(reading.raw, policy.split, policy.documents, scope)
        prefix = self._digester.prefix(
            split.raw,
            seed=f"{scope}|{reading.invalidates}".encode(),
            turn_seed=reading.turn.encode(),
            orphans=reading.orphans,
        )
        view = self._mirror.look(prefix, call.started)
        sizes = self._scale.sizes(prefix, view, call.model_id, call.rules)
        here = self._digester.one(scope.encode())
        outlook = foresee(Scene(prefix, view, sizes, call.rules, policy, here), self._forecast)
        decided = plan(prefix, view, call.rules, policy, outlook, sizes)
        trace = Trace.of(prefix, call.model_id)
        changing = split.changing if outlook.changing else None
        new = max(view.entries, default=-1) + 1
        rewritten = {i: what for i, b in enumerate(split.raw[new:], new) if (what := rewriting(b))}
        case = Case(prefix, view, decided, call.rules, trace, self._recent.swap(trace), changing, rewritten)
        self._advise(call, case, outlook, sizes)
        ends = [i for i in (head_of(prefix), end_of(prefix)) if i is not None] + branches(prefix)
        writing = [c.index for c in decided.checkpoints if c.index not in view.live]
        self._mirror.note(prefix, view, ends, writing)
        return replace(
            call,
            plan=decided,
            case=case,
            request=_write(wire, call, prefix, decided, split.cuts),
        )

    def _callers_own(self, call: Call, reading: Reading, policy: CachePolicy) -> Call:
        """The call with the caller's own checkpoints alone, put right where Bedrock would refuse them."""
        wire = DIALECTS[call.dialect]
        prefix = self._digester.prefix(reading.raw, seed=b"", orphans=reading.orphans)
        decided = plan(
            prefix,
            View(call.started),
            call.rules,
            policy,
            Outlook(head=False, end=False),
            Sizes((0,) * len(prefix.blocks)),
            slots=reading.slots,
            behind=reading.behind,
            ours=False,
        )
        request = _write(wire, call, prefix, decided, {})
        return replace(call, plan=replace(decided, note=reading.refusal), request=request)

    def _advise(self, call: Call, case: Case, outlook: Outlook, sizes: Sizes) -> None:
        """Say once what stands in the way of more, and what its remedy would save."""
        head = head_of(case.prefix)
        held = 0 if head is None else sizes.tokens[head]
        behind = sizes.tokens[-1] - held if sizes.tokens else 0
        if case.changing is not None and behind >= call.rules.min_tokens:
            self._say(
                (call.model_id, case.changing),
                "the system prompt holds %s: the %d tokens from its line on are not cached. Put what changes "
                "into the last user message, or at least at the end of the system prompt",
                case.changing,
                behind,
            )
        if case.changing is None and outlook.stale and behind >= call.rules.min_tokens:
            self._say(
                (call.model_id, "history"),
                "histories of %s no longer extend what was sent before (trimmed or rewritten by the call?): "
                "about %d tokens a call are not cached. cachepoint's stable trimming keeps them in place",
                call.model_id,
                behind,
            )

    def _say(self, topic: tuple[str, str], message: str, *values: object) -> None:
        if topic not in self._said:
            self._said.add(topic)
            _bound(self._said, 1_024)
            logger.warning(message, *values)

    def _learned(self, call: Call, case: Case, usage: Usage) -> Any:
        prefix = case.prefix
        self._scale.learn(prefix, usage, call.model_id, call.rules)
        cached = (usage.read_tokens or 0) + (usage.write_tokens or 0)
        marks = call.plan.checkpoints
        miss = diagnose(case, usage)
        if not marks:
            return miss
        if not cached:
            self._mirror.forget(prefix, [c.index for c in marks])
            return miss
        deepest = marks[-1]
        share = cached / deepest.tokens if deepest.tokens else 1.0
        written = {
            c.index: (c.ttl, cached if c is deepest else None)
            for c in marks
            if c is deepest or c.tokens * share >= call.rules.min_tokens
        }
        self._mirror.learn(prefix, written, call.started)
        below = [c.index for c in marks if c.index not in written]
        self._mirror.forget(prefix, below)
        return miss

    def _tell(self, report: CallReport, call: Call) -> None:
        for observer in (*self.observers, *listeners.of_process(), *call.sessions):
            try:
                observer(report)
            except Exception:
                logger.exception("an observer of cachepoint failed; the call is not affected")

    def _fault(self, doing: str) -> None:
        """A fault of ours never fails a call (law 5): it is counted, and said once."""
        self.faults += 1
        level = logging.WARNING if self.faults == 1 else logging.DEBUG
        logger.log(level, "cachepoint failed at %s; the call goes on without it", doing, exc_info=True)


def _restore(policy: CachePolicy | None, clock: Callable[[], float]) -> PromptCache:
    return PromptCache(policy, clock)


def _ours(call: Call) -> list[tuple[str, tuple[int, ...]]]:
    """Where our checkpoints stand in the request as it was sent."""
    sent = DIALECTS[call.dialect].points(call.request)
    return [
        place
        for place, checkpoint in zip(sent, call.plan.checkpoints, strict=False)
        if checkpoint.reason != "hand"
    ]


def _bound(table: Any, size: int) -> None:
    while len(table) > size:
        table.pop() if isinstance(table, set) else table.pop(next(iter(table)))


def _write(wire: ModuleType, call: Call, prefix: Prefix, decided: Plan, cuts: Cuts) -> dict[str, Any]:
    hand = prefix.hand
    chosen = [
        (prefix.blocks[c.index], wire.mark(c.ttl, _kept(hand.get(c.index), call.rules)))
        for c in decided.checkpoints
    ]
    if not chosen and not hand and not prefix.orphans and not cuts:
        return dict(call.original)
    places = (
        [(b.layer, b.path) for b, _ in chosen]
        + [(prefix.blocks[i].layer, prefix.blocks[i].path) for i in hand]
        + list(cuts)
    )
    touched = {(layer, path[0]) if layer == "messages" else (layer,) for layer, path in places}
    marks = {(b.layer, b.path): mark for b, mark in chosen}
    return dict(wire.write(call.original, marks, None if prefix.orphans else touched, cuts))


def _kept(mark: Any, rules: ModelRules) -> Any:
    """Nova takes no ttl at all (AWS user guide, 2026-10), not even the default spelt out."""
    return None if mark is not None and rules.is_nova and mark.ttl else mark

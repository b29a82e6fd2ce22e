"""PromptCache: prepare / settle / abandon, the way of one call.

Each operation is a generator that yields what it wants of the memory and is sent the answer, so that sync
and async callers take the same steps. The only I/O is the memory's; nothing here sends, sleeps or waits.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Self, overload

from cachepoint.core import agreeing, flights, listeners, options, steps
from cachepoint.core.accounting.advice import Adviser, advice, uncached
from cachepoint.core.accounting.ahead import Outlook, refuse_also, with_also
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.accounting.pricing import tier_of
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.call import Call
from cachepoint.core.config import now
from cachepoint.core.driving import Driven, Steps
from cachepoint.core.guard import Guard, guard
from cachepoint.core.listeners import Observer
from cachepoint.core.memory.allowance import Allowance
from cachepoint.core.memory.protocol import Memory
from cachepoint.core.memory.records import Changes
from cachepoint.core.models.rules import UNKNOWN, shown
from cachepoint.core.once import anew, deprecated
from cachepoint.core.placement.decision import strict
from cachepoint.core.placement.fan_out import Standing
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.question import Question
from cachepoint.core.policy import CachePolicy, PolicyLike, resolved
from cachepoint.core.prompt.digests import Digester, Memo
from cachepoint.core.prompt.transcripts import Transcripts

__all__ = ["MEMORY_TIMEOUT", "Call", "PromptCache"]

logger = logging.getLogger("cachepoint")

Follower = Callable[[Call, CallReport], None]
MEMORY_TIMEOUT = 0.025
# Of texts that are kept where the policy asks for them: so many in each of two generations.
_TEXT_BYTES = 8 << 20


class PromptCache(Driven):
    """Plans the checkpoints of requests and learns from their answers. Knows no framework, sends nothing.

    Safe under threads, event loops and forks. Any number of calls may be prepared before the first is
    settled. What Bedrock is called with, and what it answers, never fails because of it: what raises here
    is counted in `faults`, and the call goes out as it came.

    Args:
        policy: How to place; None: what `cachepoint.configure` or the environment says.
        clock: Seconds, as of Bedrock's own clock; the system's unless given.
        memory: Where all that is remembered lives; None: in this process, for this cache alone.
        key: The key of the digests, 1 to 64 bytes; None: that of a memory made by `connect`, else a random
            one of this process. Caches that share a memory must share it.
        observers: Called with every report.
        memory_timeout: Seconds that one call may wait for its memory in all. What does not answer in
            that time is not remembered.
        namespace: Tells accounts apart that share a memory.
        store: What `memory` was called; it goes with the next release.

    Raises:
        ValueError: Where an option holds no valid value.
    """

    @overload
    def __init__(
        self,
        policy: PolicyLike = None,
        clock: Callable[[], float] = now,
        *,
        memory: Memory | None = None,
        key: bytes | None = None,
        observers: Iterable[Observer] = (),
        memory_timeout: float = MEMORY_TIMEOUT,
        namespace: str = "",
    ) -> None: ...
    @overload
    @deprecated("PromptCache(store=...) is memory=... now")
    def __init__(self, *given: Any, store: Memory | None, **rest: Any) -> None: ...
    def __init__(  # type: ignore[misc] # the old form is written loosely
        self,
        policy: PolicyLike = None,
        clock: Callable[[], float] = now,
        *,
        memory: Memory | None = None,
        key: bytes | None = None,
        observers: Iterable[Observer] = (),
        memory_timeout: float = MEMORY_TIMEOUT,
        namespace: str = "",
        store: Memory | None = None,
    ) -> None:
        if store is not None:
            warnings.warn("PromptCache(store=...) is memory=... now", DeprecationWarning, stacklevel=2)
        self.policy = CachePolicy.of(policy)
        self.observers: list[Observer] = list(listeners.checked(observers))
        self.memory: Memory = options.memory_of(memory if store is None else store)
        self.guard = Guard(within=guard)
        self.namespace = options.namespace_of(namespace)
        self._clock = options.clock_of(clock)
        super().__init__()
        self._key = options.key_of(key, self.memory)
        self._timeout = options.timeout_of(memory_timeout)
        self._digester = Digester(self._key)
        self._older = options.older_of(self.memory)
        self._transcripts = Transcripts()
        self._texts = Memo(_TEXT_BYTES)
        self._advise = Adviser()
        self.followers: tuple[Follower, ...] = ()  # replaced, never changed

    @property
    def faults(self) -> int:
        """How many steps of ours raised; each call went on without it. The first was logged."""
        return self.guard.faults

    @property
    def digester(self) -> Digester:
        """What digests are made with."""
        return self._digester

    def now(self) -> float:
        """Seconds, by this cache's clock."""
        return self._clock()

    def prepare(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: PolicyLike = None,
        region: str = "",
        warm: bool = False,
    ) -> Call:
        """Plan the checkpoints of a request.

        Args:
            request: The keyword arguments of `client.converse`, or the body of an InvokeModel request;
                it stays as it is.
            model_id: The model where `request` has no `modelId`, or the base model behind an ARN.
            dialect: `"converse"`; of InvokeModel, `"messages"` (Anthropic's bodies) or `"nova"`.
            policy: The policy of this call alone.
            region: The endpoint or Region called; entries are never shared between them.
            warm: Write all of it, whatever is expected of it; it tells nothing of other calls.

        Returns:
            The call; send `call.request`, which has the keys that `request` had. Where it names
            something to `wait_for`, it is cheaper to wait until `ready` and send what `again` gives.

        Raises:
            ValueError: Where no model is named, or a dialect or an option is unknown.
            CacheAlarm: Where an observer holds the call back, as `observers.alarm("raise")` does.
        """
        plain = self._plain(request, model_id, dialect)
        call = self._run("planning", plain, self._preparing(plain, model_id, policy, region, warm), plain)
        try:
            self._ask_observers(call)
        except BaseException:
            self.abandon(call)
            raise
        return call

    async def aprepare(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: PolicyLike = None,
        region: str = "",
        warm: bool = False,
    ) -> Call:
        """As `prepare`, with an awaited memory."""
        plain = self._plain(request, model_id, dialect)
        preparing = self._preparing(plain, model_id, policy, region, warm)
        call = await self._arun("planning", plain, preparing, plain)
        try:
            self._ask_observers(call)
        except BaseException:
            await self.aabandon(call)
            raise
        return call

    def outlook(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: PolicyLike = None,
        region: str = "",
        also: str | None = None,
        finish: steps.Finish | None = None,
    ) -> Outlook:
        """Say what a request would read, write and cost if it were sent now.

        It sends nothing and remembers nothing: what is prepared after it is the same as without it. It shows
        things as of now, also where a call would wait for another's write. A fault of ours is counted, and
        the state is `"unknown"`.

        Args:
            request: As of `prepare`.
            model_id: As of `prepare`.
            dialect: As of `prepare`.
            policy: As of `prepare`.
            region: As of `prepare`.
            also: The id of another model that the same request might go to.
            finish: What is done to the planned call before it is sent; None: nothing.

        Raises:
            ValueError: Where no model is named, or a dialect or an option is unknown.
        """
        plain = self._plain(request, model_id, dialect)
        looking = self._foreseeing(plain, model_id, policy, region, also, finish)
        return self._run("looking ahead", plain, looking, Outlook(plain.model_id))

    async def aoutlook(
        self,
        request: Mapping[str, Any],
        model_id: str | None = None,
        *,
        dialect: str = "converse",
        policy: PolicyLike = None,
        region: str = "",
        also: str | None = None,
        finish: steps.Finish | None = None,
    ) -> Outlook:
        """As `outlook`, with an awaited memory."""
        plain = self._plain(request, model_id, dialect)
        looking = self._foreseeing(plain, model_id, policy, region, also, finish)
        return await self._arun("looking ahead", plain, looking, Outlook(plain.model_id))

    def ready(self, call: Call) -> bool:
        """Whether what the call waits for has ended, in whatever process that was.

        It does not wait: one look into the memory. True as well where the call waits for nothing.
        """
        asking = replace(call, allowance=Allowance(self._timeout))
        return self._run("looking for a write", asking, self._looking(call), True)

    async def aready(self, call: Call) -> bool:
        """As `ready`, with an awaited memory."""
        asking = replace(call, allowance=Allowance(self._timeout))
        return await self._arun("looking for a write", asking, self._looking(call), True)

    def again(self, call: Call, *, give_up: bool = False) -> Call:
        """Decide a call anew that waited, with what Bedrock holds and who writes now.

        It is not counted a second time.

        Args:
            call: The call.
            give_up: Wait no longer for what it waits for, ended or not. Of those who give the same write
                up, the first takes it over.

        Returns:
            The call as it is to be sent. It may have something else to wait for; where it can't, it is
            sent as it is, without the checkpoints that another call writes.
        """
        call = replace(call, allowance=Allowance(self._timeout))
        again = self._again(call, give_up=give_up)
        return self._run("planning again", call, again, replace(call, wait_for=None))

    async def aagain(self, call: Call, *, give_up: bool = False) -> Call:
        """As `again`, with an awaited memory."""
        call = replace(call, allowance=Allowance(self._timeout))
        again = self._again(call, give_up=give_up)
        return await self._arun("planning again", call, again, replace(call, wait_for=None))

    def began(self, call: Call) -> None:
        """The answer began: what the call writes can be read from now on, and is written by nobody else.

        For streams, at their first event; elsewhere `settle` says it.
        """
        self._run("noting that an answer began", call, self._recording(steps.begun, call), None)

    async def abegan(self, call: Call) -> None:
        """As `began`, with an awaited memory."""
        await self._arun("noting that an answer began", call, self._recording(steps.begun, call), None)

    def settle(
        self, call: Call, response: Mapping[str, Any], *, first_token: float | None = None
    ) -> CallReport:
        """Learn from the answer and say what it cost. Never raises.

        Args:
            call: What `prepare` returned.
            response: The response, or the `metadata` event that ended a stream.
            first_token: When the first event of a stream came, by `now()`.

        Returns:
            The report. It goes to the observers as well.
        """
        settling = self._settling(call, response, first_token)
        return self._run("settling", call, settling, steps.unread(call))

    async def asettle(
        self, call: Call, response: Mapping[str, Any], *, first_token: float | None = None
    ) -> CallReport:
        """As `settle`, with an awaited memory."""
        settling = self._settling(call, response, first_token)
        return await self._arun("settling", call, settling, steps.unread(call))

    def abandon(self, call: Call) -> None:
        """The call failed: it writes nothing any more. What other calls wrote stays."""
        self._run("abandoning", call, self._recording(steps.released, call), None)

    async def aabandon(self, call: Call) -> None:
        """As `abandon`, with an awaited memory."""
        await self._arun("abandoning", call, self._recording(steps.released, call), None)

    def refused(self, call: Call, message: str) -> Call | None:
        """Bedrock refused a checkpoint of ours: the call without ours, and the row remembered as stricter.

        Args:
            call: What was refused.
            message: Bedrock's message.

        Returns:
            The call with the caller's own checkpoints alone, to be sent once more; None where the message
            is not about a checkpoint, or none were ours.
        """
        return self._run("reading a refusal", call, self._refusing(call, message), None)

    async def arefused(self, call: Call, message: str) -> Call | None:
        """As `refused`, with an awaited memory."""
        return await self._arun("reading a refusal", call, self._refusing(call, message), None)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        """A copied model goes on with the same cache: what Bedrock holds is not doubled by it."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process: the same key, observers and policy; a memory of this process begins empty."""
        options = {
            "memory": self.memory,
            "key": self._key,
            "observers": self.observers,
            "memory_timeout": self._timeout,
            "namespace": self.namespace,
        }
        return partial(type(self), self.policy, self._clock, **options), ()

    def _plain(self, request: Mapping[str, Any], model_id: str | None, dialect: str) -> Call:
        """The call as it came."""
        options.refuse_no_request(request)
        called = str(request.get("modelId") or model_id or "")
        return Call(
            request=dict(request),
            model_id=called,
            plan=Plan(),
            rules=UNKNOWN,
            started=self.guard("reading the clock", self._clock, None),
            priced_as=called,
            dialect=dialect,
            original=request,
            allowance=Allowance(self._timeout),
            token=flights.token(),
        )

    def _preparing(
        self, call: Call, model_id: str | None, policy: Any, region: str, warm: bool
    ) -> Steps[Call]:
        # A stream may be settled where the context of its caller is lost.
        priced_as, rules = steps.named(call, model_id)
        call = anew(call, priced_as=priced_as, rules=rules, sessions=listeners.of_context())
        chosen = resolved(self.policy, CachePolicy.of(policy))
        if (why := steps.stands_aside(call, chosen)) is not None:
            self._advise(uncached(call.model_id, call.rules))
            return replace(call, plan=Plan(note=why))
        chosen = chosen.but(tail="always") if warm else chosen
        question = self._question(call, chosen, region)
        if question.reading.refusal is not None:
            return steps.callers_own(call, question)
        found = yield question
        if (rules := strict(question, found)) is not call.rules:
            call = replace(call, rules=rules)
            if (why := steps.stands_aside(call, chosen)) is not None:
                return replace(call, plan=Plan(note=why))
        # Before anyone can see its claims: what is in no hands is taken over.
        flights.depart(call.token, call.flight)
        decision, held = yield from steps.decided(question, found, call, counted=not warm)
        self._advise(advice(call.model_id, call.rules, decision))
        return steps.written(call, question, decision, held)

    def _foreseeing(
        self,
        call: Call,
        model_id: str | None,
        policy: Any,
        region: str,
        also: str | None,
        finish: steps.Finish | None,
    ) -> Steps[Outlook]:
        refuse_also(also)
        chosen = resolved(self.policy, CachePolicy.of(policy))
        here = yield from self._ahead(call, model_id, chosen, region, finish)
        if also is None:
            return here
        there = yield from self._ahead(replace(call, model_id=also), None, chosen, region, finish)
        return with_also(here, there)

    def _ahead(
        self, call: Call, model_id: str | None, policy: CachePolicy, region: str, finish: steps.Finish | None
    ) -> Steps[Outlook]:
        priced_as, rules = steps.named(call, model_id)
        call = replace(call, priced_as=priced_as, rules=rules)
        asked = self._question(call, policy, region, keep=False)
        why = steps.stands_aside(call, policy) or asked.reading.refusal
        if why is not None:
            return steps.left_alone(call, asked, why)
        found = yield asked
        return steps.foreseen(call, asked, found, finish)

    def _question(self, call: Call, policy: CachePolicy, region: str, *, keep: bool = True) -> Question:
        known = self._digester, self._transcripts, self.namespace, region
        return steps.question(call, policy, *known, keep=keep, older=self._older)

    def _looking(self, call: Call) -> Steps[bool]:
        write = call.wait_for
        if write is None:
            return True
        now = self._clock()
        found = yield Standing(now, (write.place,))
        return write.over(found, now)

    def _again(self, call: Call, *, give_up: bool) -> Steps[Call]:
        if call.question is None or call.case is None:
            return call
        now = self._clock()
        decision, held = yield from agreeing.again(call, now, give_up=give_up)
        waited = replace(call, waited=now - call.question.now)
        return steps.written(waited, call.question, decision, held)

    def _settling(
        self, call: Call, response: Mapping[str, Any], first_token: float | None
    ) -> Steps[CallReport]:
        usage = self.guard("reading usage", partial(steps.usage, call, response), None)
        miss = self.guard("finding out why a call missed", lambda: self._miss(call, usage), None)
        learned = self.guard("learning", lambda: steps.learned(call, usage), None)
        if learned is not None:
            yield learned
        call.flight.places = frozenset()
        call.flight.land()
        seconds = self.guard("reading the clock", lambda: steps.since(call, self._clock()), None)
        tier = self.guard("reading the service tier", lambda: tier_of(response, call.original), None)
        report = steps.report(call, usage, miss, seconds, first_token, tier)
        listeners.tell(report, self._observers(call), self.guard)
        for follow in self.followers:
            self.guard("following a call", partial(follow, call, report), None)
        return report

    def _miss(self, call: Call, usage: Usage | None) -> Miss | None:
        miss = steps.miss(call, usage)
        if call.question is None or call.question.policy.explain == "digests":
            return miss
        return steps.shown(call, miss, self._texts)

    def _observers(self, call: Call) -> tuple[Observer, ...]:
        return (*self.observers, *listeners.of_process(), *call.sessions)

    def _ask_observers(self, call: Call) -> None:
        """Raise what an observer has against sending a call; only where a checkpoint was considered."""
        observers = self._observers(call)
        if call.case is not None and observers:
            named = call.model_id, steps.conversation(call)
            ask = partial(listeners.objection, observers, *named, self.guard)
            if (alarm := self.guard("asking observers before a call", ask, None)) is not None:
                raise alarm

    def _recording(self, changes: Callable[[Call], Changes | None], call: Call) -> Steps[None]:
        try:
            asked = changes(call)
            if asked is not None:
                yield asked
            call.flight.places = frozenset()
        finally:
            call.flight.land()

    def _refusing(self, call: Call, message: str) -> Steps[Call | None]:
        facts = steps.disproved(call, message)
        if facts is None:
            return None
        logger.warning(
            "Bedrock refused a checkpoint on %s; the call is sent again without", shown(call.model_id)
        )
        yield steps.refused(call, facts)
        call.flight.places = frozenset()
        call.flight.land()
        return steps.without_ours(call)

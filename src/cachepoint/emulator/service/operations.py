"""The operations: from a request's bytes to its answer. Knows the cache and the responder, no sockets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cachepoint.emulator.cache.engine import CacheEngine, Outcome, Scope
from cachepoint.emulator.cache.options import Options, OptionsByModel
from cachepoint.emulator.cache.prompt import Prompt, read_prompt
from cachepoint.emulator.cache.rules import ModelRules, base_model, is_cross_region
from cachepoint.emulator.cache.tokens import Sizer, count_answer
from cachepoint.emulator.responders import EmulatedError, ParsedRequest, Reply, Responder, finish
from cachepoint.emulator.service.access import refuse_caller, refuse_on_demand, rules_of
from cachepoint.emulator.service.calls import Answer, EmulatedCall, Incoming, decoded, parsed
from cachepoint.emulator.service.control import Control
from cachepoint.emulator.service.cutting import CUT, Cutter
from cachepoint.emulator.service.dialects.converse import CONVERSE
from cachepoint.emulator.service.dialects.dialect import Dialect, Said, dump
from cachepoint.emulator.service.dialects.headers import settings
from cachepoint.emulator.service.dialects.messages import MESSAGES
from cachepoint.emulator.service.dialects.nova import NOVA
from cachepoint.emulator.service.faults import EndedError, Events, Fault, Faults
from cachepoint.emulator.service.guardrails import Guardrail, find, judge_input, judge_output
from cachepoint.emulator.service.profiles import describe_profile
from cachepoint.emulator.service.quotas import Quotas, reserved, settled
from cachepoint.emulator.service.refusals.fields import without_nulls
from cachepoint.emulator.service.refusals.request import Refusal, invalid, through_converse
from cachepoint.emulator.service.refusals.table import input_shape, refuse, refuse_prompt
from cachepoint.emulator.service.routes import route

__all__ = ["Service"]

_LOGGER = logging.getLogger(__name__)
_DEFAULT_REGION = "us-east-1"
_NO_GUARDRAILS: Mapping[str, Guardrail] = MappingProxyType({})
_NO_OPTIONS = OptionsByModel()
_NO_FAULT = Fault()
# A turn that a guardrail keeps out is reported with all counts 0: docs.infor.com, bedrock-access-gateway#107.
_NOTHING = Outcome(read=0, write=0, uncached=0, details=())
# langchain-aws#419, 2025-03
_MOST_INVOKED = 25_000_000
_TOO_LONG = invalid(
    "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length"
    f" less than or equal to {_MOST_INVOKED}"
)
_STREAMED = {"X-Amzn-Bedrock-Content-Type": "application/json"}


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class _Call:
    at: float
    operation: str
    model_id: str
    incoming: Incoming
    request: Any

    @property
    def region(self) -> str:
        return self.incoming.region or _DEFAULT_REGION

    @property
    def present(self) -> Any:
        return without_nulls(self.request) if b"null" in self.incoming.body else self.request

    def ended(self, status: int, **result: Any) -> EmulatedCall:
        incoming = self.incoming
        return EmulatedCall(
            self.at,
            self.operation,
            self.model_id,
            self.region,
            status,
            body=incoming.body,
            path=incoming.path,
            **result,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was let in, as Converse has it."""

    dialect: Dialect
    rules: ModelRules
    body: dict[str, Any]
    prompt: Prompt
    sizes: Sequence[int]

    @property
    def guardrail(self) -> dict[str, Any]:
        return self.body.get("guardrailConfig") or {}

    @property
    def reserved(self) -> int:
        """Tokens that a quota has to have left for it."""
        return reserved(sum(self.sizes), (self.body.get("inferenceConfig") or {}).get("maxTokens"))


class Service:
    """Answers requests. `record` is told of every call before the last byte of its answer leaves."""

    def __init__(
        self,
        *,
        engine: CacheEngine,
        clock: Callable[[], float],
        responder: Responder,
        sizer: Sizer,
        profiles: Mapping[str, str],
        guardrails: Mapping[str, Guardrail] = _NO_GUARDRAILS,
        access_keys: Collection[str] | None = None,
        record: Callable[[EmulatedCall], None],
        delay: float = 0.0,
        options: OptionsByModel = _NO_OPTIONS,
        seed: int = 0,
        faults: Faults = lambda _: None,
        quotas: Quotas | None = None,
        control: Control | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._responder = responder
        self._sizer = sizer
        self._profiles = profiles
        self._guardrails = guardrails
        self._access_keys = access_keys
        self._record = record
        self._delay = delay
        self._options = options
        self._cutter = Cutter(seed)
        self._faults = faults
        self._quotas = quotas or Quotas(clock)
        self._control = control

    def answer(self, incoming: Incoming) -> Answer:
        """Answer or refuse one request; a fault of the emulator or its responder is a 500.

        Raises:
            EndedError: The connection is to end without an answer.
        """
        if self._control and (own := self._control.answer(incoming)):
            return own
        call = self._call(incoming)
        try:
            _raise(refuse_caller(incoming, self._access_keys))
            return self._operations.get(call.operation, Service._unknown)(self, call)
        except _RefusedError as refused:
            return self._refuse(call, refused.refusal)
        except EmulatedError as error:
            return self._refuse(call, Refusal(error.status, error.code, error.message))
        except EndedError as ended:
            self._record(call.ended(0, error="Reset", message=str(ended)))
            raise
        except Exception as error:
            _LOGGER.exception("cachepoint.emulator failed on %s", incoming.path)
            text = f"The emulator failed: {error!r}"
            return self._refuse(call, Refusal(500, "InternalServerException", text))

    def refuse(self, incoming: Incoming, refusal: Refusal) -> Answer:
        """Refuse a request whose body could not be read."""
        return self._refuse(self._call(incoming), refusal)

    def _call(self, incoming: Incoming) -> _Call:
        operation, model_id = route(incoming.method, incoming.path)
        return _Call(self._clock(), operation, model_id, incoming, parsed(incoming.body))

    def _answer(self, call: _Call) -> Answer:
        dialect, said, befell = self._turn(call)
        if said.reply.fault:
            raise said.reply.fault
        self._engine.publish(said.outcome)
        body = befell.body(whole := dump(dialect.answer(said)))
        broken = befell.told if body != whole else None
        self._record(_broken(call, broken) if broken else call.ended(200, usage=said.usage))
        return Answer(200, body, headers=dialect.headers(said))

    def _stream(self, call: _Call) -> Answer:
        dialect, said, befell = self._turn(call)
        headers = {} if dialect is CONVERSE else _STREAMED
        fault, events = said.reply.fault or befell.told, befell.events(dialect.events(said))
        if not fault and self._cutter.chooses(self._options.of(call.model_id).cut_streams):
            fault, events = CUT, self._cutter.cut(events)
        return Answer(200, stream=self._events(call, said, fault, events), headers=headers)

    def _events(
        self,
        call: _Call,
        said: Said,
        fault: EmulatedError | None,
        events: Events,
    ) -> Events:
        self._engine.publish(said.outcome)
        self._record(_broken(call, fault) if fault else call.ended(200, usage=said.usage))
        for event in events:
            yield event
            if said.reply.pause:
                time.sleep(said.reply.pause)

    def _turn(self, call: _Call) -> tuple[Dialect, Said, Fault]:
        started = time.monotonic()
        rules = self._rules(call)
        _raise(refuse_on_demand(call.model_id, rules, self._profiles))
        dialect = _dialect(call.operation, rules)
        asked = self._asked(dialect, rules, *_read(call, dialect))
        guardrail = find(asked.guardrail, self._guardrails)
        if isinstance(guardrail, Refusal):
            raise _RefusedError(guardrail)
        options = self._options.of(call.model_id)
        quota = base_model(call.model_id, self._profiles)
        use = self._quotas.admit(quota, call.region, options, asked.reserved)
        if isinstance(use, Refusal):
            raise _RefusedError(use)
        try:
            befell = self._befell(call, asked)
            said = self._speak(call, asked, options, guardrail, started)
        except BaseException:
            use.tokens = 0
            raise
        use.tokens = settled(said.outcome.uncached, said.outcome.write, said.output, rules)
        return dialect, said, befell

    def _befell(self, call: _Call, asked: _Asked) -> Fault:
        """What befalls the request, and what of that comes before the model is asked."""
        befell = self._faults(self._parsed(call, asked)) or _NO_FAULT
        befell.before()
        return befell

    def _speak(
        self, call: _Call, asked: _Asked, options: Options, guardrail: Guardrail | None, started: float
    ) -> Said:
        verdict = judge_input(guardrail, asked.guardrail, asked.body) if guardrail else None
        outcome = _NOTHING if verdict else self._begin(call, asked, options)
        latency = options.latency(outcome.uncached, outcome.write, outcome.read)
        reply = verdict.reply if verdict else self._reply(call, asked, latency)
        if guardrail and not verdict and (verdict := judge_output(guardrail, asked.guardrail, reply)):
            reply = verdict.reply
        return Said(
            model_id=call.model_id,
            rules=asked.rules,
            reply=reply,
            outcome=outcome,
            output=0 if outcome is _NOTHING else count_answer(reply.content, asked.rules),
            latency=round((time.monotonic() - started) * 1000),
            trace=verdict.trace if verdict else None,
            intervened=verdict is not None if guardrail else None,
        )

    def _asked(
        self, dialect: Dialect, rules: ModelRules, body: Any, settings: dict[str, Any] | None = None
    ) -> _Asked:
        _raise(dialect.shape(body, rules))
        plain = {**dialect.plain(body), **(settings or {})}
        _raise(_said(refuse(plain, rules, dialect.checks), dialect))
        prompt = read_prompt(plain, rules)
        sizes = self._sizer(prompt, rules)
        _raise(_said(refuse_prompt(prompt, rules, sum(sizes)), dialect))
        return _Asked(dialect, rules, plain, prompt, sizes)

    def _begin(self, call: _Call, asked: _Asked, options: Options) -> Outcome:
        return self._engine.begin(
            asked.prompt,
            asked.rules,
            Scope(call.model_id, call.region, asked.dialect.api),
            asked.sizes,
            options=options,
            cross_region=is_cross_region(call.model_id, self._profiles),
        )

    def _parsed(self, call: _Call, asked: _Asked) -> ParsedRequest:
        return ParsedRequest(call.operation, call.model_id, call.region, asked.body)

    def _reply(self, call: _Call, asked: _Asked, latency: float) -> Reply:
        request = self._parsed(call, asked)
        reply = finish(self._responder(request), request, asked.rules)
        if wait := self._delay + reply.delay + latency:
            time.sleep(wait)
        return reply

    def _count_tokens(self, call: _Call) -> Answer:
        rules = self._rules(call)
        if not rules.count_tokens or is_cross_region(call.model_id, {}) or call.model_id in self._profiles:
            raise _RefusedError(invalid("The provided model doesn't support counting tokens."))
        _raise(input_shape(call.request))
        body = call.present["input"]
        if "converse" in body:
            asked = self._asked(CONVERSE, rules, body["converse"])
        else:
            asked = self._asked(_invoked(rules), rules, decoded(body["invokeModel"]["body"]))
        counted = {"inputTokens": sum(asked.sizes)}
        self._record(call.ended(200, usage=counted))
        return Answer(200, dump(counted))

    def _get_profile(self, call: _Call) -> Answer:
        found = describe_profile(call.model_id, self._profiles, call.region)
        if found is None:
            text = "The provided inference profile identifier is invalid or does not exist."
            raise _RefusedError(Refusal(404, "ResourceNotFoundException", text))
        self._record(call.ended(200))
        return Answer(200, dump(found))

    def _unknown(self, call: _Call) -> Answer:
        spoken = ", ".join(self._operations)
        text = f"{call.operation} is not emulated: this is cachepoint.emulator, it speaks {spoken}."
        raise _RefusedError(Refusal(404, "UnknownOperationException", text))

    def _rules(self, call: _Call) -> ModelRules:
        rules = rules_of(call.model_id, call.incoming, self._profiles)
        if isinstance(rules, Refusal):
            raise _RefusedError(rules)
        return rules

    def _refuse(self, call: _Call, refusal: Refusal) -> Answer:
        self._record(call.ended(refusal.status, error=refusal.code, message=refusal.message))
        return Answer(refusal.status, dump({"message": refusal.message}), error=refusal.code)

    _operations: Mapping[str, Callable[[Service, _Call], Answer]] = {
        "Converse": _answer,
        "ConverseStream": _stream,
        "InvokeModel": _answer,
        "InvokeModelWithResponseStream": _stream,
        "CountTokens": _count_tokens,
        "GetInferenceProfile": _get_profile,
    }


def _dialect(operation: str, rules: ModelRules) -> Dialect:
    return CONVERSE if operation in ("Converse", "ConverseStream") else _invoked(rules)


def _invoked(rules: ModelRules) -> Dialect:
    if rules.body not in _BODIES:
        text = "cachepoint.emulator knows the InvokeModel bodies of Claude and of Nova, not this model's."
        raise _RefusedError(invalid(text))
    return _BODIES[rules.body]


_BODIES = {"messages": MESSAGES, "nova": NOVA}


def _read(call: _Call, dialect: Dialect) -> tuple[Any, dict[str, Any]]:
    """The body, and what else says how to answer it."""
    if dialect is CONVERSE:
        return call.present, {}
    if len(call.incoming.body) > _MOST_INVOKED:
        raise _RefusedError(_TOO_LONG)
    return call.request, settings(call.incoming)


def _broken(call: _Call, fault: EmulatedError) -> EmulatedCall:
    return call.ended(200, error=fault.code, message=fault.message)


def _said(refusal: Refusal | None, dialect: Dialect) -> Refusal | None:
    return through_converse(refusal) if refusal and dialect is CONVERSE else refusal


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        raise _RefusedError(refusal)

"""The operations: from a request's bytes to its answer. Knows the cache and the responder, no sockets."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cachepoint.emulator.cache.engine import CacheEngine, Outcome, Scope
from cachepoint.emulator.cache.prompt import read_prompt
from cachepoint.emulator.cache.rules import ModelRules, is_cross_region, resolve
from cachepoint.emulator.cache.tokens import Sizer, count_answer
from cachepoint.emulator.responders import EmulatedError, ParsedRequest, Reply, Responder, finish
from cachepoint.emulator.service.calls import Answer, EmulatedCall, Incoming, parsed
from cachepoint.emulator.service.events import Event, StreamFault, stream_events
from cachepoint.emulator.service.profiles import describe_profile
from cachepoint.emulator.service.refusals.fields import without_nulls
from cachepoint.emulator.service.refusals.request import Refusal, invalid
from cachepoint.emulator.service.refusals.table import (
    UNKNOWN_MODEL,
    refuse_input,
    refuse_prompt,
    refuse_request,
)
from cachepoint.emulator.service.routes import route
from cachepoint.emulator.service.usage import wire_usage

__all__ = ["Service"]

_LOGGER = logging.getLogger(__name__)


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
    def present(self) -> Any:
        return without_nulls(self.request) if b"null" in self.incoming.body else self.request

    def ended(self, status: int, **result: Any) -> EmulatedCall:
        incoming = self.incoming
        return EmulatedCall(
            self.at,
            self.operation,
            self.model_id,
            incoming.region,
            status,
            body=incoming.body,
            path=incoming.path,
            **result,
        )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request that was let in: what it reads and writes, and what is said to it."""

    call: _Call
    outcome: Outcome
    rules: ModelRules
    reply: Reply
    started: float

    @property
    def usage(self) -> dict[str, Any]:
        return wire_usage(self.outcome, count_answer(self.reply.content, self.rules), self.rules)

    @property
    def metrics(self) -> dict[str, Any]:
        return {"latencyMs": round((time.monotonic() - self.started) * 1000)}


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
        record: Callable[[EmulatedCall], None],
        delay: float = 0.0,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._responder = responder
        self._sizer = sizer
        self._profiles = profiles
        self._record = record
        self._delay = delay

    def answer(self, incoming: Incoming) -> Answer:
        """Answer or refuse one request; a fault of the emulator or its responder is a 500."""
        call = self._call(incoming)
        try:
            return self._operations.get(call.operation, Service._unknown)(self, call)
        except _RefusedError as refused:
            return self._refuse(call, refused.refusal)
        except EmulatedError as error:
            return self._refuse(call, Refusal(error.status, error.code, error.message))
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

    def _converse(self, call: _Call) -> Answer:
        turn = self._open(call)
        if turn.reply.fault:
            raise turn.reply.fault
        self._engine.publish(turn.outcome)
        body = {
            "metrics": turn.metrics,
            "output": {"message": {"content": list(turn.reply.content), "role": "assistant"}},
            "stopReason": turn.reply.stop_reason,
            "usage": turn.usage,
        }
        self._record(call.ended(200, usage=turn.usage))
        return Answer(200, _dump(body))

    def _converse_stream(self, call: _Call) -> Answer:
        turn = self._open(call)
        events = stream_events(turn.reply, {"metrics": turn.metrics, "usage": turn.usage})
        return Answer(200, stream=self._stream(turn, events))

    def _stream(self, turn: _Turn, events: Iterator[Event | StreamFault]) -> Iterator[Event | StreamFault]:
        self._engine.publish(turn.outcome)
        fault = turn.reply.fault
        self._record(_broken(turn.call, fault) if fault else turn.call.ended(200, usage=turn.usage))
        for event in events:
            yield event
            if turn.reply.pause:
                time.sleep(turn.reply.pause)

    def _open(self, call: _Call) -> _Turn:
        started = time.monotonic()
        rules = self._rules(call.model_id)
        body = call.present
        _raise(refuse_request(body, rules))
        prompt = read_prompt(body, rules)
        sizes = self._sizer(prompt, rules)
        _raise(refuse_prompt(prompt, rules, sum(sizes)))
        scope = Scope(call.model_id, call.incoming.region)
        cross_region = is_cross_region(call.model_id, self._profiles)
        outcome = self._engine.begin(prompt, rules, scope, sizes, cross_region=cross_region)
        reply = self._reply(call, body, rules)
        return _Turn(call, outcome, rules, reply, started)

    def _reply(self, call: _Call, body: dict[str, Any], rules: ModelRules) -> Reply:
        request = ParsedRequest(call.operation, call.model_id, call.incoming.region, body)
        reply = finish(self._responder(request), request, rules)
        if wait := self._delay + reply.delay:
            time.sleep(wait)
        return reply

    def _count_tokens(self, call: _Call) -> Answer:
        rules = self._rules(call.model_id)
        if not rules.count_tokens or is_cross_region(call.model_id, {}) or call.model_id in self._profiles:
            raise _RefusedError(invalid("The provided model doesn't support counting tokens."))
        _raise(refuse_input(call.request))
        body = call.present["input"].get("converse")
        if body is None:
            raise _RefusedError(invalid("cachepoint.emulator counts the tokens of a converse input only."))
        _raise(refuse_request(body, rules))
        total = sum(self._sizer(read_prompt(body, rules), rules))
        self._record(call.ended(200, usage={"inputTokens": total}))
        return Answer(200, _dump({"inputTokens": total}))

    def _get_profile(self, call: _Call) -> Answer:
        found = describe_profile(call.model_id, self._profiles, call.incoming.region)
        if found is None:
            text = "The provided inference profile identifier is invalid or does not exist."
            raise _RefusedError(Refusal(404, "ResourceNotFoundException", text))
        self._record(call.ended(200))
        return Answer(200, _dump(found))

    def _unknown(self, call: _Call) -> Answer:
        spoken = ", ".join(self._operations)
        text = f"{call.operation} is not emulated: this is cachepoint.emulator, it speaks {spoken}."
        raise _RefusedError(Refusal(404, "UnknownOperationException", text))

    def _rules(self, model_id: str) -> ModelRules:
        rules = resolve(model_id, self._profiles)
        if rules is None:
            raise _RefusedError(UNKNOWN_MODEL)
        return rules

    def _refuse(self, call: _Call, refusal: Refusal) -> Answer:
        self._record(call.ended(refusal.status, error=refusal.code, message=refusal.message))
        return Answer(refusal.status, _dump({"message": refusal.message}), error=refusal.code)

    _operations: Mapping[str, Callable[[Service, _Call], Answer]] = {
        "Converse": _converse,
        "ConverseStream": _converse_stream,
        "CountTokens": _count_tokens,
        "GetInferenceProfile": _get_profile,
    }


def _broken(call: _Call, fault: EmulatedError) -> EmulatedCall:
    return call.ended(200, error=fault.code, message=fault.message)


def _raise(refusal: Refusal | None) -> None:
    if refusal:
        raise _RefusedError(refusal)


def _dump(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

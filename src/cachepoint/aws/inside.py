"""Hears what botocore is answered while botocore is still in the call.

Whoever traces botocore ends its span when botocore is done, that of a stream when its last event was parsed
(the instrumentations of OpenTelemetry, OpenInference and OpenLLMetry, 2026-11): what a call's report says can
be set on that span no later.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from inspect import isawaitable
from typing import Any
from weakref import WeakMethod, WeakSet

from cachepoint.aws.kinds import is_botocores, service_model
from cachepoint.core.guard import guard
from cachepoint.core.listeners import sending

_EVENT = "after-call.bedrock-runtime.{}"
_OPERATIONS = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")
_EAR = "_cachepoint_ear"
_HEARING = "hearing an answer"

# The emitters that tell us.
_told: WeakSet[Any] = WeakSet()

Hear = Callable[[Any], Any]


class _Ear:
    """Stands for one call that is on its way."""

    def __init__(self, answered: Hear) -> None:
        self._answered = answered
        self.see: Callable[[], Hear | None] | None = None
        self.member = ""

    def hear(self, parsed: Mapping[str, Any]) -> Any:
        stream = parsed.get("stream") or parsed.get("body")
        if hasattr(stream, "_parse_event"):
            self._attach(stream)
        elif "usage" in parsed or "body" in parsed:
            return self._answered(parsed)
        return None

    def _attach(self, stream: Any) -> None:
        """Between botocore's parsing of an event and whoever takes it; OpenLLMetry does the same."""
        parse = _weakly(stream._parse_event)  # noqa: SLF001
        stream._parse_event = partial(_parsed, self, parse, copy_context())  # noqa: SLF001
        setattr(stream, _EAR, self)


def _parsed(ear: _Ear, parse: Callable[[], Any], inside: Context, raw: Any) -> Any:
    event = parse()(raw)
    if ear.see is not None and event and ear.member in event and (see := ear.see()) is not None:
        guard(_HEARING, partial(inside.run, see, event), None)
    return event


def _weakly(method: Hear) -> Callable[[], Any]:
    """What gives it: a stream that held its own method would stay until the garbage is collected."""
    return WeakMethod(method) if hasattr(method, "__func__") else lambda: method


@contextmanager
def heard(client: Any, answered: Hear, *, awaited: bool = False) -> Iterator[None]:
    """Within the block, what the client is answered is heard as soon as botocore has parsed it.

    Args:
        client: A boto3 or aioboto3 client. What has no events of botocore, as a stub, is not heard.
        answered: Called with the response, where it is no stream. What a stream brings goes to whom `listen`
            names.
        awaited: Whether what `answered` returns is to be awaited, which aioboto3 does.
    """
    ear = guard("listening to a client", lambda: _ear(client, answered, awaited=awaited), None)
    token = sending.set(ear)
    try:
        yield
    finally:
        sending.reset(token)


def listen(stream: Any, see: Hear, member: str = "metadata") -> None:
    """Have the events of a stream that may tell its usage seen before anyone else, in its call's context.

    Args:
        stream: The stream of a call that was `heard`, also one that a tracer wrapped.
        see: Called with such an event; whoever iterates over the stream gets it after that.
        member: What such events have.
    """
    ear = getattr(stream, _EAR, None)
    if isinstance(ear, _Ear):
        ear.see, ear.member = _weakly(see), member


def _ear(client: Any, answered: Hear, *, awaited: bool) -> _Ear | None:
    if service_model(client) is None or (awaited and not is_botocores(client)):
        return None
    events = client.meta.events
    if events not in _told:
        for operation in _OPERATIONS:
            events.register(_EVENT.format(operation), _after_call, unique_id=f"cachepoint-heard-{operation}")
        _told.add(events)
    return _Ear(answered)


def _after_call(parsed: Mapping[str, Any], **_: Any) -> Any:
    ear = sending.get()
    heard = guard(_HEARING, lambda: ear.hear(parsed), None) if isinstance(ear, _Ear) else None
    return guard.awaited(_HEARING, lambda: heard, None) if isawaitable(heard) else heard

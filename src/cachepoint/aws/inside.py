"""Hears what botocore is answered while botocore is still in the call.

Whoever traces botocore ends its span when botocore is done, that of a stream when its last event was parsed
(the instrumentations of OpenTelemetry, OpenInference and OpenLLMetry, 2026-11): what a call's report says can
be set on that span no later.
"""

from collections.abc import Callable, Mapping
from contextvars import Token, copy_context
from typing import Any
from weakref import WeakSet

from cachepoint.aws.kinds import tells
from cachepoint.core.guard import guard
from cachepoint.core.listeners import sending

_EVENT = "after-call.bedrock-runtime.{}"
_EAR = "_cachepoint_ear"
_HEARING = "hearing an answer"

# The emitters that tell us.
_told: WeakSet[Any] = WeakSet()

Hear = Callable[[Any], Any]


class heard:  # noqa: N801 -- it is used as a context manager's function is
    """Within the block, what the client is answered is heard as soon as botocore has parsed it.

    Args:
        client: A boto3 or aioboto3 client. What has no events of botocore, as a stub, is not heard.
        answered: Called with the response of `converse`. Of an aioboto3 client it may return an awaitable.
            What a stream brings goes to whom `listen` names.

    Attributes:
        told: Whether `answered` was called.
    """

    def __init__(self, client: Any, answered: Hear) -> None:
        self._client, self._answered = client, answered
        self._token: Token[object | None] | None = None
        self.see: Hear | None = None
        self.told = False

    def __enter__(self) -> "heard":
        self._token = guard("listening to a client", self._listen, None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            sending.reset(self._token)

    def _listen(self) -> Token[object | None] | None:
        return sending.set(self) if _registered(self._client, self._answered) else None

    def hear(self, parsed: Mapping[str, Any]) -> Any:
        """Take the answer of botocore as it was parsed."""
        if "stream" in parsed:
            self._attach(parsed["stream"])
        elif "usage" in parsed:
            self.told = True
            return self._answered(parsed)
        return None

    def _attach(self, stream: Any) -> None:
        """Between botocore's parsing of an event and whoever takes it; OpenLLMetry does the same."""
        parse, inside = stream._parse_event, copy_context()  # noqa: SLF001

        def parsed_event(raw: Any) -> Any:
            event = parse(raw)
            if self.see is not None and event and "metadata" in event:
                guard(_HEARING, lambda: inside.run(self.see, event), None)  # type: ignore[arg-type]
            return event

        stream._parse_event = parsed_event  # noqa: SLF001
        setattr(stream, _EAR, self)


def listen(stream: Any, see: Hear) -> None:
    """Have the `metadata` event of a stream seen before anyone else sees it, in the context of its call.

    Args:
        stream: The stream of a call that was `heard`, also one that a tracer wrapped.
        see: Called with the event; whoever iterates over the stream gets it after that.
    """
    ear = getattr(stream, _EAR, None)
    if isinstance(ear, heard):
        ear.see = see


def _registered(client: Any, answered: Hear) -> bool:
    """Whether the client's emitter tells us, from now on at the latest."""
    if not tells(client, answered):
        return False
    events = client.meta.events
    if events not in _told:
        for operation in ("Converse", "ConverseStream"):
            events.register(_EVENT.format(operation), _after_call, unique_id=f"cachepoint-heard-{operation}")
        _told.add(events)
    return True


def _after_call(parsed: Mapping[str, Any], **_: Any) -> Any:
    ear = sending.get()
    return guard(_HEARING, lambda: ear.hear(parsed), None) if isinstance(ear, heard) else None

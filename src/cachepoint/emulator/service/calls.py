"""What goes in and out of the service, and what is kept of it."""

import base64
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, SupportsIndex, overload

from cachepoint.emulator.responders.strict_json import read_json
from cachepoint.emulator.service.events import Event, StreamFault
from cachepoint.emulator.telling import table
from cachepoint.emulator.telling.lines import line

__all__ = ["Answer", "CallLog", "Calls", "EmulatedCall", "Incoming", "decoded", "parsed"]

_RECORD_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class EmulatedCall:
    """One request that the emulator answered or refused.

    `at` is the emulator's clock in seconds, `usage` the tokens as Converse tells them, whatever the
    operation, `body` the bytes of the request. `error` and `message` are None where the call was answered,
    `usage` is None where it was refused.
    """

    at: float
    operation: str
    model_id: str
    region: str
    status: int
    error: str | None = None
    message: str | None = None
    usage: dict[str, Any] | None = None
    body: bytes = field(default=b"", repr=False)
    path: str = ""

    @property
    def request(self) -> Any:
        """The parsed body, made anew each time; None where it is no JSON."""
        return parsed(self.body)

    def __str__(self) -> str:
        """One line: when, what, of which model, the tokens or why it was refused. Never prompt text."""
        return line(self, self.said)

    @property
    def said(self) -> Any:
        """What a refusal may repeat of the request; None where it was answered, or is no JSON."""
        request = self.request if self.error else None
        return None if request is None else [request, _counted(request)]


class Calls(tuple[EmulatedCall, ...]):
    """Calls, oldest first: a tuple that prints as a line for each, and shows a table in a notebook."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> EmulatedCall: ...
    @overload
    def __getitem__(self, index: slice, /) -> "Calls": ...
    def __getitem__(self, index: Any, /) -> Any:
        """One of them; of a slice, these."""
        found = super().__getitem__(index)
        return Calls(found) if isinstance(index, slice) else found

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no calls"

    def _repr_html_(self) -> str:
        """For a notebook: the latest calls as a table. Never prompt text."""
        return table.table(self)


class CallLog:
    """The newest calls: at most so many, and at most so many bytes of them, though always the newest one."""

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._calls: deque[EmulatedCall] = deque()
        self._max_calls = max_calls
        self._bytes = self._dropped = 0
        self._lock = Lock()

    def append(self, call: EmulatedCall) -> None:
        """Keep a call; the oldest make room for it."""
        with self._lock:
            self._calls.append(call)
            self._bytes += _weight(call)
            while len(self._calls) > self._max_calls or (
                self._bytes > self._max_bytes and len(self._calls) > 1
            ):
                self._bytes -= _weight(self._calls.popleft())
                self._dropped += 1

    @property
    def dropped(self) -> int:
        """How many made room."""
        return self._dropped

    def kept(self) -> Calls:
        """All of them, oldest first."""
        with self._lock:
            return Calls(self._calls)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._calls.clear()
            self._bytes = self._dropped = 0


def _weight(call: EmulatedCall) -> int:
    """About how many bytes of memory a call takes; a refusal may repeat what it refuses."""
    texts = (call.path, call.operation, call.model_id, call.region, call.message or "")
    return _RECORD_BYTES + len(call.body) + sum(map(len, texts))


@dataclass(frozen=True, slots=True)
class Incoming:
    """One HTTP request.

    `region` is empty where the request is not signed for one, the names of `headers` are in lower case.
    """

    method: str
    path: str
    region: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent at once, `stream` event by event, bytes in it as they are.

    `headers` are those of this answer alone.
    """

    status: int
    body: bytes = b""
    stream: Iterator[Event | StreamFault | bytes] | None = None
    error: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def _counted(request: Any) -> Any:
    """The InvokeModel body that a CountTokens request holds; None where it holds none."""
    try:
        return decoded(request["input"]["invokeModel"]["body"])
    except (KeyError, TypeError):
        return None


def decoded(text: str) -> Any:
    """The JSON that a text holds in base64; None if it holds none."""
    try:
        return parsed(base64.b64decode(text, validate=True))
    except ValueError:
        return None


def parsed(body: bytes) -> Any:
    """The JSON of a body; None if it is none."""
    try:
        return read_json(body)
    except ValueError:
        return None

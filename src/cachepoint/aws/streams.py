"""Event streams that settle their call when the usage comes by."""

from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

from cachepoint.aws.inside import listen
from cachepoint.core.accounting import counts
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.guard import guard

REPORT_KEY = "cachepoint"
_SEEING = "looking at an event"
_LEAVING = "leaving a stream"
_METRICS = counts.METRICS
# What a call is settled with of which nobody said what it used.
_UNKNOWN: Mapping[str, Any] = MappingProxyType({})


class Settling:
    """Settles its call when the usage comes by.

    Where the stream breaks or is left before, what it used is unknown; where nothing came, it was no call.

    Args:
        stream: What the client answered.
        prompt_cache: What prepared the call.
        call: The call.
        metadata: Where the report goes.
    """

    # What the events have that may tell the usage.
    _member: ClassVar[str] = "metadata"

    def __init__(
        self, stream: Any, prompt_cache: PromptCache, call: Call, metadata: MutableMapping[str, Any]
    ) -> None:
        self._stream = stream
        self._cache = prompt_cache
        self._call: Call | None = call
        self._metadata = metadata
        self._new = True
        self._began: float | None = None

    def _begin(self) -> None:
        self._new = False
        self._began = guard("reading the clock", self._cache.now, None)

    def _usage(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the call is settled with; None while it is not yet told."""
        return event if self._member in event else None

    def _left(self) -> Call | None:
        """The call that was not settled, once."""
        call, self._call = self._call, None
        return call

    def _leave(self) -> None:
        if (call := self._left()) is None:
            return
        if self._new:
            self._cache.abandon(call)
        else:
            self._metadata[REPORT_KEY] = self._cache.settle(call, _UNKNOWN, first_token=self._began)

    def close(self) -> Any:
        """Close the connection, where the stream has one; what a call used that is not over is unknown."""
        guard(_LEAVING, self._leave, None)
        close = getattr(self._stream, "close", None)
        return None if close is None else close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)


class SettlingStream(Settling):
    """An event stream of boto3 that settles its call."""

    def __init__(self, stream: Any, *args: Any) -> None:
        super().__init__(stream, *args)
        listen(stream, self._see, self._member)

    def __iter__(self) -> Iterator[Any]:
        """The events, as they came."""
        try:
            for event in self._stream:
                # All that most events cost. What is no dict is looked at with more care.
                if self._new or event.__class__ is not dict or self._member in event:
                    guard(_SEEING, partial(self._see, event), None)
                yield event
        finally:
            guard(_LEAVING, self._leave, None)

    def _see(self, event: Mapping[str, Any]) -> None:
        if self._call is None:
            return
        if self._new:
            self._begin()
            self._cache.began(self._call)
        if (usage := self._usage(event)) is not None:
            report = self._cache.settle(self._call, usage, first_token=self._began)
            self._call = None
            self._metadata[REPORT_KEY] = report

    def __enter__(self) -> "SettlingStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncSettlingStream(Settling):
    """An event stream of aiobotocore that settles its call."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The events, as they came."""
        try:
            async for event in self._stream:
                if self._new or event.__class__ is not dict or self._member in event:
                    await guard.awaited(_SEEING, partial(self._see, event), None)
                yield event
        finally:
            await guard.awaited(_LEAVING, self._aleave, None)

    async def _see(self, event: Mapping[str, Any]) -> None:
        if self._call is None:
            return
        if self._new:
            self._begin()
            await self._cache.abegan(self._call)
        if (usage := self._usage(event)) is not None:
            report = await self._cache.asettle(self._call, usage, first_token=self._began)
            self._call = None
            self._metadata[REPORT_KEY] = report

    async def _aleave(self) -> None:
        if (call := self._left()) is None:
            return
        if self._new:
            await self._cache.aabandon(call)
        else:
            self._metadata[REPORT_KEY] = await self._cache.asettle(call, _UNKNOWN, first_token=self._began)


class _Chunks(Settling):
    """The events of InvokeModel, each a JSON of the model's own; the last one has Bedrock's own count."""

    _member = "chunk"

    def __init__(self, *args: Any) -> None:
        self._told: list[Mapping[str, Any]] = []
        super().__init__(*args)

    def _usage(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        data = event[self._member]["bytes"]
        if b'"usage"' not in data and _METRICS.encode() not in data:
            return None
        told = counts.event(event)
        self._told.append(told)
        return counts.merged(self._told) if _METRICS in told else None


class SettlingChunks(_Chunks, SettlingStream):
    """A stream of `invoke_model_with_response_stream` that settles its call."""


class AsyncSettlingChunks(_Chunks, AsyncSettlingStream):
    """As `SettlingChunks`, of aiobotocore."""

"""The bodies that InvokeModel answers with: read by the caller, and heard while that is done."""

import json
from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

from cachepoint.aws.kinds import reads_from
from cachepoint.aws.streams import REPORT_KEY
from cachepoint.core.accounting import counts
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.guard import guard

_SEEING = "looking at a body"
_LENGTH = "content-length"
# Bytes of an answer that are kept for its usage; of a longer one the headers alone tell it.
_MOST = 4 << 20


class SettlingSource:
    """Stands for what a body reads from, and settles its call when all was read.

    The headers tell the usage too, without how writes split by TTL: they are what a call is settled with
    whose body was closed before. A body that is dropped unread takes its call with it.

    Args:
        source: What is read from.
        prompt_cache: What prepared the call.
        call: The call.
        response: The response; its metadata is where the report goes.
        metadata: Of the response.
    """

    def __init__(
        self,
        source: Any,
        prompt_cache: PromptCache,
        call: Call,
        response: Mapping[str, Any],
        metadata: MutableMapping[str, Any],
    ) -> None:
        self._source = source
        self._cache = prompt_cache
        self._call: Call | None = call
        self._response = {name: value for name, value in response.items() if name != "body"}
        self._metadata = metadata
        self._read = bytearray()
        self._size = 0
        self._length = counts.count(counts.part(metadata, "HTTPHeaders").get(_LENGTH))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_source":
            raise AttributeError(name)
        return getattr(self._source, name)

    def _ended(self, data: Any, asked: Any) -> bool:
        """Keep what was read, as long as it may be an answer in text; whether that was the end."""
        if self._call is None:
            return False
        self._size += len(data)
        if self._size <= _MOST:
            self._read += data.encode() if isinstance(data, str) else data
        whole = asked is None or asked < 0 or (not data and asked > 0)
        return whole or self._size == self._length

    def _answer(self) -> Mapping[str, Any]:
        """All that is known of the answer."""
        read, self._read = self._read, bytearray()
        try:
            return {**counts.part(json.loads(read) if self._size <= _MOST else None), **self._response}
        except ValueError:
            return self._response

    def _left(self) -> Call | None:
        """The call that was not settled, once."""
        call, self._call = self._call, None
        return call


class SettlingBody(SettlingSource):
    """Between boto3's body and its connection."""

    def read(self, *size: Any, **more: Any) -> Any:
        """What is read from the connection."""
        data = self._source.read(*size, **more)
        guard(_SEEING, partial(self._see, data, *size, *more.values()), None)
        return data

    def readinto(self, buffer: Any) -> Any:
        """What is read from the connection, in a buffer."""
        size = self._source.readinto(buffer)
        guard(_SEEING, lambda: self._see(memoryview(buffer)[:size], len(buffer)), None)
        return size

    def readlines(self, *args: Any) -> Any:
        """The lines of all that is left."""
        lines = self._source.readlines(*args)
        guard(_SEEING, lambda: self._see(b"".join(lines), None), None)
        return lines

    def __iter__(self) -> Iterator[Any]:
        """The lines, or whatever the connection gives."""
        for data in self._source:
            guard(_SEEING, partial(self._see, data, 1), None)
            yield data
        guard(_SEEING, partial(self._see, b"", 1), None)

    def close(self) -> Any:
        """Close the connection."""
        guard(_SEEING, self._settle, None)
        close = getattr(self._source, "close", None)
        return None if close is None else close()

    def __enter__(self) -> "SettlingBody":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _see(self, data: Any, asked: Any = None, *_: Any) -> None:
        if self._ended(data, asked):
            self._settle()

    def _settle(self) -> None:
        if (call := self._left()) is not None:
            self._metadata[REPORT_KEY] = self._cache.settle(call, self._answer())


class AsyncSettlingBody(SettlingSource):
    """Between aiobotocore's body and its connection."""

    async def read(self, *size: Any, **more: Any) -> Any:
        """What is read from the connection."""
        data = await self._source.read(*size, **more)
        await guard.awaited(_SEEING, partial(self._see, data, *size, *more.values()), None)
        return data

    async def __aenter__(self) -> "AsyncSettlingBody":
        return self

    async def __aexit__(self, *_: object) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    async def _see(self, data: Any, asked: Any = None, *_: Any) -> None:
        if self._ended(data, asked) and (call := self._left()) is not None:
            self._metadata[REPORT_KEY] = await self._cache.asettle(call, self._answer())


class Opening:
    """Has the body of an answer heard, once for a call, whoever comes first: botocore or the client.

    Args:
        prompt_cache: What prepares the calls.
        kind: What stands between a body and its connection.
    """

    def __init__(self, prompt_cache: PromptCache, kind: type[SettlingSource]) -> None:
        self._cache = prompt_cache
        self._kind = kind
        self._call: Call | None = None

    def is_new(self, call: Call, response: Any) -> bool:
        """Whether there is a body to be heard, and nobody hears it."""
        new = call is not self._call and isinstance(response, Mapping) and "body" in response
        self._call = call
        return new

    def open(self, call: Call, response: Any, metadata: MutableMapping[str, Any]) -> Any:
        """The response, with a body that settles the call.

        What is no body of botocore's, as a stub's, is replaced in a copy of the response.
        """
        body = response["body"]
        inside = reads_from(body)
        source = body if inside is None else getattr(body, inside)
        settling = self._kind(source, self._cache, call, response, metadata)
        if inside is None:
            return {**response, "body": settling}
        setattr(body, inside, settling)
        return response

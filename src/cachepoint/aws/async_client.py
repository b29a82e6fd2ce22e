"""CachingClient for the clients of aioboto3 and aiobotocore."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from cachepoint.aws.client import Carrier, Settling
from cachepoint.aws.inside import heard
from cachepoint.core.cache import Call
from cachepoint.core.policy import CachePolicy


class AsyncCachingClient(Carrier):
    """An aioboto3 bedrock-runtime client with `converse` and `converse_stream` cached.

    As `CachingClient`, over the same `PromptCache`, so that what a sync call wrote an async one reads.
    The client's own `async with` stays with whoever made it.

    Args:
        client: A `bedrock-runtime` client, as `async with session.client(...)` gives it.
        policy: How to place; None: the cache's own, else the process default.
        cache: The PromptCache; None: the one that this process shares.
        base_model_id: The model behind an application inference profile's ARN.
        control: A boto3 `bedrock` client to ask for it with `GetInferenceProfile`. It blocks the event
            loop, once per ARN.
    """

    async def converse(
        self, *, cache_policy: CachePolicy | Mapping[str, Any] | str | None = None, **request: Any
    ) -> Any:
        """`client.converse`, cached.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse` takes.

        Raises:
            ValueError: Where `cache_policy` is not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        call, response = await self._send(self._client.converse, request, cache_policy)
        self._report(call, response)
        return response

    async def converse_stream(
        self, *, cache_policy: CachePolicy | Mapping[str, Any] | str | None = None, **request: Any
    ) -> Any:
        """`client.converse_stream`, cached. The report is there once the `metadata` event came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse_stream` takes.

        Raises:
            ValueError: Where `cache_policy` is not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        call, response = await self._send(self._client.converse_stream, request, cache_policy)
        if "stream" not in response:
            return response
        metadata = response.setdefault("ResponseMetadata", {})
        return {
            **response,
            "stream": AsyncSettlingStream(response["stream"], self._cache, call, metadata),
        }

    async def _send(self, operation: Any, request: dict[str, Any], policy: Any) -> tuple[Call, Any]:
        if not request.get("modelId"):
            # boto3's own complaint about the missing parameter is the clearest.
            await operation(**request)
        call = self._prepare(request, policy)
        try:
            with self._sendable(call) as sent, heard(self._client, partial(self._report, call)):
                return call, await operation(**sent)
        except BaseException as error:
            if not isinstance(error, Exception):
                # A task that was cancelled: nothing of the call need be in the cache.
                self._cache.abandon(call)
                raise
            plain = self._plain(call, error)
        with heard(self._client, partial(self._report, plain)):
            return plain, await operation(**plain.request)


class AsyncSettlingStream(Settling):
    """An event stream of aiobotocore that settles its call."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The events, as they came."""
        try:
            async for event in self._stream:
                self._see(event)
                yield event
        finally:
            self._leave()


__all__ = ["AsyncCachingClient", "AsyncSettlingStream"]

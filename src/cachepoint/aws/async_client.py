"""CachingClient for the clients of aioboto3 and aiobotocore."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from cachepoint.aws import checks
from cachepoint.aws.answers import AsyncSettlingBody, Opening
from cachepoint.aws.carrier import (
    FAILING,
    PREPARING,
    REPORTING,
    SENDING,
    Asked,
    Carrier,
    Ready,
    is_of,
    message_of,
    metadata_of,
)
from cachepoint.aws.inside import heard
from cachepoint.aws.streams import REPORT_KEY, AsyncSettlingChunks, AsyncSettlingStream
from cachepoint.aws.warming import Unsent, asent
from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call
from cachepoint.core.guard import guard
from cachepoint.core.policy import PolicyLike
from cachepoint.core.steps import unread


class AsyncCachingClient(Carrier):
    """An aioboto3 bedrock-runtime client whose calls of Converse and of InvokeModel are cached.

    As `CachingClient`, over the same `PromptCache`, so that what a sync call wrote an async one reads.
    The client's own `async with` stays with whoever made it.

    Args:
        client: A `bedrock-runtime` client, as `async with session.client(...)` gives it.
        policy: How to place; None: the cache's own, else the process default.
        cache: The PromptCache; None: the one that this process shares.
        base_model_id: The model behind an application inference profile's ARN, or another that hides it.
        control: An aioboto3 or boto3 `bedrock` client to ask for it with `GetInferenceProfile`, once a
            day per ARN.

    Raises:
        ValueError: Where an option is unknown or not valid, or the client is not awaited (boto3).
    """

    awaited = True
    _streams: ClassVar = {"Converse": AsyncSettlingStream, "InvokeModel": AsyncSettlingChunks}

    async def converse(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.converse`, cached.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        send = guard(SENDING, partial(self._sender, self._client.converse), self._client.converse)
        call, response = await self._send(send, Asked(request, cache_policy), self._report)
        await guard.awaited(REPORTING, lambda: self._report(call, response), None)
        return response

    async def converse_stream(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.converse_stream`, cached. The report is there once the `metadata` event came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse_stream` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        asked = Asked(request, cache_policy)
        call, response = await self._send(self._client.converse_stream, asked, self._report)
        return guard(REPORTING, lambda: self._watched(call, response), response)

    async def invoke_model(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.invoke_model`, cached. The report is there once the body of the answer was read.

        A body of the request that gets no checkpoint leaves as the object that was given; one that gets one
        leaves as JSON in UTF-8 with its numbers, and its keys in their order, as they were written. What is
        no such JSON, or not in its model's form, leaves as it came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.invoke_model` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        hear = guard(SENDING, self._opener, _unheard)
        stock = self._client.invoke_model
        send = guard(SENDING, partial(self._sender, stock), stock)
        call, response = await self._send(send, Asked(request, cache_policy, "InvokeModel"), hear)
        return await guard.awaited(REPORTING, lambda: hear(call, response), response)

    async def invoke_model_with_response_stream(
        self, *, cache_policy: PolicyLike = None, **request: Any
    ) -> Any:
        """`client.invoke_model_with_response_stream`, cached. The report is there once the last event came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.invoke_model_with_response_stream` takes; its body as for `invoke_model`.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        send = self._client.invoke_model_with_response_stream
        call, response = await self._send(send, Asked(request, cache_policy, "InvokeModel"), _unheard)
        return guard(REPORTING, lambda: self._watched(call, response, "InvokeModel"), response)

    async def warm(self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None) -> CallReport:
        """Write a prefix before traffic comes, at its price and that of as few output tokens as may be.

        All of the request is written, whatever is expected of it: tools, system prompt, and messages, of
        which there may be none. Thinking stays as it is, since it is part of what is cached; it may use its
        budget. Where nothing would be written, as another call writes it already or nothing can be cached,
        no call is made. What is written already is read, which lets it live on.

        Args:
            request: What `client.converse` takes, or `client.invoke_model`.
            cache_policy: The policy of this call alone.

        Returns:
            The report; the observers get it too. `usage` is None where no call was made, and `plan.note`
            says why.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As `converse`.
        """
        warming = self.warming()
        if "body" not in request:
            response = await warming.converse(**request, cache_policy=cache_policy)
            return self._told(request, response)
        response = await warming.invoke_model(**request, cache_policy=cache_policy)
        await response["body"].read()
        return self._told(request, response)

    async def cache_outlook(
        self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None, also: str | None = None
    ) -> Outlook:
        """As `CachingClient.cache_outlook`, with an awaited memory."""
        return await self.acache_outlook(request, cache_policy=cache_policy, also=also)

    async def _send(self, send: Any, asked: Asked, hear: Any) -> tuple[Call | None, Any]:
        call, arguments = await guard.awaited(PREPARING, lambda: self._prepared(asked), Ready(None, asked[0]))
        try:
            with heard(self._client, partial(hear, call), awaited=True):
                return call, await send(**arguments)
        except BaseException as error:
            plain = await guard.awaited(FAILING, partial(self._plain, asked, call, error), None)
            if plain is None:
                raise
        with heard(self._client, partial(hear, plain.call), awaited=True):
            return plain.call, await send(**plain.arguments)

    async def _prepared(self, asked: Asked) -> Ready:
        request, policy, operation = asked
        checks.refuse_fields(self._client, request, operation)
        if not self._is_planned(asked):
            return Ready(None, request)
        call = await self._aprepare(request, policy, operation)
        try:
            return self._sent(asked, call)
        except BaseException:
            await self._cache.aabandon(call)
            raise

    async def _plain(self, asked: Asked, call: Call | None, error: BaseException) -> Ready | None:
        if call is None:
            return None
        refused = isinstance(error, Exception) and await self._cache.arefused(call, message_of(error))
        if not refused:
            await self._cache.aabandon(call)
            return None
        return self._sent(asked, refused)

    def _opener(self) -> Any:
        return partial(self._open, Opening(self._cache, AsyncSettlingBody))

    async def _open(self, opening: Opening, call: Call | None, response: Any) -> Any:
        """The response, with a body that settles the call; what it writes can be read from now on."""
        if call is None or not opening.is_new(call, response):
            return response
        if isinstance(response, Unsent):
            metadata_of(response)[REPORT_KEY] = unread(call)
            return response
        await self._cache.abegan(call)
        return opening.open(call, response, metadata_of(response))

    def _sender(self, send: Any) -> Any:
        return partial(asent, send) if self._warms else send

    async def _report(self, call: Call | None, response: Any) -> None:
        """Settle a call, unless it was when its answer was heard."""
        metadata = metadata_of(response)
        if call is not None and not is_of(call, metadata.get(REPORT_KEY)):
            spared = isinstance(response, Unsent)
            metadata[REPORT_KEY] = unread(call) if spared else await self._cache.asettle(call, response)


async def _unheard(_: Call | None, response: Any) -> Any:
    return response


__all__ = ["AsyncCachingClient"]

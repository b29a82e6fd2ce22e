"""A bedrock-runtime client whose Converse and InvokeModel calls are cached."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from cachepoint.aws import checks
from cachepoint.aws.answers import Opening, SettlingBody
from cachepoint.aws.carrier import (
    FAILING,
    LOOKING,
    PREPARING,
    REPORTING,
    SENDING,
    Asked,
    Carrier,
    Ready,
    is_of,
    message_of,
    metadata_of,
    shared_cache,
)
from cachepoint.aws.inside import heard
from cachepoint.aws.streams import REPORT_KEY, SettlingChunks, SettlingStream
from cachepoint.aws.warming import Unsent, sent
from cachepoint.core.accounting.ahead import Outlook
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call
from cachepoint.core.guard import guard
from cachepoint.core.policy import PolicyLike
from cachepoint.core.steps import unread


class CachingClient(Carrier):
    """A bedrock-runtime client whose calls of Converse and InvokeModel are cached; all else passes through.

    The responses are boto3's own. The report of a call is in
    `response["ResponseMetadata"]["cachepoint"]`, a `CallReport` that `json.dumps` takes like the rest of
    the response; for a stream from its last event on, for a body once it was read. A response that can't be
    changed has none.

    A fault of ours fails no call: the request goes out as the client alone would have sent it.

    Args:
        client: A boto3 `bedrock-runtime` client.
        policy: How to place; None: the cache's own, else the process default.
        cache: The PromptCache; None: the one that this process shares.
        base_model_id: The model behind an application inference profile's ARN, or another that hides it.
        control: A boto3 `bedrock` client to ask for it with `GetInferenceProfile`, once a day per ARN.

    Raises:
        ValueError: Where an option is unknown or not valid, or the client is awaited (aioboto3).
    """

    _streams: ClassVar = {"Converse": SettlingStream, "InvokeModel": SettlingChunks}

    def converse(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.converse`, cached.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        send = guard(SENDING, partial(self._sender, self._client.converse), self._client.converse)
        call, response = self._send(send, Asked(request, cache_policy), self._report)
        guard(REPORTING, lambda: self._report(call, response), None)
        return response

    def converse_stream(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.converse_stream`, cached. The report is there once the `metadata` event came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse_stream` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        call, response = self._send(self._client.converse_stream, Asked(request, cache_policy), self._report)
        return guard(REPORTING, lambda: self._watched(call, response), response)

    def invoke_model(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.invoke_model`, cached. The report is there once the body of the answer was read or closed.

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
        call, response = self._send(send, Asked(request, cache_policy, "InvokeModel"), hear)
        return guard(REPORTING, lambda: hear(call, response), response)

    def invoke_model_with_response_stream(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.invoke_model_with_response_stream`, cached. The report is there once the last event came.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.invoke_model_with_response_stream` takes; its body as for `invoke_model`.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        send = self._client.invoke_model_with_response_stream
        call, response = self._send(send, Asked(request, cache_policy, "InvokeModel"), _unheard)
        return guard(REPORTING, lambda: self._watched(call, response, "InvokeModel"), response)

    def warm(self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None) -> CallReport:
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
            response = warming.converse(**request, cache_policy=cache_policy)
            return self._told(request, response)
        response = warming.invoke_model(**request, cache_policy=cache_policy)
        response["body"].read()
        return self._told(request, response)

    def cache_outlook(
        self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None, also: str | None = None
    ) -> Outlook:
        """Say what a request would read, write and cost if it were sent now.

        Nothing is sent, also not to ask which model is behind an ARN, and nothing is remembered: what is
        called after it is the same as without it. A fault of ours gives the state `"unknown"`.

        Args:
            request: What `client.converse` takes, or `client.invoke_model`.
            cache_policy: The policy of this call alone.
            also: The id of another model that the same request might go to; it is priced there, too.

        Raises:
            ValueError: Where no model is named, or an option is misspelt or not valid.
        """
        looking = partial(self._look, request, cache_policy, also)
        return guard(LOOKING, looking, Outlook(str(request.get("modelId", ""))))

    def _send(self, send: Any, asked: Asked, hear: Any) -> tuple[Call | None, Any]:
        call, arguments = guard(PREPARING, partial(self._prepared, asked), Ready(None, asked.request))
        try:
            with heard(self._client, partial(hear, call)):
                return call, send(**arguments)
        except BaseException as error:
            plain = guard(FAILING, partial(self._plain, asked, call, error), None)
            if plain is None:
                raise
        with heard(self._client, partial(hear, plain.call)):
            return plain.call, send(**plain.arguments)

    def _prepared(self, asked: Asked) -> Ready:
        request, policy, operation = asked
        checks.refuse_fields(self._client, request, operation)
        if not self._is_planned(asked):
            return Ready(None, request)
        call = self._prepare(request, policy, operation)
        try:
            return self._sent(asked, call)
        except BaseException:
            self._cache.abandon(call)
            raise

    def _plain(self, asked: Asked, call: Call | None, error: BaseException) -> Ready | None:
        """The call without checkpoints of ours, where these are what Bedrock refused; None otherwise."""
        if call is None:
            return None
        refused = isinstance(error, Exception) and self._cache.refused(call, message_of(error))
        if not refused:
            self._cache.abandon(call)
            return None
        return self._sent(asked, refused)

    def _opener(self) -> Any:
        return partial(self._open, Opening(self._cache, SettlingBody))

    def _open(self, opening: Opening, call: Call | None, response: Any) -> Any:
        """The response, with a body that settles the call; what it writes can be read from now on."""
        if call is None or not opening.is_new(call, response):
            return response
        if isinstance(response, Unsent):
            metadata_of(response)[REPORT_KEY] = unread(call)
            return response
        self._cache.began(call)
        return opening.open(call, response, metadata_of(response))

    def _sender(self, send: Any) -> Any:
        return partial(sent, send) if self._warms else send

    def _report(self, call: Call | None, response: Any) -> None:
        """Settle a call, unless it was when its answer was heard."""
        metadata = metadata_of(response)
        if call is not None and not is_of(call, metadata.get(REPORT_KEY)):
            spared = isinstance(response, Unsent)
            metadata[REPORT_KEY] = unread(call) if spared else self._cache.settle(call, response)


def _unheard(_: Call | None, response: Any) -> Any:
    return response


__all__ = ["REPORT_KEY", "CachingClient", "Carrier", "SettlingStream", "shared_cache"]

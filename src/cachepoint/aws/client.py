"""A bedrock-runtime client whose Converse calls are cached."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from cachepoint.aws import checks
from cachepoint.aws.carrier import (
    FAILING,
    PREPARING,
    REPORTING,
    SENDING,
    Carrier,
    PolicyLike,
    is_of,
    message_of,
    metadata_of,
    shared_cache,
)
from cachepoint.aws.inside import heard
from cachepoint.aws.streams import REPORT_KEY, SettlingStream
from cachepoint.aws.warming import Unsent, sent
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import Call
from cachepoint.core.guard import guard
from cachepoint.core.steps import unread


class CachingClient(Carrier):
    """A bedrock-runtime client with `converse` and `converse_stream` cached; all else passes through.

    The responses are boto3's own. The report of a call is in
    `response["ResponseMetadata"]["cachepoint"]`, a `CallReport` that `json.dumps` takes like the rest of
    the response; for a stream from its `metadata` event on. A response that can't be changed has none.

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

    _streams = SettlingStream

    def converse(self, *, cache_policy: PolicyLike = None, **request: Any) -> Any:
        """`client.converse`, cached.

        Args:
            cache_policy: The policy of this call alone.
            request: What `client.converse` takes.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As without us.
        """
        send = guard(SENDING, self._sender, self._client.converse)
        call, response = self._send(send, request, cache_policy)
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
        call, response = self._send(self._client.converse_stream, request, cache_policy)
        return guard(REPORTING, lambda: self._watched(call, response), response)

    def warm(self, request: Mapping[str, Any], *, cache_policy: PolicyLike = None) -> CallReport:
        """Write a prefix before traffic comes, at its price and that of as few output tokens as may be.

        All of the request is written, whatever is expected of it: tools, system prompt, and messages, of
        which there may be none. Thinking stays as it is, since it is part of what is cached; it may use its
        budget. Where nothing would be written, as another call writes it already or nothing can be cached,
        no call is made. What is written already is read, which lets it live on.

        Args:
            request: What `client.converse` takes.
            cache_policy: The policy of this call alone.

        Returns:
            The report; the observers get it too. `usage` is None where no call was made, and `plan.note`
            says why.

        Raises:
            ValueError: Where `cache_policy` is misspelt or not valid; nothing was sent.
            botocore.exceptions.ClientError: As `converse`.
        """
        response = self.warming().converse(**request, cache_policy=cache_policy)
        return self._told(request, response)

    def _send(self, send: Any, request: dict[str, Any], policy: PolicyLike) -> tuple[Call | None, Any]:
        call = guard(PREPARING, lambda: self._prepared(request, policy), None)
        with heard(self._client, partial(self._report, call)):
            try:
                return call, send(**(request if call is None else call.request))
            except BaseException as error:
                plain = guard(FAILING, partial(self._plain, call, error), None)
                if plain is None:
                    raise
        with heard(self._client, partial(self._report, plain)):
            return plain, send(**plain.request)

    def _prepared(self, request: dict[str, Any], policy: PolicyLike) -> Call | None:
        """The call; None where no model is named: the client's own complaint is the clearest."""
        checks.refuse_fields(self._client, request)
        return self._fitted(self._prepare(request, policy)) if request.get("modelId") else None

    def _plain(self, call: Call | None, error: BaseException) -> Call | None:
        """The call without checkpoints of ours, where these are what Bedrock refused; None otherwise."""
        if call is None:
            return None
        refused = isinstance(error, Exception) and self._cache.refused(call, message_of(error))
        if not refused:
            self._cache.abandon(call)
        return self._again(refused or None)

    def _sender(self) -> Any:
        return partial(sent, self._client.converse) if self._warms else self._client.converse

    def _report(self, call: Call | None, response: Any) -> None:
        """Settle a call, unless it was when its answer was heard."""
        metadata = metadata_of(response)
        if call is not None and not is_of(call, metadata.get(REPORT_KEY)):
            spared = isinstance(response, Unsent)
            metadata[REPORT_KEY] = unread(call) if spared else self._cache.settle(call, response)


__all__ = ["REPORT_KEY", "CachingClient", "Carrier", "SettlingStream", "shared_cache"]

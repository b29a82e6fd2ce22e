"""A bedrock-runtime client whose Converse calls are cached."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from cachepoint.aws.profiles import Profiles
from cachepoint.aws.ttl import passed
from cachepoint.core.cache import Call, PromptCache
from cachepoint.core.models.refusals import is_refusal
from cachepoint.core.policy import CachePolicy

REPORT_KEY = "cachepoint"


@cache
def shared_cache() -> PromptCache:
    """The cache that all clients of this process share unless they are given one.

    What one client wrote another can read, so that a model object made anew for every request
    still knows what Bedrock holds.
    """
    return PromptCache(clock=time.time)


class Carrier:
    """What the sync and the async client share: all of a call but the sending."""

    def __init__(
        self,
        client: Any,
        *,
        policy: CachePolicy | Mapping[str, Any] | str | None = None,
        cache: PromptCache | None = None,
        base_model_id: str | None = None,
        control: Any = None,
    ) -> None:
        self._client = client
        self._policy = CachePolicy.of(policy)
        self._cache = shared_cache() if cache is None else cache
        self._base_model_id = base_model_id
        self._profiles = Profiles(control)

    def _prepare(self, request: dict[str, Any], policy: Any) -> Call:
        """The call with its checkpoints."""
        chosen = self._policy if policy is None else CachePolicy.of(policy)
        model_id = str(request.get("modelId", ""))
        named = self._base_model_id or self._profiles.base_model(model_id)
        return self._finish(
            self._cache.prepare(
                self._arrange(request), model_id=named, policy=chosen, region=_endpoint(self._client)
            )
        )

    def _arrange(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a subclass changes of a request before it is planned; the request stays as it is."""
        return request

    def _finish(self, call: Call) -> Call:
        """What a subclass changes of a call once it is planned."""
        return call

    def _sendable(self, call: Call) -> AbstractContextManager[dict[str, Any]]:
        if not call.plan.checkpoints:
            return nullcontext(call.request)
        return passed(self._client, call.request)

    def _plain(self, call: Call, error: Exception) -> Call:
        """The call without checkpoints, where these are what Bedrock refused; else the error goes on."""
        plain = self._cache.refused(call, _message(error))
        if plain is None:
            self._cache.abandon(call)
            raise error
        return plain

    def __getattr__(self, name: str) -> Any:
        # Unpickling asks before there is a client.
        if name.startswith("__") or name == "_client":
            raise AttributeError(name)
        return getattr(self._client, name)


class CachingClient(Carrier):
    """A bedrock-runtime client with `converse` and `converse_stream` cached; all else passes through.

    The responses are boto3's own. The report of a call is in
    `response["ResponseMetadata"]["cachepoint"]`; for a stream from its `metadata` event on.

    Args:
        client: A boto3 `bedrock-runtime` client.
        policy: How to place; None: the cache's own, else the process default.
        cache: The PromptCache; None: the one that this process shares.
        base_model_id: The model behind an application inference profile's ARN.
        control: A boto3 `bedrock` client to ask for it with `GetInferenceProfile`, once per ARN.
    """

    def converse(
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
        call, response = self._send(self._client.converse, request, cache_policy)
        response.setdefault("ResponseMetadata", {})[REPORT_KEY] = self._cache.settle(call, response)
        return response

    def converse_stream(
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
        call, response = self._send(self._client.converse_stream, request, cache_policy)
        if "stream" not in response:
            return response
        metadata = response.setdefault("ResponseMetadata", {})
        return {
            **response,
            "stream": SettlingStream(response["stream"], self._cache, call, metadata),
        }

    def _send(self, operation: Any, request: dict[str, Any], policy: Any) -> tuple[Call, Any]:
        if not request.get("modelId"):
            # boto3's own complaint about the missing parameter is the clearest.
            operation(**request)
        call = self._prepare(request, policy)
        try:
            with self._sendable(call) as sent:
                return call, operation(**sent)
        except Exception as error:
            plain = self._plain(call, error)
        return plain, operation(**plain.request)


class Settling:
    """Settles its call when the usage comes by in an event stream, and abandons it when that breaks."""

    def __init__(self, stream: Any, prompt_cache: PromptCache, call: Call, metadata: dict[str, Any]) -> None:
        self._stream = stream
        self._cache = prompt_cache
        self._call: Call | None = call
        self._metadata = metadata
        self._began: float | None = None

    def _see(self, event: Mapping[str, Any]) -> None:
        if self._began is None:
            self._began = self._cache.now()
        if "metadata" in event and self._call is not None:
            self._metadata[REPORT_KEY] = self._cache.settle(self._call, event, first_token=self._began)
            self._call = None

    def _leave(self) -> None:
        if self._call is not None:
            self._cache.abandon(self._call)
            self._call = None

    def close(self) -> None:
        """Close the connection; a call whose usage never came is abandoned."""
        self._leave()
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_stream":
            raise AttributeError(name)
        return getattr(self._stream, name)


class SettlingStream(Settling):
    """An event stream of boto3 that settles its call."""

    def __iter__(self) -> Iterator[Any]:
        """The events, as they came."""
        try:
            for event in self._stream:
                self._see(event)
                yield event
        finally:
            self._leave()

    def __enter__(self) -> "SettlingStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _endpoint(client: Any) -> str:
    """What the client calls: it stands for the region, and tells two emulators apart. Stubs have none."""
    return str(getattr(getattr(client, "meta", None), "endpoint_url", ""))


def _message(error: Exception) -> str:
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return ""
    return str(response.get("Error", {}).get("Message", ""))


__all__ = [
    "REPORT_KEY",
    "CachingClient",
    "Carrier",
    "Settling",
    "SettlingStream",
    "is_refusal",
    "shared_cache",
]

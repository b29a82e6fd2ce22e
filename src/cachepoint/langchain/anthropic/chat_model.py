"""`ChatAnthropicBedrock` of langchain-aws, with every call cached."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Never, Self

from langchain_aws.chat_models.anthropic import ChatAnthropicBedrock
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from cachepoint.aws.client import CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.core.policy import PolicyLike
from cachepoint.langchain.anthropic.payloads import PayloadClient
from cachepoint.langchain.cached import CACHING, REPORTING, Cached, Untold


class CachedChatAnthropicBedrock(Cached, ChatAnthropicBedrock):
    """`ChatAnthropicBedrock` with prompt caching: every call carries the right checkpoints.

    All that `CachedChatBedrockConverse` says of options, reports and bindings holds here, too. The calls are
    those of InvokeModel, whose entries they share with `CachedChatBedrock`.

    `cache_control` in the content of messages, on tools and among the options of a call is honoured.

    Setup:
        ```bash
        pip install "cachepoint[anthropic]"
        ```

    Example:
        ```python
        from cachepoint.langchain import CachedChatAnthropicBedrock

        llm = CachedChatAnthropicBedrock(model="us.anthropic.claude-sonnet-4-6", region_name="us-east-1")
        answer = llm.invoke([("system", manual), ("human", "How do I reset it?")])
        answer.response_metadata["cachepoint"]["usage"]["read_tokens"]
        ```

    Args:
        base_model_id: The model behind an inference profile's ARN, or another id that hides it: nobody is
            asked for it here, and without it no checkpoint is placed.
        cache_policy: As of `CachedChatBedrockConverse`.
        prompt_cache: As of `CachedChatBedrockConverse`.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    upstream: ClassVar[type[BaseChatModel]] = ChatAnthropicBedrock
    _client_of_a_call: ClassVar[type[CachingClient]] = PayloadClient

    base_model_id: str | None = None
    # Of the copy that makes one call: what carries it.
    client: Any = Field(default=None, exclude=True, repr=False)

    # The model whose SDK clients this one goes through.
    _lender: ChatAnthropicBedrock | None = PrivateAttr(default=None)

    if TYPE_CHECKING:
        # As people name them. Upstream's own are unknown to type checkers by these names, or seem required.
        model: str
        max_tokens: int | None = None
        default_request_timeout: float | None = Field(default=None, alias="timeout")
        stop_sequences: list[str] | None = Field(default=None, alias="stop")
    else:

        def __init__(self, **values: Any) -> None:
            if values.get("client") is not None:
                raise InvalidOptionError(
                    "client= is of CachedChatBedrock: the SDK of Anthropic makes its own; "
                    "ANTHROPIC_BEDROCK_BASE_URL says where it calls"
                )
            super().__init__(**values)

        @property
        def model_id(self) -> str:
            """The id that is called, by the name that the other models have for it."""
            return self.model

    @classmethod
    def from_model(
        cls,
        existing: BaseChatModel,
        *,
        cache_policy: PolicyLike = None,
        prompt_cache: PromptCache | None = None,
    ) -> Self:
        """As of `CachedChatBedrockConverse`."""
        model = super().from_model(existing, cache_policy=cache_policy, prompt_cache=prompt_cache)
        model._lender = existing  # type: ignore[assignment]  # noqa: SLF001
        return model

    def keep_alive(self, **_: Any) -> Never:
        """Refuse: a refresh goes through a client of boto3.

        Raises:
            InvalidOptionError: Always.
        """
        raise InvalidOptionError(
            "the SDK of Anthropic is no client of boto3: use cachepoint.langchain.CachedChatBedrock, or call "
            "warm; KeepAlive(boto3_client, ...) keeps alive what calls through boto3 to its endpoint wrote"
        )

    @cached_property
    def _client(self) -> Any:
        return super()._client if self._lender is None else self._lender._client  # noqa: SLF001

    @cached_property
    def _async_client(self) -> Any:
        return super()._async_client if self._lender is None else self._lender._async_client  # noqa: SLF001

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        policy, plain = kwargs.pop("cache_policy", None), (self, kwargs, [*messages])
        model, theirs, asked = guard(CACHING, lambda: self._areadied(messages, policy, kwargs), plain)
        result = await super(Cached, model)._agenerate(asked, stop, run_manager, **theirs)
        await guard.awaited(REPORTING, lambda: model._aanswered(result), None)  # noqa: SLF001
        return result

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        policy, plain = kwargs.pop("cache_policy", None), (self, kwargs, [*messages])
        model, theirs, asked = guard(CACHING, lambda: self._areadied(messages, policy, kwargs), plain)
        told: Any = run_manager and _AsyncUntold(run_manager)
        chunks = super(Cached, model)._astream(asked, stop, told, **theirs)
        async with aclosing(model._aeach(chunks, run_manager)) as reported:  # noqa: SLF001
            async for chunk in reported:
                yield chunk

    def _create(self, payload: dict[str, Any]) -> Any:
        """Send what upstream made of a call. Here alone its body can be seen before it is sent."""
        sdk, create = self._client, super()._create
        if self.client is None:
            return create(payload)
        self.client.through(sdk, create)
        return self.client.invoke_model(modelId=payload.get("model"), body=payload)

    async def _acreate(self, payload: dict[str, Any]) -> Any:
        sdk, create = self._async_client, super()._acreate
        if self.client is None:
            return await create(payload)
        self.client.through(sdk, create)
        return await self.client.invoke_model(modelId=payload.get("model"), body=payload)

    def _make_message_chunk_from_anthropic_event(self, event: Any, **kwargs: Any) -> Any:
        """Upstream's. What a chunk says of the usage lacks how writes split by TTL; the event has it."""
        if self.client is not None:
            guard(REPORTING, partial(self.client.hear, event), None)
        return super()._make_message_chunk_from_anthropic_event(event, **kwargs)

    def _areadied(
        self, messages: list[BaseMessage], policy: PolicyLike, kwargs: dict[str, Any]
    ) -> tuple[Self, dict[str, Any], list[BaseMessage]]:
        model, theirs = self._caching(policy, kwargs)
        model.client = model.client.awaited_twin()
        return model, theirs, [*messages]

    def _called(self, kwargs: Mapping[str, Any]) -> str:
        return str(kwargs.get("model") or self.model)

    def _caching(self, policy: PolicyLike, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        model, theirs = super()._caching(policy, kwargs)
        model.client.headers = self.default_headers
        model._lender = self._lender or self  # noqa: SLF001
        return model, theirs

    def _each(
        self, chunks: Iterator[ChatGenerationChunk], run_manager: CallbackManagerForLLMRun | None
    ) -> Iterator[ChatGenerationChunk]:
        return super()._each(guard(REPORTING, lambda: self._watched(chunks), chunks), run_manager)

    async def _aeach(self, chunks: Any, run_manager: Any) -> AsyncGenerator[ChatGenerationChunk, None]:
        """As `_each`."""
        watched = guard(REPORTING, lambda: self._watched(chunks), chunks)
        async with aclosing(chunks), aclosing(aiter(watched)) as coming:
            async for chunk in coming:
                guard(REPORTING, partial(self._report, chunk.message), None)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _watched(self, chunks: Any) -> Any:
        return chunks if self.client is None else self.client.watched(chunks)

    def _answered(self, result: ChatResult) -> None:
        if self.client is not None:
            self.client.told((result.llm_output or {}).get("usage"))
        super()._answered(result)

    async def _aanswered(self, result: ChatResult) -> None:
        if self.client is not None:
            await self.client.told((result.llm_output or {}).get("usage"))
        super()._answered(result)

    def _lift(self, message: BaseMessage) -> CallReport | None:  # noqa: ARG002
        """The report of the call that this copy was made for."""
        report: CallReport | None = None if self.client is None else self.client.report()
        return report


class _AsyncUntold(Untold):
    """As `Untold`, for what is awaited."""

    async def on_llm_new_token(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        """Whoever has the chunks says it."""

"""The chat models of langchain-aws, with every call cached."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import guard
from cachepoint.core.policy import CachePolicy
from cachepoint.langchain.cached import Cached, PolicyLike
from cachepoint.langchain.invoking import InvokingClient, Untold, ttls_of


class CachedChatBedrockConverse(Cached, ChatBedrockConverse):
    """`ChatBedrockConverse` with prompt caching: every call carries the right checkpoints.

    Takes all that `ChatBedrockConverse` takes, and two options more. Caching needs no change to
    messages, tools or chains. `create_cache_point()` blocks and `cache_control=` are honoured; ours
    fill what remains of the four checkpoints.

    Setup:
        .. code-block:: bash

            pip install "cachepoint[langchain]"

    Instantiate:
        .. code-block:: python

            from cachepoint.langchain import CachedChatBedrockConverse

            llm = CachedChatBedrockConverse(
                model="us.anthropic.claude-sonnet-4-6",
                region_name="us-east-1",
                cache_policy={"ttl": "1h"},
            )

        or, from a model that was built elsewhere: `CachedChatBedrockConverse.from_model(llm)`.

    Invoke:
        .. code-block:: python

            answer = llm.invoke([("system", manual), ("human", "How do I reset it?")])
            answer.response_metadata["cachepoint"]["usage"]["read_tokens"]
            answer.response_metadata["cachepoint"]["saved_usd"]
            llm.invoke("A question that nothing follows", cache_policy="off")

    Stream:
        .. code-block:: python

            for chunk in llm.stream("Tell me more"):
                print(chunk.text, end="")

        The last chunk that carries `usage_metadata` carries the report.

    Tool calling:
        .. code-block:: python

            agent_step = llm.bind(cache_policy={"tail": "always"}).bind_tools([search, book])
            agent_step.invoke("Book a table for two")

        What was bound before stays bound, in whatever order. `with_config` takes no `cache_policy`.

    Serialize:
        .. code-block:: python

            from cachepoint.langchain import LOAD_OPTIONS
            from langchain_core.load import dumps, loads

            loads(dumps(prompt | llm), allowed_objects="all", **LOAD_OPTIONS)

        `allowed_objects="all"` alone means the classes that langchain-core lists. Where only some are to
        be loaded, name them: `allowed_objects=[CachedChatBedrockConverse, ...],
        valid_namespaces=["cachepoint"]`. A `prompt_cache` is not serialized.

    Args:
        cache_policy: A `CachePolicy`, its fields as a dict, or a mode (`"auto"`, `"off"`). Its options
            lie over those of the `PromptCache` and of the process (`cachepoint.configure`,
            `CACHEPOINT_*`), and those of a call or of `bind` over them; one given with a call takes the
            place of one that is bound. May be assigned, too.
        prompt_cache: The `PromptCache` that remembers what Bedrock holds. None: the one that all
            models of this process share.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

    upstream: ClassVar[type[BaseChatModel]] = ChatBedrockConverse

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        policy = kwargs.pop("cache_policy", None)
        model, theirs = guard("caching a call", lambda: self._caching(policy, kwargs), (self, kwargs))
        result = super(Cached, model)._generate(list(messages), stop, run_manager, **theirs)
        guard("reporting a call", lambda: self._lift_reports(result), None)
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        policy = kwargs.pop("cache_policy", None)
        model, theirs = guard("caching a call", lambda: self._caching(policy, kwargs), (self, kwargs))
        # Upstream tells the run manager before we have lifted the report; so we tell it.
        chunks = super(Cached, model)._stream(list(messages), stop, None, **theirs)
        yield from self._each(chunks, _lift_report, run_manager)

    def _lift_reports(self, result: ChatResult) -> None:
        for generation in result.generations:
            report = _lift_report(generation.message)
            if report is not None:
                self._warmed_by(report)

    def _for_a_call(self, client: CachingClient, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        update = super()._for_a_call(client, kwargs)
        if self.raw_blocks is not None and kwargs.get("cache_control"):
            # Upstream would add its points to the caller's own blocks.
            update["raw_blocks"] = deepcopy(self.raw_blocks)
        return update


class CachedChatBedrock(Cached, ChatBedrock):
    """`ChatBedrock` with prompt caching: every call of InvokeModel carries the right checkpoints.

    All that `CachedChatBedrockConverse` says of options, reports and bindings holds here, too. Claude is
    cached. With `beta_use_converse_api=True`, which upstream chooses by itself for Nova, calls go the way of
    `CachedChatBedrockConverse`. InvokeModel and Converse share no entries.

    `cache_control` in the content of messages is honoured, with its ttl, which upstream drops.

    Example:
        .. code-block:: python

            from cachepoint.langchain import CachedChatBedrock

            llm = CachedChatBedrock(model="us.anthropic.claude-sonnet-4-6", region_name="us-east-1")
            answer = llm.invoke([("system", manual), ("human", "How do I reset it?")])
            answer.response_metadata["cachepoint"]["usage"]["read_tokens"]

    Args:
        cache_policy: As of `CachedChatBedrockConverse`.
        prompt_cache: As of `CachedChatBedrockConverse`.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None: ...

    upstream: ClassVar[type[BaseChatModel]] = ChatBedrock
    _client_of_a_call: ClassVar[type[CachingClient]] = InvokingClient

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        policy = kwargs.pop("cache_policy", None)
        plain = (self, kwargs, messages)
        model, theirs, asked = guard("caching a call", lambda: self._readied(messages, policy, kwargs), plain)
        result = super(Cached, model)._generate(asked, stop, run_manager, **theirs)
        guard("reporting a call", lambda: self._lift(model, result.generations[0].message), None)
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        policy = kwargs.pop("cache_policy", None)
        plain = (self, kwargs, messages)
        model, theirs, asked = guard("caching a call", lambda: self._readied(messages, policy, kwargs), plain)
        # Upstream tells the run manager before the report is in the chunk; so we tell it of chunks.
        told: Any = run_manager and Untold(run_manager)
        chunks = super(Cached, model)._stream(asked, stop, told, **theirs)
        yield from self._each(chunks, partial(self._lift, model), run_manager)

    @property
    def _as_converse(self) -> ChatBedrockConverse:
        plain = super()._as_converse
        return guard("caching a model", lambda: self._cached(plain), plain)

    def _cached(self, plain: ChatBedrockConverse) -> CachedChatBedrockConverse:
        ours = {"cache_policy": self.cache_policy, "prompt_cache": self.prompt_cache}
        model = CachedChatBedrockConverse.from_model(plain, **ours)  # type: ignore[arg-type]
        # Upstream does not hand its base_model_id on, and would ask other things with it.
        model._behind = self.base_model_id  # noqa: SLF001
        model._binding, model._warmed = self._binding, self._warmed  # noqa: SLF001
        return model

    def _readied(
        self, messages: list[BaseMessage], policy: PolicyLike, kwargs: dict[str, Any]
    ) -> tuple[Self, dict[str, Any], list[BaseMessage]]:
        """The model of one call, upstream's part of the options, and the messages."""
        if self.beta_use_converse_api:
            chosen = CachePolicy.layered(self.cache_policy, CachePolicy.of(policy))
            return self.model_copy(update={"cache_policy": chosen, **self._whole}), kwargs, [*messages]
        if isinstance(self.client, InvokingClient):
            # Upstream's `_generate` streams where `streaming` is on: this is the copy of that call.
            return self, kwargs, [*messages]
        model, theirs = self._caching(policy, kwargs)
        model.client.ttls = ttls_of(messages)
        # Without a message, upstream leaves out the system prompt.
        warming = self._warmed is not None and all(m.type == "system" for m in messages)
        return model, theirs, [*messages, *([HumanMessage(".")] if warming else [])]

    @property
    def _whole(self) -> dict[str, Any]:
        """What has an answer come whole where nobody waits for it."""
        return {} if self._warmed is None else {"streaming": False}

    def _for_a_call(self, client: CachingClient, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {**super()._for_a_call(client, kwargs), **self._whole}

    def _lift(self, model: "CachedChatBedrock", message: BaseMessage) -> None:
        """Put the report where people look, as plain data, once it is there."""
        report = model.client.report() if isinstance(model.client, InvokingClient) else None
        if report is not None:
            message.response_metadata[REPORT_KEY] = report.as_dict()
            self._warmed_by(report)


_IDS = [(*cls.get_lc_namespace(), cls.__name__) for cls in (CachedChatBedrockConverse, CachedChatBedrock)]

LOAD_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"valid_namespaces": ["cachepoint"], "additional_import_mappings": {each: each for each in _IDS}}
)
"""What `load` and `loads` of langchain-core take, so that they know our classes beside theirs."""


def _lift_report(message: BaseMessage) -> CallReport | None:
    """Move the report from among the HTTP metadata to where people look, as plain data."""
    metadata = message.response_metadata.get("ResponseMetadata")
    if not isinstance(metadata, dict) or REPORT_KEY not in metadata:
        return None
    rest = dict(metadata)
    report = rest.pop(REPORT_KEY)
    if rest:
        message.response_metadata["ResponseMetadata"] = rest
    else:
        del message.response_metadata["ResponseMetadata"]
    message.response_metadata[REPORT_KEY] = report.as_dict()
    return cast("CallReport", report)

"""ChatBedrockConverse with every call cached."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import asdict
from typing import Any, Self

from langchain_aws import ChatBedrockConverse
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import Field, PrivateAttr, field_validator

from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.cache import PromptCache
from cachepoint.core.policy import CachePolicy
from cachepoint.langchain.binding import BoundModel
from cachepoint.langchain.options import OF_A_CALL, refuse_misspelt, to_bind

logger = logging.getLogger("cachepoint")

PolicyLike = CachePolicy | Mapping[str, Any] | str | None


class CachedChatBedrockConverse(ChatBedrockConverse):
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

        What was bound before stays bound, in whatever order.

    Args:
        cache_policy: A `CachePolicy`, its fields as a dict, or a mode (`"auto"`, `"off"`). None: the
            `PromptCache`'s own, else the process default (`cachepoint.configure`, `CACHEPOINT_*`).
            One given per call or with `bind` takes its place, whole.
        prompt_cache: The `PromptCache` that remembers what Bedrock holds. None: the one that all
            models of this process share.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """

    cache_policy: CachePolicy | None = None
    prompt_cache: PromptCache | None = Field(default=None, exclude=True, repr=False)

    _binding: BoundModel | None = PrivateAttr(default=None)

    def __init__(self, **values: Any) -> None:
        # Not in a validator: pydantic would print the input, credentials among it, beside our message.
        refuse_misspelt(values, _names(type(self)))
        # Upstream's configurable_fields passes every field, and its validator takes no None here.
        if values.get("base_model_id", "") is None:
            del values["base_model_id"]
        super().__init__(**values)

    @field_validator("cache_policy", mode="before")
    @classmethod
    def _read_policy(cls, value: Any) -> CachePolicy | None:
        return CachePolicy.of(value)

    @classmethod
    def from_model(
        cls,
        existing: ChatBedrockConverse,
        *,
        cache_policy: PolicyLike = None,
        prompt_cache: PromptCache | None = None,
    ) -> Self:
        """A cached model with the settings and the clients of one that is built already.

        Args:
            existing: The model; it stays as it is.
            cache_policy: As in the constructor.
            prompt_cache: As in the constructor.

        Raises:
            TypeError: Where `existing` is no `ChatBedrockConverse`, or a subclass with ways of its own.
            ValueError: Where `cache_policy` is not valid.
        """
        if not isinstance(existing, ChatBedrockConverse):
            raise TypeError(f"from_model takes a ChatBedrockConverse, not {type(existing).__name__}")
        if type(existing) not in {ChatBedrockConverse, *cls.__mro__}:
            raise TypeError(
                f"from_model would lose what {type(existing).__name__} overrides: "
                "let it subclass CachedChatBedrockConverse instead"
            )
        ours = {"cache_policy": CachePolicy.of(cache_policy), "prompt_cache": prompt_cache}
        values = {k: v for k, v in existing.__dict__.items() if k in cls.model_fields}
        chosen = {k: v for k, v in ours.items() if v is not None}
        # Validated when it was built; a second time might build clients and ask AWS.
        return cls.model_construct(existing.model_fields_set | chosen.keys(), **{**values, **chosen})

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `load` finds the class; upstream's would name `langchain_aws`."""
        return cls.__module__.split(".")

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The policy as plain data."""
        return {} if self.cache_policy is None else {"cache_policy": asdict(self.cache_policy)}

    def bind(self, **kwargs: Any) -> BoundModel:
        """Bind options to every call; tools and schemas can be bound on top.

        Raises:
            ValueError: Where an option of ours is misspelt, or `cache_policy` is not valid.
        """
        if self._binding is not None:
            return self._binding.bind(**kwargs)
        return BoundModel(bound=self, kwargs=to_bind(kwargs), config={})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> BoundModel:
        """Bind a config; tools and schemas can be bound on top."""
        bound: BoundModel = self.bind().with_config(config, **kwargs)  # type: ignore[assignment]
        return bound

    def carrying(self, binding: BoundModel) -> Self:
        """A copy whose `bind` binds to `binding`: what it binds comes on top of what that holds."""
        copy = self.model_copy()
        copy._binding = binding  # noqa: SLF001
        return copy

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model, kwargs = self._caching(kwargs)
        result = super(CachedChatBedrockConverse, model)._generate(
            list(messages), stop, run_manager, **kwargs
        )
        for generation in result.generations:
            _lift_report(generation.message)
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        model, kwargs = self._caching(kwargs)
        # Upstream tells the run manager before we have lifted the report; so we tell it.
        chunks = super(CachedChatBedrockConverse, model)._stream(list(messages), stop, None, **kwargs)
        with closing(chunks):  # type: ignore[type-var]
            for chunk in chunks:
                _lift_report(chunk.message)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _caching(self, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a caching client for the length of one call, and upstream's part of the options."""
        refuse_misspelt(kwargs, OF_A_CALL)
        theirs = {k: v for k, v in kwargs.items() if k != "cache_policy"}
        called = kwargs.get("model_id") or self.model_id
        update: dict[str, Any] = {
            "client": CachingClient(
                self.client,
                policy=CachePolicy.of(kwargs.get("cache_policy")) or self.cache_policy,
                cache=self.prompt_cache,
                # Upstream has asked for it where the id hides it; it is that of this id alone.
                base_model_id=self.base_model_id if called == self.model_id else None,
            )
        }
        if self.raw_blocks is not None and kwargs.get("cache_control"):
            # Upstream would add its points to the caller's own blocks.
            update["raw_blocks"] = deepcopy(self.raw_blocks)
        return self.model_copy(update=update), theirs


def _names(cls: type[ChatBedrockConverse]) -> frozenset[str]:
    aliases = (field.alias for field in cls.model_fields.values())
    return frozenset((*cls.model_fields, *filter(None, aliases)))


def _lift_report(message: BaseMessage) -> None:
    """Move the report from among the HTTP metadata to where people look, as plain data."""
    metadata = message.response_metadata.get("ResponseMetadata")
    if not isinstance(metadata, dict) or REPORT_KEY not in metadata:
        return
    rest = {k: v for k, v in metadata.items() if k != REPORT_KEY}
    if rest:
        message.response_metadata["ResponseMetadata"] = rest
    else:
        del message.response_metadata["ResponseMetadata"]
    try:
        message.response_metadata[REPORT_KEY] = metadata[REPORT_KEY].as_dict()
    except Exception:
        logger.exception("the report of a call cannot be read; the call is not affected")

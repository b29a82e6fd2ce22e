"""ChatBedrockConverse with every call cached."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from functools import cache, lru_cache, partial
from types import MappingProxyType
from typing import Any, Self, cast

from langchain_aws import ChatBedrockConverse
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.models.rules import base_model, rules_for
from cachepoint.core.policy import CachePolicy, resolved
from cachepoint.langchain.binding import BoundModel
from cachepoint.langchain.options import OF_A_CALL, ByRote, read, refuse_misspelt, to_bind, told_apart
from cachepoint.langchain.warming import Warms

logger = logging.getLogger("cachepoint")

PolicyLike = CachePolicy | Mapping[str, Any] | str | None


class CachedChatBedrockConverse(Warms, ChatBedrockConverse):
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

    cache_policy: CachePolicy | None = None
    prompt_cache: PromptCache | None = Field(default=None, exclude=True, repr=False)

    _binding: BoundModel | None = PrivateAttr(default=None)
    # Of the copy that warms: what its one call comes to.
    _warmed: list[CallReport] | None = PrivateAttr(default=None)

    def __init__(self, **values: Any) -> None:
        # Not in a validator: pydantic would print the input, credentials among it, beside our message.
        refuse_misspelt(values, _names(type(self)))
        # Upstream's configurable_fields passes every field, and its validator takes no None here.
        if values.get("base_model_id", "") is None:
            del values["base_model_id"]
        super().__init__(**values)

    @field_validator("cache_policy", "prompt_cache", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        return read(str(info.field_name), value)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, read(name, value))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; options of ours in `update` are read as in the constructor.

        Raises:
            ValueError: Where an option of ours is misspelt or holds no valid value.
        """
        refuse_misspelt(update or {}, _names(type(self)))
        return super().model_copy(update={k: read(k, v) for k, v in (update or {}).items()}, deep=deep)

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
        ours = {"cache_policy": cache_policy, "prompt_cache": prompt_cache}
        values = {k: v for k, v in existing.__dict__.items() if k in cls.model_fields}
        chosen = {k: read(k, v) for k, v in ours.items() if v is not None}
        # Validated when it was built; a second time might build clients and ask AWS.
        return cls.model_construct(existing.model_fields_set | chosen.keys(), **{**values, **chosen})

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Where `load` finds the class; upstream's would name `langchain_aws`."""
        return cls.__module__.split(".")

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The policy as plain data."""
        plain: dict[str, Any] = {}
        return guard("serialising", lambda: _as_data(self.cache_policy), plain)

    def bind(self, **kwargs: Any) -> BoundModel:
        """Bind options to every call; tools and schemas can be bound on top.

        Raises:
            ValueError: Where an option of ours is misspelt, or `cache_policy` is not valid.
        """
        bound = guard("binding", lambda: self._bound(kwargs), None)
        return cast("BoundModel", super().bind(**kwargs)) if bound is None else bound

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> BoundModel:
        """Bind a config; tools and schemas can be bound on top.

        Raises:
            ValueError: Where it holds an option of ours: these are bound with `bind`.
        """
        return self.bind().with_config(config, **kwargs)

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
        policy = kwargs.pop("cache_policy", None)
        model, theirs = guard("caching a call", lambda: self._caching(policy, kwargs), (self, kwargs))
        result = super(CachedChatBedrockConverse, model)._generate(
            list(messages), stop, run_manager, **theirs
        )
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
        chunks = super(CachedChatBedrockConverse, model)._stream(list(messages), stop, None, **theirs)
        with closing(chunks):  # type: ignore[type-var]
            for chunk in chunks:
                guard("reporting a call", partial(_lift_report, chunk.message), None)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _bound(self, kwargs: dict[str, Any]) -> BoundModel:
        if self._binding is not None:
            return self._binding.bind(**kwargs)
        return BoundModel(bound=self, kwargs=told_apart(to_bind(kwargs)), config={})

    def _lift_reports(self, result: ChatResult) -> None:
        for generation in result.generations:
            report = _lift_report(generation.message)
            if report is not None and self._warmed is not None:
                self._warmed.append(report)

    def _caching(self, policy: PolicyLike, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a caching client for the length of one call, and upstream's part of the options."""
        refuse_misspelt(kwargs, OF_A_CALL)
        called = kwargs.get("model_id") or self.model_id
        # Upstream has asked for it where the id hides it; it is that of this id alone.
        behind = self.base_model_id if called == self.model_id else None
        chosen, theirs = self._taking_over(
            CachePolicy.layered(self.cache_policy, CachePolicy.of(policy)), behind or called, kwargs
        )
        client = CachingClient(self.client, policy=chosen, cache=self.prompt_cache, base_model_id=behind)
        update: dict[str, Any] = {"client": client if self._warmed is None else client.warming()}
        if self.raw_blocks is not None and theirs.get("cache_control"):
            # Upstream would add its points to the caller's own blocks.
            update["raw_blocks"] = deepcopy(self.raw_blocks)
        return super().model_copy(update=update), theirs

    def _taking_over(
        self, policy: CachePolicy, model_id: str, kwargs: dict[str, Any]
    ) -> tuple[CachePolicy, dict[str, Any]]:
        """What other middleware asks for by rote gives way, except where nothing of ours is placed."""
        control = kwargs.get("cache_control")
        holds = resolved(self.prompt_cache.policy if self.prompt_cache else None, policy)
        if not isinstance(control, ByRote) or holds.mode == "off" or not takes_checkpoints(model_id):
            return policy, kwargs
        _say_that_it_takes_over()
        # Their default is 5m, so only a 1h was asked for.
        asked = control.get("ttl") == "1h" and "ttl" not in holds.given
        theirs = {k: v for k, v in kwargs.items() if k != "cache_control"}
        return policy.but(ttl="1h") if asked else policy, theirs


_ID = (*CachedChatBedrockConverse.get_lc_namespace(), CachedChatBedrockConverse.__name__)

LOAD_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {"valid_namespaces": ["cachepoint"], "additional_import_mappings": {_ID: _ID}}
)
"""What `load` and `loads` of langchain-core take, so that they know our class beside theirs."""


def takes_checkpoints(model_id: str) -> bool:
    """Whether the model caches explicitly, as far as its id tells."""
    return base_model(model_id) is None or rules_for(model_id).caches


@lru_cache(maxsize=64)
def _names(cls: type[ChatBedrockConverse]) -> frozenset[str]:
    aliases = (field.alias for field in cls.model_fields.values())
    return frozenset((*cls.model_fields, *filter(None, aliases)))


def _as_data(policy: CachePolicy | None) -> dict[str, Any]:
    return {} if policy is None else {"cache_policy": policy.options()}


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


@cache
def _say_that_it_takes_over() -> None:
    logger.warning(
        "cachepoint places the checkpoints; the cache_control that other middleware "
        "(BedrockPromptCachingMiddleware) puts into the settings of a call is not applied. "
        "One of the two is enough"
    )

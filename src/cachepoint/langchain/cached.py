"""What the cached chat models share: their options, their bindings, and the client of one call."""

import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from cachepoint.aws.client import REPORT_KEY, CachingClient
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.models.rules import base_model, rules_for
from cachepoint.core.policy import CachePolicy, PolicyField, PolicyLike, resolved
from cachepoint.langchain.binding import BoundModel
from cachepoint.langchain.foreseeing import Foresees
from cachepoint.langchain.options import OF_A_CALL, ByRote, read, refuse_misspelt, to_bind, told_apart
from cachepoint.langchain.warming import Warms
from cachepoint.shaping.relocating import Relocating

logger = logging.getLogger("cachepoint")

# The model of one call, upstream's part of the options, and the messages.
Readied = tuple["Cached", dict[str, Any], list[BaseMessage]]

CACHING = "caching a call"
REPORTING = "reporting a call"


class ClientOfACall(Relocating, CachingClient):
    """A client whose one call may be shaped, where the user asks for it."""


class Cached(Warms, Foresees, BaseChatModel):
    """A chat model of langchain-aws, `upstream`, whose calls go through a `CachingClient`."""

    upstream: ClassVar[type[BaseChatModel]]
    _client_of_a_call: ClassVar[type[CachingClient]] = ClientOfACall

    if TYPE_CHECKING:
        # The constructor is what pydantic makes of the fields, upstream's and ours, as of upstream's class.
        cache_policy: PolicyField = PolicyField()
    else:
        cache_policy: CachePolicy | None = None
    prompt_cache: PromptCache | None = Field(default=None, exclude=True, repr=False)

    _binding: BoundModel | None = PrivateAttr(default=None)
    # The model behind the id that is called, where upstream's field must not say it.
    _behind: str | None = PrivateAttr(default=None)
    # Of the copy that warms: what its one call comes to.
    _warmed: list[CallReport] | None = PrivateAttr(default=None)

    if not TYPE_CHECKING:

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
        existing: BaseChatModel,
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
            TypeError: Where `existing` is of another class than the one that is cached here, or of a subclass
                with ways of its own.
            ValueError: Where `cache_policy` is not valid.
        """
        kind, theirs = type(existing), cls.upstream
        if not isinstance(existing, theirs):
            raise TypeError(f"from_model takes a {theirs.__name__}, not {kind.__name__}")
        if kind not in {theirs, *cls.__mro__}:
            raise TypeError(
                f"from_model would lose what {kind.__name__} overrides: "
                f"let it subclass Cached{theirs.__name__} instead"
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
        """Upstream's, and the policy as plain data."""
        plain: dict[str, Any] = {}
        ours = guard("serialising", lambda: _as_data(self.cache_policy), plain)
        return {**super().lc_attributes, **ours}

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

    def carrying(self, binding: BoundModel | None) -> Self:
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
        policy, plain = kwargs.pop("cache_policy", None), (self, kwargs, [*messages])
        model, theirs, asked = guard(CACHING, lambda: self._readied(messages, policy, kwargs), plain)
        result = super(Cached, model)._generate(asked, stop, run_manager, **theirs)  # type: ignore[safe-super]
        guard(REPORTING, lambda: model._answered(result), None)  # noqa: SLF001
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        policy, plain = kwargs.pop("cache_policy", None), (self, kwargs, [*messages])
        model, theirs, asked = guard(CACHING, lambda: self._readied(messages, policy, kwargs), plain)
        # Upstream tells the run manager before the report is in the chunk; so we tell it of chunks.
        told: Any = run_manager and Untold(run_manager)
        chunks = super(Cached, model)._stream(asked, stop, told, **theirs)
        yield from model._each(chunks, run_manager)  # noqa: SLF001

    def _bound(self, kwargs: dict[str, Any]) -> BoundModel:
        if self._binding is not None:
            return self._binding.bind(**kwargs)
        return BoundModel(bound=self, kwargs=told_apart(to_bind(kwargs)), config={})

    def _caching(self, policy: PolicyLike, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a caching client for the length of one call, and upstream's part of the options."""
        refuse_misspelt(kwargs, OF_A_CALL)
        # Its fields are those of the class that is cached.
        model: Any = self
        called = self._called(kwargs)
        # Upstream has asked for it where the id hides it; it is that of this id alone.
        behind = (model.base_model_id or self._behind) if called == model.model_id else None
        chosen, theirs = self._taking_over(
            CachePolicy.layered(self.cache_policy, CachePolicy.of(policy)), behind or called, kwargs
        )
        client = self._client_of_a_call(
            model.client, policy=chosen, cache=self.prompt_cache, base_model_id=behind
        )
        update = self._for_a_call(client if self._warmed is None else client.warming(), theirs)
        return super().model_copy(update=update), theirs

    def _called(self, kwargs: Mapping[str, Any]) -> str:
        """The id that a call with these options names."""
        model: Any = self
        return str(kwargs.get("model_id") or model.model_id)

    def _for_a_call(self, client: CachingClient, kwargs: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """The fields of the copy that makes one call."""
        return {"client": client}

    def _readied(self, messages: list[BaseMessage], policy: PolicyLike, kwargs: dict[str, Any]) -> Readied:
        return *self._caching(policy, kwargs), [*messages]

    def _each(
        self, chunks: Iterator[ChatGenerationChunk], run_manager: CallbackManagerForLLMRun | None
    ) -> Iterator[ChatGenerationChunk]:
        """The chunks of an answer, of which the run manager is told when its report is in them."""
        with closing(chunks):  # type: ignore[type-var]
            for chunk in chunks:
                guard(REPORTING, partial(self._report, chunk.message), None)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _answered(self, result: ChatResult) -> None:
        """Report a call whose answer came whole."""
        self._report(*(each.message for each in result.generations))

    def _report(self, *messages: BaseMessage) -> None:
        """Put the reports that are there where people look, as plain data."""
        for message in messages:
            if (report := self._lift(message)) is not None:
                message.response_metadata[REPORT_KEY] = report.as_dict()
                if self._warmed is not None:
                    self._warmed.append(report)

    @abstractmethod
    def _lift(self, message: BaseMessage) -> CallReport | None:
        """The report of the call that a message is of."""

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


class Untold:
    """A run manager that is told of all but tokens."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        """Whoever has the chunks says it."""


def takes_checkpoints(model_id: str) -> bool:
    """Whether the model caches explicitly, as far as its id tells."""
    return base_model(model_id) is None or rules_for(model_id).caches


@lru_cache(maxsize=64)
def _names(cls: type[BaseChatModel]) -> frozenset[str]:
    aliases = (field.alias for field in cls.model_fields.values())
    return frozenset((*cls.model_fields, *filter(None, aliases)))


def _as_data(policy: CachePolicy | None) -> dict[str, Any]:
    return {} if policy is None else {"cache_policy": policy.options()}


@cache
def _say_that_it_takes_over() -> None:
    logger.warning(
        "cachepoint places the checkpoints; the cache_control that other middleware "
        "(BedrockPromptCachingMiddleware) puts into the settings of a call is not applied. "
        "One of the two is enough"
    )

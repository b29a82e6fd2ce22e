"""BedrockConverse with every call cached."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.tools.types import BaseTool
from llama_index.llms.bedrock_converse import BedrockConverse
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from cachepoint.aws import client as aws
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.core.models.rules import is_hidden, rules_for
from cachepoint.core.options import refuse_misspelt
from cachepoint.core.policy import CachePolicy, PolicyField, PolicyLike, resolved
from cachepoint.llama_index import models
from cachepoint.llama_index.foreseeing import Foresees
from cachepoint.llama_index.points import copied, own_tools
from cachepoint.llama_index.seam import (
    AsyncCallClient,
    CallClient,
    CallSession,
    Reports,
    Setting,
    reported,
)
from cachepoint.llama_index.warming import Warms

_FLAGS = frozenset({"tool_caching", "system_prompt_caching"})
_OTHERWISE = ", and upstream's system_prompt_caching and tool_caching"

_BINDING = "binding a call"

_F = TypeVar("_F", bound=Callable[..., Any])


def _in_one_span(method: _F) -> _F:
    """Upstream's method, called from ours, is the span already; a second one would count the call twice."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


class CachedBedrockConverse(Warms, Foresees, BedrockConverse):
    """`BedrockConverse` with prompt caching: every call carries the right checkpoints.

    Takes all that `BedrockConverse` takes, and two options more. `CachePoint` blocks keep their TTL and
    work in system, user and tool messages; `system_prompt_caching` and `tool_caching` are honoured; our
    checkpoints fill what remains of the four.

    Examples:
        `pip install "cachepoint[llama-index]"`

        ```python
        from llama_index.core import Settings
        from cachepoint.llama_index import CachedBedrockConverse

        Settings.llm = CachedBedrockConverse(
            model="us.anthropic.claude-sonnet-4-6",
            region_name="us-east-1",
            cache_policy={"ttl": "1h"},
        )
        response = Settings.llm.complete("Why is the sky blue?")
        response.additional_kwargs["cachepoint"]["usage"]["read_tokens"]
        Settings.llm.chat(messages, cache_policy="off")  # of one call
        ```

    Args:
        cache_policy: A `CachePolicy`, its fields as a dict, or a mode (`"auto"`, `"off"`). None: the
            `PromptCache`'s own, else the process default (`cachepoint.configure`, `CACHEPOINT_*`).
            One given to a call takes its place, whole.
        prompt_cache: The `PromptCache` that remembers what Bedrock holds. None: the one that all
            models of this process share.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
        TypeError: Where an option is unknown.
    """

    _prompt_cache: PromptCache | None = PrivateAttr(default=None)
    # Of the copy that one call runs on.
    _reports: Reports | None = PrivateAttr(default=None)
    _model_of_call: str | None = PrivateAttr(default=None)
    # Of the copy that warms: what its one call comes to.
    _warmed: list[CallReport] | None = PrivateAttr(default=None)

    if TYPE_CHECKING:
        # Upstream's arguments and ours, one by one: a misspelt one is an error in the editor.
        cache_policy: PolicyField = PolicyField()

        def __init__(
            self,
            model: str,
            temperature: float = ...,
            max_tokens: int | None = ...,
            profile_name: str | None = ...,
            aws_access_key_id: str | None = ...,
            aws_secret_access_key: str | None = ...,
            aws_session_token: str | None = ...,
            region_name: str | None = ...,
            api_version: str | None = ...,
            use_ssl: bool = ...,
            verify: bool | str | None = ...,
            endpoint_url: str | None = ...,
            botocore_session: Any | None = ...,
            client: Any | None = ...,
            async_client: Any | None = ...,
            timeout: float | None = ...,
            max_retries: int | None = ...,
            botocore_config: Any | None = ...,
            additional_kwargs: dict[str, Any] | None = ...,
            callback_manager: Any = ...,
            system_prompt: str | None = ...,
            system_prompt_caching: bool | None = ...,
            tool_caching: bool | None = ...,
            messages_to_prompt: Callable[[Sequence[ChatMessage]], str] | None = ...,
            completion_to_prompt: Callable[[str], str] | None = ...,
            pydantic_program_mode: Any = ...,
            output_parser: Any = ...,
            guardrail_identifier: str | None = ...,
            guardrail_version: str | None = ...,
            guardrail_stream_processing_mode: Literal["sync", "async"] | None = ...,
            application_inference_profile_arn: str | None = ...,
            trace: str | None = ...,
            thinking: Any = ...,
            supports_forced_tool_calls: bool = ...,
            *,
            cache_policy: PolicyLike = None,
            prompt_cache: PromptCache | None = None,
        ) -> None: ...

    else:
        cache_policy: CachePolicy | None = Field(default=None, description="How checkpoints are placed.")

        def __init__(
            self,
            *args: Any,
            cache_policy: PolicyLike = None,
            prompt_cache: PromptCache | None = None,
            **kwargs: Any,
        ) -> None:
            policy, cache = CachePolicy.of(cache_policy), _cache(prompt_cache)
            refuse_misspelt(kwargs, type(self).model_fields, otherwise=_OTHERWISE)
            # They go into every request, where an option of ours would be a field of the model.
            refuse_misspelt(kwargs.get("additional_kwargs") or (), ())
            model = args[0] if args else kwargs.get("model")
            if model is not None:
                # Upstream looks the id up while it is built, and raises on new ones.
                known = guard("looking up a model", lambda: models.stand_in(model), model)
                args, kwargs = ((known, *args[1:]), kwargs) if args else (args, {**kwargs, "model": known})
            super().__init__(*args, **kwargs)
            if model is not None:
                self.model = model
            self.cache_policy = policy
            self._prompt_cache = cache

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, CachePolicy.of(value) if name == "cache_policy" else value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with some fields changed.

        Args:
            update: The fields; a `cache_policy` may be written as in the constructor.
            deep: Whether what it holds is copied too.

        Raises:
            ValueError: Where `cache_policy` holds no valid value.
        """
        changes = dict(update or {})
        if "cache_policy" in changes:
            changes["cache_policy"] = CachePolicy.of(changes["cache_policy"])
        return super().model_copy(update=changes, deep=deep)

    @classmethod
    def from_model(
        cls,
        existing: BedrockConverse,
        *,
        cache_policy: PolicyLike = None,
        prompt_cache: PromptCache | None = None,
    ) -> Self:
        """A cached model with the settings, the clients and the session of one that is built already.

        Args:
            existing: The model; it stays as it is.
            cache_policy: As in the constructor; None: that of `existing`, where it has one.
            prompt_cache: As in the constructor; None: that of `existing`, where it has one.

        Raises:
            TypeError: Where `existing` is no `BedrockConverse`, or a subclass with ways of its own.
            ValueError: Where an option of ours holds no valid value.
        """
        if type(existing) not in {BedrockConverse, *cls.__mro__}:
            raise InvalidOptionError(_not_ours(existing))
        made = cls.model_construct(existing.model_fields_set, **existing.__dict__)
        for name, value in (existing.__pydantic_private__ or {}).items():
            setattr(made, name, value)
        if cache_policy is not None:
            made.cache_policy = cache_policy
        if prompt_cache is not None:
            made._prompt_cache = _cache(prompt_cache)  # noqa: SLF001
        return made

    @classmethod
    def class_name(cls) -> str:
        """The name in `to_dict` and in events."""
        return "CachedBedrockConverse"

    @property
    def prompt_cache(self) -> PromptCache:
        """The cache that remembers what Bedrock holds."""
        return aws.shared_cache() if self._prompt_cache is None else self._prompt_cache

    @property
    def metadata(self) -> LLMMetadata:
        """Context size and tool support; from our table where upstream has none.

        Raises:
            ValueError: Where neither knows the model.
        """
        own = guard("looking up a model", self._own_metadata, None)
        return BedrockConverse.metadata.fget(self) if own is None else own  # type: ignore[attr-defined]

    def _own_metadata(self) -> LLMMetadata | None:
        """What our table knows, or upstream under an id that it does; None where the model's own will do."""
        model = self._model_of_call or self.model
        if models.is_known(self.model) and self.model == model:
            return None
        if (facts := models.facts(model)) is not None:
            return LLMMetadata(
                context_window=facts.context_window,
                num_output=self.max_tokens,
                is_chat_model=True,
                model_name=model,
                is_function_calling_model=facts.tools,
            )
        asked = copy(self)
        asked.model = models.stand_in(model)
        if not models.is_known(asked.model):
            return None
        known: LLMMetadata = BedrockConverse.metadata.fget(asked)  # type: ignore[attr-defined]
        return known.model_copy(update={"model_name": model})

    @_in_one_span
    def chat(
        self, messages: Sequence[ChatMessage], *, cache_policy: PolicyLike = None, **kwargs: Any
    ) -> ChatResponse:
        """Upstream's `chat`, cached.

        Args:
            messages: The messages; they stay as they are.
            cache_policy: The policy of this call alone.
            kwargs: As upstream's.
        """
        binding = partial(self._for_one_call, messages, cache_policy, kwargs)
        bound, sent, options = guard(_BINDING, binding, (self, messages, kwargs))
        response: ChatResponse = super(CachedBedrockConverse, bound).chat(sent, **options)
        return response

    @_in_one_span
    def stream_chat(
        self, messages: Sequence[ChatMessage], *, cache_policy: PolicyLike = None, **kwargs: Any
    ) -> ChatResponseGen:
        """Upstream's `stream_chat`, cached; the chunk that carries the usage carries the report.

        Args:
            messages: The messages; they stay as they are.
            cache_policy: The policy of this call alone.
            kwargs: As upstream's.
        """
        binding = partial(self._for_one_call, messages, cache_policy, kwargs)
        bound, sent, options = guard(_BINDING, binding, (self, messages, kwargs))
        stream: ChatResponseGen = super(CachedBedrockConverse, bound).stream_chat(sent, **options)
        return stream

    @_in_one_span
    async def achat(
        self, messages: Sequence[ChatMessage], *, cache_policy: PolicyLike = None, **kwargs: Any
    ) -> ChatResponse:
        """Upstream's `achat`, cached.

        Args:
            messages: The messages; they stay as they are.
            cache_policy: The policy of this call alone.
            kwargs: As upstream's.
        """
        binding = partial(self._for_one_call, messages, cache_policy, kwargs)
        bound, sent, options = guard(_BINDING, binding, (self, messages, kwargs))
        response: ChatResponse = await super(CachedBedrockConverse, bound).achat(sent, **options)
        return response

    @_in_one_span
    async def astream_chat(
        self, messages: Sequence[ChatMessage], *, cache_policy: PolicyLike = None, **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Upstream's `astream_chat`, cached; the chunk that carries the usage carries the report.

        Args:
            messages: The messages; they stay as they are.
            cache_policy: The policy of this call alone.
            kwargs: As upstream's.
        """
        binding = partial(self._for_one_call, messages, cache_policy, kwargs)
        bound, sent, options = guard(_BINDING, binding, (self, messages, kwargs))
        stream: ChatResponseAsyncGen = await super(CachedBedrockConverse, bound).astream_chat(sent, **options)
        return stream

    def _for_one_call(
        self, messages: Sequence[ChatMessage], cache_policy: PolicyLike, given: Mapping[str, Any]
    ) -> tuple[Self, Sequence[ChatMessage], dict[str, Any]]:
        """A copy whose clients are ours for this call, and the messages and options to give it."""
        refuse_misspelt(given, _FLAGS, otherwise=_OTHERWISE)
        setting = self._setting(cache_policy)
        bound = copy(self)
        bound._bind(setting)  # noqa: SLF001
        return bound, copied(messages, carry=setting.active), own_tools(given)

    def _bind(self, setting: Setting) -> None:
        self._reports = setting.reports
        self._client = CallClient(self._client, setting)
        if self._async_client is not None:
            self._async_client = AsyncCallClient(self._async_client, setting)
        if self._asession is not None:
            self._asession = CallSession(self._asession, setting)
        known = models.caching_stand_in if setting.active else models.stand_in
        self._handled_as(known(self.model))

    def _handled_as(self, known: str) -> None:
        """Let upstream take the model for another, and send the id that was meant."""
        if known == self.model:
            return
        self._model_of_call = self.model
        self.application_inference_profile_arn = self.application_inference_profile_arn or self.model
        self.model = known

    def _setting(self, cache_policy: PolicyLike) -> Setting:
        cache = self.prompt_cache
        called = self.application_inference_profile_arn or self.model
        # Upstream wants `model` to name what is behind the ARN of an application inference profile.
        named = self.model if is_hidden(called) else called
        return Setting(
            policy=resolved(cache.policy, CachePolicy.of(self.cache_policy), CachePolicy.of(cache_policy)),
            cache=cache,
            model=named,
            rules=rules_for(named),
            system_flag=self.system_prompt_caching,
            tools_flag=self.tool_caching,
            warmed=self._warmed,
        )

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_caching: bool = False,
        tool_choice: dict[Any, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        # Upstream appends to the list that it is given.
        own = list(tools or ()), user_msg, list(chat_history or ())
        asked: tuple[Any, ...] = verbose, allow_parallel_tool_calls, tool_required, tool_caching, tool_choice
        prepared: dict[str, Any] = super()._prepare_chat_with_tools(*own, *asked, **kwargs)
        return prepared

    def _get_response_token_counts(self, response: dict[str, Any] | None = None) -> dict[str, Any]:
        counts: dict[str, Any] = super()._get_response_token_counts(response)
        none: dict[str, Any] = {}
        return counts | guard("reading a report", lambda: reported(self._reports, response), none)


def _cache(given: Any) -> PromptCache | None:
    if given is None or isinstance(given, PromptCache):
        return given
    raise InvalidOptionError(f"prompt_cache is {given!r}; give a cachepoint.PromptCache, or leave it out")


def _not_ours(existing: Any) -> str:
    name = type(existing).__name__
    if not isinstance(existing, BedrockConverse):
        return f"from_model takes a BedrockConverse, not {name}"
    return f"from_model would lose what {name} overrides: let it subclass CachedBedrockConverse instead"

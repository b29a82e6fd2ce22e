"""Prompt caching for agents whose model was built elsewhere, as by `create_agent("bedrock_converse:…")`."""

import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Never, cast, get_args

from langchain_core.runnables import RunnableBinding, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from langchain_core.runnables.configurable import DynamicRunnable

from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.core.options import OURS, refuse_misspelt
from cachepoint.core.policy import CachePolicy, PolicyLike
from cachepoint.langchain.binding import BoundModel
from cachepoint.langchain.cached import Cached, takes_checkpoints
from cachepoint.langchain.chat_models import CachedChatBedrock, CachedChatBedrockConverse
from cachepoint.langchain.options import read, to_bind

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        ModelCallResult,
        ModelRequest,
        ModelResponse,
    )
    from langchain.chat_models.base import _ConfigurableModel
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint's middleware is for agents of langchain ({error.name} is missing): pip install langchain"
    ) from error

Behavior = Literal["ignore", "warn", "raise"]

if TYPE_CHECKING:
    Request = ModelRequest[Any]
    Response = ModelResponse[Any]
    Middleware = AgentMiddleware[Any, Any, Any]
else:
    # In langchain 1.0 a request has no parameters, and a middleware two.
    Middleware = AgentMiddleware


def _trace_policy() -> Any:
    """A trace holds the prompt once, in the model's run; LangChain before 1.4 knows no such policy."""
    try:
        from langchain.agents.middleware.types import TracePolicy, omit_payload  # noqa: PLC0415
    except ImportError:
        return None
    return TracePolicy(process_inputs=omit_payload)


class CachepointMiddleware(Middleware):
    """Calls the agent's model as the cached class would: every call carries the right checkpoints.

    For agents where the class can't be swapped. Takes `ChatBedrockConverse`, `ChatBedrock`,
    `ChatAnthropicBedrock`, and what may be configured (`init_chat_model(..., configurable_fields=...)`) and
    comes to one of them. Only the model of the request is another one: messages, tools and the agent's state
    stay as they are. Put it last, so that it also gets the models that other middleware choose
    (`ModelFallbackMiddleware`).

    Beside `BedrockPromptCachingMiddleware` of langchain-aws it takes over and says so once: theirs
    places nothing; a `ttl="1h"` given there holds, where no policy was given here. With `mode="off"`
    theirs stays as it is.

    Args:
        cache_policy: As of `CachedChatBedrockConverse`. A model that is cached already keeps its own
            unless one is given here.
        prompt_cache: As of `CachedChatBedrockConverse`.
        unsupported_model_behavior: What to do with a model that is none of these (or of a class derived from
            one, whose overrides would be lost), or takes no checkpoints: it is called as it is (`"ignore"`),
            with a warning (`"warn"`), or not (`"raise"`).

    Raises:
        ValueError: Where there is no such option, or it holds no valid value; with `"raise"`, at the call.

    Example:
        ```python
        agent = create_agent(
            "bedrock_converse:us.anthropic.claude-sonnet-4-6",
            tools=[search],
            middleware=[CachepointMiddleware(cache_policy={"ttl": "1h"})],
        )
        ```
    """

    trace_policy = _trace_policy()

    def __init__(
        self,
        *,
        cache_policy: PolicyLike = None,
        prompt_cache: PromptCache | None = None,
        unsupported_model_behavior: Behavior = "warn",
        **unknown: Never,
    ) -> None:
        super().__init__()
        _refuse(unknown)
        if unsupported_model_behavior not in get_args(Behavior):
            raise InvalidOptionError(
                f"unsupported_model_behavior is {unsupported_model_behavior!r}; "
                f"use one of {', '.join(map(repr, get_args(Behavior)))}"
            )
        self.cache_policy = CachePolicy.of(cache_policy)
        self.prompt_cache = read("prompt_cache", prompt_cache)
        self.unsupported_model_behavior = unsupported_model_behavior

    def wrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Response]"
    ) -> "ModelCallResult[Any]":
        """Call the cached model."""
        chosen, why_not = guard("caching an agent's model", lambda: self._chosen(request), (request, ""))
        if why_not:
            warnings.warn(why_not, stacklevel=2)
        return handler(chosen)

    async def awrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Awaitable[Response]]"
    ) -> "ModelCallResult[Any]":
        """Call the cached model."""
        chosen, why_not = guard("caching an agent's model", lambda: self._chosen(request), (request, ""))
        if why_not:
            warnings.warn(why_not, stacklevel=2)
        return await handler(chosen)

    def _chosen(self, request: "Request") -> "tuple[Request, str]":
        """The request with its model cached, or as it is and what there is to warn of."""
        asked = _configured(request.model)
        binding: Any = asked if isinstance(asked, RunnableBinding) else None
        model: Any = asked if binding is None else binding.bound
        refusal = _refusal(model)
        if refusal is not None:
            return request, self._unsupported(refusal)
        # Built anew for each call (40 µs), so that what is changed on the caller's model holds.
        cached = self._cached(model)
        given = cached if binding is None else _bound_alike(binding, cached)
        return request.override(model=cast("Any", given)), ""

    def _cached(self, model: Any) -> Cached:
        ours: dict[str, Any] = {"cache_policy": self.cache_policy, "prompt_cache": self.prompt_cache}
        swapped = _as_they_are().get(type(model))
        if swapped is not None:
            return swapped.from_model(model, **ours)
        return cast("Cached", model.model_copy(update={k: v for k, v in ours.items() if v is not None}))

    def _unsupported(self, refusal: str) -> str:
        if self.unsupported_model_behavior == "raise":
            raise InvalidOptionError(refusal)
        return refusal if self.unsupported_model_behavior == "warn" else ""


def _configured(model: Any, config: RunnableConfig | None = None) -> Any:
    """What a configurable model comes to in this run, whose config LangGraph lets everyone know."""
    config = config or ensure_config()
    if isinstance(model, RunnableBinding):
        bound = _configured(model.bound, merge_configs(config, model.config))
        return model if bound is model.bound else bound.bind(**model.kwargs).with_config(model.config)
    if isinstance(model, DynamicRunnable):
        return model.prepare(config)[0]
    return model._model(config) if isinstance(model, _ConfigurableModel) else model  # noqa: SLF001


_OPTIONS = (*OURS, "unsupported_model_behavior")


def _refuse(names: Iterable[str]) -> None:
    """Refuse options that there are not, naming what was probably meant."""
    for name in names:
        refuse_misspelt((name,), OURS, otherwise=f", {_OPTIONS[-1]}")
        raise InvalidOptionError(f"{name!r} is no option here: there are {', '.join(_OPTIONS)}")


# Where the classes hold the id that is called, the model behind it first.
_IDS = ("base_model_id", "model_id", "model")


def _as_they_are() -> dict[type, type[Cached]]:
    """By the class of a model, the class that caches it."""
    ours: list[type[Cached]] = [CachedChatBedrockConverse, CachedChatBedrock]
    # Nobody has a model of a class that was never imported.
    if "langchain_aws.chat_models.anthropic" in sys.modules:
        from cachepoint.langchain.anthropic import CachedChatAnthropicBedrock  # noqa: PLC0415

        ours.append(CachedChatAnthropicBedrock)
    return {kind: cls for cls in ours for kind in (cls, cls.upstream)}


def _refusal(model: Any) -> str | None:
    """Why a model can't be cached here."""
    kind, known = type(model).__name__, _as_they_are()
    theirs = next((cls.upstream.__name__ for cls in known.values() if isinstance(model, cls.upstream)), None)
    if theirs is None:
        return (
            "CachepointMiddleware caches ChatBedrockConverse, ChatBedrock and ChatAnthropicBedrock, "
            f"not {kind}: it is called as it is"
        )
    if type(model) not in known and not isinstance(model, Cached):
        return (
            f"{kind} would lose what it overrides: it is called as it is. Derive it from "
            f"cachepoint.langchain.Cached{theirs}"
        )
    called = next(n for name in _IDS if (n := getattr(model, name, None)))
    if not takes_checkpoints(called):
        return f"no explicit prompt caching is known of {called}: it is called as it is"
    return None


def _bound_alike(binding: Any, model: Cached) -> BoundModel:
    return BoundModel(
        bound=model,
        kwargs=to_bind(dict(binding.kwargs)),
        config=binding.config,
        config_factories=binding.config_factories,
    )

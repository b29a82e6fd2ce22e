"""Prompt caching for agents whose model was built elsewhere, as by `create_agent("bedrock_converse:…")`."""

import logging
import warnings
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Literal, Self, cast, get_args

from langchain_aws import ChatBedrockConverse
from langchain_core.runnables import RunnableBinding

from cachepoint.core.cache import PromptCache
from cachepoint.core.models.rules import base_model, rules_for
from cachepoint.core.policy import CachePolicy, default_policy
from cachepoint.langchain.binding import BoundModel
from cachepoint.langchain.chat_models import CachedChatBedrockConverse, PolicyLike
from cachepoint.langchain.options import to_bind

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        ModelCallResult,
        ModelRequest,
        ModelResponse,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint's middleware is for agents of langchain ({error.name} is missing): pip install langchain"
    ) from error

logger = logging.getLogger("cachepoint")

Behavior = Literal["ignore", "warn", "raise"]
Request = ModelRequest[Any]
Response = ModelResponse[Any]


def _trace_policy() -> Any:
    """A trace holds the prompt once, in the model's run; LangChain before 1.4 knows no such policy."""
    try:
        from langchain.agents.middleware.types import TracePolicy, omit_payload  # noqa: PLC0415
    except ImportError:
        return None
    return TracePolicy(process_inputs=omit_payload)


class CachepointMiddleware(AgentMiddleware[Any, Any, Any]):
    """Calls the agent's model as `CachedChatBedrockConverse` would: every call carries the right checkpoints.

    For agents where the class can't be swapped. Only the model of the request is another one: messages,
    tools and the agent's state stay as they are. Put it last, so that it also gets the models that
    other middleware choose (`ModelFallbackMiddleware`).

    Beside `BedrockPromptCachingMiddleware` of langchain-aws it takes over and says so once: theirs
    places nothing; a `ttl="1h"` given there holds, where no policy was given here. With `mode="off"`
    theirs stays as it is.

    Args:
        cache_policy: As of `CachedChatBedrockConverse`. A model that is cached already keeps its own
            unless one is given here.
        prompt_cache: As of `CachedChatBedrockConverse`.
        unsupported_model_behavior: What to do with a model that is no `ChatBedrockConverse` (or a
            class derived from it, whose overrides would be lost), or takes no checkpoints: it is called
            as it is (`"ignore"`), with a warning (`"warn"`), or not (`"raise"`).

    Raises:
        ValueError: Where an option holds no valid value; with `"raise"`, at the call.

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
    ) -> None:
        super().__init__()
        if unsupported_model_behavior not in get_args(Behavior):
            raise ValueError(
                f"unsupported_model_behavior is {unsupported_model_behavior!r}; "
                f"use one of {', '.join(map(repr, get_args(Behavior)))}"
            )
        self.cache_policy = CachePolicy.of(cache_policy)
        self.prompt_cache = prompt_cache
        self.unsupported_model_behavior = unsupported_model_behavior

    def wrap_model_call(
        self, request: Request, handler: Callable[[Request], Response]
    ) -> ModelCallResult[Any]:
        """Call the cached model."""
        return handler(self._cached(request))

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> ModelCallResult[Any]:
        """Call the cached model."""
        return await handler(self._cached(request))

    def _cached(self, request: Request) -> Request:
        binding: Any = request.model if isinstance(request.model, RunnableBinding) else None
        model: Any = request.model if binding is None else binding.bound
        refusal = _refusal(model)
        if refusal is not None:
            self._unsupported(refusal)
            return request
        by_hand = binding is not None and "cache_control" in binding.kwargs
        # Built anew for each call (40 µs), so that what is changed on the caller's model holds.
        cached = self._of(model, CachedChatBedrockConverse if by_hand else _TakingOver)
        return request.override(
            model=cast("Any", cached if binding is None else _bound_alike(binding, cached))
        )

    def _of(
        self, model: ChatBedrockConverse, cls: type[CachedChatBedrockConverse]
    ) -> CachedChatBedrockConverse:
        ours: dict[str, Any] = {"cache_policy": self.cache_policy, "prompt_cache": self.prompt_cache}
        if type(model) in _AS_THEY_ARE:
            return cls.from_model(model, **ours)
        return cast(
            "CachedChatBedrockConverse",
            model.model_copy(update={k: v for k, v in ours.items() if v is not None}),
        )

    def _unsupported(self, refusal: str) -> None:
        if self.unsupported_model_behavior == "raise":
            raise ValueError(refusal)
        if self.unsupported_model_behavior == "warn":
            warnings.warn(refusal, stacklevel=4)


class _TakingOver(CachedChatBedrockConverse):
    """Cached, and deaf to the `cache_control` that other middleware puts into a call's settings.

    Theirs may have its turn before ours or after; the model is where both arrive.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """As the public class, so that it is traced as that and loads."""
        return CachedChatBedrockConverse.lc_id()

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """As the public class."""
        return super().get_name(suffix, name=name or self.name or CachedChatBedrockConverse.__name__)

    def _caching(self, kwargs: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        control = kwargs.get("cache_control") or {}
        named = CachePolicy.of(kwargs.get("cache_policy")) or self.cache_policy
        if named is None and self.prompt_cache is not None:
            named = self.prompt_cache.policy
        policy = named or default_policy()
        if control and policy.mode != "off":
            _say_that_it_takes_over()
            kwargs = {k: v for k, v in kwargs.items() if k != "cache_control"}
            # Their default is 5m, so only a 1h was asked for.
            if named is None and control.get("ttl") == "1h":
                kwargs["cache_policy"] = policy.but(ttl="1h")
        return super()._caching(kwargs)


_AS_THEY_ARE = (ChatBedrockConverse, CachedChatBedrockConverse, _TakingOver)


def _refusal(model: Any) -> str | None:
    """Why a model can't be cached here."""
    kind = type(model).__name__
    if not isinstance(model, ChatBedrockConverse):
        return f"CachepointMiddleware caches ChatBedrockConverse, not {kind}: it is called as it is"
    if type(model) not in _AS_THEY_ARE and not isinstance(model, CachedChatBedrockConverse):
        return (
            f"{kind} would lose what it overrides: it is called as it is. Derive it from "
            "cachepoint.langchain.CachedChatBedrockConverse"
        )
    called = model.base_model_id or model.model_id
    if base_model(called) is not None and not rules_for(called).caches:
        return f"no explicit prompt caching is known of {called}: it is called as it is"
    return None


def _bound_alike(binding: Any, model: CachedChatBedrockConverse) -> BoundModel:
    return BoundModel(
        bound=model,
        kwargs=to_bind(dict(binding.kwargs)),
        config=binding.config,
        config_factories=binding.config_factories,
    )


@cache
def _say_that_it_takes_over() -> None:
    logger.warning(
        "CachepointMiddleware places the checkpoints; the cache_control that other middleware "
        "(BedrockPromptCachingMiddleware) puts into the settings of a call is not applied. "
        "One of the two is enough"
    )

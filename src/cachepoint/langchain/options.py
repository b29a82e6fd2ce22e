"""Our options among LangChain's: of a model, of a call, of a binding."""

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from cachepoint.core import options
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.policy import CachePolicy

# Options of one call that begin as ours do: one is, the other is upstream's.
OF_A_CALL = frozenset({"cache_policy", "cache_control"})

_AGENTS = "langchain.agents."
_ON_THE_WAY = ("cachepoint.", "langchain_aws.", "langchain_core.")


class ByRote(dict[str, Any]):
    """A `cache_control` that middleware of an agent put into the settings of a call: not the user's hand."""


def read(name: str, value: Any) -> Any:
    """The value of a field of the model as the model holds it, from what people write.

    Raises:
        ValueError: Where an option of ours holds no valid value.
    """
    if name == "cache_policy":
        return CachePolicy.of(value)
    if name == "prompt_cache" and not isinstance(value, PromptCache | None):
        raise InvalidOptionError(f"prompt_cache is a PromptCache or None, not {type(value)!r}")
    return value


def refuse_misspelt(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that look like an option of ours and are none.

    Raises:
        ValueError: It names the option and the one that was probably meant.
    """
    options.refuse_misspelt(
        names, known, otherwise="; fields of the model go into additional_model_request_fields="
    )


def refuse_in_config(config: Mapping[str, Any]) -> None:
    """Refuse options of ours in a config, where LangChain would drop them.

    Raises:
        ValueError: It names the option and where it belongs.
    """
    for name in config:
        if name in OF_A_CALL:
            raise InvalidOptionError(f"{name!r} is no part of a config: use bind({name}=...)")
        if "cache" in name.lower():
            raise InvalidOptionError(f"{name!r} is no part of a config; options of ours go into bind(...)")


def to_bind(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options as a binding holds them: checked, the policy as plain data, so that they serialise.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """
    refuse_misspelt(kwargs, OF_A_CALL)
    policy = CachePolicy.of(kwargs.get("cache_policy"))
    return kwargs if policy is None else {**kwargs, "cache_policy": policy.options()}


def laid_over(bound: Mapping[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What is being bound, its policy laid over the one that is bound."""
    if kwargs.get("cache_policy") is None or bound.get("cache_policy") is None:
        return kwargs
    policies = (CachePolicy.of(options["cache_policy"]) for options in (bound, kwargs))
    return {**kwargs, "cache_policy": CachePolicy.layered(*policies).options()}


def told_apart(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What is being bound, a `cache_control` marked where an agent binds it.

    `create_agent` hands the settings that middleware made to `bind` and `bind_tools`, where they look like
    what a user binds; who called is all that differs (langchain 1.0 to 1.5, `langchain.agents.factory`).
    """
    control = kwargs.get("cache_control")
    if not isinstance(control, Mapping) or not _caller().startswith(_AGENTS):
        return kwargs
    return {**kwargs, "cache_control": ByRote(control)}


def _caller() -> str:
    """The module that called, behind us and what passes calls on."""
    frame = sys._getframe()  # noqa: SLF001
    while frame.f_back is not None and f"{frame.f_globals.get('__name__')}.".startswith(_ON_THE_WAY):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))

"""Our options among LangChain's: of a model, of a call, of a binding."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from cachepoint.core import options
from cachepoint.core.policy import CachePolicy

# Options of one call that begin as ours do: one is, the other is upstream's.
OF_A_CALL = frozenset({"cache_policy", "cache_control"})


def refuse_misspelt(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that look like an option of ours and are none.

    Raises:
        ValueError: It names the option and the one that was probably meant.
    """
    options.refuse_misspelt(
        names, known, otherwise="; fields of the model go into additional_model_request_fields="
    )


def to_bind(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options as a binding holds them: checked, the policy as plain data, so that they serialise.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """
    refuse_misspelt(kwargs, OF_A_CALL)
    policy = CachePolicy.of(kwargs.get("cache_policy"))
    return kwargs if policy is None else {**kwargs, "cache_policy": asdict(policy)}

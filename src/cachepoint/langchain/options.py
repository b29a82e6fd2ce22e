"""Options of ours that were misspelt: upstream would send them to AWS as fields of the model."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, fields
from difflib import get_close_matches
from typing import Any

from cachepoint.core.policy import CachePolicy

# Options of one call that begin as ours do: one is, the other is upstream's.
OF_A_CALL = frozenset({"cache_policy", "cache_control"})
OURS = ("cache_policy", "prompt_cache")
_POLICY = tuple(f.name for f in fields(CachePolicy))
# Fields of models come near the short ones ("detail" is 0.8 from "tail"); those must match.
_SHORT = 5
_ALIKE = 0.75
_LONG = (*OURS, *(name for name in _POLICY if len(name) > _SHORT))


def refuse_misspelt(names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that look like an option of ours and are none.

    Raises:
        ValueError: It names the option and the one that was probably meant.
    """
    for name in names:
        if name not in known and (hint := _hint(name)) is not None:
            raise ValueError(f"{name!r} is no option here: {hint}")


def to_bind(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Options as a binding holds them: checked, the policy as plain data, so that they serialise.

    Raises:
        ValueError: Where an option of ours is misspelt or holds no valid value.
    """
    refuse_misspelt(kwargs, OF_A_CALL)
    policy = CachePolicy.of(kwargs.get("cache_policy"))
    return kwargs if policy is None else {**kwargs, "cache_policy": asdict(policy)}


def _hint(name: str) -> str | None:
    lower = name.lower()
    if lower in _POLICY:
        return f"write cache_policy={{{lower!r}: ...}}"
    if lower == "cache_control":
        return "it belongs to a call, as in invoke(..., cache_control=...)"
    if lower == "prompt_cache":
        return "it belongs to the constructor"
    near = get_close_matches(lower, _LONG, n=1, cutoff=_ALIKE)
    if near:
        return f"did you mean {_written(near[0])}?"
    if "cach" in lower or "policy" in lower:
        return f"there are {', '.join(OURS)}; fields of the model go into additional_model_request_fields="
    return None


def _written(name: str) -> str:
    return f"{name}=" if name in OURS else f"cache_policy={{{name!r}: ...}}"

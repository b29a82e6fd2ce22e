"""Options of ours that hold no valid value, or were misspelt: these would be sent as fields of the model."""

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any

from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.protocol import Memory
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.digests import Digester

OURS = ("cache_policy", "prompt_cache")
_POLICY = tuple(f.name for f in fields(CachePolicy))
# Fields of models come near the short ones ("detail" is 0.8 from "tail"); those must match.
_SHORT = 5
_ALIKE = 0.75
_LONG = (*OURS, *(name for name in _POLICY if len(name) > _SHORT))


def refuse_misspelt(names: Iterable[str], known: Collection[str], *, otherwise: str = "") -> None:
    """Refuse names that look like an option of ours and are none.

    Args:
        names: What was given.
        known: What may be given.
        otherwise: What is said of a name that is near none of ours, and what else there is.

    Raises:
        ValueError: It names the option and the one that was probably meant.
    """
    for name in names:
        if name not in known and (hint := _hint(name.lower(), otherwise)) is not None:
            raise InvalidOptionError(f"{name!r} is no option here: {hint}")


def refuse_no_request(given: Any) -> None:
    """Refuse what holds no fields of a request.

    Raises:
        ValueError: It names the type.
    """
    if not isinstance(given, Mapping):
        raise InvalidOptionError(
            f"a request is of {type(given)!r}; give the arguments of client.converse, or a body, as a dict"
        )


def memory_of(given: Memory | None) -> Memory:
    """The memory that a `PromptCache` is built with; None: one of this process.

    Raises:
        ValueError: Where it is none.
    """
    if given is None:
        return LocalMemory()
    if not (callable(getattr(given, "recall", None)) and callable(getattr(given, "record", None))):
        raise InvalidOptionError(f"memory is {type(given).__name__!r}; give a cachepoint.memory.Memory")
    return given


def namespace_of(given: str) -> str:
    """What tells accounts apart.

    Raises:
        ValueError: Where it is no text.
    """
    if not isinstance(given, str):
        raise InvalidOptionError(f"namespace is {given!r}; give a text, or leave it out")
    return given


def clock_of(given: Callable[[], float]) -> Callable[[], float]:
    """What tells the time.

    Raises:
        ValueError: Where it can't be called.
    """
    if not callable(given):
        raise InvalidOptionError(f"clock is {given!r}; give a function of no arguments, as time.time")
    return given


def key_of(given: bytes | None, memory: Memory) -> bytes:
    """The key of the digests; None: that of a memory which workers share, else a random one.

    Raises:
        ValueError: Where it is too long or empty, or the memory has another.
    """
    shared: bytes | None = getattr(memory, "key", None)
    if given is None:
        return secrets.token_bytes(32) if shared is None else shared
    if not 1 <= len(given) <= blake2b.MAX_KEY_SIZE:
        raise InvalidOptionError(
            f"the key of the digests has {len(given)} bytes; use 1 to {blake2b.MAX_KEY_SIZE}"
        )
    if shared not in {None, given}:
        raise InvalidOptionError("the memory has a key of its own, which its workers share: leave key= out")
    return given


def older_of(memory: Memory) -> Digester | None:
    """What digests by the key that is being replaced, where a shared memory has one."""
    older: bytes | None = getattr(memory, "older_key", None)
    return None if older is None else Digester(older)


def timeout_of(seconds: float) -> float:
    """Seconds that a call may wait for its memory.

    Raises:
        ValueError: Where it is no number from 0 to 60.
    """
    if not isinstance(seconds, int | float) or not 0 <= seconds <= 60:  # noqa: PLR2004
        raise InvalidOptionError(f"memory_timeout is {seconds!r}; use 0 to 60 seconds")
    return float(seconds)


def _hint(name: str, otherwise: str) -> str | None:
    if name in _POLICY:
        return f"write cache_policy={{{name!r}: ...}}"
    if name == "cache_control":
        return "it belongs to a call, as in invoke(..., cache_control=...)"
    if name == "prompt_cache":
        return "it belongs to the constructor"
    near = get_close_matches(name, _LONG, n=1, cutoff=_ALIKE)
    if near:
        return f"did you mean {_written(near[0])}?"
    if "cach" in name or "policy" in name:
        return f"there are {', '.join(OURS)}{otherwise}"
    return None


def _written(name: str) -> str:
    return f"{name}=" if name in OURS else f"cache_policy={{{name!r}: ...}}"

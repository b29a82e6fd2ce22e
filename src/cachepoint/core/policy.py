"""What a user may choose: by keyword, by environment (CACHEPOINT_*), by call."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import Ttl

Mode = Literal["auto", "off"]
Lifetime = Literal["auto", "5m", "1h"]
Tail = Literal["auto", "always", "never"]
Reorder = Literal["off", "stable_first"]
Split = Literal["learned", "documents", "off"]
FanOut = Literal["single_flight", "warm_first", "off"]
Documents = Literal["auto", "shared", "off"]

ENV_PREFIX = "CACHEPOINT_"


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How checkpoints are placed.

    Args:
        mode: `"auto"` places checkpoints; `"off"` sends the request as it came, byte for byte.
        ttl: How long entries live. A 1h write costs 2.0 times the input price instead of 1.25 and
            pays only where reads fall between 5 and 60 minutes apart: `"auto"` learns where they do,
            per head and per kind of call. `"5m"` and `"1h"` decide it. Falls back to 5m on models
            that know no 1h.
        head_ttl: The TTL of the shared head (tools and system); None: as `ttl`.
        tail: Whether the end of the request is written for the next turn to read. `"auto"` learns
            it per kind of call: conversations and agents are, questions that nothing follows are
            not. `"always"` and `"never"` decide it.

        split: Where one text may be sent as two blocks, so that a checkpoint can stand between what
            returns and what does not; the pieces joined are the text. `"documents"`: where
            retrieved documents end; `"learned"`: there, where texts that follow the same prompt were
            seen to part (a document and its question), and in front of a line of the system prompt
            that changes by the call (a clock); `"off"`: nowhere.
        documents: When retrieved documents are written. `"auto"`: when the same ones come a second
            time; `"shared"`: at once, for one document and many questions; `"off"`: never.
        reorder: `"stable_first"` lets an adapter put the part of a system prompt that stays the
            same in front of the part that changes by the call (LlamaIndex's context chat engines
            put them the other way round). It changes what the model sees, so it is `"off"` unless
            asked for.
        fan_out: What calls do that start with a prefix which another call is writing and which can't
            be read yet. `"single_flight"`: they do not write it again; `"off"`: they do.
            `"warm_first"` is `"single_flight"`, in clients that know how to wait for the first answer.

    Raises:
        ValueError: Where a value is none of those above; it names the value and the choices.
    """

    mode: Mode = "auto"
    ttl: Lifetime = "auto"
    head_ttl: Lifetime | None = None
    tail: Tail = "auto"
    split: Split = "learned"
    documents: Documents = "auto"
    reorder: Reorder = "off"
    fan_out: FanOut = "single_flight"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                allowed = ", ".join(repr(c) for c in choices)
                raise InvalidOptionError(f"CachePolicy.{name} is {value!r}; use one of {allowed}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read what the environment asks for: CACHEPOINT_MODE, CACHEPOINT_TTL, and so on.

        Raises:
            ValueError: Where a variable names no option or holds no valid value.
        """
        env = os.environ if environ is None else environ
        names = {f.name for f in fields(cls)}
        chosen = {
            key.removeprefix(ENV_PREFIX).lower(): value
            for key, value in env.items()
            if key.startswith(ENV_PREFIX) and value
        }
        unknown = sorted(set(chosen) - names)
        if unknown:
            options = ", ".join(sorted(ENV_PREFIX + n.upper() for n in names))
            raise InvalidOptionError(f"{ENV_PREFIX}{unknown[0].upper()} is no option; there are {options}")
        return cls(**chosen)  # type: ignore[arg-type]

    def ttl_of(self, layer: str) -> Lifetime:
        """How long entries of a layer (`"tools"`, `"system"`, `"messages"`) live."""
        return self.ttl if layer == "messages" else self.head_ttl or self.ttl

    @property
    def first_ttl(self) -> Ttl:
        """The TTL of a head of which nothing was learned."""
        asked = self.ttl_of("system")
        return "5m" if asked == "auto" else asked

    @classmethod
    def of(cls, value: "CachePolicy | Mapping[str, Any] | str | None") -> "CachePolicy | None":
        """A policy from what people write: a policy, its fields as a dict, or a mode.

        Raises:
            ValueError: Where a field or a value is unknown.
            TypeError: Where it is none of these.
        """
        if value is None or isinstance(value, CachePolicy):
            return value
        if isinstance(value, str):
            return cls(mode=value)  # type: ignore[arg-type]
        if isinstance(value, Mapping):
            return cls().but(**value)
        raise InvalidOptionError(f"a cache policy is a CachePolicy, a dict or a mode, not {type(value)!r}")

    def but(self, **changes: Any) -> "CachePolicy":
        """This policy with some options changed.

        Raises:
            ValueError: Where an option or a value is unknown.
        """
        names = [f.name for f in fields(self)]
        for name in changes:
            if name not in names:
                raise InvalidOptionError(f"CachePolicy has no option {name!r}; it has {', '.join(names)}")
        return replace(self, **changes)


_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "mode": get_args(Mode),
    "ttl": get_args(Lifetime),
    "head_ttl": (None, *get_args(Lifetime)),
    "tail": get_args(Tail),
    "split": get_args(Split),
    "documents": get_args(Documents),
    "reorder": get_args(Reorder),
    "fan_out": get_args(FanOut),
}


class _Default:
    policy: CachePolicy | None = None


def set_default(policy: CachePolicy | None) -> None:
    """Set the policy of this process; None: what the environment asks for."""
    _Default.policy = policy


def default_policy() -> CachePolicy:
    """The policy set with `configure`, else the one that the environment asks for."""
    return _Default.policy or CachePolicy.from_env()

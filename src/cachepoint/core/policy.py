"""What a user may choose: by keyword, by environment (CACHEPOINT_*), by call."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, Self, TypedDict, Unpack, get_args

from cachepoint.core.drawing import html
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import Ttl

logger = logging.getLogger("cachepoint")

Mode = Literal["auto", "off"]
Lifetime = Literal["auto", "5m", "1h"]
Tail = Literal["auto", "always", "never"]
Explain = Literal["digests", "text"]
Reorder = Literal["off", "stable_first"]
Relocate = Literal["off", "marked", "learned"]
Split = Literal["learned", "documents", "off"]
FanOut = Literal["single_flight", "warm_first", "off"]
Documents = Literal["auto", "shared", "off"]

ENV_PREFIX = "CACHEPOINT_"
# Variables of ours that are no options of a policy.
_OTHERS = frozenset({"CACHEPOINT_MEMORY", "CACHEPOINT_KEY"})


class PolicyOptions(TypedDict, total=False):
    """The options of a `CachePolicy` as a dict, for type checkers and editors; each as there."""

    mode: Mode
    ttl: Lifetime
    head_ttl: Lifetime | None
    tail: Tail
    split: Split
    documents: Documents
    reorder: Reorder
    relocate: Relocate
    fan_out: FanOut
    explain: Explain


class _Given:
    """Which options were named: no field, so that it is in no `asdict`, `==`, `hash` or `repr`."""

    __slots__ = ("given",)

    given: frozenset[str]


@dataclass(frozen=True, slots=True)
class CachePolicy(_Given):
    """How checkpoints are placed.

    Policies are laid over each other, option by option; one that was named, be it with its default,
    holds over what was named before it: the environment (`CACHEPOINT_TTL=1h`), the process
    (`cachepoint.configure`), the `PromptCache`, the client or model, the call. One switch holds over
    all of them: with `CACHEPOINT_MODE=off` in the environment no call is touched.

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
        relocate: What changes by the call is moved by an adapter from where it stands in front of the
            prompt to the end of the newest message of the person, under a label. `"marked"`: lines that hold
            what was marked with `volatile`; `"learned"`: besides, those that were seen to change. It
            changes what the model sees, so it is `"off"` unless asked for. `PromptCache` and
            `CachingClient` move nothing.
        fan_out: What calls do that start with a prefix which another call is writing and which can't
            be read yet. `"single_flight"`: they do not write it again; `"warm_first"`: the clients wait
            for the first event of that call's stream, or for its answer where it does not stream, at
            most ten seconds, and then read it; `"off"`: they write it again.
        explain: What a miss is explained from. `"digests"`: no text is kept, and it names the block and
            the kind; `"text"`: the last text of each conversation is kept in this process, bounded, and
            the miss shows the characters that differ.

    Attributes:
        given: The options that were named. Of a policy that was made of all its fields at once, as
            `dataclasses.replace` and `CachePolicy(**asdict(policy))` do, those that are not the default.

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
    relocate: Relocate = "off"
    fan_out: FanOut = "single_flight"
    explain: Explain = "digests"

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Note which options are named; `__init__` takes them."""
        self = object.__new__(cls)
        names = frozenset([f.name for f in fields(cls)][: len(args)]) | options.keys()
        object.__setattr__(self, "given", names)
        return self

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InvalidOptionError(f"CachePolicy.{name} is {value!r}; use one of {_listed(choices)}")
        if len(self.given) == len(_CHOICES):
            changed = (f.name for f in fields(self) if getattr(self, f.name) != f.default)
            object.__setattr__(self, "given", frozenset(changed))

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_options, (self.options(),)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "CachePolicy":
        """What the environment asks for: CACHEPOINT_MODE, CACHEPOINT_TTL, and so on, in either case.

        A variable that names no option or holds no valid value is passed over with one warning that
        names it: others put such variables there, as Kubernetes does for a service of that name.
        """
        env = os.environ if environ is None else environ
        if environ is not None or not _Default.environment_seen:
            _Default.environment_seen = environ is None
            _warn_unknown(frozenset(key for key in env if key.startswith(ENV_PREFIX)))
        return _asked(tuple([env.get(name, "") for name in _VARIABLES]))

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
            _refuse_unknown(value)
            return cls(**value)
        raise InvalidOptionError(f"a cache policy is a CachePolicy, a dict or a mode, not {type(value)!r}")

    @classmethod
    def layered(cls, *policies: "CachePolicy | None") -> "CachePolicy":
        """The policies laid over each other: of each option what the last one says that names it."""
        naming = [policy for policy in policies if policy is not None and policy.given]
        if not naming:
            return _NAMES_NONE
        if len(naming) == 1:
            return naming[0]
        options: dict[str, Any] = {}
        for policy in naming:
            options |= policy.options()
        return _of_options(options)

    def options(self) -> dict[str, Any]:
        """The options that were named, with their values."""
        return {name: getattr(self, name) for name in _CHOICES if name in self.given}

    def __str__(self) -> str:
        """A line for each option; those that were named are marked."""
        lines = (f"  {name:<11}{value}{'  (named)' if named else ''}" for name, value, named in self._listed)
        return "\n".join(("cache policy", *lines))

    def _repr_html_(self) -> str:
        """For a notebook: the options as a table."""
        rows = ((name, value, "named" if named else "") for name, value, named in self._listed)
        return html.fragment("cache policy", html.table(rows))

    @property
    def _listed(self) -> list[tuple[str, str, bool]]:
        """Each option with its value, as people write it, and whether it was named."""
        values = {name: getattr(self, name) for name in _CHOICES} | {"head_ttl": self.head_ttl or "as ttl"}
        return [(name, value, name in self.given) for name, value in values.items()]

    def but(self, **changes: Unpack[PolicyOptions]) -> "CachePolicy":
        """This policy with some options changed.

        Raises:
            ValueError: Where an option or a value is unknown.
        """
        _refuse_unknown(changes)
        return _of_options(self.options() | dict(changes))


PolicyLike = CachePolicy | PolicyOptions | Mode | None
"""What people write where a policy is asked for: a policy, its options as a dict, or a mode."""


class PolicyField:
    """What type checkers see of a model's `cache_policy`: what people write goes in, a policy comes out."""

    def __get__(self, model: object, owner: type) -> CachePolicy | None:
        """The policy."""

    def __set__(self, model: object, value: PolicyLike) -> None:
        """Set it."""


_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "mode": get_args(Mode),
    "ttl": get_args(Lifetime),
    "head_ttl": (None, *get_args(Lifetime)),
    "tail": get_args(Tail),
    "split": get_args(Split),
    "documents": get_args(Documents),
    "reorder": get_args(Reorder),
    "relocate": get_args(Relocate),
    "fan_out": get_args(FanOut),
    "explain": get_args(Explain),
}

_VARIABLES = {ENV_PREFIX + name.upper(): name for name in _CHOICES}


def variables() -> Mapping[str, tuple[Any, ...]]:
    """What each of the environment's variables for options may hold."""
    return {variable: _CHOICES[name] for variable, name in _VARIABLES.items()}


@lru_cache(maxsize=64)
def _asked(values: tuple[str, ...]) -> CachePolicy:
    options = {}
    for (variable, name), written in zip(_VARIABLES.items(), values, strict=True):
        value = written.strip().lower()
        if value in _CHOICES[name]:
            options[name] = value
        elif value:
            _warn(f"{variable} is {written!r}, passed over; use one of {_listed(_CHOICES[name])}")
    return _of_options(options)


def _of_options(options: Mapping[str, Any]) -> CachePolicy:
    policy = CachePolicy(**options)
    object.__setattr__(policy, "given", frozenset(options))
    return policy


_NAMES_NONE = _of_options({})


def _refuse_unknown(names: Iterable[Any]) -> None:
    for name in names:
        if name not in _CHOICES:
            raise InvalidOptionError(f"CachePolicy has no option {name!r}; it has {', '.join(_CHOICES)}")


def _listed(choices: Iterable[Any]) -> str:
    return ", ".join(map(repr, choices))


@lru_cache(maxsize=64)
def _warn_unknown(names: frozenset[str]) -> None:
    unknown = sorted(names - _VARIABLES.keys() - _OTHERS)
    if unknown:
        near = get_close_matches(unknown[0], _VARIABLES, n=1, cutoff=0.85)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_VARIABLES)}"
        _warn(f"{', '.join(unknown)}: no option of cachepoint, passed over; {hint}")


@lru_cache(maxsize=64)
def _warn(message: str) -> None:
    """Say it once in this process."""
    logger.warning(message)


class _Default:
    policy: CachePolicy | None = None
    environment_seen = False


def set_default(policy: CachePolicy | None) -> None:
    """Set the policy of this process; None: none. It lies on what the environment asks for."""
    _Default.policy = policy


def resolved(*policies: CachePolicy | None) -> CachePolicy:
    """What holds for a call: the environment, the process, and these over them, each over the last.

    Args:
        policies: Those of the cache, the model and the call, in this order; None: names nothing.
    """
    environment = CachePolicy.from_env()
    switch = CachePolicy(mode="off") if environment.mode == "off" else None
    return CachePolicy.layered(environment, _Default.policy, *policies, switch)


def is_named(option: str, *policies: CachePolicy | None) -> bool:
    """Whether anything that holds for a call names an option: a quick look, before it is `resolved`.

    Args:
        option: Its name.
        policies: As for `resolved`.
    """
    named = (policy.given for policy in (_Default.policy, *policies) if policy is not None)
    return ENV_PREFIX + option.upper() in os.environ or any(option in given for given in named)


def default_policy() -> CachePolicy:
    """The policy of what names none of its own: that of the environment and of this process."""
    return resolved()

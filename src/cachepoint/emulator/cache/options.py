"""What can be set: one frozen value for all models, and what lies over it for some."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Any, Literal

from cachepoint.emulator.cache.rules import ModelRules, bare_model, base_model, resolve

__all__ = ["Options", "OptionsByModel"]

_PER = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the local Bedrock behaves. By default as Bedrock is known to, without its accidents.

    Attributes:
        min_tokens: Of a prefix that is kept, in tokens; the model's own if None.
        lookback: How many blocks before a checkpoint an entry is looked for; the model's own if None.
        lifetime_5m: Of an entry of 5m, in seconds.
        lifetime_1h: Of an entry of 1h, in seconds.
        refresh: Whether a read lets an entry's lifetime begin anew.
        over_5m: What a 1h checkpoint keeps where the prefix up to it, or the beginning of that, is read from
            a 5m entry. "own": what is written lives 1h, what was read stays 5m. "5m": what is written lives
            5m too. "1h": what was read lives 1h from then on too. Nobody has published what Bedrock does.
        implicit: Probability, 0 to 1, that a request without checkpoints reads what an earlier one left of
            the same prefix, for the models whose AWS card lists implicit caching (Opus 4.7, 4.8 and 5,
            Sonnet 5 and 5.5, Nova Pro). Nothing is counted as written.
        eviction: Probability, 0 to 1, that an entry is lost in each minute in which nobody uses it.
        reroute: Probability, 0 to 1, that a call on a cross-region profile meets another Region's cache.
        tokens_per_minute: The quota of each model id and Region; None: there is none. A call takes all its
            input and its `maxTokens`, and gives back at its end what it read and did not say.
        requests_per_minute: The same for requests.
        cut_streams: Probability, 0 to 1, that a stream ends before it says why it stopped and what it used.
        latency_base: Seconds to the first token of any answer.
        latency_uncached: Seconds more for each 1,000 tokens that are neither read nor written.
        latency_write: Seconds more for each 1,000 tokens written.
        latency_read: Seconds more for each 1,000 tokens read.

    Raises:
        ValueError: A value is not valid; it names the option and the value.
    """

    min_tokens: int | None = None
    lookback: int | None = None
    lifetime_5m: float = 300.0
    lifetime_1h: float = 3_600.0
    refresh: bool = True
    over_5m: Literal["own", "5m", "1h"] = "own"
    implicit: float = 0.0
    eviction: float = 0.0
    reroute: float = 0.0
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    cut_streams: float = 0.0
    latency_base: float = 0.0
    latency_uncached: float = 0.0
    latency_write: float = 0.0
    latency_read: float = 0.0

    def __post_init__(self) -> None:
        for name, (valid, words) in _VALID.items():
            if not valid(value := getattr(self, name)):
                raise ValueError(f"{name} is {value!r}; use {words}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Options":
        """Options of these names and values.

        Raises:
            ValueError: There is no such option, or a value is not valid.
        """
        return cls().but(values)

    def but(self, values: Mapping[str, Any]) -> "Options":
        """The same with other values for some.

        Raises:
            ValueError: There is no such option, or a value is not valid.
        """
        known = [field.name for field in fields(self)]
        unknown = next((name for name in values if name not in known), None)
        if unknown is not None:
            raise ValueError(f"there is no option {unknown!r}; there are {', '.join(known)}")
        return replace(self, **values) if values else self

    def over(self, rules: ModelRules) -> ModelRules:
        """A model's rules under these options."""
        if self.min_tokens is None and self.lookback is None:
            return rules
        return replace(
            rules,
            min_tokens=rules.min_tokens if self.min_tokens is None else self.min_tokens,
            lookback=rules.lookback if self.lookback is None else self.lookback,
        )

    def lifetime(self, ttl: str) -> float:
        """Seconds that an entry of this TTL lives."""
        return self.lifetime_1h if ttl == "1h" else self.lifetime_5m

    def latency(self, uncached: int, write: int, read: int) -> float:
        """Seconds to the first token of an answer to so many tokens."""
        of_tokens = uncached * self.latency_uncached + write * self.latency_write + read * self.latency_read
        return self.latency_base + of_tokens / _PER


def _is_number(value: Any, least: float, most: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and least <= value <= most
    )


_Rule = tuple[Callable[[Any], bool], str]
_MOST = 1e9
_SHARE: _Rule = (lambda value: _is_number(value, 0, 1), "0 to 1")
_SECONDS: _Rule = (lambda value: _is_number(value, 0, _MOST), "seconds, 0 or more")


def _count(least: int) -> _Rule:
    return (
        lambda value: value is None or (isinstance(value, int) and _is_number(value, least, _MOST)),
        f"a whole number, {least} or more, or None",
    )


_VALID: Mapping[str, _Rule] = {
    "min_tokens": _count(0),
    "lookback": _count(0),
    "lifetime_5m": _SECONDS,
    "lifetime_1h": _SECONDS,
    "refresh": (lambda value: isinstance(value, bool), "True or False"),
    "over_5m": (lambda value: value in ("own", "5m", "1h"), "'own', '5m' or '1h'"),
    "implicit": _SHARE,
    "eviction": _SHARE,
    "reroute": _SHARE,
    "tokens_per_minute": _count(1),
    "requests_per_minute": _count(1),
    "cut_streams": _SHARE,
    "latency_base": _SECONDS,
    "latency_uncached": _SECONDS,
    "latency_write": _SECONDS,
    "latency_read": _SECONDS,
}


@dataclass(frozen=True, slots=True)
class OptionsByModel:
    """Options for every model, and by model id those that lie over them.

    An id without its geography stands for all profiles of the model; what is set for a profile or an ARN lies
    over that.

    Raises:
        ValueError: An id is no model's, or a value is not valid.
    """

    every: Options = field(default_factory=Options)
    by_model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model_id, values in self.by_model.items():
            if resolve(model_id, self.profiles) is None:
                raise ValueError(f"options are given for {model_id!r}, which is no model's id")
            try:
                self.every.but(values)
            except ValueError as error:
                raise ValueError(f"{model_id}: {error}") from None

    def of(self, model_id: str) -> Options:
        """Those that hold for a model id."""
        if not self.by_model:
            return self.every
        base = base_model(model_id, self.profiles)
        options = self.every
        for name in dict.fromkeys((bare_model(base), base, model_id)):
            options = options.but(self.by_model.get(name, {}))
        return options

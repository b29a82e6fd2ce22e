"""What each model allows: the rows of `models.toml` and the way from a model id to its row."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

__all__ = ["ModelRules", "bare_model", "base_model", "geography", "is_cross_region", "resolve"]

_GEOGRAPHY = r"(?:us-gov|us|eu|apac|au|jp|in|ca|sa|global)\."
_VERSION = r"(?:-\d{8})?(?:-v\d+)?(?::[\w:]+)?"
_ARN = re.compile(
    r"arn:aws[\w-]*:bedrock:[\w-]*:(?:\d{12})?:"
    r"(?:foundation-model|inference-profile)/(?P<id>.+)"
)


@dataclass(frozen=True, slots=True)
class ModelRules:
    """One model's row.

    Attributes:
        min_tokens: Of a prefix that is kept; like all sizes here in tokens.
        lookback: In blocks.
        prefill: Whether a conversation may end with the assistant.
        white_text: Whether a text may be white space alone.
        late_system: Whether a system message may stand in the conversation.
        thinking_budget: Whether thinking may be asked for with a budget.
        strict_tools: Whether a tool may be strict.
        refused_schema: The field that is refused where an output schema is given; empty where it is taken.
        body: The form of an InvokeModel body; empty where it is not known here.
        automatic: Whether such a body may ask for automatic caching.
        on_demand: Whether the bare id can be called, or only a profile.
        implicit: Whether the model's card lists implicit caching.
        output_burndown: How many tokens of a quota one token of output takes.
    """

    family: str
    explicit: bool
    min_tokens: int = 0
    max_cached_tokens: int | None = None
    fields: tuple[str, ...] = ()
    ttls: tuple[str, ...] = ()
    max_checkpoints: int = 4
    lookback: int = 0
    cache_details: bool = False
    count_tokens: bool = False
    trailing_tokens: int = 0
    bytes_per_token: float = 4.0
    context_window: int = 128_000
    unsupported: str = "denied"
    prefill: bool = True
    white_text: bool = False
    late_system: bool = False
    thinking_budget: bool = True
    refused_schema: str = ""
    strict_tools: bool = True
    body: str = ""
    automatic: bool = False
    on_demand: bool = True
    implicit: bool = False
    output_burndown: int = 1

    def caches(self, tokens: int) -> bool:
        """Whether a prefix of this many tokens is kept."""
        return self.min_tokens <= tokens <= (self.max_cached_tokens or tokens)


def resolve(model_id: str, profiles: Mapping[str, str] | None = None) -> ModelRules | None:
    """The row of a model id, an inference profile or an ARN; None if Bedrock would not know it."""
    return _row(bare_model(base_model(model_id, profiles or {})))


def base_model(model_id: str, profiles: Mapping[str, str]) -> str:
    """The model id behind an ARN; an application profile is looked up in `profiles`."""
    if model_id in profiles:
        return base_model(profiles[model_id], {})
    arn = _ARN.fullmatch(unquote(model_id))
    return arn["id"] if arn else model_id


def geography(model_id: str) -> str:
    """The area that a profile's id begins with, `us` or `global`; empty where it is no profile of an area."""
    found = re.match(_GEOGRAPHY, base_model(model_id, {}))
    return found[0].removesuffix(".") if found else ""


def is_cross_region(model_id: str, profiles: Mapping[str, str]) -> bool:
    """Whether the id is a profile that picks a Region for each request."""
    return re.match(_GEOGRAPHY, base_model(model_id, profiles)) is not None


def bare_model(model_id: str) -> str:
    """The id without its geography."""
    return re.sub(f"^{_GEOGRAPHY}", "", model_id)


def _row(bare_id: str) -> ModelRules | None:
    return next((row for pattern, row in _table() if pattern.fullmatch(bare_id)), None)


_Row = tuple[re.Pattern[str], ModelRules]


@cache
def _table() -> tuple[_Row, ...]:
    data = tomllib.loads(files(__package__).joinpath("models.toml").read_text("utf-8"))
    return tuple(_read(row, data["families"]) for row in data["models"])


def _read(row: dict[str, Any], families: dict[str, dict[str, Any]]) -> _Row:
    known = {field.name for field in fields(ModelRules)}
    own = {key: value for key, value in row.items() if key in known}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in {"family": row["family"], **families[row["family"]], **own}.items()
    }
    return re.compile(row["match"] + _VERSION), ModelRules(**values)

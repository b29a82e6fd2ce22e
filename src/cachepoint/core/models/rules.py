"""What each model allows. The rows are data (models.toml), each with its source and date."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

Ttl = Literal["5m", "1h"]
Field = Literal["tools", "system", "messages"]

TTL_SECONDS: Mapping[str, int] = {"5m": 300, "1h": 3600}

# AWS: "approximately 20 content blocks" (user guide, 2026-10). Measured on Bedrock: 21 added blocks
# still hit, 22 miss (CacheCanary 0.4.0, 2026-10). Counted the strict way, the mark's own block is one.
LOOKBACK_BLOCKS = 19
MAX_CHECKPOINTS = 4

# Region prefixes of inference profiles (LiteLLM 1.109.1's price map and AWS's model cards, 2026-11).
_PREFIX = re.compile(r"^(us-gov|us|eu|apac|au|jp|in|ca|sa|global)\.")
_ARN = re.compile(r"^arn:aws[\w-]*:bedrock:[\w-]*:\d*:(?P<kind>[\w-]+)/(?P<name>.+)$")
# Kinds of ARN whose last part is the model's id, behind a Region's prefix or none.
_NAMED = frozenset({"foundation-model", "inference-profile"})


@dataclass(frozen=True, slots=True)
class ModelRules:
    """One row of models.toml. Token figures are tokens; multipliers are of the input price."""

    name: str
    pattern: str
    provider: str
    explicit: bool
    source: str
    checked: str
    status: str = "active"
    implicit: bool | None = None
    min_tokens: int = 0
    min_tokens_safe: int = 0
    fields: tuple[Field, ...] = ()
    ttls: tuple[Ttl, ...] = ()
    max_cached_tokens: int | None = None
    lookback: int = LOOKBACK_BLOCKS
    bytes_per_token: float = 4.0
    count_tokens: bool | None = None
    output_burndown: int | None = None
    multipliers: Mapping[str, float] = field(default_factory=dict)
    confidence: str = "low"
    notes: str = ""

    @property
    def caches(self) -> bool:
        """Whether a checkpoint in a Converse request does anything on this model."""
        return self.explicit and bool(self.fields)

    @property
    def is_nova(self) -> bool:
        """Nova has refusals of its own: no tools, no 1h, no message with tool blocks (pi#2053, 2026-03)."""
        return self.provider == "amazon"


UNKNOWN = ModelRules(
    name="unknown model",
    pattern="",
    provider="unknown",
    explicit=False,
    source="no row in models.toml",
    checked="",
)


def base_model(model_id: str) -> str | None:
    """The base model behind an id, a cross-region profile or an ARN; None where it can't be seen.

    Application inference profiles hide their model: resolve them with `bedrock:GetInferenceProfile`
    or name the base model.
    """
    kind, name = _kind(model_id)
    return _PREFIX.sub("", name) if kind in _NAMED else None


def is_hidden(model_id: str) -> bool:
    """Whether the id names an application inference profile, whose model Bedrock tells if it is asked.

    Of what else hides its model (prompts, routers, custom, imported and provisioned models, SageMaker
    endpoints) `GetInferenceProfile` knows nothing.
    """
    return _kind(model_id)[0] == "application-inference-profile"


def known_as(called: str, base: str | None) -> str:
    """The id whose row and prices hold for a call.

    Args:
        called: The id that is called.
        base: The model behind it, as it was named or as Bedrock told it.

    Returns:
        `base` where `called` hides its model; not for provisioned throughput, which is paid by the hour
        and caches nothing (AWS user guide, prompt caching, 2026-10: on-demand inference only).
    """
    kind, _ = _kind(called)
    return called if not base or kind in _NAMED or kind == "provisioned-model" else base


def _kind(model_id: str) -> tuple[str, str]:
    """What an ARN names, and how; a plain id is a `foundation-model`, an ARN of another service no kind."""
    arn = _ARN.match(model_id)
    if arn is not None:
        return arn["kind"], arn["name"]
    return ("", "") if model_id.startswith("arn:") else ("foundation-model", model_id)


def shown(model_id: object) -> str:
    """A model id for a line of a log: what would break the line is escaped."""
    text = str(model_id)
    return text if text.isprintable() else repr(text)[1:-1]


@lru_cache(maxsize=512)
def rules_for(model_id: str) -> ModelRules:
    """The row of a model id, cross-region profile or ARN; `UNKNOWN` where there is none."""
    base = base_model(model_id)
    if base is None:
        return UNKNOWN
    return next((row for row in table() if re.match(row.pattern, base)), UNKNOWN)


@cache
def table() -> tuple[ModelRules, ...]:
    """Every row of models.toml, in the order in which they are tried."""
    text = files("cachepoint.core.models").joinpath("models.toml").read_text("utf-8")
    return tuple(_row(raw) for raw in tomllib.loads(text)["models"])


def _row(raw: dict[str, Any]) -> ModelRules:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    values["checked"] = str(values["checked"])
    values.setdefault("min_tokens_safe", values.get("min_tokens", 0))
    return ModelRules(**values)

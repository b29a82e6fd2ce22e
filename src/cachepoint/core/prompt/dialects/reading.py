"""What a dialect brings back from the wire, and what both wire forms share."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from cachepoint.core.prompt.prefix import RawBlock

Marks = Mapping[tuple[str, tuple[int, ...]], Any]
Touched = AbstractSet[tuple[str | int, ...]] | None
Cuts = Mapping[tuple[str, tuple[int, ...]], int]

# Measured on Bedrock (CacheCanary 0.4.0, Sonnet 4.6, 2026-10): a change of thinking or effort loses
# everything, the system included; absent, disabled and effort "high" are the same.
_EFFORT_FIELDS = ("thinking", "reasoning_config", "reasoningConfig", "output_config", "effort")


@dataclass(frozen=True, slots=True)
class Reading:
    """A request read off the wire.

    `invalidates` is what a change of which loses everything (thinking, effort), `turn` what loses
    only the messages (a forced tool choice); `refusal` says why no checkpoint may be sent at all.
    """

    raw: list[RawBlock]
    invalidates: str
    turn: str
    orphans: int
    refusal: str | None = None


def effort_settings(fields: Mapping[str, Any] | None) -> str:
    """The thinking and effort settings in one normal form; empty where they are the default."""
    found = {k: _normal(v) for k, v in (fields or {}).items() if k in _EFFORT_FIELDS}
    live = {k: v for k, v in found.items() if v}
    return json.dumps(live, sort_keys=True, default=repr) if live else ""


def _normal(value: Any) -> Any:
    if value == "high":
        return None
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "disabled":
        return None
    return {k: v for k, v in value.items() if not (k == "effort" and v == "high")}

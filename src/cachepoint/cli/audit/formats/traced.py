"""What the exports of tracers have in common: JSON in texts, times, and how a call of Bedrock's is told."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cachepoint.cli.audit.formats.logged import UnusableError
from cachepoint.core.models.rules import base_model

NO_CALL = "no call of Bedrock's"
# Larger numbers are milliseconds: as seconds they would be after the year 5000.
_MOST_SECONDS = 1e11
_ARN = re.compile(r"^arn:aws[\w-]*:bedrock:(?P<region>[\w-]*):(?P<account>\d*):")
# Bedrock names its models with their maker in front: `anthropic.claude-…`; nobody else does.
_MADE_BY = re.compile(r"^[a-z][a-z0-9]*\.[a-z]")


def parsed(value: Any) -> Any:
    """What a text of JSON holds; anything else as it is.

    Exports in Parquet or CSV, and Langfuse's in JSON too, keep nested values as text.
    """
    if not isinstance(value, str) or value[:1] not in {"{", "[", '"'}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def part(value: Any, *names: str) -> Mapping[str, Any]:
    """The object that lies under these names, one in the other, also as text; empty where none does."""
    found = parsed(value)
    for name in names:
        found = parsed(found.get(name)) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def first_text(values: Iterable[Any]) -> str:
    """The first of these that is a text and not empty; empty where none is."""
    return next((text for value in values if isinstance(text := parsed(value), str) and text), "")


def moment(value: Any) -> float:
    """Seconds since 1970.

    Args:
        value: ISO 8601, in UTC where it names no zone, or a number of seconds or milliseconds.

    Raises:
        UnusableError: Where it is none.
    """
    try:
        seconds = _iso(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise UnusableError("no time") from None
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds <= 0:
        raise UnusableError("no time")
    return seconds / 1_000 if seconds > _MOST_SECONDS else seconds


@lru_cache(maxsize=4_096)
def _iso(value: str) -> float:
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def since(began: float, value: Any) -> float | None:
    """Seconds from a call's beginning until a time; None where there is none, or it is before."""
    try:
        passed = moment(value) - began
    except UnusableError:
        return None
    return passed if passed >= 0 else None


def of_bedrock(provider: str, model: str) -> str:
    """A model's id, where the call was Bedrock's.

    Args:
        provider: As LangChain names it (`ls_provider`: `amazon_bedrock`, `anthropic-bedrock`); empty where
            the tracer was another, and the id must tell.
        model: The model's id.

    Raises:
        UnusableError: Where it was another's, or names no model.
    """
    if not (_is_bedrocks(provider) if provider else _is_id(model)):
        raise UnusableError(NO_CALL)
    if not model:
        raise UnusableError("no model")
    return model


def _is_bedrocks(provider: str) -> bool:
    # `anthropic-mantle` is Bedrock's other endpoint (langchain-aws 1.9.1).
    return "bedrock" in provider.lower() or provider == "anthropic-mantle"


def _is_id(model: str) -> bool:
    return bool(_ARN.match(model) or _MADE_BY.match(base_model(model) or ""))


def place(model: str, region: str) -> tuple[str, str]:
    """Region and account, as far as the model's ARN or the record tells."""
    arn = _ARN.match(model)
    return (region or arn["region"], arn["account"]) if arn else (region, "")

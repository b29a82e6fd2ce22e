"""The model that people mean: ids as other programs write them, names; and what is near a typo."""

import re
import time
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

from cachepoint.core.accounting.pricing import prices
from cachepoint.core.models.rules import ModelRules, base_model, rules_for, table

# Bedrock's ids of the models whose id is more than their name (AWS user guide, "Supported foundation models",
# 2026-11). Nova's end in `:0`, all others in nothing.
_FULL = {
    "anthropic.claude-opus-4-6": "anthropic.claude-opus-4-6-v1",
    "anthropic.claude-opus-4-5": "anthropic.claude-opus-4-5-20251101-v1:0",
    "anthropic.claude-opus-4-1": "anthropic.claude-opus-4-1-20250805-v1:0",
    "anthropic.claude-opus-4": "anthropic.claude-opus-4-20250514-v1:0",
    "anthropic.claude-sonnet-4-5": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-sonnet-4": "anthropic.claude-sonnet-4-20250514-v1:0",
    "anthropic.claude-3-7-sonnet": "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "anthropic.claude-haiku-4-5": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "anthropic.claude-3-5-haiku": "anthropic.claude-3-5-haiku-20241022-v1:0",
}
_ENDINGS = re.compile(r"\(\?:[^()]*\)\?|[\^$\\]")
_VERSION = re.compile(r"-v\d+(?::\d+)?$")
_NOTE = re.compile(r"\(.*\)")
_BETWEEN = re.compile(r"[^a-z0-9]+")
_SUGGESTED = 3


def model_id(text: str) -> str:
    """The id of the model that is meant.

    Args:
        text: An id, a cross-region profile or an ARN, in any case, with what LangChain (`bedrock_converse:`)
            or LiteLLM (`bedrock/converse/`) puts in front; an id without its provider; a name as
            `cachepoint models` prints it.

    Raises:
        ValueError: Where it is no model that is known; it names those that are near.
    """
    text = text.strip()
    if text.startswith("arn:"):
        return _of_arn(text)
    meant = next((found for written in _written(text) if (found := _found(written))), None)
    if meant is None:
        raise ValueError(f"no model {text!r} is known{_nearest(text)}")
    return meant


def complete(begun: str) -> list[str]:
    """The ids that go on from what was begun, for a shell's completion; a Region's prefix stays."""
    region, base = _parted(begun.lower())
    return [region + known for known in dict.fromkeys(_names().values()) if known.startswith(base)]


def ids_of(row: ModelRules) -> str:
    """The id that Bedrock gives a row's model; empty for a row of several models."""
    return next((known for known in _names().values() if rules_for(known) is row), "")


def named_by(row: ModelRules, part: str) -> bool:
    """Whether a row's name or id has this part, in whatever spelling."""
    key = _key(part)
    return bool(key) and any(key in _key(name) for name in (row.name, ids_of(row)))


def own_row(row: ModelRules) -> bool:
    """Whether a row is a model's own, not that of all others."""
    return row.provider not in {"other", "unknown"}


def _of_arn(arn: str) -> str:
    base = base_model(arn)
    if base is None:
        raise ValueError(f"{arn!r} hides its model; give the id of the model behind it")
    if not _is_known(base):
        raise ValueError(f"no model {base!r} is known{_nearest(base)}")
    return arn


def _written(text: str) -> Iterator[str]:
    small = text.lower()
    yield small
    yield small.rpartition("/")[2]
    yield small.partition(":")[2]


def _found(text: str) -> str | None:
    if _is_known(text):
        return text
    region, base = _parted(text)
    known = _names().get(_key(base))
    return None if known is None else region + known


def _is_known(text: str) -> bool:
    """Whether it is the id of a model with a row, or a priced one of a seller whose models have none."""
    if own_row(rules_for(text)):
        return True
    seller, dot, _ = _parted(text)[1].partition(".")
    other = bool(dot) and seller.isalnum() and seller not in _sellers()
    return other and prices(text, time.time()) is not None


def _parted(text: str) -> tuple[str, str]:
    base = base_model(text) or ""
    return text.removesuffix(base), base


def _key(text: str) -> str:
    return _BETWEEN.sub("-", _NOTE.sub("", text.lower())).strip("-")


@cache
def _names() -> dict[str, str]:
    """Ids by what people write for them: the id, without its seller, its date, its version; the name."""
    names: dict[str, str] = {}
    for row in table():
        stem = _ENDINGS.sub("", row.pattern)
        # A row of several models has no id of its own.
        if not own_row(row) or "(" in stem or not row.pattern.endswith("$"):
            continue
        known = _FULL.get(stem, f"{stem}:0" if row.is_nova else stem)
        for text in (known, _VERSION.sub("", known), stem):
            names.setdefault(_key(text), known)
            names.setdefault(_key(text.partition(".")[2]), known)
        names.setdefault(_key(row.name), known)
    return names


@cache
def _sellers() -> frozenset[str]:
    return frozenset(known.partition(".")[0] for known in _names().values())


def _nearest(text: str) -> str:
    region, base = _parted(text.lower())
    near = dict.fromkeys(region + _names()[name] for name in _near(_key(base)))
    if not near:
        return "; `cachepoint models` lists those that are"
    *first, last = map(repr, list(near)[:_SUGGESTED])
    return f"; do you mean {', '.join(first)}{' or ' if first else ''}{last}?"


def _near(key: str) -> list[str]:
    """Names that have all words of a text, then those that are spelt like it."""
    words = set(key.split("-"))
    return [
        *(name for name in _names() if words <= set(name.split("-"))),
        *get_close_matches(key, _names(), n=2 * _SUGGESTED),
    ]

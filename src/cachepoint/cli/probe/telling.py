"""What was found, in lines, as JSON, and as a row of models.toml."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import date
from typing import Any

from cachepoint.cli.probe.asking import Finding
from cachepoint.core.models.rules import ModelRules

_FOUND = ("min_tokens", "lookback")
_TITLES = {
    "min_tokens": "minimum, tokens",
    "lookback": "lookback, blocks",
    "lifetime_5m": "lifetime of 5m, seconds",
    "lifetime_1h": "lifetime of 1h, seconds",
    "refresh": "a read lets an entry live on",
    "refresh_below_marked": "and a shorter one, with a checkpoint",
    "refresh_below_unmarked": "and a shorter one, without",
    "over_5m": "what a 1h tail over a 5m entry keeps",
    "eviction": "lost early, per minute",
    "loses_thinking": "thinking loses",
    "loses_effort": "effort loses",
    "loses_schema": "an output schema loses",
    "loses_tool_choice": "tool choice loses",
    "loses_guard": "a guard block loses",
    "documents_read_whole": "document and question apart read the whole",
    "whole_reads_documents": "the whole reads a document apart",
    "backfill": "a checkpoint over an entry leaves its own",
    "honours_1h": "1h is honoured",
    "ttl_in_key": "entries are told apart by TTL",
}


def lines(found: Mapping[str, Finding]) -> Iterator[str]:
    """One finding a line."""
    for name, title in _TITLES.items():
        yield f"{title:<44} {line(found[name]) if name in found else 'not asked'}"


def line(finding: Finding) -> str:
    """A finding in words."""
    value = "unknown" if finding.value is None else _written(finding.value)
    value = "refused" if finding.state == "refused" else value
    low, high = (None if end is None else _written(end) for end in (finding.low, finding.high))
    ends = "" if low is None and high is None else f" ({low or '?'} to {high or '?'})"
    return f"{value}{ends}{'; ' if finding.note else ''}{finding.note}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value)


def differences(found: Mapping[str, Finding], emulated: Mapping[str, Finding]) -> list[tuple[str, Any, Any]]:
    """Name, what was found, and what the emulator does, where they are not the same."""
    pairs = ((one, emulated[name]) for name, one in found.items() if name in emulated)
    return [(one.name, _of(one), _of(other)) for one, other in pairs if _differ(one, other)]


def _of(finding: Finding) -> Any:
    return "refused" if finding.state == "refused" else finding.value


def _differ(one: Finding, other: Finding) -> bool:
    if one.state not in ("found", "refused") or other.state not in ("found", "refused"):
        return False
    if one.name == "eviction":
        return not (one.low or 0) <= other.value <= (one.high or 0)
    return bool(_of(one) != _of(other))


def row(rules: ModelRules, found: Mapping[str, Finding], day: date) -> str:
    """The model's row with what was found; empty where nothing was found that has a place in it."""
    known = {name: found[name].value for name in _FOUND if name in found and found[name].state == "found"}
    honoured = found.get("honours_1h")
    if honoured and honoured.state == "found":
        known["ttls"] = ("5m", "1h") if honoured.value else ("5m",)
    if not known:
        return ""
    # The safe minimum is the one that was found.
    safe = {"min_tokens_safe": known["min_tokens"]} if "min_tokens" in known else {}
    new = replace(
        rules, **known, **safe, source="cachepoint probe", checked=day.isoformat(), confidence="high"
    )
    kept = [name for name in (*_FOUND, "ttls") if name not in known]
    said = [f"# {name} was not found out and is as it was" for name in kept]
    return "\n".join([*said, "[[models]]", *_pairs(new, {*known, "explicit", "status"})])


def _pairs(rules: ModelRules, always: set[str]) -> Iterator[str]:
    for each in fields(rules):
        value = getattr(rules, each.name)
        if each.name in always or value not in (each.default, (), {}, None):
            yield f"{each.name} = {_toml(each.name, value)}"


def _toml(name: str, value: Any) -> str:
    if name == "checked":
        return str(value)
    if name == "pattern":
        return f"'{value}'"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {number}" for key, number in value.items()) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)

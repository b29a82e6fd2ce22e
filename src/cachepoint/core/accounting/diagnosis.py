"""Expected against actual: why a call read less than it could have, and where in the prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.memory.records import Trace
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.prefix import Prefix

# The first four are the vocabulary of Anthropic's cache diagnostics, which Bedrock does not have.
Cause = Literal[
    "model_changed",
    "tools_changed",
    "system_changed",
    "messages_changed",
    "first_write",
    "expired",
    "below_minimum",
    "lookback_exceeded",
    "in_flight",
    "settings_changed",
    "evicted_or_rerouted",
    "not_marked",
]

# A prefix differs by a token with what follows it (recorded Converse calls of pydantic-ai, 2025-12);
# less is a real miss.
TOLERANCE = 0.95


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a call read less than it could have.

    `where` is the first block that differs or was not found, `tokens` how many more tokens could
    have been read (None: not known), `detail` names what changes there, such as "a time of day".
    """

    cause: Cause
    where: str | None = None
    tokens: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """All that a diagnosis looks at."""

    prefix: Prefix
    view: View
    plan: Plan
    rules: ModelRules
    trace: Trace
    before: Trace | None
    changing: str | None = None
    rewritten: Mapping[int, str] = field(default_factory=dict)


def diagnose(case: Case, usage: Usage) -> Miss | None:
    """The reason why a call read less than it could have; None where it read all.

    Args:
        case: The call as it was planned.
        usage: What Bedrock reported.
    """
    silent = usage.read_tokens is None or not usage.input_tokens
    if silent and case.plan.checkpoints:
        # Nothing was said of the cache, or nothing was processed: a guardrail blocked the turn.
        return None
    read = usage.read_tokens or 0
    found = (test(case, read) for test in (_lost, _volatile, _unmarked, _out_of_reach, _changed, _summarised))
    return next(filter(None, found), None if read else _cold(case, usage))


def _lost(case: Case, read: int) -> Miss | None:
    """What the memory says is there, and was not read."""
    expected = case.plan.expected_read_tokens
    if expected is None or read >= TOLERANCE * expected:
        return None
    return Miss("evicted_or_rerouted", _at(case, case.plan.expected_from), expected - read)


def _out_of_reach(case: Case, read: int) -> Miss | None:
    """An entry that no checkpoint's lookback reaches."""
    deepest = case.view.anchor
    reached = -1 if case.plan.expected_from is None else case.plan.expected_from
    if reached >= deepest:
        return None
    tokens = case.view.entries[deepest].tokens
    return Miss("lookback_exceeded", _at(case, deepest), tokens and tokens - read)


def _at(case: Case, index: int | None) -> str | None:
    return None if index is None else case.prefix.blocks[index].where


def _volatile(case: Case, _: int) -> Miss | None:
    """A head that changes by the call and never came back."""
    if case.changing is None:
        return None
    index = next((i for i, b in enumerate(case.prefix.blocks) if b.ends == "volatile"), None)
    if index is None or case.prefix.head - 1 in case.view.entries:
        return None
    return Miss("system_changed", _at(case, index), detail=case.changing)


def _unmarked(case: Case, _: int) -> Miss | None:
    if case.plan.checkpoints:
        return None
    if any(place.writing(case.view.now) for place in case.view.entries.values()):
        return Miss("in_flight")
    below = (case.plan.note or "").startswith("below")
    return Miss("below_minimum" if below else "not_marked")


def _changed(case: Case, _: int) -> Miss | None:
    """What keeps this request from extending the one before it in its conversation."""
    before, now = case.before, case.trace
    if before is None or not before.digests:
        return None
    if now.extends(before):
        return None
    same = now.common(before)
    # A head that is known by itself belongs to another conversation that happens to begin alike.
    known_head = case.prefix.head and case.prefix.head - 1 in case.view.entries
    for cause, differs in (
        ("model_changed", before.model != now.model),
        ("settings_changed", before.settings != now.settings),
        ("tools_changed", before.parts[0] != now.parts[0]),
        ("system_changed", before.parts[1] != now.parts[1]),
    ):
        if differs:
            where = _at(case, same if same < len(now) else None)
            return None if known_head else Miss(cause, where)  # type: ignore[arg-type]
    if same >= len(now):
        return None
    return Miss("messages_changed", _at(case, same), detail=case.rewritten.get(same))


def _summarised(case: Case, _: int) -> Miss | None:
    """A summary in the place of the first message makes it look like a new conversation."""
    first = case.prefix.head
    what = case.rewritten.get(first)
    if case.before is not None or what != "history summarised":
        return None
    return Miss("messages_changed", _at(case, first), detail=what)


def _cold(case: Case, usage: Usage) -> Miss | None:
    """Nothing was read, and nothing the caller did explains it."""
    if usage.write_tokens == 0:
        return Miss("below_minimum")
    entries = case.view.entries
    held = [
        c.index for c in case.plan.checkpoints if c.index in entries and entries[c.index].held(case.view.now)
    ]
    if held:
        return Miss("in_flight", _at(case, held[-1]))
    dead = [i for i in entries if entries[i].expires]
    if dead:
        return Miss("expired", _at(case, dead[-1]), entries[dead[-1]].tokens)
    return Miss("first_write")

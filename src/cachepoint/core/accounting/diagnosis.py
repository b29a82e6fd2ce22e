"""Expected against actual: why a call read less than it could have, and where in the prompt."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

from cachepoint.core.accounting.usage import Usage
from cachepoint.core.memory.mirror import View
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.planner import Plan
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

# A prefix differs by a token with what follows it (bedrock-facts §11.12); less is a real miss.
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
class Trace:
    """What is kept of a request to hold the next one against: digests, no text."""

    model: str
    settings: bytes
    parts: tuple[bytes, bytes, bytes]
    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, prefix: Prefix, model: str) -> "Trace":
        """The trace of a request."""
        return cls(model, prefix.settings, prefix.parts, prefix.digests)


class Recent:
    """The last request of each conversation, known by its first message. Bounded."""

    def __init__(self, capacity: int = 512) -> None:
        self._traces: OrderedDict[bytes, Trace] = OrderedDict()
        self._capacity = capacity

    def swap(self, trace: Trace) -> Trace | None:
        """Keep this one; return the one before it of the same conversation."""
        conversation = trace.parts[2]
        before = self._traces.pop(conversation, None)
        self._traces[conversation] = trace
        while len(self._traces) > self._capacity:
            self._traces.popitem(last=False)
        return before


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
    read = usage.read_tokens or 0
    expected = case.plan.expected_read_tokens
    if expected is not None and read < TOLERANCE * expected:
        return Miss("evicted_or_rerouted", _at(case, case.plan.expected_from), expected - read)
    if case.changing is not None and (blocked := _volatile(case)) is not None:
        return blocked
    if not case.plan.checkpoints:
        return _unmarked(case)
    out_of_reach = _deepest_live(case)
    if (
        out_of_reach is not None
        and (-1 if case.plan.expected_from is None else case.plan.expected_from) < out_of_reach
    ):
        tokens = case.view.entries[out_of_reach].tokens
        return Miss("lookback_exceeded", _at(case, out_of_reach), tokens and tokens - read)
    changed = _changed(case) or _summarised(case)
    if changed is not None:
        return changed
    return None if read else _cold(case, usage)


def _at(case: Case, index: int | None) -> str | None:
    return None if index is None else case.prefix.blocks[index].where


def _volatile(case: Case) -> Miss | None:
    """A head that changes by the call and never came back."""
    index = next((i for i, b in enumerate(case.prefix.blocks) if b.ends == "volatile"), None)
    if index is None or case.prefix.head - 1 in case.view.entries:
        return None
    return Miss("system_changed", _at(case, index), detail=case.changing)


def _unmarked(case: Case) -> Miss:
    below = (case.plan.note or "").startswith("below")
    return Miss("below_minimum" if below else "not_marked")


def _deepest_live(case: Case) -> int | None:
    return max(case.view.live, default=None)


def _changed(case: Case) -> Miss | None:
    """What keeps this request from extending the one before it in its conversation."""
    before, now = case.before, case.trace
    if before is None or not before.digests:
        return None
    if len(before.digests) <= len(now.digests) and now.digests[len(before.digests) - 1] == before.digests[-1]:
        return None
    same = sum(1 for _ in takewhile(lambda p: p[0] == p[1], zip(before.digests, now.digests, strict=False)))
    # A head that is known by itself belongs to another conversation that happens to begin alike.
    known_head = case.prefix.head and case.prefix.head - 1 in case.view.entries
    for cause, differs in (
        ("model_changed", before.model != now.model),
        ("settings_changed", before.settings != now.settings),
        ("tools_changed", before.parts[0] != now.parts[0]),
        ("system_changed", before.parts[1] != now.parts[1]),
    ):
        if differs:
            where = _at(case, same if same < len(now.digests) else None)
            return None if known_head else Miss(cause, where)  # type: ignore[arg-type]
    if same >= len(now.digests):
        return None
    return Miss("messages_changed", _at(case, same), detail=case.rewritten.get(same))


def _summarised(case: Case) -> Miss | None:
    """A summary in the place of the first message makes it look like a new conversation."""
    first = case.prefix.head
    what = case.rewritten.get(first)
    if case.before is not None or what != "history summarised":
        return None
    return Miss("messages_changed", _at(case, first), detail=what)


def _cold(case: Case, usage: Usage) -> Miss | None:
    """Nothing was read, and nothing the caller did explains it."""
    if not usage.write_tokens:
        return Miss("below_minimum")
    entries = case.view.entries
    marked = [c.index for c in case.plan.checkpoints if c.index in entries]
    if any(entries[i].writing for i in marked):
        return Miss("in_flight", _at(case, marked[-1]))
    dead = [i for i in entries if entries[i].expires]
    if dead:
        return Miss("expired", _at(case, dead[-1]), entries[dead[-1]].tokens)
    return Miss("first_write")

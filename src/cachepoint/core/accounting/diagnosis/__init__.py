"""Expected against actual: why a call read less than it could have, and where in the prompt."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from cachepoint.core.accounting.diagnosis.breaks import Break, broken
from cachepoint.core.accounting.diagnosis.remedies import remedy
from cachepoint.core.accounting.diagnosis.said import Said
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted
from cachepoint.core.memory.records import Trace
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.question import CHOICE, differing
from cachepoint.core.placement.thread import Thread
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.prefix import Prefix
from cachepoint.core.prompt.rewriting import SUMMARISED

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
_TEXTS = frozenset({"before", "after"})


@dataclass(frozen=True, slots=True)
class Miss:
    """Why a call read less than it could have.

    Attributes:
        cause: The cause.
        where: The first block that differs or was not found.
        tokens: How many more tokens could have been read; None: not known.
        detail: What changed there, such as "a time of day".
        at: The character of that block from which on it may differ, where it is a text of the head.
        remedy: What to do, in a sentence.
        before: The text that stood there; only with `CachePolicy(explain="text")`.
        after: The text that stands there now; likewise.
    """

    cause: Cause
    where: str | None = None
    tokens: int | None = None
    detail: str | None = None
    at: int | None = None
    remedy: str = ""
    before: str | None = None
    after: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything but texts, which stay in this process."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TEXTS}

    def __str__(self) -> str:
        lost = "" if self.tokens is None else f", {counted(self.tokens, 'token')} lost"
        place = "" if self.where is None else f" at {self.where}"
        place += "" if self.at is None else f", character {self.at:,}"
        what = "" if self.detail is None else f" ({self.detail})"
        return f"{self.cause}{place}{what}{lost}"


@dataclass(frozen=True, slots=True)
class Case:
    """All that a diagnosis looks at."""

    prefix: Prefix
    said: Said
    view: View
    plan: Plan
    trace: Trace
    thread: Thread
    changing: str | None = None
    head_tokens: int = 0


def diagnose(case: Case, usage: Usage) -> Miss | None:
    """The reason why a call read less than it could have; None where it read all.

    Args:
        case: The call as it was planned.
        usage: What Bedrock reported.
    """
    if usage.read_tokens is None or not usage.input_tokens:
        # Nothing was said of the cache, or nothing was processed: a guardrail blocked the turn.
        return None
    read = usage.read_tokens
    tests = (_lost, _expired, _changed, _out_of_reach, _volatile, _unlike_kin, _summarised, _unmarked)
    found = (test(case, usage, read) for test in tests)
    return next(filter(None, found), None if read else _cold(case, usage))


def _miss(
    case: Case,
    cause: Cause,
    index: int | None = None,
    tokens: int | None = None,
    detail: str | None = None,
    *,
    kind: str = "",
    at: int | None = None,
) -> Miss:
    return Miss(cause, _at(case, index), tokens, detail, at, remedy(cause, kind))


def _at(case: Case, index: int | None) -> str | None:
    return None if index is None or index >= len(case.prefix.blocks) else case.prefix.blocks[index].where


def _lost(case: Case, _: Usage, read: int) -> Miss | None:
    """What the memory says is there, and was not read."""
    expected, index = case.plan.expected_read_tokens, case.plan.expected_from
    if expected is None or read >= TOLERANCE * expected:
        return None
    if names := _unlisted(case):
        return _miss(case, "settings_changed", index, expected - read, ", ".join(names))
    return _miss(case, "evicted_or_rerouted", index, expected - read)


def _unlisted(case: Case) -> list[str]:
    """The settings of which nobody knows what they lose, and that differ from those of the request before."""
    before = case.thread.before
    if before is None or before.seed != case.trace.seed:
        return []
    return [name for name in differing(before.settings, case.trace.settings) if name != CHOICE]


def _out_of_reach(case: Case, _: Usage, read: int) -> Miss | None:
    """An entry that no checkpoint's lookback reaches."""
    deepest = case.view.anchor
    reached = -1 if case.plan.expected_from is None else case.plan.expected_from
    if reached >= deepest or not case.plan.checkpoints:
        return None
    tokens = case.view.entries[deepest].tokens
    if tokens is not None and read >= TOLERANCE * tokens:
        return None
    return _miss(case, "lookback_exceeded", deepest, tokens and tokens - read)


def _could(case: Case, usage: Usage, read: int) -> int:
    """Tokens that the request before left in the cache and that were not read."""
    before = case.thread.before
    could = 0 if before is None else min(before.cached or 0, usage.input_tokens)
    return could - read if read < TOLERANCE * could else 0


def _expired(case: Case, usage: Usage, read: int) -> Miss | None:
    before, lost = case.thread.before, _could(case, usage, read)
    if before is None or not lost or before.left(case.view.now) > 0:
        return None
    gap, late = case.view.now - before.at, -before.left(case.view.now)
    index = min(before.size, case.trace.size) - 1
    detail = f"{gap:.0f} s after the last request, {late:.0f} s too late"
    return _miss(case, "expired", index, lost, detail)


def _changed(case: Case, usage: Usage, read: int) -> Miss | None:
    """What keeps this request from extending the one that it goes on from."""
    before, lost = case.thread.before, _could(case, usage, read)
    if before is None or not lost:
        return None
    return _said(case, broken(before, case.trace, case.said), lost)


def _said(case: Case, found: Break | None, lost: int | None) -> Miss | None:
    if found is None:
        return None
    cause: Cause = found.cause  # type: ignore[assignment]
    return _miss(case, cause, found.block, lost, found.detail, kind=found.kind, at=found.at)


def _volatile(case: Case, _: Usage, __: int) -> Miss | None:
    """A head that changes by the call and never came back."""
    if case.changing is None:
        return None
    head = case.prefix.blocks[: case.prefix.head]
    index = next((i for i, b in enumerate(head) if b.ends == "volatile"), None)
    if index is None or case.prefix.head - 1 in case.view.entries:
        return None
    return _miss(case, "system_changed", index, detail=case.changing)


def _unlike_kin(case: Case, _: Usage, read: int) -> Miss | None:
    """A head that is another state of one that is known, in front of something new.

    One that is known by itself is another agent's, and so is one that has little in common with them.
    """
    head = case.prefix.head
    lost = case.head_tokens - read
    if not head or head - 1 in case.view.entries or read >= TOLERANCE * case.head_tokens:
        return None
    for kin in case.thread.kin:
        alive = kin.cached and kin.left(case.view.now) > 0
        found = broken(kin, case.trace, case.said) if alive else None
        if found is not None and found.cause in _OF_HEADS and found.kind not in _OTHER_AGENTS:
            return _said(case, found, lost)
    return None


_OF_HEADS = frozenset({"tools_changed", "system_changed", "settings_changed"})
_OTHER_AGENTS = frozenset({"another", "added", "removed"})


def _summarised(case: Case, usage: Usage, read: int) -> Miss | None:
    """A summary in the place of all that was said, or one that is made in a request of its own."""
    head = case.prefix.head
    if case.thread.before is not None or read >= TOLERANCE * usage.input_tokens:
        return None
    if case.said.asks_for_summary:
        lost, outside = usage.input_tokens - read, "a summary made outside the conversation"
        return _miss(case, "system_changed", 0, lost, outside, kind="summary")
    if head >= len(case.said) or case.said.rewriting(head) != SUMMARISED:
        return None
    return _miss(case, "messages_changed", head, detail=SUMMARISED, kind=SUMMARISED)


def _unmarked(case: Case, _: Usage, __: int) -> Miss | None:
    if case.plan.checkpoints:
        return None
    if any(place.writing(case.view.now) for place in case.view.entries.values()):
        return _miss(case, "in_flight")
    below = (case.plan.note or "").startswith("below")
    return _miss(case, "below_minimum" if below else "not_marked")


def _cold(case: Case, usage: Usage) -> Miss:
    """Nothing was read, and nothing the caller did explains it."""
    if usage.write_tokens == 0:
        return _miss(case, "below_minimum")
    entries = case.view.entries
    marked = (c.index for c in case.plan.checkpoints if c.index in entries)
    held = [i for i in marked if entries[i].held(case.view.now)]
    if held:
        return _miss(case, "in_flight", held[-1])
    dead = [i for i in entries if entries[i].expires]
    if dead:
        return _miss(case, "expired", dead[-1], entries[dead[-1]].tokens)
    return _miss(case, "first_write")

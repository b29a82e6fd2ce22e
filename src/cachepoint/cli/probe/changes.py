"""What throws away what was kept: settings, guard blocks, the choice of a tool, other cuts of a text."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cachepoint.cli.probe.asking import Ask, Probing, Request
from cachepoint.cli.probe.prompts import Kit, asked, point, text

_TOOL = {"toolSpec": {"name": "look", "description": "Look.", "inputSchema": {"json": {"type": "object"}}}}
_TOOLS = {"tools": [_TOOL]}
_SCHEMA = (
    '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
)
_FORMAT = {"type": "json_schema", "structure": {"jsonSchema": {"schema": _SCHEMA, "name": "answer"}}}
# With thinking an answer must have room for it.
_ROOM = {"inferenceConfig": {"maxTokens": 1_100}}
NOTHING, MESSAGES, EVERYTHING, REFUSED = "nothing", "messages", "everything", "refused"
_SAME = 0.95
_BELIEVED = 2


class Change(NamedTuple):
    """Fields of a request before and after; both have the same texts."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]


# By name, as far as no resource of an account is needed.
# Of several ways to say it the first that the model takes counts.
CHANGES: Mapping[str, tuple[Change, ...]] = {
    "temperature": (Change({}, {"inferenceConfig": {"maxTokens": 1, "temperature": 0.5}}),),
    "max_tokens": (Change({}, {"inferenceConfig": {"maxTokens": 2}}),),
    "thinking": tuple(
        Change(_ROOM, {**_ROOM, "additionalModelRequestFields": {"thinking": thinking}})
        for thinking in ({"type": "enabled", "budget_tokens": 1_024}, {"type": "adaptive"})
    ),
    "effort": (Change({}, {"additionalModelRequestFields": {"output_config": {"effort": "low"}}}),),
    "output_schema": (Change({}, {"outputConfig": {"textFormat": _FORMAT}}),),
    "tool_choice": (Change({"toolConfig": _TOOLS}, {"toolConfig": {**_TOOLS, "toolChoice": {"any": {}}}}),),
}


def settings(kit: Kit, changes: Mapping[str, tuple[Change, ...]] = CHANGES) -> Probing[dict[str, str]]:
    """What each change loses: `nothing`, `messages`, `everything`; `refused` where it is not taken."""
    found = {}
    for name, ways in changes.items():
        for change in ways:
            found[name] = yield from _lost_by(kit, change)
            if found[name] != REFUSED:
                break
    return found


def guarded(guardrail: str, version: str) -> Mapping[str, tuple[Change, ...]]:
    """The change that marks the person's text for a guardrail.

    Args:
        guardrail: Its id.
        version: Its version.
    """
    config = {"guardrailConfig": {"guardrailIdentifier": guardrail, "guardrailVersion": version}}
    return {"guardrail": (Change({}, config),)}


def _lost_by(kit: Kit, change: Change) -> Probing[str]:
    """What is read least of some trials counts nothing: what is read once was not thrown away."""
    kinds = (NOTHING, MESSAGES, EVERYTHING)
    best = EVERYTHING
    for _ in range(_BELIEVED):
        found = yield from _once(kit, change)
        if found == REFUSED:
            return REFUSED
        best = min(best, found, key=kinds.index)
        if best == NOTHING:
            break
    return best


def _once(kit: Kit, change: Change) -> Probing[str]:
    system, question = text(kit.fresh()), text(kit.fresh())
    before = yield Ask(_marked(system, question, change.before))
    other = yield Ask(_marked(system, text(kit.fresh(64)), change.before))
    after = yield Ask(_marked(system, question, change.after))
    if before.refused or after.refused:
        return REFUSED
    if after.read >= _SAME * (before.read + before.written):
        return NOTHING
    return MESSAGES if other.read and after.read >= _SAME * other.read else EVERYTHING


def _marked(system: Any, question: Any, fields: Mapping[str, Any]) -> Request:
    return {**asked(question, point(), system=(system, point())), **fields}


class Shared(NamedTuple):
    """Whether entries of a text as a whole and of the same text in two blocks are the same."""

    whole_reads_split: bool
    split_reads_whole: bool


def documents(kit: Kit) -> Probing[Shared]:
    """Whether documents that are split from their question share entries with the whole text."""
    return Shared((yield from _either(kit, split_first=True)), (yield from _either(kit, split_first=False)))


def _either(kit: Kit, *, split_first: bool) -> Probing[bool]:
    found, asked_for = kit.fresh(), kit.fresh(64)
    whole = asked(text(found + asked_for), point())
    split = asked(text(found), point(), text(asked_for), point())
    first, second = (split, whole) if split_first else (whole, split)
    yield Ask(first)
    answer = yield Ask(second)
    return answer.read > 0

"""What stands in the way of more, and what its remedy would save."""

from collections.abc import Iterator
from dataclasses import dataclass

from cachepoint.core.models.rules import ModelRules, shown
from cachepoint.core.placement.decision import Decision


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to say once: `topic` tells whether it was said; `message` and `values` are for a log."""

    topic: tuple[str, str]
    message: str
    values: tuple[object, ...]


def advice(model_id: str, rules: ModelRules, decision: Decision) -> Iterator[Advice]:
    """What to say of a call."""
    size, head = decision.sizes.at, decision.landmarks.head
    behind = (size(-1) if decision.prefix.blocks else 0) - (0 if head is None else size(head))
    if behind < rules.min_tokens:
        return
    changing = decision.split.changing if decision.outlook.changing else None
    if changing is not None:
        yield Advice(
            (model_id, changing),
            "the system prompt holds %s: the %d tokens from its line on are not cached. Put what changes "
            "into the last user message, or at least at the end of the system prompt",
            (changing, behind),
        )
    elif decision.outlook.stale:
        yield Advice(
            (model_id, "history"),
            "histories of %s no longer extend what was sent before (trimmed or rewritten by the call?): "
            "about %d tokens a call are not cached. cachepoint's stable trimming keeps them in place",
            (shown(model_id), behind),
        )

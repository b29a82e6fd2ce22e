"""What stands in the way of more, and what its remedy would save."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cachepoint.core.models.rules import ModelRules, shown
from cachepoint.core.placement.decision import Decision

logger = logging.getLogger("cachepoint")
_TOPICS = 1_024


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to say once: `topic` tells whether it was said; `message` and `values` are for a log."""

    topic: object
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


def uncached(model_id: str, rules: ModelRules) -> Iterator[Advice]:
    """What to say where nothing is placed."""
    if not rules.caches:
        message = "%s: no explicit prompt caching is known; no checkpoint is placed"
        yield Advice(model_id, message, (shown(model_id),))


class Adviser:
    """Says each thing once; of a great many topics, those of late."""

    def __init__(self) -> None:
        self._said: dict[object, None] = {}

    def __call__(self, found: Iterable[Advice]) -> None:
        """Log what was not said yet."""
        for advice in found:
            if advice.topic not in self._said:
                self._said[advice.topic] = None
                while len(self._said) > _TOPICS:
                    self._said.pop(next(iter(self._said)), None)
                logger.warning(advice.message, *advice.values)

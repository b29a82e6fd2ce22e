"""One call under way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cachepoint.core.accounting.diagnosis import Case
from cachepoint.core.flights import Flight
from cachepoint.core.listeners import Observer
from cachepoint.core.memory.allowance import Allowance
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.decision import Back
from cachepoint.core.placement.fan_out import Write
from cachepoint.core.placement.outlook import Watch
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.question import Question


@dataclass(frozen=True, eq=False)
class Call:
    """One call under way.

    Attributes:
        request: What to send; it has the keys of the request that was given.
        model_id: The id that is called.
        plan: The checkpoints that `request` carries, each with its reason.
        rules: The model's row, less what refusals disproved.
        started: Seconds, by the cache's clock; None where it gave none.
        priced_as: The model whose prices hold; behind an ARN, the one that was named or resolved.
        dialect: `"converse"`, or the form of a body of InvokeModel: `"messages"`, `"nova"`.
        claimed: Blocks whose entry this call is the one to write.
        wait_for: What another call is writing that is worth a wait: then `PromptCache.again`. None: nothing.
        waited: Seconds from `prepare` to the last `again`.
    """

    request: dict[str, Any] = field(repr=False)
    model_id: str
    plan: Plan
    rules: ModelRules = field(repr=False)
    started: float | None
    priced_as: str
    dialect: str
    original: Mapping[str, Any] = field(repr=False)
    allowance: Allowance = field(repr=False)
    case: Case | None = field(default=None, repr=False)
    question: Question | None = field(default=None, repr=False)
    sessions: tuple[Observer, ...] = field(default=(), repr=False)
    token: bytes = field(default=b"", repr=False)
    writing: tuple[int, ...] = field(default=(), repr=False)
    claimed: frozenset[int] = field(default=frozenset(), repr=False)
    back: tuple[Back, ...] = field(default=(), repr=False)
    watches: tuple[Watch, ...] = field(default=(), repr=False)
    wait_for: Write | None = None
    waited: float = 0.0
    found: Recollection = field(default_factory=dict, repr=False)
    flight: Flight = field(default_factory=Flight, repr=False)

    @property
    def at(self) -> float:
        """When it was decided last, for what is only done where that is known."""
        return (self.started or 0.0) + self.waited

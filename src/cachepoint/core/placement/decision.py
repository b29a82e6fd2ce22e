"""The decision: a function of the prompt, what is remembered of it, the rules, the policy and the time.

It has no state of its own, so it can be replayed, and is the same in every worker.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import (
    Await,
    CameBack,
    Change,
    Changes,
    Claim,
    Count,
    Counts,
    Place,
    Seen,
    Table,
    Texts,
    Trace,
)
from cachepoint.core.models.refusals import stricter
from cachepoint.core.models.rules import TTL_SECONDS, ModelRules
from cachepoint.core.placement.forecast import Forecast, Kind
from cachepoint.core.placement.outlook import Scene, Watch, branches, foresee
from cachepoint.core.placement.planner import Outlook, Plan, end_of, head_of, plan
from cachepoint.core.placement.question import Question
from cachepoint.core.placement.sizes import Sizes, sizes
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.cuts import Split
from cachepoint.core.prompt.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Decision:
    """What one call is to carry, and what is to be remembered of it.

    Attributes:
        plan: The checkpoints.
        prefix: The request as it is sent.
        split: Where texts are cut.
        view: What was known of it.
        rules: The model's row, less what refusals disproved.
        outlook: What was expected.
        sizes: Estimated tokens by block.
        trace: What is kept of the request.
        before: The request before it in its conversation; None: none is remembered.
        watches: The prefixes whose return is counted.
        returned: Blocks whose return was awaited, and what it counts for: nothing where it came too late.
        writing: Blocks whose entry it is about to write.
    """

    plan: Plan
    prefix: Prefix
    split: Split
    view: View
    rules: ModelRules
    outlook: Outlook
    sizes: Sizes
    trace: Trace
    before: Trace | None
    watches: tuple[Watch, ...]
    returned: Mapping[int, tuple[Kind, ...]]
    writing: tuple[int, ...]


def decide(question: Question, found: Recollection) -> Decision:
    """Decide the checkpoints of one request.

    Args:
        question: The request, the rules, the policy and the time.
        found: What is remembered of it.
    """
    cut = question.cut(found)
    places: Mapping[bytes, Place] = found.get(Table.PLACES, {})
    counts: Mapping[bytes, Counts] = found.get(Table.COUNTS, {})
    rules = strict(question, found)
    prefix = _narrowed(cut.prefix, rules, question.rules)
    view = View.of(prefix, places, question.now)
    guessed = sizes(prefix, view, rules, counts.get(question.ratio))
    # Where it came too late, nothing is counted.
    returned = {i: place.awaited if question.now <= place.until else () for i, place in view.awaited.items()}
    forecast = Forecast(counts, Counter(kind for kinds in returned.values() for kind in kinds))
    scene = Scene(prefix, view, guessed, rules, question.policy, question.scope)
    outlook, watches = foresee(scene, forecast)
    decided = plan(
        prefix,
        view,
        rules,
        question.policy,
        outlook,
        guessed,
        slots=question.reading.slots,
        behind=question.reading.behind,
        ours=question.reading.refusal is None,
    )
    return Decision(
        plan=decided,
        prefix=prefix,
        split=cut.split,
        view=view,
        rules=rules,
        outlook=outlook,
        sizes=guessed,
        trace=Trace.of(prefix, question.model_digest),
        before=found.get(Table.LAST, {}).get(question.conversation(cut.prefix)),
        watches=tuple(watches),
        returned=returned,
        writing=tuple(c.index for c in decided.checkpoints if c.index not in view.live),
    )


def strict(question: Question, found: Recollection) -> ModelRules:
    """The model's row, less what refusals disproved."""
    row = found.get(Table.ROWS, {}).get(question.row)
    return question.rules if row is None else stricter(question.rules, row.facts)


def changes(question: Question, decision: Decision, holder: bytes) -> Changes:
    """What a decision is to leave in the memory.

    Args:
        question: What was asked.
        decision: What was decided.
        holder: The token of the call, for what it is about to write.
    """
    return Changes(
        question.now,
        (
            *_came_back(decision),
            *_noted(decision, question.now),
            *_claimed(decision, holder, question.now),
            *_awaited(question, decision),
            *_cut(decision),
            Change(Table.LAST, question.conversation(decision.prefix), decision.trace),
        ),
    )


def _narrowed(prefix: Prefix, rules: ModelRules, row: ModelRules) -> Prefix:
    """No block takes a checkpoint in a layer where the model was seen to refuse one."""
    if rules.fields == row.fields:
        return prefix
    blocks = tuple(b if b.layer in rules.fields else b._replace(markable=False) for b in prefix.blocks)
    return replace(prefix, blocks=blocks)


def _came_back(decision: Decision) -> Iterator[Change]:
    for index, kinds in decision.returned.items():
        counted = tuple(_counted(kinds, Count(hits=1)))
        yield Change(Table.PLACES, decision.prefix.digests[index], CameBack(), counted)


def _counted(kinds: tuple[Kind, ...], count: Count) -> Iterator[Change]:
    return (Change(Table.COUNTS, key, Counts({name: count})) for key, name in kinds)


def _noted(decision: Decision, now: float) -> Iterator[Change]:
    prefix = decision.prefix
    ends = {i for i in (head_of(prefix), end_of(prefix)) if i is not None}
    held = decision.view.live[-1:]
    noted = ends.union(branches(prefix), decision.writing, held)
    return (Change(Table.PLACES, prefix.digests[i], Seen(now)) for i in sorted(noted))


def _claimed(decision: Decision, holder: bytes, now: float) -> Iterator[Change]:
    digests = decision.prefix.digests
    return (Change(Table.PLACES, digests[i], Claim(holder, now)) for i in decision.writing)


def _awaited(question: Question, decision: Decision) -> Iterator[Change]:
    until = question.now + TTL_SECONDS[question.policy.ttl]
    for watch in decision.watches:
        tried = tuple(_counted(watch.kinds, Count(tries=1)))
        yield Change(Table.PLACES, decision.prefix.digests[watch.index], Await(watch.kinds, until), tried)


def _cut(decision: Decision) -> Iterator[Change]:
    split = decision.split
    for key, cut in split.decided.items():
        yield Change(Table.CUTS, key, cut)
    for place, lines in split.lines.items():
        yield Change(Table.TEXTS, place, Texts((lines,)))

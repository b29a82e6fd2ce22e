"""The decision: a function of the prompt, what is remembered of it, the rules, the policy and the time.

It has no state of its own, so it can be replayed, and is the same in every worker.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from cachepoint.core.memory.counts import Counts, Returned, Tried
from cachepoint.core.memory.deeds import Await, CameBack, Claim, Release, Seen
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Changes, Place, Table, Texts, Trace
from cachepoint.core.models.refusals import stricter
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.placement.fan_out import Write, given_up, to_wait_for
from cachepoint.core.placement.forecast import KNOWN_HEAD, REPEATED, Forecast, Kind
from cachepoint.core.placement.landmarks import Landmarks
from cachepoint.core.placement.outlook import Watch, foresee
from cachepoint.core.placement.planner import Outlook, Plan, plan
from cachepoint.core.placement.question import CHOICE, Question, differing
from cachepoint.core.placement.scene import Scene
from cachepoint.core.placement.sizes import Sizes, sizes
from cachepoint.core.placement.thread import Thread
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.cuts import Split
from cachepoint.core.prompt.overlap import common
from cachepoint.core.prompt.prefix import Prefix


class Back(NamedTuple):
    """A prefix that was awaited and is back: its digest, what it is counted for, and how.

    `live` says that Bedrock must hold it: what is back and is not read counts as not back.
    """

    digest: bytes
    kinds: tuple[Kind, ...]
    counted: tuple[Change, ...]
    live: bool


class Decision(NamedTuple):
    """What one call is to carry, and what is to be remembered of it.

    Attributes:
        plan: The checkpoints.
        prefix: The request as it is sent.
        split: Where texts are cut.
        view: What was known of it.
        rules: The model's row, less what refusals disproved.
        outlook: What was expected.
        sizes: Estimated tokens by block.
        landmarks: Where its parts end.
        trace: What is kept of the request.
        thread: Which request it goes on from.
        parts: The block at which it parts from the last that began alike, where it does not go on from it.
        stays: The last block of the newest message that will stand in the history, where not all will.
        watches: The prefixes whose return is counted.
        back: What was awaited and is back.
        writing: Blocks whose entry it is about to write.
        wait_for: What another call is writing that is worth a wait; None: nothing.
        found: What was remembered of it.
    """

    plan: Plan
    prefix: Prefix
    split: Split
    view: View
    rules: ModelRules
    outlook: Outlook
    sizes: Sizes
    landmarks: Landmarks
    trace: Trace
    thread: Thread
    parts: int | None
    stays: int | None
    watches: tuple[Watch, ...]
    back: tuple["Back", ...]
    writing: tuple[int, ...]
    wait_for: Write | None
    found: Recollection

    @property
    def claims(self) -> tuple[int, ...]:
        """What nobody else is to write. Who waits holds nothing, so that no two wait for each other."""
        return () if self.wait_for else self.writing


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
    reading = question.reading
    prefix = _narrowed(cut.prefix, rules, question.rules).marked_by_itself(reading.automatic)
    view = View.of(prefix, places, question.now)
    guessed = sizes(prefix, view, rules, counts.get(question.ratio))
    back = tuple(_back(places, view))
    forecast = Forecast(_after(counts, back), question.now)
    traces = found.get(Table.TURNS, {})
    thread = Thread.of(cut.prefix, question.turns(cut), question.kin(cut.prefix), traces)
    conversation = question.conversation(cut.prefix)
    before = found.get(Table.LAST, {}).get(conversation)
    parts = None if before is None else _parting(question, prefix, before)
    scene = Scene(
        prefix=prefix,
        view=view,
        sizes=guessed,
        rules=rules,
        policy=question.policy,
        scope=question.scope,
        conversation=conversation,
        parts=parts,
        lost=0 if parts is None or before is None else before.size - 1 - parts,
        elsewhere=before is not None and before.settings[0] != question.settings[0],
        forced=bool(question.reading.turn),
    )
    outlook, watches = foresee(scene, forecast)
    decided = plan(scene, outlook, slots=reading.slots, ours=reading.refusal is None)
    return Decision(
        plan=decided,
        prefix=prefix,
        split=cut.split,
        view=view,
        rules=rules,
        outlook=outlook,
        sizes=guessed,
        landmarks=scene.landmarks,
        trace=thread.trace(question, prefix, cut.split, decided),
        thread=thread,
        parts=parts,
        stays=scene.stays,
        watches=tuple(watches),
        back=back,
        writing=tuple(c.index for c in decided.checkpoints if not view.lives(c.index)),
        wait_for=to_wait_for(prefix.digests, view, guessed, rules, question.policy),
        found=found,
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
            *_claimed(question, decision, holder, question.now),
            *_awaited(question, decision),
            *_cut(decision),
            Change(Table.LAST, question.conversation(decision.prefix), decision.trace.bare),
            *decision.thread.noted(decision.trace),
        ),
    )


def moved(
    question: Question, decision: Decision, holder: bytes, given: Iterable[bytes], now: float
) -> Changes:
    """What a decision leaves in the memory that counts for nothing: claims, and where texts are cut.

    Args:
        question: What was asked.
        decision: What was decided.
        holder: The token of the call.
        given: Places that it no longer writes.
        now: Seconds.
    """
    freed = (Change(Table.PLACES, digest, Release(holder)) for digest in given)
    cuts = (Change(Table.CUTS, key, cut) for key, cut in decision.split.decided.items())
    return Changes(now, (*freed, *_claimed(question, decision, holder, now), *cuts))


def _narrowed(prefix: Prefix, rules: ModelRules, row: ModelRules) -> Prefix:
    """No block takes a checkpoint in a layer where the model was seen to refuse one."""
    if rules.fields == row.fields:
        return prefix
    blocks = tuple(b if b.layer in rules.fields else b._replace(markable=False) for b in prefix.blocks)
    return replace(prefix, blocks=blocks)


def _back(places: Mapping[bytes, Place], view: View) -> Iterator[Back]:
    now, share = view.now, REPEATED if view.repeats else 1.0
    awaited = [(digest, place) for digest, place in places.items() if place.awaited]
    for digest, place in awaited:
        if place.returns(now):
            gap = math.inf if place.unreadable else place.gap(now, place.out)
            kinds = [(key, name, 1.0 if name == KNOWN_HEAD else share) for key, name in place.awaited]
            counted = [Change(Table.COUNTS, key, Returned(n, place.out, gap, of)) for key, n, of in kinds]
            yield Back(digest, place.awaited, tuple(counted), place.live(now))


def _after(counts: Mapping[bytes, Counts], back: Iterable[Back]) -> Mapping[bytes, Counts]:
    """The counts with what this request tells."""
    known = dict(counts)
    for one in back:
        for _, key, deed, _ in one.counted:
            known[key] = deed.over(known.get(key))
    return known


def _parting(question: Question, prefix: Prefix, before: Trace) -> int | None:
    same = common(before.blocks, prefix.own) if prefix.settings == before.seed else 0
    if CHOICE in differing(before.settings, question.settings):
        same = min(same, prefix.head)
    return same - 1 if 0 < same < before.size else None


def _came_back(decision: Decision) -> Iterator[Change]:
    return (Change(Table.PLACES, one.digest, CameBack(), one.counted) for one in decision.back)


def _noted(decision: Decision, now: float) -> Iterator[Change]:
    marks, digests = decision.landmarks, decision.prefix.digests
    held = decision.view.anchor
    noted = {
        marks.head,
        marks.end,
        marks.tools,
        decision.parts,
        decision.stays,
        *marks.branches,
        *decision.writing,
    }
    noted.add(None if held < 0 else held)
    return (Change(Table.PLACES, digests[i], Seen(now)) for i in sorted(i for i in noted if i is not None))


def _claimed(question: Question, decision: Decision, holder: bytes, now: float) -> Iterator[Change]:
    for i in decision.claims:
        claim = Claim(holder, now, given_up(decision.view, i, question.policy))
        yield Change(Table.PLACES, decision.prefix.digests[i], claim)


def _awaited(question: Question, decision: Decision) -> Iterator[Change]:
    now = question.now
    history = decision.landmarks.history
    goes_on = decision.parts is None and decision.view.anchor >= decision.prefix.head
    for watch in decision.watches:
        # Where a conversation is read and goes on, its end tells more; nobody notes what is in between.
        if watch.block == history and goes_on and history not in decision.writing:
            continue
        tried = tuple(Change(Table.COUNTS, key, Tried(name, now)) for key, name in watch.kinds)
        yield Change(Table.PLACES, decision.prefix.digests[watch.block], Await(watch.kinds, now), tried)


def _cut(decision: Decision) -> Iterator[Change]:
    split = decision.split
    for key, cut in split.decided.items():
        yield Change(Table.CUTS, key, cut)
    for place, sketch in split.sketches.items():
        yield Change(Table.TEXTS, place, Texts((sketch,)))

"""Decide, and agree with those who decide at the same time: who writes what, and where texts are cut."""

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from cachepoint.core.call import Call
from cachepoint.core.memory.deeds import Release
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Changes, Table
from cachepoint.core.placement.decision import Decision, decide, moved
from cachepoint.core.placement.fan_out import Standing, standing
from cachepoint.core.placement.question import Question
from cachepoint.core.prompt.prefix import Prefix

Asked = Question | Standing | Changes
Asking = Generator[Asked, Recollection, tuple[Decision, Recollection]]


def again(call: Call, now: float, *, give_up: bool = False) -> Asking:
    """Decide a call anew with what stands now. It was counted when it came; only its claims move.

    Args:
        call: The call.
        now: Seconds.
        give_up: Whether it waits no longer, though what it waits for may not have ended.
    """
    asked, case = call.question, call.case
    assert asked is not None  # noqa: S101
    assert case is not None  # noqa: S101
    fresh = yield Standing(now, case.prefix.digests, (asked.ratio,))
    waited = now - asked.now
    known, counts = call.found.get(Table.PLACES, {}), call.found.get(Table.COUNTS, {})
    gone = call.wait_for.holder if give_up and call.wait_for else b""
    places = dict(standing(known, fresh.get(Table.PLACES, {}), call.token, asked.now, waited, gone))
    # What turned out to be too small is not tried by one after the other.
    counts = {**counts, **fresh.get(Table.COUNTS, {})}
    decision = decide(asked, {**call.found, Table.PLACES: places, Table.COUNTS: counts})
    given = _given(call.writing, case.prefix, decision)
    leaving = moved(asked, decision, call.token, given, now)
    return (yield from agreed(asked, decision, leaving, call, waited))


def agreed(asked: Question, decision: Decision, leaving: Changes, call: Call, waited: float = 0.0) -> Asking:
    """Record a decision; where others were first with a cut or a claim, decide once more with that.

    Args:
        asked: The request, the rules, the policy and the time it came.
        decision: What was decided.
        leaving: What that leaves in the memory.
        call: The call.
        waited: Seconds since it came.
    """
    token, digests = call.token, decision.prefix.digests
    # Before it is recorded: whatever ends the call from here on, it is given back.
    call.flight.places |= {digests[i] for i in decision.claims}
    held = yield leaving
    cuts, theirs = _lost(decision, held, token)
    if cuts or theirs:
        found = decision.found
        before = found.get(Table.PLACES, {})
        places = dict(standing(before, theirs, token, asked.now, waited))
        known: Recollection = {
            **found,
            Table.CUTS: {**found.get(Table.CUTS, {}), **cuts},
            Table.PLACES: {**before, **places},
        }
        claimed, decision = decision, decide(asked, known)
        given = _given(claimed.claims, claimed.prefix, decision)
        yield Changes(leaving.now, tuple(Change(Table.PLACES, digest, Release(token)) for digest in given))
    return decision, held


def _given(claimed: Iterable[int], prefix: Prefix, decision: Decision) -> list[bytes]:
    """What was claimed and is not to be written any more."""
    kept = {decision.prefix.digests[i] for i in decision.claims}
    return [prefix.digests[i] for i in claimed if prefix.digests[i] not in kept]


def _lost(
    decision: Decision, held: Recollection, token: bytes
) -> tuple[Mapping[bytes, Any], Mapping[bytes, Any]]:
    """What others decided first: texts that are cut otherwise, and places that they are writing."""
    cuts = held.get(Table.CUTS, {})
    lost = any(cuts.get(text, cut) != cut for text, cut in decision.split.decided.items())
    places = held.get(Table.PLACES, {})
    writing = {decision.prefix.digests[i] for i in decision.claims}
    theirs = {d: places[d] for d in writing if d in places and places[d].holder not in {b"", token}}
    return cuts if lost else {}, theirs

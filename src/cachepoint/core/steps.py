"""The steps of one call, each a function of values: what is asked, decided, written, learned and said."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from cachepoint.core.accounting import ahead
from cachepoint.core.accounting.diagnosis import Case, Miss, diagnose
from cachepoint.core.accounting.diagnosis.said import AtHand
from cachepoint.core.accounting.pricing import tier_of
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.agreeing import Asking, agreed
from cachepoint.core.call import Call
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.memory.deeds import Cached, Forget, Learned, Release, Unread
from cachepoint.core.memory.protocol import Recollection
from cachepoint.core.memory.records import Change, Changes, Deed, Row, Table
from cachepoint.core.models.refusals import read_refusal
from cachepoint.core.models.rules import ModelRules, known_as, rules_for
from cachepoint.core.models.rules import shown as shown_id
from cachepoint.core.once import anew
from cachepoint.core.placement.decision import Decision, changes, decide, moved
from cachepoint.core.placement.planner import Plan
from cachepoint.core.placement.question import Question
from cachepoint.core.placement.sizes import measured
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.core.prompt.differences import difference
from cachepoint.core.prompt.digests import Digester, Memo
from cachepoint.core.prompt.prefix import Prefix
from cachepoint.core.prompt.transcripts import Transcripts

_USAGE: Mapping[str, Callable[[Mapping[str, Any], str], Usage | None]] = {
    "converse": Usage.from_converse,
    "messages": lambda response, _: Usage.from_messages(response),
    "nova": lambda response, _: Usage.from_messages(response),
}
Finish = Callable[[Call], Call]

# Less than this share of what was expected is no read: sizes are estimated, and entries evicted early.
_READ = 0.5


def named(call: Call, model_id: str | None) -> tuple[str, ModelRules]:
    """The model whose prices hold, and its row.

    Raises:
        ValueError: Where no model is named, or the dialect is unknown.
    """
    if call.dialect not in DIALECTS:
        raise InvalidOptionError(f"dialect is {call.dialect!r}; use one of {', '.join(map(repr, DIALECTS))}")
    if not call.model_id:
        raise InvalidOptionError("no model is named: give model_id= or a request with modelId")
    priced_as = known_as(call.model_id, str(model_id) if model_id else None)
    return priced_as, rules_for(priced_as)


def stands_aside(call: Call, policy: CachePolicy) -> str | None:
    """Why the request is left alone; None where it is not."""
    if policy.mode == "off":
        return "mode is off"
    if call.started is None:
        return "the clock gives no time"
    if call.rules.caches:
        return None
    if call.rules.provider in {"other", "unknown"}:
        return f"{shown_id(call.priced_as)} takes no checkpoints, as far as is known here"
    return f"{call.rules.name} takes no checkpoints"


def question(
    call: Call,
    policy: CachePolicy,
    digester: Digester,
    transcripts: Transcripts,
    namespace: str,
    region: str,
    *,
    keep: bool = True,
    older: Digester | None = None,
) -> Question:
    """What the request asks of the memory. What is only looked at is not kept as a transcript."""
    return Question(
        reading=transcripts.read(DIALECTS[call.dialect], call.original, call.rules, keep=keep),
        digester=digester,
        namespace=namespace,
        api=call.dialect,
        region=region,
        model=call.model_id,
        rules=call.rules,
        policy=policy,
        now=call.at,
        older=older,
    )


def decided(asked: Question, found: Recollection, call: Call, *, counted: bool = True) -> Asking:
    """Decide, and leave in the memory what is to be remembered.

    Args:
        asked: The request, the rules, the policy and the time.
        found: What is remembered of it.
        call: The call.
        counted: Whether it tells what such calls come to.
    """
    decision = decide(asked, found)
    token = call.token
    leaving = changes(asked, decision, token) if counted else moved(asked, decision, token, (), asked.now)
    return (yield from agreed(asked, decision, leaving, call))


def written(call: Call, asked: Question, decision: Decision, held: Recollection) -> Call:
    """The call with its checkpoints in the request."""
    places = held.get(Table.PLACES, {})
    digests = decision.prefix.digests
    ours = (i for i in decision.claims if digests[i] in places and places[digests[i]].holder == call.token)
    return anew(
        call,
        plan=decision.plan,
        rules=decision.rules,
        case=_case(decision),
        question=asked,
        request=_request(call, decision),
        writing=decision.claims,
        claimed=frozenset(ours),
        back=decision.back,
        watches=decision.watches,
        wait_for=decision.wait_for,
        found=decision.found,
    )


def foreseen(call: Call, asked: Question, found: Recollection, finish: Finish | None) -> ahead.Outlook:
    """What is expected of a request, now and when its last entry has expired; nothing of it is recorded.

    Args:
        call: The call.
        asked: The request, the rules, the policy and the time.
        found: What is remembered of it.
        finish: What is done to the planned call before it is sent.
    """

    def planned(decision: Decision) -> Plan:
        made = written(call, asked, decision, {})
        return made.plan if finish is None else finish(made).plan

    decision = decide(asked, found)
    if (why := stands_aside(replace(call, rules=decision.rules), asked.policy)) is not None:
        return left_alone(call, asked, why)
    cold = decide(replace(asked, now=ahead.gone_at(decision)), found)
    return ahead.outlook(_named(call), decision, planned(decision), planned(cold))


def left_alone(call: Call, asked: Question, why: str) -> ahead.Outlook:
    """What is expected of a request that gets no checkpoints of ours."""
    prefix = replace(asked, policy=asked.policy.but(split="off")).cut({}).prefix
    tokens = int(prefix.sizes[-1] / call.rules.bytes_per_token) if prefix.sizes else 0
    marked = prefix.hand or asked.reading.automatic
    return ahead.aside(_named(call), tokens, why, uncached=not (call.rules.caches and marked))


def _named(call: Call) -> ahead.Named:
    return ahead.Named(call.model_id, call.priced_as, call.started, tier_of(call.original))


def callers_own(call: Call, asked: Question) -> Call:
    """The call with the caller's own checkpoints alone, put right where Bedrock would refuse them."""
    decision = decide(replace(asked, policy=asked.policy.but(split="off")), {})
    plan = replace(decision.plan, note=asked.reading.refusal)
    return replace(call, plan=plan, request=_request(call, decision))


def begun(call: Call) -> Changes | None:
    """An answer began: what it writes is there now, where it is large enough."""
    if call.case is None or call.question is None:
        return None
    large = [
        c for c in call.plan.checkpoints if c.index in call.writing and c.tokens >= call.rules.min_tokens
    ]
    learning = ((c.index, Learned(c.ttl, call.at)) for c in large)
    return Changes(call.at, (*_on_places(call, learning), *_releases(call)))


def released(call: Call) -> Changes | None:
    """A call ended without an answer: it writes nothing any more."""
    freed = tuple(_releases(call))
    return Changes(call.at, freed) if freed else None


def usage(call: Call, response: Mapping[str, Any]) -> Usage | None:
    """What Bedrock reported."""
    return _USAGE[call.dialect](response, call.priced_as)


def miss(call: Call, reported: Usage | None) -> Miss | None:
    """Why a call read less than it could have."""
    return None if call.case is None or reported is None else diagnose(call.case, reported)


def shown(call: Call, why: Miss | None, texts: Memo) -> Miss | None:
    """A miss with the characters that differ; the texts of the call are kept for the next one.

    Args:
        call: The call.
        why: Its miss.
        texts: The blocks of earlier requests, by the digests of these.
    """
    asked, case = call.question, call.case
    if asked is None or case is None:
        return why
    thread, raw, size = case.thread, asked.reading.raw, case.prefix.sizes[-1] if case.prefix.sizes else 0
    before = (texts.get(trace.blocks) for trace in (thread.before, *thread.kin) if trace is not None)
    apart = (difference(one, raw, show=True) for one in before if one is not None)
    found = next((d for d in apart if d is not None), None) if why is not None else None
    texts.put(case.trace.blocks, raw, size)
    if why is None or found is None or why.cause != f"{found.layer}_changed":
        return why
    detail = why.detail or found.kind
    return replace(why, where=found.where, at=found.at, detail=detail, before=found.before, after=found.after)


def learned(call: Call, reported: Usage | None) -> Changes | None:
    """What an answer teaches: sizes, and what is in the cache now."""
    asked, case = call.question, call.case
    if asked is None or case is None or reported is None:
        return released(call)
    ratio = measured(case.prefix.sizes, reported.input_tokens)
    counted = () if ratio is None else (Change(Table.COUNTS, asked.ratio, ratio),)
    deeds = _proved(call, reported)
    taught = (*_cached(case, reported), *_unread(call, reported), *_dishonoured(call, reported))
    return Changes(call.at, (*counted, *_on_places(call, deeds), *taught, *_releases(call)))


def _cached(case: Case, reported: Usage) -> Iterator[Change]:
    """What was in the cache of a request can be read by the one that goes on from it."""
    cached = (reported.read_tokens or 0) + (reported.write_tokens or 0)
    return (Change(Table.TURNS, key, Cached(cached)) for key in case.thread.keys if cached)


def _unread(call: Call, reported: Usage) -> Iterator[Change]:
    """A prefix that comes back and is not read must stop being written."""
    expected, read = call.plan.expected_read_tokens, reported.read_tokens
    if call.case is None or expected is None or read is None or read >= expected * _READ:
        return
    prefix, view = call.case.prefix, call.case.view
    unread = {prefix.digests[i] for i in view.live if (view.entries[i].tokens or expected) > read}
    for one in call.back:
        if one.live and one.digest in unread:
            counts = tuple(Change(Table.COUNTS, key, Unread(name)) for key, name in one.kinds)
            yield Change(Table.PLACES, one.digest, Unread(), counts)


def _dishonoured(call: Call, reported: Usage) -> Iterator[Change]:
    """A 1h that was asked for and not given, where all was written anew, is not asked for again."""
    asked = [c for c in call.plan.checkpoints if c.ttl == "1h" and c.tokens >= call.rules.min_tokens]
    wrote = reported.write_5m_tokens and not reported.write_1h_tokens
    if asked and wrote and not reported.read_tokens and call.question is not None:
        yield Change(Table.ROWS, call.question.row, Row(frozenset({"1h"})))


def report(
    call: Call,
    reported: Usage | None,
    why: Miss | None,
    seconds: float | None = None,
    first_token: float | None = None,
    tier: str | None = None,
) -> CallReport:
    """The account of a call."""
    first = since(call, first_token)
    return CallReport(
        model_id=call.model_id,
        priced_as=call.priced_as,
        rules=call.rules,
        started=call.started,
        usage=reported,
        plan=call.plan,
        miss=why,
        conversation=conversation(call),
        seconds=seconds,
        first_token_seconds=first,
        tier=tier,
        kept_tokens=_kept_alive(call, reported),
        sent=None if call.case is None else Sent.of(call.case.prefix, call.plan, _lag(first, seconds)),
    )


def _kept_alive(call: Call, reported: Usage | None) -> int:
    """Tokens that a call read and that had expired, had nobody refreshed them."""
    case, read = call.case, 0 if reported is None else reported.read_tokens
    if case is None or not read or case.view.anchor < 0:
        return 0
    view, sizes = case.view, case.prefix.sizes
    own = next((i for i in view.live if view.entries[i].unaided(view.now)), -1)
    own_size = sizes[own] if own >= 0 else 0
    return max(0, round(read * (1 - own_size / sizes[view.anchor]))) if sizes[view.anchor] else 0


def conversation(call: Call) -> str | None:
    """What tells calls of one conversation from others; None where no checkpoint was considered."""
    return None if call.case is None else call.case.trace.conversation.hex()[:12]


def _lag(first_token: float | None, seconds: float | None) -> float:
    """Seconds until the answer began, as far as that was seen; no more than it took to end."""
    seen = [s for s in (first_token, seconds) if s is not None and isfinite(s)]
    return max(0.0, min(seen, default=0.0))


def since(call: Call, now: float | None) -> float | None:
    """Seconds since the call was prepared; None where either time is unknown."""
    return None if now is None or call.started is None else now - call.started


def unread(call: Call) -> CallReport:
    """The account of a call whose answer could not be read."""
    return report(call, None, None)


def disproved(call: Call, message: str) -> Collection[str] | None:
    """What a refusal disproves of the model's row; None where it is not about a checkpoint of ours."""
    ours = [c for c in call.plan.checkpoints if c.reason != "hand"]
    if not ours or call.question is None:
        return None
    points = DIALECTS[call.dialect].points(call.request)
    # The request holds exactly the plan's checkpoints, in their order.
    placed = [at for c, at in zip(call.plan.checkpoints, points, strict=True) if c.reason != "hand"]
    return read_refusal(message, placed)


def refused(call: Call, facts: Collection[str]) -> Changes:
    """What a refusal leaves in the memory."""
    row = () if call.question is None else (Change(Table.ROWS, call.question.row, Row(frozenset(facts))),)
    return Changes(call.at, (*(row if facts else ()), *_releases(call)))


def without_ours(call: Call) -> Call:
    """The call with the checkpoints that the caller placed, and none of ours."""
    assert call.case is not None  # noqa: S101 -- a plan has checkpoints only where there is a case
    hand = tuple(c for c in call.plan.checkpoints if c.reason == "hand")
    plan = Plan(hand, note="Bedrock refused a checkpoint")
    request = _written(call, call.case.prefix, plan, {}) if hand else _bare(call)
    return replace(
        call, request=request, plan=plan, case=None, question=None, writing=(), claimed=frozenset()
    )


def _bare(call: Call) -> dict[str, Any]:
    return dict(DIALECTS[call.dialect].write(call.original, {}, None, {}))


def _case(decision: Decision) -> Case:
    head = decision.prefix.head
    return Case(
        prefix=decision.prefix,
        said=AtHand(decision.split.raw),
        view=decision.view,
        plan=decision.plan,
        trace=decision.trace,
        thread=decision.thread,
        changing=decision.split.changing if decision.outlook.changing else None,
        head_tokens=decision.sizes.at(head - 1) if head else 0,
    )


def _request(call: Call, decision: Decision) -> dict[str, Any]:
    return _written(call, decision.prefix, decision.plan, decision.split.cuts)


def _written(call: Call, prefix: Prefix, plan: Plan, cuts: Mapping[Any, tuple[int, ...]]) -> dict[str, Any]:
    """A copy of the request that holds exactly these checkpoints; the lists without one are the caller's."""
    wire = DIALECTS[call.dialect]
    chosen = [
        (prefix.blocks[c.index], wire.mark(c.ttl, _kept(prefix.hand.get(c.index), call.rules)))
        for c in plan.checkpoints
    ]
    if not chosen and not prefix.hand and not prefix.orphans and not cuts:
        return dict(call.original)
    hand = (prefix.blocks[i] for i in prefix.hand)
    places = [*((b.layer, b.path) for b in (*(b for b, _ in chosen), *hand)), *cuts]
    touched = {(layer, path[0]) if layer == "messages" else (layer,) for layer, path in places}
    marks = {(b.layer, b.path): mark for b, mark in chosen}
    return dict(wire.write(call.original, marks, None if prefix.orphans else touched, cuts))


def _kept(mark: Any, rules: ModelRules) -> Any:
    """A model that knows 5m alone takes no ttl at all, not even the default spelt out.

    Nova: AWS user guide, 2026-10. Claude before 4.5 in InvokeModel: earendil-works/pi#1570, 2026-02.
    """
    return None if mark is not None and mark.ttl and "1h" not in rules.ttls else mark


def _on_places(call: Call, deeds: Iterable[tuple[int, Deed]]) -> Iterator[Change]:
    assert call.case is not None  # noqa: S101
    digests = call.case.prefix.digests
    return (Change(Table.PLACES, digests[i], deed) for i, deed in deeds)


def _releases(call: Call) -> Iterator[Change]:
    return given_back(call.token, call.flight.places)


def given_back(token: bytes, places: Iterable[bytes]) -> Iterator[Change]:
    """What a call had claimed is free."""
    return (Change(Table.PLACES, place, Release(token)) for place in places)


def _proved(call: Call, reported: Usage) -> Iterator[tuple[int, Deed]]:
    """What usage says of the entries at the call's checkpoints."""
    marks = call.plan.checkpoints
    if not marks or reported.read_tokens is None or reported.write_tokens is None:
        return
    cached = reported.read_tokens + reported.write_tokens
    # A turn that a guardrail blocked counts nothing, and tells nothing of what is in the cache.
    if not reported.input_tokens:
        return
    deepest = marks[-1]
    share = cached / deepest.tokens if deepest.tokens else 1.0
    for c in marks:
        if cached and (c is deepest or c.tokens * share >= call.rules.min_tokens):
            read = c.tokens * _READ <= reported.read_tokens
            yield c.index, Learned(c.ttl, call.at, cached if c is deepest else None, read)
        else:
            yield c.index, Forget(call.at)

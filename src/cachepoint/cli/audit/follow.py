"""Calls one after another, as they were made: what each read of what the others left, and why not more."""

import json
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar, cast, overload

from cachepoint.cli.audit.heads import NO_HEAD, Head, unpacked
from cachepoint.cli.audit.prints import REPORT, Print, apart
from cachepoint.core.accounting.diagnosis import Case, Cause, Miss, diagnose
from cachepoint.core.accounting.diagnosis.remedies import remedy
from cachepoint.core.accounting.diagnosis.said import Passage
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.memory.counts import Counts
from cachepoint.core.memory.deeds import Forget, Learned
from cachepoint.core.memory.records import Place, Trace
from cachepoint.core.models.rules import TTL_SECONDS, ModelRules, Ttl, rules_for
from cachepoint.core.once import once
from cachepoint.core.placement.planner import Checkpoint, Plan, reached
from cachepoint.core.placement.sizes import Sizes, measured, sizes
from cachepoint.core.placement.thread import Thread
from cachepoint.core.placement.view import View
from cachepoint.core.prompt.prefix import SHORT, Block, Layer, Prefix

# Some 200 MB at most; what was used longest ago is forgotten, as it is by Bedrock.
_PLACES, _TRACES, _HEADS, _FAMILIES = 250_000, 60_000, 4_096, 100_000
_READ = 0.9
_DIGEST = 16
_T = TypeVar("_T")


class Verdict(NamedTuple):
    """What is said of a call: why it read less than it could have, its conversation, its prompt family."""

    miss: Miss | None
    conversation: str | None
    family: str | None


class Recent(OrderedDict[bytes, _T]):
    """The last of many, by when they were put."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def put(self, key: bytes, value: _T) -> None:
        """Keep one; the oldest goes where there are too many."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)


class Follower:
    """The calls of one account, by time. Bounded in memory, and the same for the same calls."""

    def __init__(self) -> None:
        self._places: Recent[Place] = Recent(_PLACES)
        self._traces: Recent[Trace] = Recent(_TRACES)
        self._heads: Recent[Head] = Recent(_HEADS)
        self._families: Recent[str] = Recent(_FAMILIES)
        self._ratios: dict[str, Counts] = {}

    def see(self, call: Print) -> Verdict:
        """Say what became of the next call."""
        if call.dialect in {None, REPORT}:
            return _as_told(call)
        head = self._head(call)
        rules, prefix, marks = rules_for(call.priced_as), _prefix(call), _marks(call)
        view = View.of(prefix, self._places, call.at)
        guessed = sizes(prefix, view, rules, self._ratios.get(call.model))
        plan = _plan(view, guessed, marks, rules)
        thread = Thread.of(prefix, apart(call.turns), apart(call.kin), self._traces)
        trace = self._trace(call, thread, marks, head)
        said, of_head = _Kept(call, head), guessed.at(prefix.head - 1) if prefix.head else 0
        case = Case(prefix, said, view, plan, trace, thread, None, of_head)
        usage = call.usage
        self._learn(case, usage, rules, call.model)
        return Verdict(
            miss=None if usage is None else diagnose(case, usage),
            conversation=trace.conversation.hex()[:12],
            family=self._family(prefix, call.place),
        )

    def _head(self, call: Print) -> Head:
        key = call.parts[: 2 * _DIGEST]
        if call.head is not None:
            self._heads.put(key, unpacked(call.head))
        return self._heads.get(key, NO_HEAD)

    def _trace(self, call: Print, thread: Thread, marks: Sequence[tuple[int, Ttl]], head: Head) -> Trace:
        digests = [call.settings[i : i + _DIGEST] for i in range(0, len(call.settings), _DIGEST)]
        parts = call.parts[:_DIGEST], call.parts[_DIGEST : 2 * _DIGEST], call.parts[2 * _DIGEST :]
        before = thread.before
        return Trace(
            settings=tuple(zip(json.loads(call.setting_names), digests, strict=True)),
            seed=call.seed,
            parts=parts,
            blocks=call.own,
            head=call.heads,
            conversation=parts[2] if before is None else before.conversation,
            anatomy=head.anatomy,
            at=call.at,
            lives=TTL_SECONDS[marks[-1][1]] if marks else 0.0,
        )

    def _learn(self, case: Case, usage: Usage | None, rules: ModelRules, model: str) -> None:
        cached = 0 if usage is None else (usage.read_tokens or 0) + (usage.write_tokens or 0)
        for key in case.thread.keys:
            self._traces.put(key, case.trace._replace(cached=cached or None))
        if usage is None or usage.read_tokens is None or not usage.input_tokens:
            return
        ratio = measured(case.prefix.sizes, usage.input_tokens)
        if ratio is not None:
            self._ratios[model] = ratio.over(self._ratios.get(model))
        self._prove(case, usage, rules, cached)

    def _prove(self, case: Case, usage: Usage, rules: ModelRules, cached: int) -> None:
        marks, digests = case.plan.checkpoints, case.prefix.digests
        share = cached / marks[-1].tokens if marks and marks[-1].tokens else 1.0
        for mark in marks:
            last, key = mark is marks[-1], digests[mark.index]
            if cached and (last or mark.tokens * share >= rules.min_tokens):
                read = mark.tokens * _READ <= (usage.read_tokens or 0)
                learned = Learned(mark.ttl, case.view.now, cached if last else None, read)
                self._places.put(key, learned.over(self._places.get(key)))
            elif (known := Forget(case.view.now).over(self._places.get(key))) is not None:
                self._places.put(key, known)

    def _family(self, prefix: Prefix, place: str) -> str:
        """Where the first call is that had the longest beginning of this one's tools and system prompt."""
        heads = prefix.digests[: prefix.head] or prefix.digests[:1]
        found = next((self._families[one] for one in reversed(heads) if one in self._families), place)
        for one in heads:
            self._families.put(one, self._families.get(one, found))
        return found


def _as_told(call: Print) -> Verdict:
    """What a report of ours found; of a call whose request nobody logged, nothing."""
    cause = cast("Cause | None", call.cause)
    miss = None if cause is None else Miss(cause, call.where, call.lost, remedy=remedy(cause))
    return Verdict(miss, call.conversation, None)


def sent_by(call: Print) -> Sent | None:
    """What a call sent, for a bound; None where nobody logged it."""
    if not call.short:
        return None
    points = tuple([i for i, _ in _marks(call)])
    return Sent(call.short, array("Q", call.sizes), points, tuple(array("I", call.barred)), call.lag)


def _plan(view: View, guessed: Sizes, marks: Sequence[tuple[int, Ttl]], rules: ModelRules) -> Plan:
    """What the request carried, and what was to be expected of it."""
    points = tuple([Checkpoint(i, "", ttl, "hand", guessed.at(i)) for i, ttl in marks])
    reach = reached(view, [i for i, _ in marks], rules.lookback)
    small = bool(guessed.bytes) and not guessed.reaches(-1, rules.min_tokens)
    tokens = None if reach is None else view.entries[reach].tokens
    return Plan(
        checkpoints=points,
        expected_read_tokens=tokens if tokens is not None or reach is None else guessed.at(reach),
        expected_from=reach,
        note="below the minimum" if small and not points else None,
    )


def _marks(call: Print) -> list[tuple[int, Ttl]]:
    return [(n // 2, "1h" if n % 2 else "5m") for n in array("I", call.marks)]


def _prefix(call: Print) -> Prefix:
    short = call.short
    return Prefix(
        blocks=cast("tuple[Block, ...]", _Blocks(call)),
        digests=tuple([short[i : i + SHORT] for i in range(0, len(short), SHORT)]),
        sizes=tuple(array("Q", call.sizes)),
        head=call.heads,
        settings=call.seed,
        parts=(b"", b"", b""),
        hand={},
        short=short,
        own=call.own,
    )


_ROLES: Mapping[str, tuple[Layer, str]] = {
    "T": ("tools", ""),
    "S": ("system", ""),
    "u": ("messages", "user"),
    "a": ("messages", "assistant"),
    "s": ("messages", "system"),
    # A role that Bedrock does not know.
    "?": ("messages", ""),
}


class _Blocks(Sequence[Block]):
    """The blocks of a request, made where one is asked for: most never are."""

    def __init__(self, call: Print) -> None:
        self._call = call

    def __len__(self) -> int:
        return len(self._call.roles)

    @overload
    def __getitem__(self, index: int) -> Block: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Block]: ...
    def __getitem__(self, index: int | slice) -> Block | Sequence[Block]:
        return self._made[index]

    @once
    def _made(self) -> tuple[Block, ...]:
        call = self._call
        paths = iter(array("H", call.paths))
        kinds = json.loads(call.kinds) if call.kinds else []
        places = zip(kinds, call.roles, paths, paths, strict=False)
        return tuple([_block(*_ROLES[role], (i, j), kind) for kind, role, i, j in places])


def _block(layer: Layer, role: str, path: tuple[int, int], kind: str) -> Block:
    return Block(layer, path, kind, role, 0, b"", True, None)


class _Kept:
    """What is kept of the texts of a request."""

    def __init__(self, call: Print, head: Head) -> None:
        self._call, self._head = call, head
        self._blocks = _Blocks(call)

    def __len__(self) -> int:
        return len(self._blocks)

    def tool(self, index: int) -> str:
        return f"tools[{index}]"

    def field(self, index: int, name: str) -> Passage:
        return self._head.fields[index, name]

    @property
    def system(self) -> Sequence[tuple[int, Passage]]:
        return self._head.system

    def role(self, index: int) -> str:
        return self._blocks[index].role

    def kind(self, index: int) -> str:
        return self._blocks[index].kind

    def message(self, index: int) -> int:
        return self._blocks[index].path[0]

    def rewriting(self, index: int) -> str | None:
        said = (one.partition(":") for one in self._call.rewritten.split(",") if one)
        return next((what for i, _, what in said if int(i) == index - self._call.heads), None)

    @property
    def asks_for_summary(self) -> bool:
        return self._call.summary

"""What may be kept alive: the ends of calls, each with what is needed to read it once more."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.call import Call
from cachepoint.core.keeping.worth import due
from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.once import anew
from cachepoint.core.placement.forecast import KNOWN_HEAD, Kind
from cachepoint.core.placement.planner import Checkpoint, Plan
from cachepoint.core.prompt.prefix import Prefix

# Requests with such have each of their calls judged, and paid for, by a guardrail.
_JUDGED = ("guardrailConfig", "amazon-bedrock-guardrailConfig")
_MESSAGES, _SYSTEM, _TOOLS = "messages", "system", "tools"


@dataclass(frozen=True)
class Target:
    """One prefix that is watched, and the call that used it last.

    Attributes:
        place: Its digest.
        head: The digest of tools and system prompt in front of it, and their tokens; None: it is them.
        call: That call, bare: its request holds the prefix and as little more as may be. The lists in it are
            ours, what is in them is the caller's.
        kept: Tokens of the prefix.
        rest: Tokens of the request behind it.
        ttl: Of its entry, as it was asked for.
        kinds: What the forecast counts its return for.
        tier: The service tier.
        seen: When that call began, in seconds.
        due: When to look at it again.
        windows: How many are counted.
        refreshes: How many there were since that call.
        shared: Whether calls of several conversations use it: it is tools and system prompt.
        weight: Bytes of the request; 0: it was let go, and the prefix is watched alone.
    """

    place: bytes
    head: tuple[bytes, int] | None
    call: Call = field(repr=False)
    kept: int
    rest: int
    ttl: Ttl
    kinds: tuple[Kind, ...]
    tier: str | None
    seen: float
    due: float
    windows: int = 0
    refreshes: int = 0
    shared: bool = False
    weight: int = 0

    @property
    def bare(self) -> "Target":
        """The same without its request."""
        return replace(self, call=anew(self.call, request={}), weight=0) if self.weight else self


# Of a request and its dialect: the same, answered with as few tokens as may be.
Shape = Callable[[Mapping[str, Any], str], dict[str, Any]]


def targets(call: Call, report: CallReport, shape: Shape) -> Iterator[Target]:
    """What of a call may be kept alive: all that it has in the cache, and its head by itself.

    Args:
        call: The call.
        report: Its report.
        shape: Makes a request of what is left of its own.
    """
    case, usage = call.case, report.usage
    if case is None or call.question is None or usage is None or any(n in call.request for n in _JUDGED):
        return
    marks, prefix = call.plan.checkpoints, case.prefix
    cached = (usage.read_tokens or 0) + (usage.write_tokens or 0)
    if not marks or not cached:
        return
    head = next((c for c in reversed(marks) if c.index < prefix.head), None)
    large = head is not None and head.tokens >= call.rules.min_tokens
    deepest = marks[-1]
    if head is not None and head is not deepest and large:
        yield _target(call, report, shape, head, min(head.tokens, cached), None)
    front = (prefix.digests[head.index], head.tokens) if head is not None and head is not deepest else None
    yield _target(call, report, shape, deepest, cached, front)


def _target(
    call: Call,
    report: CallReport,
    shape: Shape,
    mark: Checkpoint,
    kept: int,
    head: tuple[bytes, int] | None,
) -> Target:
    assert call.case is not None  # noqa: S101
    assert call.question is not None  # noqa: S101
    assert report.usage is not None  # noqa: S101
    prefix, view = call.case.prefix, call.case.view
    shared = mark.index < prefix.head
    # What lives on keeps its own TTL.
    ttl = view.entries[mark.index].ttl if view.lives(mark.index) else mark.ttl
    request, whole = _shortened(call.request, prefix, mark)
    marks = tuple(c for c in call.plan.checkpoints if c.index <= mark.index or whole)
    bare = anew(
        call,
        request=shape(request, call.dialect),
        original={},
        plan=Plan(marks, kept),
        case=None,
        question=None,
        found={},
        back=(),
        watches=(),
        writing=(),
        claimed=frozenset(),
        sessions=(),
    )
    head_kind: tuple[Kind, ...] = ((call.question.scope, KNOWN_HEAD),)
    watched = {watch.block: watch.kinds for watch in call.watches}
    return Target(
        place=prefix.digests[mark.index],
        head=head,
        call=bare,
        kept=kept,
        rest=report.usage.uncached_tokens if whole else 0,
        ttl=ttl,
        kinds=watched.get(mark.index, head_kind) if not shared else head_kind,
        tier=report.tier,
        seen=call.at,
        due=due(call.at, 0, ttl),
        shared=shared,
        weight=prefix.sizes[-1 if whole else mark.index] or 1,
    )


def _shortened(request: Mapping[str, Any], prefix: Prefix, mark: Checkpoint) -> tuple[dict[str, Any], bool]:
    """A request that ends behind a checkpoint, where Bedrock takes one that does; else the whole of it.

    Its lists are copies, so that a caller who goes on with theirs changes nothing here.
    """
    copy = {name: _copied(value) for name, value in request.items()}
    block = prefix.blocks[mark.index]
    messages = copy.get(_MESSAGES) or []
    if block.layer != _MESSAGES:
        # Behind the head stands a question that is put there when it is sent.
        return {**copy, _MESSAGES: []}, False
    turn = block.path[0]
    following = prefix.blocks[mark.index + 1 : mark.index + 2]
    ends = not following or following[0].path[0] != turn
    if ends and block.role == "user" and turn + 1 < len(messages):
        return {**copy, _MESSAGES: messages[: turn + 1]}, False
    return copy, True


def _copied(value: Any) -> Any:
    """Lists, and the dicts that hold lists, anew; what else is in them is the caller's."""
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return (
        {k: _copied(v) if isinstance(v, list) else v for k, v in value.items()}
        if type(value) is dict
        else value
    )


class Watched:
    """The targets of this process. Bounded in number and bytes; of too many, those go whose call is oldest.

    Not safe under threads.

    Args:
        most: How many are watched.
        size: Bytes of the requests that are kept.
    """

    def __init__(self, most: int, size: int) -> None:
        self._most, self._size = most, size
        self._bytes = 0
        self._targets: OrderedDict[bytes, Target] = OrderedDict()

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def size(self) -> int:
        """Of the requests that are kept."""
        return self._bytes

    def find(self, place: bytes) -> Target | None:
        """The target of a place."""
        return self._targets.get(place)

    def put(self, target: Target, *, new: bool = True) -> None:
        """Watch a target, instead of what was known of its place. What is not `new` keeps its turn."""
        was = self._targets.get(target.place)
        self._targets[target.place] = target
        if new:
            self._targets.move_to_end(target.place)
        self._bytes += target.weight - (was.weight if was is not None else 0)
        while self._targets and len(self._targets) > self._most:
            self._bytes -= self._targets.popitem(last=False)[1].weight
        for old in list(self._targets.values()) if self._bytes > self._size else ():
            if self._bytes <= self._size:
                break
            self._bytes -= old.weight
            self._targets[old.place] = old.bare

    def age(self, now: float) -> None:
        """Drop what nobody has looked at for an hour after it was due, as where nobody looks at all."""
        while self._targets and (first := next(iter(self._targets.values()))).due < now - TTL_SECONDS["1h"]:
            self.drop(first)

    def drop(self, target: Target) -> None:
        """Watch it no longer, unless a later call used it."""
        if self._targets.get(target.place) is target:
            self._bytes -= self._targets.pop(target.place).weight

    def ready(self, now: float) -> list[Target]:
        """Those that are to be looked at, the most urgent first; what stands deeper goes before its head."""
        now_due = [t for t in self._targets.values() if t.due <= now]
        return sorted(now_due, key=lambda t: (t.due, -t.kept))

    @property
    def next(self) -> float | None:
        """When one is due; None: none is."""
        return min((t.due for t in self._targets.values()), default=None)

    def clear(self) -> None:
        """Forget all."""
        self._targets.clear()
        self._bytes = 0

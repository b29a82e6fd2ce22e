"""What a test that fails says: which call, what it read, what it missed and where, what to do."""

from collections.abc import Iterator, Mapping, Sequence

from cachepoint.core.drawing.words import counted
from cachepoint.core.prompt.prefix import Layer
from cachepoint.testing.calls import CacheCall, Moved

_MOST = 5
_CALLS = (
    "No call reached the local Bedrock. Ask for the fixture `bedrock` before models are built,"
    " and name no other endpoint."
)
_REMEDIES: Mapping[str, str] = {
    "model_changed": "Keep one model for a conversation: entries are never shared between two.",
    "tools_changed": "Give every call the same tools, in the same order.",
    "system_changed": "Put what changes into the newest message, or at least at the end of the prompt.",
    "messages_changed": "Send earlier messages as they were; where they must go, rarely and many at once.",
    "settings_changed": "Keep thinking, effort and the output's schema the same for a conversation.",
    "first_write": "It is the first of its prompt: raise `after`, or choose with cache_calls.only(...).",
    "expired": "The time between two calls is longer than the entry's TTL: set the policy's ttl to '1h'.",
    "below_minimum": "Its prompt is shorter than the model caches: `cachepoint models` lists the minimum.",
    "lookback_exceeded": "Add fewer blocks between two calls than Bedrock looks back over.",
    "in_flight": "Let the first call begin its answer before others are sent: see fan_out of CachePolicy.",
    "not_marked": "No checkpoint was placed: see call.report.plan.note.",
}
_LAYERS: Mapping[Layer, str] = {
    "tools": "tools_changed",
    "system": "system_changed",
    "messages": "messages_changed",
}
_UNPLANNED = "No checkpoint was sent, and no cache planned the call: use a cached model, or CachingClient."
_NEW = "Nothing was missed, but what it sent for the first time is more than min_hit allows: give less."


def nothing_to_judge(calls: int, after: int) -> str:
    """That there is no call to look at."""
    if not calls:
        return _CALLS
    made = counted(calls, "call")
    return f"No call is left to look at, of {made} with after={after}. Make one more, or give less."


def too_little(
    short: Sequence[CacheCall], changes: Sequence[Moved], min_hit: float, after: int, calls: int
) -> str:
    """That calls read too little.

    Args:
        short: Those calls.
        changes: What moved, in any of the calls.
        min_hit: The share that was asked for.
        after: How many calls went before.
        calls: How many there were in all.
    """
    of_call = {change.call.number: change for change in changes}
    head = (
        f"{len(short)} of {counted(calls, 'call')} read too little: after call {after} each should have read"
        f" {min_hit:.0%} of its input"
    )
    return _listed(head, ["\n    ".join(_short(call, of_call.get(call.number))) for call in short])


def _short(call: CacheCall, change: Moved | None) -> Iterator[str]:
    usage, share = call.usage, call.usage.hit_share or 0
    read = f"read {usage.read_tokens or 0:,} of {usage.input_tokens:,} tokens ({share:.0%})"
    yield f"call {call.number}, {call.model_id}: {read}, wrote {usage.write_tokens or 0:,}"
    if call.miss is not None:
        yield f"miss: {_miss(call)}"
    if change is not None:
        yield f"against call {change.before.number}: {change.difference.said}"
    yield f"do: {_remedy(call, change)}"


def _miss(call: CacheCall) -> str:
    miss = call.miss
    if miss is None:
        return ""
    parts = (
        f"{miss.cause} at {miss.where}" if miss.where else miss.cause,
        miss.detail,
        None if miss.tokens is None else f"{counted(miss.tokens, 'token')} more could have been read",
    )
    return "; ".join(filter(None, parts))


def _remedy(call: CacheCall, change: Moved | None) -> str:
    if change is not None:
        return _REMEDIES[_LAYERS[change.difference.layer]]
    if call.miss is not None:
        return _REMEDIES.get(call.miss.cause, "See call.report for what was planned.")
    if call.report is None and not call.prompt.is_marked:
        return _UNPLANNED
    return _NEW


def unstable(changes: Sequence[Moved], *, text: bool) -> str:
    """That calls changed the prefix of the ones before them."""
    head = f"{counted(len(changes), 'call')} changed the prefix of what came before"
    return _listed(head, ["\n    ".join(_changed(change, text=text)) for change in changes])


def _changed(change: Moved, *, text: bool) -> Iterator[str]:
    found = change.difference
    yield f"call {change.call.number} against call {change.before.number}: {found.said}"
    if text and found.before is not None:
        yield f"was: {found.before}"
        yield f"is:  {found.after}"
    yield f"do: {_REMEDIES[_LAYERS[found.layer]]}"


def _listed(head: str, items: Sequence[str]) -> str:
    more = [f"and {len(items) - _MOST} more"] if len(items) > _MOST else []
    return "\n  ".join((f"{head}.", *items[:_MOST], *more))

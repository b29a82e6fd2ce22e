"""The one place that decides where checkpoints go.

The bill of a request depends on three depths: how deep it is read, how deep it is written at 1h, and how
deep it is written at all (those in between cost nothing extra: the span law). The last two are decided by
what each stretch is worth at either TTL, from how likely it is to come back and when. All other
checkpoints are free, and go where they make reads sure:

  anchor        the exact end of what Bedrock holds already: distance 0, whatever was appended
  end           the end of this request
  documents     where retrieved documents end
  again         where an earlier request ended or parted from this one
  tools, head   tools, and tools and system, for the next conversation
  previous_end  what was said before the newest message, or where the turn before must have ended, if
                another process wrote it

What the caller placed stays; ours fill what remains of the four.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cachepoint.core.models.rules import MAX_CHECKPOINTS, ModelRules, Ttl
from cachepoint.core.placement.forecast import Chance, Prices
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.prefix import Prefix

Reason = Literal["hand", "anchor", "end", "documents", "again", "tools", "head", "previous_end"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint of a plan.

    `index` is the block it stands behind, `where` that block's place in the request, `tokens` the
    estimated size of the prefix it ends.
    """

    index: int
    where: str
    ttl: Ttl
    reason: Reason
    tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The checkpoints of one request, in order, each with its reason.

    `expected_read_tokens` is what Bedrock should read by what the mirror knows (None: nothing is
    known); `expected_from` is the block that read should end at; `note` says why there is no
    checkpoint where there is none.
    """

    checkpoints: tuple[Checkpoint, ...] = ()
    expected_read_tokens: int | None = None
    expected_from: int | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block that a checkpoint may stand behind, why, and how likely the prefix is to come back."""

    index: int
    reason: Reason
    chance: Chance


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the forecast says of a request.

    `candidates` are the places that may be worth a write, in any order, and `prices` those of the model.
    `stale` says that histories of this kind no longer extend what was sent, `changing` that the head
    holds what was seen to change by the call.
    """

    candidates: tuple[Candidate, ...]
    prices: Prices
    stale: bool = False
    changing: bool = False


def plan(
    prefix: Prefix,
    view: View,
    rules: ModelRules,
    policy: CachePolicy,
    outlook: Outlook,
    sizes: Sizes,
    *,
    slots: int = MAX_CHECKPOINTS,
    behind: str | None = None,
    ours: bool = True,
) -> Plan:
    """Decide the checkpoints of one request.

    Args:
        prefix: The request.
        view: What Bedrock must hold of it.
        rules: What the model allows.
        policy: What the user chose.
        outlook: What the forecast says.
        sizes: The estimated tokens at each block.
        slots: How many may leave.
        behind: The TTL of one that Bedrock places behind them all.
        ours: Whether any of ours may be placed.

    Returns:
        At most four checkpoints that Bedrock accepts, the caller's legal ones among them.
    """
    chosen = _hand(prefix, slots)
    long = -1
    if ours:
        places = _places(outlook.candidates, prefix, view, rules, sizes)
        deepest, long = _depths(places, chosen, prefix, view, rules, policy, outlook.prices, sizes)
        for reason, index in _wanted(places, deepest, long, prefix, view, sizes):
            if len(chosen) >= slots:
                break
            if index not in chosen and _pays(index, prefix, view, rules, sizes):
                chosen[index] = reason
    ttls = _ttls(chosen, prefix, rules, policy, behind, long)
    checkpoints = tuple(
        Checkpoint(i, prefix.blocks[i].where, ttls[i], chosen[i], sizes.tokens[i]) for i in sorted(chosen)
    )
    reach = _reach(checkpoints, view, rules)
    return Plan(
        checkpoints=checkpoints,
        expected_read_tokens=None if reach is None else _known(reach, view, sizes),
        expected_from=reach,
        note=None if checkpoints else _why_none(prefix, rules, sizes),
    )


def _hand(prefix: Prefix, slots: int) -> dict[int, Reason]:
    """The caller's checkpoints that Bedrock accepts.

    Of too many, the first and the last: the head that conversations share, and the newest turns.
    """
    legal = [i for i, mark in prefix.hand.items() if mark.stays]
    if len(legal) > slots:
        legal = legal[: min(1, slots)] + legal[len(legal) - max(0, slots - 1) :]
    return dict.fromkeys(legal, "hand")


def _places(
    candidates: Sequence[Candidate], prefix: Prefix, view: View, rules: ModelRules, sizes: Sizes
) -> list[Candidate]:
    """Those that can be written, by depth; each comes back at least as often as what is behind it."""
    by_index: dict[int, Candidate] = {}
    for c in candidates:
        if _pays(c.index, prefix, view, rules, sizes):
            known = by_index.get(c.index)
            by_index[c.index] = c if known is None else replace(known, chance=known.chance.at_least(c.chance))
    out: list[Candidate] = []
    for i in sorted(by_index, reverse=True):
        place = by_index[i]
        out.append(place if not out else replace(place, chance=place.chance.at_least(out[-1].chance)))
    return out[::-1]


def _depths(
    places: Sequence[Candidate],
    hand: Mapping[int, Reason],
    prefix: Prefix,
    view: View,
    rules: ModelRules,
    policy: CachePolicy,
    prices: Prices,
    sizes: Sizes,
) -> tuple[int, int]:
    """How deep to write at all, and how deep at 1h: the indices of two blocks, -1 for nowhere.

    What is written on top of a live 5m entry lives as long as that (no one has shown otherwise), and a 1h
    may not stand behind a 5m. What another call is writing now is no worth to be written twice: it can't be
    read yet, and will be there.
    """
    anchor = max(view.live, default=-1)
    from_tokens = sizes.tokens[anchor] if anchor >= 0 else 0
    held = anchor < 0 or view.entries[anchor].ttl == "1h"
    may_be_long = held and "1h" in rules.ttls
    writing = max((p.index for p in places if _is_written(p.index, view, policy)), default=-1)
    fixed = min((i for i in hand if (prefix.hand[i].ttl or "5m") == "5m"), default=len(prefix.blocks))
    short = long = best = best_long = 0.0
    deepest = deepest_long = long_to = -1
    for place in places:
        i = place.index
        if i <= anchor:
            continue
        asked = policy.ttl_of(prefix.blocks[i].layer)
        may_be_long = may_be_long and asked != "5m" and i < fixed
        gain_short, gain_long = prices.gain(place.chance)
        if asked == "1h" and "1h" in rules.ttls:
            gain_short = gain_long
        if i <= writing:
            gain_short, gain_long = 1 - prices.short, 1 - prices.long
        more = sizes.tokens[i] - from_tokens
        from_tokens = sizes.tokens[i]
        short += gain_short * more
        long += gain_long * more
        if may_be_long and long - short > best_long:
            best_long, long_to = long - short, i
        if short + best_long >= best and max(gain_short, gain_long) > 0:
            best, deepest, deepest_long = short + best_long, i, long_to
    return deepest, deepest_long


def _is_written(index: int, view: View, policy: CachePolicy) -> bool:
    place = view.entries.get(index)
    return policy.fan_out != "off" and place is not None and place.writing(view.now)


def _wanted(
    places: Sequence[Candidate], deepest: int, long: int, prefix: Prefix, view: View, sizes: Sizes
) -> Iterator[tuple[Reason, int]]:
    """Ours, the most valuable first: what is decided, what is read, and what is free."""
    reasons = {c.index: c.reason for c in places}
    anchor = max(view.live, default=-1)
    chosen = [i for i in (deepest, anchor, long) if i >= 0]
    for i in chosen:
        yield ("anchor" if i == anchor else reasons[i]), i
    if not chosen:
        return
    below = (c for c in places if c.index < max(chosen) and c.index not in chosen)
    free = [c for c in below if c.reason != "previous_end"]
    while free:
        best = max(free, key=lambda c: _spares(c.index, chosen, view, sizes))
        free.remove(best)
        chosen.append(best.index)
        yield best.reason, best.index
    before = previous_end(prefix)
    if before is not None and before < max(chosen):
        yield "previous_end", before


def _spares(index: int, chosen: Sequence[int], view: View, sizes: Sizes) -> tuple[float, int]:
    """What a checkpoint here spares those that part behind it: their number times the tokens."""
    below = max((i for i in chosen if i < index), default=-1)
    above = min(i for i in chosen if i > index)
    tokens = sizes.tokens[index] - (sizes.tokens[below] if below >= 0 else 0)
    return (max(_times(index, view) - _times(above, view), 0) * tokens, sizes.tokens[index])


def _times(index: int, view: View) -> int:
    place = view.entries.get(index)
    return 0 if place is None else place.times


def end_of(prefix: Prefix) -> int | None:
    """The last block of what the user's side said at which a checkpoint may stand.

    An assistant message at the very end is a prefill: it grows with the answer, so nothing ends there.
    """
    blocks = prefix.blocks
    return next(
        (
            i
            for i in range(len(blocks) - 1, -1, -1)
            if blocks[i].layer == "messages" and blocks[i].role != "assistant" and blocks[i].markable
        ),
        None,
    )


def head_of(prefix: Prefix) -> int | None:
    """The end of the shared head: of system, else of tools, which a point on system covers.

    Where the system prompt holds documents or changes by the call, the head ends in front of that.
    """
    blocks = prefix.blocks
    stop = next(
        (i for i, b in enumerate(blocks[: prefix.head]) if b.ends in {"documents", "volatile"}),
        prefix.head,
    )
    layer = blocks[stop - 1].layer if stop else None
    return next(
        (i for i in range(stop - 1, -1, -1) if blocks[i].markable and blocks[i].layer == layer),
        None,
    )


def tools_of(prefix: Prefix) -> int | None:
    """The end of the tools."""
    count = next((i for i, b in enumerate(prefix.blocks[: prefix.head]) if b.layer != "tools"), prefix.head)
    return count - 1 if count and prefix.blocks[count - 1].markable else None


def history_of(prefix: Prefix) -> int | None:
    """The end of what was said before the newest message."""
    blocks = prefix.blocks
    newest = blocks[-1].path[0] if len(blocks) > prefix.head else 0
    i = len(blocks) - 1
    while i >= prefix.head and blocks[i].path[0] == newest:
        i -= 1
    return i if i >= prefix.head and blocks[i].markable else None


def previous_end(prefix: Prefix) -> int | None:
    """Where the request before this one ended: in front of the last assistant message."""
    blocks = prefix.blocks
    i = len(blocks) - 1
    while i >= 0 and blocks[i].role != "assistant":
        i -= 1
    while i >= 0 and blocks[i].role == "assistant":
        i -= 1
    return i if i >= 0 and blocks[i].layer == "messages" and blocks[i].markable else None


def _pays(index: int, prefix: Prefix, view: View, rules: ModelRules, sizes: Sizes) -> bool:
    if not prefix.blocks[index].markable:
        return False
    if index in view.live:
        return True
    largest = rules.max_cached_tokens
    return sizes.reaches(index, rules.min_tokens) and (largest is None or sizes.tokens[index] <= largest)


def _ttls(
    chosen: Mapping[int, Reason],
    prefix: Prefix,
    rules: ModelRules,
    policy: CachePolicy,
    behind: str | None,
    long: int,
) -> dict[int, Ttl]:
    """TTLs that never rise along tools → system → messages.

    Bedrock refuses a 1h behind a 5m. What the caller put stays where it can; a 1h of the caller's
    raises all before it, which costs nothing more: the span up to it is written at 1h anyway.
    """
    wanted: dict[int, Ttl] = {}
    hand = prefix.hand
    for i, reason in chosen.items():
        asked = hand[i].ttl or "5m" if reason == "hand" else policy.ttl_of(prefix.blocks[i].layer)
        if asked == "auto":
            asked = "1h" if i <= long else "5m"
        wanted[i] = "1h" if asked == "1h" and "1h" in rules.ttls else "5m"
    last_hand_1h = max((i for i in chosen if i in hand and wanted[i] == "1h"), default=-1)
    if behind == "1h" and "1h" in rules.ttls:
        last_hand_1h = len(prefix.blocks)
    fixed_5m = min(
        (i for i in chosen if i in hand and wanted[i] == "5m" and i > last_hand_1h),
        default=len(prefix.blocks),
    )
    ttl: dict[int, Ttl] = {}
    short = False
    for i in sorted(chosen):
        if i <= last_hand_1h:
            ttl[i] = "1h"
            continue
        short = short or wanted[i] == "5m" or i >= fixed_5m
        ttl[i] = "5m" if short else "1h"
    return ttl


def _reach(checkpoints: tuple[Checkpoint, ...], view: View, rules: ModelRules) -> int | None:
    """The deepest live entry at a checkpoint or within the lookback of one."""
    live = view.live
    return max(
        (i for i in live for c in checkpoints if 0 <= c.index - i <= rules.lookback),
        default=None,
    )


def _known(index: int, view: View, sizes: Sizes) -> int:
    tokens = view.entries[index].tokens
    return sizes.tokens[index] if tokens is None else tokens


def _why_none(prefix: Prefix, rules: ModelRules, sizes: Sizes) -> str:
    if not prefix.blocks:
        return "the request is empty"
    if not sizes.reaches(len(prefix.blocks) - 1, rules.min_tokens):
        return f"below the minimum of {rules.min_tokens} tokens of {rules.name}"
    return "nothing in it is expected to come back"

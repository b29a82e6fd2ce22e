"""The one place that decides where checkpoints go.

The bill of a request depends on two depths: how deep it is read and how deep it is written (all
tokens up to the last checkpoint are read or written; those between cost nothing extra: the span
law). So only the deepest checkpoint is a decision that can lose money; the
others are free, and go where they make reads sure:

  anchor        the exact end of what Bedrock holds already: distance 0, whatever was appended
  end           the end of this request, where the forecast says that it comes back
  documents     where retrieved documents end, where they are shared
  again         the deepest place at which an earlier request ended or parted from this one
  head          tools and system, for the next conversation
  previous_end  where the turn before must have ended, if another process wrote it

What the caller placed stays; ours fill what remains of the four.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cachepoint.core.models.rules import MAX_CHECKPOINTS, ModelRules, Ttl
from cachepoint.core.placement.sizes import Sizes
from cachepoint.core.placement.view import View
from cachepoint.core.policy import CachePolicy
from cachepoint.core.prompt.prefix import Prefix

Reason = Literal["hand", "anchor", "end", "documents", "again", "head", "previous_end"]


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
class Outlook:
    """What the forecast says of a request.

    `head` and `end` say whether these are worth a write; `whole` is the end of a head that holds what
    may change, where such heads are known to return; `again` is the block of a prefix that was seen
    before, is not held now and is worth a write; `documents` are blocks to be written at once.
    `stale` says that histories of this kind no longer extend what was sent, `changing` that the head
    holds what was seen to change by the call.
    """

    head: bool
    end: bool
    whole: int | None = None
    again: int | None = None
    documents: tuple[int, ...] = ()
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
    for reason, index in _candidates(prefix, view, outlook) if ours else ():
        if len(chosen) >= slots:
            break
        if index not in chosen and _pays(index, prefix, view, rules, sizes):
            chosen[index] = reason
    ttls = _ttls(chosen, prefix, rules, policy, behind)
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


def _candidates(prefix: Prefix, view: View, outlook: Outlook) -> Iterator[tuple[Reason, int]]:
    """Ours, the most valuable first."""
    end = end_of(prefix) if outlook.end else None
    anchor = max(view.live, default=None)
    head = head_of(prefix)
    if end is not None:
        yield "end", end
    if anchor is not None:
        yield "anchor", anchor
    for index in reversed(outlook.documents):
        yield "documents", index
    if outlook.again is not None:
        yield "again", outlook.again
    if outlook.whole is not None:
        yield "head", outlook.whole
    if head is not None and (outlook.head or head in view.live):
        yield "head", head
    if end is not None and (before := previous_end(prefix)) is not None:
        yield "previous_end", before


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
) -> dict[int, Ttl]:
    """TTLs that never rise along tools → system → messages.

    Bedrock refuses a 1h behind a 5m. What the caller put stays where it can; a 1h of the caller's
    raises all before it, which costs nothing more: the span up to it is written at 1h anyway.
    """
    wanted: dict[int, Ttl] = {}
    hand = prefix.hand
    for i, reason in chosen.items():
        asked = hand[i].ttl or "5m" if reason == "hand" else _own_ttl(prefix, i, policy)
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


def _own_ttl(prefix: Prefix, index: int, policy: CachePolicy) -> Ttl:
    in_head = prefix.blocks[index].layer != "messages"
    return policy.head_ttl or policy.ttl if in_head else policy.ttl


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

"""The one place that decides where checkpoints go.

The bill of a request depends on three depths: how deep it is read, how deep it is written at 1h, and how
deep it is written at all (those in between cost nothing extra: the span law). The last two are decided by
what each stretch is worth at either TTL, from how likely it is to come back and when. All other
checkpoints are free, and go where they make reads sure:

  anchor        the exact end of what Bedrock holds already: distance 0, whatever was appended
  end           the end of this request, or of what will stay of it
  documents     where retrieved documents end
  again         where an earlier request ended or parted from this one
  tools, head   tools, and tools and system, for the next conversation
  previous_end  what was said before the newest message, or where the turn before must have ended, if
                another process wrote it

What the caller placed stays; ours fill what remains of the four.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cachepoint.core.drawing import html
from cachepoint.core.drawing.words import counted
from cachepoint.core.models.rules import MAX_CHECKPOINTS, Ttl
from cachepoint.core.placement.fan_out import IS_WRITTEN
from cachepoint.core.placement.forecast import Chance, Prices
from cachepoint.core.placement.scene import Scene
from cachepoint.core.placement.view import View
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

    def __str__(self) -> str:
        """A line of what is expected, and one for each checkpoint."""
        width = max((len(c.where) for c in self.checkpoints), default=0)
        marks = (f"  {c.where:<{width}}  {c.ttl}  {c.reason:<12} {c.tokens:>9,}" for c in self.checkpoints)
        return "\n".join((self._said, *marks))

    def _repr_html_(self) -> str:
        """For a notebook: the checkpoints as a table."""
        rows = ((c.where, c.ttl, c.reason, f"{c.tokens:,}") for c in self.checkpoints)
        return html.fragment(self._said, html.table(rows, ("behind", "ttl", "reason", "tokens up to it")))

    @property
    def _said(self) -> str:
        count = len(self.checkpoints)
        if not count:
            return f"no checkpoint: {self.note}" if self.note else "no checkpoint"
        read = self.expected_read_tokens
        expected = "" if read is None else f"; {counted(read, 'token')} should be read"
        return f"{counted(count, 'checkpoint')}{expected}"


class Candidate(NamedTuple):
    """A block that a checkpoint may stand behind, why, and how likely the prefix is to come back."""

    block: int
    reason: Reason
    chance: Chance

    def at_least(self, chance: Chance) -> "Candidate":
        """The same place, no less likely to come back than that."""
        likelier = self.chance.at_least(chance)
        return self if likelier == self.chance else Candidate(self.block, self.reason, likelier)


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
    scene: Scene,
    outlook: Outlook,
    *,
    slots: int = MAX_CHECKPOINTS,
    ours: bool = True,
) -> Plan:
    """Decide the checkpoints of one request.

    Args:
        scene: The request.
        outlook: What the forecast says.
        slots: How many may leave.
        ours: Whether any of ours may be placed.

    Returns:
        At most four checkpoints that Bedrock accepts, the caller's legal ones among them.
    """
    chosen = by_hand(scene.prefix, slots)
    long = -1
    if ours:
        places = _places(scene, outlook.candidates)
        deepest, long = _depths(scene, places, chosen, outlook.prices)
        for reason, index in _wanted(scene, places, deepest, long):
            if len(chosen) >= slots:
                break
            if index not in chosen and scene.takes(index):
                chosen[index] = reason
    ttls = _ttls(scene, chosen, long)
    blocks, size = scene.prefix.blocks, scene.sizes.at
    checkpoints = tuple([Checkpoint(i, blocks[i].where, ttls[i], chosen[i], size(i)) for i in sorted(chosen)])
    reach = reached(scene.view, [c.index for c in checkpoints], scene.rules.lookback)
    return Plan(
        checkpoints=checkpoints,
        expected_read_tokens=None if reach is None else _known(scene, reach),
        expected_from=reach,
        note=None if checkpoints else _why_none(scene),
    )


def by_hand(prefix: Prefix, slots: int) -> dict[int, Reason]:
    """The caller's checkpoints that Bedrock accepts.

    Of too many, the first and the last: the head that conversations share, and the newest turns.
    """
    legal = [i for i, mark in prefix.hand.items() if mark.stays]
    if len(legal) > slots:
        legal = legal[: min(1, slots)] + legal[len(legal) - max(0, slots - 1) :]
    return dict.fromkeys(legal, "hand")


def _places(scene: Scene, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that can be written, by depth; each comes back at least as often as what is behind it."""
    by_index: dict[int, Candidate] = {}
    for c in candidates:
        known = by_index.get(c.block)
        if known is not None:
            by_index[c.block] = known.at_least(c.chance)
        elif scene.takes(c.block):
            by_index[c.block] = c
    out: list[Candidate] = []
    for i in sorted(by_index, reverse=True):
        place = by_index[i]
        out.append(place.at_least(out[-1].chance) if out else place)
    return out[::-1]


def _depths(
    scene: Scene, places: Sequence[Candidate], hand: Mapping[int, Reason], prices: Prices
) -> tuple[int, int]:
    """How deep to write at all, and how deep at 1h: the indices of two blocks, -1 for nowhere.

    What is written on top of a live 5m entry lives as long as that (no one has shown otherwise), and a 1h
    may not stand behind a 5m. What another call is writing now is no worth to be written twice: it can't be
    read yet, and will be there.
    """
    prefix, view, policy, ttls = scene.prefix, scene.view, scene.policy, scene.rules.ttls
    anchor = view.anchor
    from_tokens = scene.sizes.at(anchor) if anchor >= 0 else 0
    held = anchor < 0 or view.entries[anchor].ttl == "1h"
    may_be_long = held and "1h" in ttls
    writing = max((p.block for p in places if _is_written(scene, p.block)), default=-1)
    fixed = min((i for i in hand if (prefix.hand[i].ttl or "5m") == "5m"), default=len(prefix.blocks))
    short = long = best = best_long = 0.0
    deepest = deepest_long = long_to = -1
    for place in places:
        i = place.block
        if i <= anchor:
            continue
        asked = policy.ttl_of(prefix.blocks[i].layer)
        may_be_long = may_be_long and asked != "5m" and i < fixed
        gain_short, gain_long = prices.gain(place.chance)
        if asked == "1h" and "1h" in ttls:
            gain_short = gain_long
        if i <= writing:
            gain_short, gain_long = 1 - prices.short, 1 - prices.long
        tokens = scene.sizes.at(i)
        more, from_tokens = tokens - from_tokens, tokens
        short += gain_short * more
        long += gain_long * more
        if may_be_long and long - short > best_long:
            best_long, long_to = long - short, i
        if short + best_long >= best and max(gain_short, gain_long) > 0:
            best, deepest, deepest_long = short + best_long, i, long_to
    return deepest, deepest_long


def _is_written(scene: Scene, index: int) -> bool:
    place = scene.view.entries.get(index)
    return place is not None and IS_WRITTEN[scene.policy.fan_out](place, scene.view.now)


def _wanted(
    scene: Scene, places: Sequence[Candidate], deepest: int, long: int
) -> Iterator[tuple[Reason, int]]:
    """Ours, the most valuable first: what is decided, what is read, and what is free."""
    reasons = {c.block: c.reason for c in places}
    anchor = scene.view.anchor
    chosen = [i for i in (deepest, anchor, long) if i >= 0]
    for i in chosen:
        yield ("anchor" if i == anchor else reasons[i]), i
    if not chosen:
        return
    last = max(chosen)
    free = [c for c in places if c.block < last and c.block not in chosen and c.reason != "previous_end"]
    while free:
        best = max(free, key=lambda c: _spares(scene, c.block, chosen))
        free.remove(best)
        chosen.append(best.block)
        yield best.reason, best.block
    before = scene.landmarks.previous
    if before is not None and before < last:
        yield "previous_end", before


def _spares(scene: Scene, index: int, chosen: Sequence[int]) -> tuple[float, int]:
    """What a checkpoint here spares those that part behind it: their number times the tokens."""
    below = max((i for i in chosen if i < index), default=-1)
    above = min(i for i in chosen if i > index)
    here = scene.sizes.at(index)
    tokens = here - (scene.sizes.at(below) if below >= 0 else 0)
    return max(_times(scene, index) - _times(scene, above), 0) * tokens, here


def _times(scene: Scene, index: int) -> int:
    place = scene.view.entries.get(index)
    return 0 if place is None else place.times


def _ttls(scene: Scene, chosen: Mapping[int, Reason], long: int) -> dict[int, Ttl]:
    """TTLs that never rise along tools → system → messages.

    Bedrock refuses a 1h behind a 5m. What the caller put stays where it can; a 1h of the caller's
    raises all before it, which costs nothing more: the span up to it is written at 1h anyway.
    """
    wanted: dict[int, Ttl] = {}
    blocks, hand, ttls = scene.prefix.blocks, scene.prefix.hand, scene.rules.ttls
    for i, reason in chosen.items():
        asked = hand[i].ttl or "5m" if reason == "hand" else scene.policy.ttl_of(blocks[i].layer)
        if asked == "auto":
            asked = "1h" if i <= long else "5m"
        wanted[i] = "1h" if asked == "1h" and "1h" in ttls else "5m"
    last_hand_1h = max((i for i in hand if wanted.get(i) == "1h"), default=-1)
    ttl: dict[int, Ttl] = {}
    short = False
    for i in sorted(chosen):
        short = i > last_hand_1h and (short or wanted[i] == "5m")
        ttl[i] = "5m" if short else "1h"
    return ttl


def reached(view: View, marks: Sequence[int], lookback: int) -> int | None:
    """The deepest live entry at a checkpoint or within the lookback of one; None: there is none."""
    return next((i for i in view.live if any(0 <= mark - i <= lookback for mark in marks)), None)


def _known(scene: Scene, index: int) -> int:
    tokens = scene.view.entries[index].tokens
    return scene.sizes.at(index) if tokens is None else tokens


def _why_none(scene: Scene) -> str:
    if not scene.prefix.blocks:
        return "the request is empty"
    if not scene.sizes.reaches(-1, scene.rules.min_tokens):
        return f"below the minimum of {scene.rules.min_tokens} tokens of {scene.rules.name}"
    return "nothing in it is expected to come back"

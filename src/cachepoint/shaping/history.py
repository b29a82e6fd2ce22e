"""Where to cut a history, so that what is kept stays the same prefix for many turns.

A window that slides drops its oldest messages on every turn: every turn has another prefix, and all
of it is paid in full. Here the cut stands on a grid over the conversation's own tokens, counted
from its first message. Tokens of old messages never change, so the cut stands still until the history
no longer fits, and then moves by a whole step. Nothing is remembered: the same messages are cut the
same way in another process.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, pairwise

from cachepoint.core.guard import InvalidOptionError
from cachepoint.shaping.when import Cut

# Shares of the input price on Claude (5m). The optimum is flat: a step twice too large or too small
# costs about a tenth more, so one pair serves all models.
READ, WRITE = 0.1, 1.25


def best_step(floor: float, turn: float, *, read: float = READ, write: float = WRITE) -> float:
    """The step that costs least where at least `floor` tokens are to be kept.

    D* = sqrt(2·turn·(write - read)·floor / read): a step costs the reading of D/2 tokens on average,
    a cut the writing of `floor` anew.

    Args:
        floor: Tokens to keep at least.
        turn: Tokens by which the history grows per turn.
        read: Price of a read token, as a share of the input price.
        write: Price of a written token, as a share of the input price.

    Returns:
        Tokens. `floor + best_step(floor, turn)` is the limit that belongs to it.
    """
    return math.sqrt(2 * turn * (write - read) * floor / read)


def step_within(limit: float, turn: float, *, read: float = READ, write: float = WRITE) -> float:
    """The step for a history of at most `limit` tokens: D* of its own floor, `limit - D`; at most half.

    With the floor left free, a larger step is always cheaper and keeps less; half is where that stops.

    Args:
        limit: Tokens to keep at most.
        turn: Tokens by which the history grows per turn.
        read: Price of a read token, as a share of the input price.
        write: Price of a written token, as a share of the input price.

    Returns:
        Tokens.
    """
    pull = turn * (write - read) / read
    return min(math.sqrt(pull * pull + 2 * pull * limit) - pull, limit / 2)


def legal_starts(
    opens: Sequence[bool], calls: Sequence[Collection[str]], results: Sequence[Collection[str]]
) -> list[int]:
    """The messages with which a history may begin: no tool result loses its call.

    Args:
        opens: By message: whether it is of a kind that may stand first (a user turn).
        calls: By message: the ids of the tool calls in it.
        results: By message: the ids of the tool calls that it answers.

    Returns:
        Their indices, in order.
    """
    made: dict[str, int] = {}
    # To begin behind a call and at or in front of its result is to lose the call.
    until = [0] * (len(opens) + 1)
    for i, (asked, answered) in enumerate(zip(calls, results, strict=True)):
        made.update(dict.fromkeys(asked, i))
        for ident in answered:
            behind = made.get(ident, i - 1) + 1
            until[behind] = max(until[behind], i + 1)
    return [
        i for i, (may, end) in enumerate(zip(opens, accumulate(until, max), strict=False)) if may and i >= end
    ]


def start_of(
    sizes: Sequence[int],
    starts: Sequence[int],
    limit: int,
    *,
    room: int | None = None,
    step: int | None = None,
) -> int:
    """The index of the first message to keep.

    The first grid line behind which all fits; it never moves back while the conversation grows. Where
    none fits (one turn longer than the rest of the limit) it is the first user turn that does, and
    where not even the newest turn fits, that turn, whole: without it there is no question.

    Args:
        sizes: Tokens by message, of the whole conversation from its first message on.
        starts: The messages with which a history may begin, in order (`legal_starts`).
        limit: Tokens to keep at most.
        room: What is left of the limit, where something else takes part of it; None: all of it.
        step: Tokens by which the cut moves; None: `step_within(limit)` of the turns in the first
            half of the limit, which no later turn changes.

    Returns:
        An index; 0 where the history may begin nowhere. What it keeps is at most `room`, and, once
        something was cut, more than `room` minus the step and the longest turn.

    Raises:
        ValueError: Where the limit is not positive or the step is not between 0 and the limit.
    """
    check(limit, step)
    if not starts:
        return 0
    positions = [0, *accumulate(sizes)]
    space = limit if room is None else room
    grid = _halved(step, space - 1) if step else _halved(_own_step(positions, starts, limit), space * 3 / 4)
    fits = positions[-1] - space
    found = next((i for i in _lines(positions, starts, grid) if positions[i] >= fits), None)
    if found is None:
        found = next((i for i in starts if positions[i] >= fits), starts[-1])
    return found


def start_when_cold(
    sizes: Sequence[int],
    starts: Sequence[int],
    limit: int,
    cut: Cut,
    *,
    now: float,
    ttl: float,
    turn: bool = True,
    room: int | None = None,
    step: int | None = None,
) -> tuple[int, Cut]:
    """As `start_of`, where a pause that is longer than the TTL is a better time for a cut.

    At the first call after such a pause all but what a cut leaves is cut, though there is room yet. From
    then on the cut moves by a step from where it stands, and no longer on the grid: it is what is remembered.
    Without a pause it is what `start_of` says.

    Args:
        sizes: As for `start_of`.
        starts: As for `start_of`.
        limit: As for `start_of`.
        cut: What was remembered.
        now: Seconds.
        ttl: Seconds that an entry of the cache lives.
        turn: Whether the call begins a turn of the person's.
        room: As for `start_of`.
        step: As for `start_of`.

    Returns:
        The index of the first message to keep, and what is to be remembered.
    """
    positions = [0, *accumulate(sizes)]
    space = limit if room is None else room
    early = cut.early or cut.cold(now, ttl)
    start = start_of(sizes, starts, limit, room=room, step=step)
    if early and starts:
        lasting = max((i for i in starts if i <= cut.done), default=starts[0])
        kept = positions[-1] - positions[lasting]
        least = max(space - (step or _own_step(positions, starts, limit)), 0)
        if kept > space or (cut.cold(now, ttl) and kept > least):
            fits = positions[-1] - least
            lasting = next((i for i in starts if i > lasting and positions[i] >= fits), starts[-1])
        start = lasting
    return start, cut.then(now, len(sizes), start, early=early, turn=turn)


def check(limit: int, step: int | None) -> None:
    """Whether limit and step can be held.

    Raises:
        ValueError: Where not; it names the values.
    """
    if limit < 1:
        raise InvalidOptionError(f"the limit is {limit!r} tokens; it must be at least 1")
    if step is not None and not 0 < step < limit:
        raise InvalidOptionError(
            f"step is {step!r}; it must be between 0 and the limit, {limit!r}, and less than it"
        )


def _own_step(positions: Sequence[int], starts: Sequence[int], limit: int) -> float:
    """Of the turns in the first half of the limit: when the first cut comes, they are all there."""
    whole = [positions[i] for i in starts if 0 < positions[i] <= limit / 2]
    return step_within(limit, whole[-1] / len(whole) if whole else limit / 2)


def _halved(step: float, most: float) -> float:
    """Halves of a grid have its lines too, so a system prompt that changes its size moves no cut far."""
    while step > max(most, 1):
        step /= 2
    return step


def _lines(positions: Sequence[int], starts: Sequence[int], step: float) -> Iterator[int]:
    """The first legal start at or behind each line of the grid."""
    yield starts[0]
    for before, start in pairwise(starts):
        if positions[start] // step > positions[before] // step:
            yield start

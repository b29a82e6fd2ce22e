"""How much must be there to be kept, and how far back it is looked for."""

from functools import partial

from cachepoint.cli.probe.asking import Ask, Probing
from cachepoint.cli.probe.prompts import Kit, asked, kept, point, text
from cachepoint.cli.probe.trials import Trial, ever

# Characters: no model is known to ask for so much.
_MOST_CHARACTERS = 1 << 18
_FIRST = 1_024
# Room above the minimum, as tokens of other texts differ.
_ROOM = 1.05
# A tail behind a prefix is a small part of it.
_LEAST = 1_000
_MOST_BLOCKS = 64
# Not read may be lost: it is believed after so many.
_BELIEVED = 3


def minimum(kit: Kit) -> Probing[tuple[int, int, int] | None]:
    """The fewest tokens of a prefix that is kept, by bisection over its characters.

    Returns:
        The fewest tokens that were kept, the most that were not, and the characters of the fewest; None where
        nothing of any size was.
    """
    low, high, most, rest = 0, _FIRST, 0, 0
    while True:
        answer = yield Ask(kept(kit.fresh(high)))
        if answer.written:
            fewest, rest = answer.written, answer.fresh
            break
        if answer.refused or high >= _MOST_CHARACTERS:
            return None
        low, most, high = high, answer.fresh, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        answer = yield Ask(kept(kit.fresh(middle)))
        if answer.written:
            high, fewest, rest = middle, answer.written, answer.fresh
        else:
            low, most = middle, answer.fresh
    return fewest, max(0, most - rest), high


def with_room(characters: int) -> int:
    """Characters of a prefix that is kept for sure."""
    return max(int(characters * _ROOM) + 64, _LEAST)


def lookback(kit: Kit) -> Probing[int | None]:
    """How many blocks may stand between an entry and a checkpoint that finds it; None: more than 64."""
    low, high = 0, _MOST_BLOCKS
    if (yield from ever(partial(_blocks_behind, kit, high), 1)):
        return None
    if not (yield from ever(partial(_blocks_behind, kit, 1), _BELIEVED)):
        return 0
    low = 1
    while high - low > 1:
        middle = (low + high) // 2
        found = yield from ever(partial(_blocks_behind, kit, middle), _BELIEVED)
        low, high = (middle, high) if found else (low, middle)
    return low


def _blocks_behind(kit: Kit, number: int) -> Trial:
    first = text(kit.fresh())
    more = [text(f"{n}.") for n in range(number)]
    return Trial(asked(first, point()), ((0.0, asked(first, *more, point())),))

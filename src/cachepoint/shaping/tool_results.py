"""Tool results: how many to clear so that what is left stays the same prefix, and in which order they stand.

To clear one more result at each call is to write all that follows it anew at each call. Here results
are cleared many at a time, by looking at the history as it was at each call before: what was cleared
then stays cleared. Nothing is remembered: the same history is cleared the same way in another process.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, count, groupby

from cachepoint.core.guard import InvalidOptionError
from cachepoint.shaping.when import Cut

# Less is not worth the writing anew of what follows it (docs/documents.md).
BATCH = 0.25
# At a pause so much of what is sent must go: of less, the next clearing comes too soon after it (a simulated
# agent, 40 turns, seven seeds: 0.92 to 1.00 of not waiting, and up to 1.06 without this).
_EARLY = 0.4


def to_clear(
    sizes: Sequence[int],
    asked: Sequence[int],
    results: Sequence[int],
    gains: Sequence[int],
    *,
    trigger: int,
    least: float | None = None,
    keep: int = 3,
) -> int:
    """How many of the oldest results are to be cleared.

    At each call all but the newest results are cleared, where what was left by then had outgrown the
    trigger and clearing them gains enough. Linear in the length of the history.

    Args:
        sizes: Tokens by message, of the whole history.
        asked: How many messages there were at each call of the model, in order, this one last.
        results: Where the tool results stand among the messages, in order.
        gains: By result: tokens that clearing it saves; 0 for one that stays.
        trigger: Tokens beyond which results are cleared; what is cleared already counts as cleared.
        least: Tokens that clearing must gain, else it waits; None: a quarter of the trigger.
        keep: How many of the newest results stay.

    Returns:
        A number of results, from the oldest on; those that gain nothing are counted with them.
    """
    enough = trigger * BATCH if least is None else least
    sent = [0, *accumulate(sizes)]
    gained = [0, *accumulate(gains)]
    cleared = 0
    for end in asked:
        older = max(bisect_left(results, end) - keep, cleared)
        if sent[end] - gained[cleared] > trigger and gained[older] - gained[cleared] >= enough:
            cleared = older
    return cleared


def to_clear_when_cold(
    sizes: Sequence[int],
    asked: Sequence[int],
    results: Sequence[int],
    gains: Sequence[int],
    cut: Cut,
    *,
    now: float,
    ttl: float,
    turn: bool,
    trigger: int,
    least: float | None = None,
    keep: int = 3,
) -> tuple[int, Cut]:
    """As `to_clear`, where a pause that is longer than the TTL is a better time to clear.

    At the first call after such a pause results are cleared where it gains enough, two fifths of what is sent
    at least, though the trigger is not reached. What was cleared is remembered and stays cleared.

    Args:
        sizes: As for `to_clear`.
        asked: As for `to_clear`.
        results: As for `to_clear`.
        gains: As for `to_clear`.
        cut: What was remembered.
        now: Seconds.
        ttl: Seconds that an entry of the cache lives.
        turn: Whether the call begins a turn of the person's.
        trigger: As for `to_clear`.
        least: As for `to_clear`.
        keep: As for `to_clear`.

    Returns:
        A number of results, from the oldest on, and what is to be remembered.
    """
    options = {"trigger": trigger, "least": least, "keep": keep}
    if cut.early or cut.cold(now, ttl):
        enough = trigger * BATCH if least is None else least
        gained = [0, *accumulate(gains)]
        done, older = cut.done, max(len(results) - keep, cut.done)
        sent, gain = sum(sizes) - gained[done], gained[older] - gained[done]
        due = sent > trigger or (cut.cold(now, ttl) and gain >= _EARLY * sent)
        early, cleared = True, older if due and gain >= enough else done
    else:
        early, cleared = False, to_clear(sizes, asked, results, gains, **options)  # type: ignore[arg-type]
    return cleared, cut.then(now, len(sizes), cleared, early=early, turn=turn)


def check_clearing(trigger: int, keep: int, least: int | None) -> None:
    """Whether the numbers can be held.

    Raises:
        ValueError: Where not; it names the value.
    """
    numbers = {"trigger": trigger, "keep": keep, "clear_at_least": 0 if least is None else least}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 0:
            raise InvalidOptionError(f"{name} is {value!r}; use a whole number that is not negative")


def in_call_order(calls: Sequence[Sequence[str]], results: Sequence[str | None]) -> list[int]:
    """How messages are to be listed, so that the results of parallel calls stand in the order of the calls.

    Results are moved among those that stand next to one another, and nothing else is moved. A result
    whose call is not there stays where it is.

    Args:
        calls: By message: the ids of the tool calls in it, in order.
        results: By message: the id of the call that it answers; None where it answers none.

    Returns:
        A permutation of the indices of the messages.
    """
    order: list[int] = []
    ranks: dict[str, int] = {}
    made = count()
    for answering, run in groupby(range(len(results)), key=lambda i: results[i] is not None):
        places = list(run)
        order += _ranked(places, [ranks.get(results[i] or "") for i in places]) if answering else places
        for i in () if answering else places:
            # Ids may be given anew in another turn: the newest call counts.
            ranks.update(zip(calls[i], made, strict=False))
    return order


def _ranked(places: Sequence[int], ranks: Sequence[int | None]) -> list[int]:
    """Places in the order of their ranks; one without a rank stays."""
    known = [(rank, i) for i, rank in zip(places, ranks, strict=True) if rank is not None]
    following = (i for _, i in sorted(known))
    return [i if rank is None else next(following) for i, rank in zip(places, ranks, strict=True)]

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.shaping.history import best_step, legal_starts, start_of, step_within

TURNS = st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=4), min_size=1, max_size=60)
STEPS = st.one_of(st.none(), st.integers(1, 999))


def conversation(turns):
    """Sizes, and the indices at which a turn begins."""
    starts = [0, *accumulate(len(t) for t in turns)][:-1]
    return [n for t in turns for n in t], starts


def growing(turns):
    for n in range(1, len(turns) + 1):
        yield conversation(turns[:n])


@given(TURNS, STEPS)
def test_the_cut_never_moves_back(turns, step):
    cuts = [start_of(sizes, starts, 1_000, step=step) for sizes, starts in growing(turns)]
    assert cuts == sorted(cuts)


@given(TURNS, STEPS)
def test_what_is_kept_fits_unless_the_newest_turn_does_not(turns, step):
    for sizes, starts in growing(turns):
        cut = start_of(sizes, starts, 1_000, step=step)
        assert cut in starts
        assert sum(sizes[cut:]) <= 1_000 or cut == starts[-1]


@given(TURNS, st.integers(1, 999))
def test_no_more_is_cut_than_a_step_and_a_turn(turns, step):
    for sizes, starts in growing(turns):
        cut = start_of(sizes, starts, 1_000, step=step)
        longest = max(sum(t) for t in turns)
        assert cut == 0 or sum(sizes[cut:]) > 1_000 - step - longest


@given(TURNS)
def test_nothing_is_cut_that_fits(turns):
    sizes, starts = conversation(turns)
    assert start_of(sizes, starts, sum(sizes)) == 0


@given(st.integers(2, 200), st.integers(2_000, 50_000), STEPS)
@settings(max_examples=30)
def test_the_cut_stands_still_for_a_step(turn, limit, step):
    chosen = step or step_within(limit, turn)
    cuts = [start_of([turn] * n, range(n), limit, step=step) for n in range(1, 300)]
    assert len(set(cuts)) <= 300 * turn / max(chosen, turn) + 2


@pytest.mark.parametrize("later", [10, 900])
def test_later_turns_change_no_line(later):
    def cuts(sizes):
        return {start_of(sizes[:n], range(n), 5_000) for n in range(1, len(sizes))}

    early = [100] * 200
    assert {i for i in cuts(early + [later] * 200) if i < 150} <= cuts(early + [100] * 200)


def test_a_cut_is_the_same_for_whoever_asks():
    sizes = [50, 350] * 200
    starts = range(0, 400, 2)
    assert start_of(sizes, starts, 9_000) == start_of(tuple(sizes), list(starts), 9_000)


def test_a_turn_that_fills_the_limit_falls_back_to_the_first_turn_that_fits():
    assert start_of([100, 750, 200], range(3), 1_000, step=900) == 1
    assert start_of([100, 100, 5_000], range(3), 1_000) == 2


def test_a_history_that_may_begin_nowhere_is_kept():
    assert start_of([500, 900], [], 1_000) == 0


def test_what_may_not_open_is_left_out_even_where_all_fits():
    assert start_of([5, 5, 5], [1], 1_000) == 1


@pytest.mark.parametrize("room", [9_000, 5_100, 3_000])
def test_a_system_prompt_takes_part_of_the_limit(room):
    for n in range(1, 200):
        cut = start_of([100] * n, range(n), 10_000, room=room)
        assert (n - cut) * 100 <= room
        assert cut == 0 or (n - cut) * 100 >= room / 4 - 100


def test_a_system_prompt_that_changes_its_size_keeps_the_lines():
    at = [start_of([100] * n, range(n), 10_000, room=9_900 - n % 7) for n in range(1, 400)]
    assert len(set(at)) <= 10


def test_no_tool_result_loses_its_call():
    opens = [True, False, True, False, True]
    calls = [(), ("a", "b"), (), (), ()]
    results = [(), (), ("a",), ("b",), ()]
    assert legal_starts(opens, calls, results) == [0, 4]


def test_a_call_that_nobody_answered_blocks_nothing():
    assert legal_starts([True, False, True], [(), ("a",), ()], [(), (), ()]) == [0, 2]


def test_a_result_without_its_call_opens_nothing():
    assert legal_starts([True, True], [(), ()], [("gone",), ()]) == [1]


def test_the_formula():
    assert best_step(20_000, 1_000) == pytest.approx(21_448, abs=1)
    assert step_within(20_000, 1_000) == 10_000
    step = step_within(20_000, 100)
    assert step == pytest.approx(best_step(20_000 - step, 100), abs=1)


@pytest.mark.parametrize(("limit", "step"), [(0, None), (100, 0), (100, 100), (100, -1)])
def test_what_can_not_be_held_is_refused(limit, step):
    with pytest.raises(ValueError, match="must be"):
        start_of([1], [0], limit, step=step)

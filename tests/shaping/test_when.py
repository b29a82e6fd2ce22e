"""When a history is shortened before it has to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.core.guard import InvalidOptionError
from cachepoint.shaping.history import start_of, start_when_cold
from cachepoint.shaping.summaries import due, earlier, kept_from, too_long, usable
from cachepoint.shaping.when import LONGEST, Cut, check_when, lives

HOUR, SHORT = 3_600.0, 300.0


def talked(gaps, turn=True):
    """What is remembered after calls that came so far apart."""
    at, cut = 0.0, Cut()
    for gap in gaps:
        at += gap
        cut = cut.then(at, turn=turn)
    return at, cut


@pytest.mark.parametrize(
    ("gaps", "gap", "cold"),
    [
        ([], 1_000, False),
        ([20] * 2, 1_000, False),
        ([20] * 3, 1_000, True),
        ([20] * 3, 300, False),
        ([20, 20, 20, 1_000, 20], 1_000, False),
        ([20, 20, 20, 1_000, 20, 20], 1_000, True),
    ],
)
def test_a_pause_counts_where_pauses_are_rare(gaps, gap, cold):
    at, cut = talked(gaps)
    assert cut.cold(at + gap, SHORT) is cold


def test_the_steps_of_an_agent_are_no_turns():
    at, cut = talked([20] * 9, turn=False)
    assert not cut.cold(at + 1_000, SHORT)
    assert cut.lapsed(at + 1_000, SHORT)


def test_a_history_that_somebody_shortened_begins_anew():
    _, cut = talked([20] * 3)
    cut = cut.then(100.0, 12, 4, early=True, turn=True)
    assert Cut.of(cut.as_data(), 12) == cut
    assert Cut.of(cut.as_data(), 11) == Cut()
    assert Cut.of(None, 3) == Cut()


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        ([], LONGEST),
        ([[]], LONGEST),
        ([[(1_000, HOUR), (5_000, SHORT)]], SHORT),
        # The last turn alone was written for five minutes.
        ([[(5_000, SHORT)], [(4_500, HOUR)]], HOUR),
        ([[(5_000, SHORT)], [], [(4_500, SHORT)], [(4_000, HOUR)]], HOUR),
        ([[(5_000, SHORT)], [(2_000, HOUR)]], SHORT),
        # A longer one was another prefix.
        ([[(5_000, SHORT)], [(6_000, SHORT)], [(4_500, HOUR)]], SHORT),
    ],
)
def test_what_was_written_for_an_hour_below_the_last_turn_lives_on(calls, seconds):
    assert lives(calls) == seconds


def test_at_a_pause_all_but_what_a_cut_leaves_is_cut_though_there_is_room():
    at, cut = talked([20] * 4)
    sizes, starts = [100] * 12, range(0, 12, 2)
    soon, _ = start_when_cold(sizes, starts, 1_500, cut, now=at + 20, ttl=SHORT, step=500)
    late, after = start_when_cold(sizes, starts, 1_500, cut, now=at + 1_000, ttl=SHORT, step=500)
    assert (soon, late) == (0, 2)
    assert after.early
    # What was cut stays cut, and with room nothing more is.
    again, _ = start_when_cold([*sizes, 100], starts, 1_500, after, now=at + 1_020, ttl=SHORT, step=500)
    assert again == 2


def test_unknown_words_are_refused():
    for when, ttl in (("later", 300), ("cold", 0), ("cold", -1)):
        with pytest.raises(InvalidOptionError):
            check_when(when, ttl)
    check_when("cold", None)


chats = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from([10.0, 40.0, 400.0, 4_000.0])), min_size=1, max_size=40
)


@given(chats, st.integers(300, 2_000))
def test_the_limit_holds_and_no_cut_moves_back(chat, limit):
    """At any pauses; without one it is what it is without."""
    now, cut, sizes, before = 0.0, Cut(), [], 0
    for size, gap in chat:
        now += gap
        sizes += [size, size] if sizes else [size]
        starts = list(range(0, len(sizes), 2))
        start, cut = start_when_cold(sizes, starts, limit, cut, now=now, ttl=300.0)
        assert start in starts
        assert start >= before
        assert sum(sizes[start:]) <= limit or start == starts[-1]
        if all(g <= SHORT for _, g in chat):
            assert start == start_of(sizes, starts, limit)
        before = start


@given(st.lists(st.integers(0, 400), max_size=30), st.integers(0, 2_000))
def test_what_stays_beside_a_summary_is_enough_and_begins_where_it_may(sizes, keep):
    starts = list(range(0, len(sizes), 2))
    at = kept_from(sizes, starts, keep)
    assert at == 0 or at in starts
    assert at == 0 or sum(sizes[at:]) >= keep
    later = [i for i in starts if i > at and sum(sizes[i:]) >= keep]
    assert not later


@pytest.mark.parametrize(
    ("trigger", "at_a_pause"),
    [
        (("tokens", 1_000), ("tokens", 900)),
        (("fraction", 0.5), ("fraction", 0.45)),
        (
            [("messages", 10), {"tokens": 100, "messages": 1}],
            [("messages", 9), {"tokens": 90, "messages": 1}],
        ),
    ],
)
def test_a_trigger_is_less_at_a_pause(trigger, at_a_pause):
    assert earlier(trigger) == at_a_pause


def test_when_a_summary_is_due_and_what_is_one():
    assert [due(size, 100, cold=False) for size in (99, 100)] == [False, True]
    assert [due(size, 100, cold=True) for size in (89, 90)] == [False, True]
    assert usable("So.", calls=False)
    assert not usable(" \n", calls=False)
    assert not usable("So.", calls=True)
    assert too_long("Input is too long for requested model.")
    assert too_long("prompt is too long: 210000 tokens > 200000 maximum")
    assert not too_long("Too many requests, please wait before trying again.")

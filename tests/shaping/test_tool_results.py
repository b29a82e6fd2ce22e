"""Which tool results are cleared, and in which order they stand: functions of the history alone."""

import time
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepoint.shaping.tool_results import in_call_order, to_clear


def rounds(gains):
    """A question, and calls of 10 tokens with one result each of 10 tokens more than clearing it gains."""
    sizes = [10, *(size for gain in gains for size in (10, gain + 10))]
    asked = [*range(1, len(sizes), 2), len(sizes)]
    return sizes, asked, list(range(2, len(sizes), 2)), list(gains)


@pytest.mark.parametrize(
    ("results", "cleared"),
    [(0, 0), (9, 0), (10, 7), (14, 7), (15, 12)],
    ids=["none", "below the trigger", "beyond it", "and again not", "until that is outgrown"],
)
def test_all_but_the_newest_at_once_and_then_none_for_a_while(results, cleared):
    assert to_clear(*rounds([90] * results), trigger=1_000, keep=3) == cleared


def test_it_waits_until_it_is_worth_it():
    steps = [to_clear(*rounds([90] * n), trigger=50, least=400, keep=3) for n in range(20)]
    assert sorted(set(steps)) == [0, 5, 10, 15]


def test_those_that_stay_gain_nothing_and_are_passed_by():
    gains = [0 if n % 2 else 90 for n in range(20)]
    assert to_clear(*rounds(gains), trigger=1_000, keep=3) == 12


def test_none_is_cleared_where_all_are_new():
    assert to_clear(*rounds([900] * 3), trigger=100, least=0, keep=3) == 0


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(0, 2_000), st.integers(0, 5))
def test_what_was_cleared_stays_cleared(gains, trigger, keep):
    before = 0
    for n in range(len(gains) + 1):
        now = to_clear(*rounds(gains[:n]), trigger=trigger, keep=keep)
        assert before <= now <= max(0, n - keep)
        before = now


def test_d6_it_is_linear():
    """D6: a hundred thousand results take a fraction of a second."""
    history = rounds([90] * 100_000)
    began = time.process_time()
    assert to_clear(*history, trigger=15_000) > 99_000
    assert time.process_time() - began < 2


# A history in letters: a capital makes the calls of that letter, a small one is the result of one.
CALLS = {"A": ["a1", "a2", "a3"], "B": ["b1", "b2"], "Q": []}


def ordered(history):
    calls = [CALLS.get(word, []) for word in history]
    return [history[i] for i in in_call_order(calls, [None if w in CALLS else w for w in history])]


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ("Q A a3 a1 a2 Q", "Q A a1 a2 a3 Q"),
        ("Q A a1 a2 a3 B b2 b1", "Q A a1 a2 a3 B b1 b2"),
        ("A B b1 a2 a1", "A B a1 a2 b1"),
        ("A a3 Q a1", "A a3 Q a1"),
        ("A a2 z9 a1", "A a1 z9 a2"),
        ("a2 a1 A", "a2 a1 A"),
        ("A a2 a1 A a3 a1", "A a1 a2 A a1 a3"),
        ("B b1 A b2 b1", "B b1 A b1 b2"),
        ("", ""),
    ],
    ids=[
        "parallel",
        "turn by turn",
        "of two messages",
        "not across a message",
        "one without a call stays",
        "not before the call",
        "ids that come again",
        "late",
        "nothing",
    ],
)
def test_results_stand_in_the_order_of_their_calls(history, told):
    assert ordered(history.split()) == told.split()


@given(st.lists(st.sampled_from([*CALLS, "a1", "a2", "a3", "b1", "b2", "z9"]), max_size=30))
def test_nothing_is_lost_and_results_stay_behind_their_calls(history):
    told = ordered(history)
    assert ordered(told) == told
    assert sorted(told) == sorted(history)
    # All but results stands where it stood, and results stay between the same messages.
    assert [w if w in CALLS else None for w in told] == [w if w in CALLS else None for w in history]
    runs = [[sorted(run) for _, run in groupby(h, key=lambda w: w in CALLS)] for h in (told, history)]
    assert runs[0] == [sorted(run) for run in runs[1]]


@given(st.permutations(["a1", "a2", "a3"]), st.permutations(["b1", "b2"]))
def test_in_whatever_order_they_come_it_is_one_history(first, second):
    assert ordered(["Q", "A", *first, "B", *second]) == ["Q", "A", "a1", "a2", "a3", "B", "b1", "b2"]

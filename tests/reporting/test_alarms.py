"""When a stream goes wrong for long: the pure counting."""

import pytest

from cachepoint.core.accounting.usage import Usage
from cachepoint.reporting.alarms import Limits, Span, Stream, after, episode, whole
from tests.observers.reports import report, talk


def spans(*reports):
    return [Span.of(one) for one in reports]


def run(calls, limits):
    """What each call began, by its number from 1 on."""
    stream, begun = Stream(), {}
    for number, call in enumerate(calls, 1):
        stream, measure = after(stream, call, limits)
        if measure is not None:
            begun[number] = measure
    return begun


def alone(measure, threshold, **window):
    nothing = dict.fromkeys(("written_share", "cost_over_uncached", "breaks"))
    return Limits(**{**nothing, measure: threshold}, **window)


REWRITES = report(0, 100_000, miss="system_changed")
HITS = report(100_000, 500)
COLD = report(0, 2_000, miss="first_write")


def test_a_loop_that_rewrites_all_night_alarms_once():
    begun = run(spans(*[REWRITES] * 500), Limits())
    assert list(begun) == [5]


def test_a_conversation_that_grows_is_no_alarm():
    assert run(spans(*talk(200)), Limits()) == {}


def test_a_first_write_is_no_alarm():
    """It writes all of it, costs more than no cache, and reads nothing."""
    assert run(spans(COLD, *[HITS] * 40), Limits()) == {}


def test_a_share_counts_when_the_window_is_full():
    calls = spans(*[REWRITES] * 30)
    assert run(calls, alone("written_share", 0.5, calls=12)) == {12: "written_share"}
    assert run(calls, alone("cost_over_uncached", 1.0, calls=7)) == {7: "cost_over_uncached"}


def test_breaks_count_at_once():
    assert run(spans(*[REWRITES] * 30), alone("breaks", 2, calls=20)) == {3: "breaks"}


def test_breaks_are_those_in_the_window():
    """Each third call breaks: 2 in any 6 calls, 3 in some 7."""
    calls = spans(*[REWRITES, HITS, HITS] * 20)
    assert run(calls, alone("breaks", 2, calls=6)) == {}
    assert run(calls, alone("breaks", 2, calls=7)) == {7: "breaks"}


@pytest.mark.parametrize("cause", ["first_write", "below_minimum", "not_marked", "in_flight"])
def test_what_had_nothing_to_read_is_no_break(cause):
    assert run(spans(*[report(0, 10, miss=cause)] * 9), alone("breaks", 0)) == {}


def test_a_threshold_is_passed_above_it():
    """10 fresh and 100 written beside 10 read: 100 of 120 written."""
    call = spans(report(10, 100, 10))
    assert run(call * 9, alone("written_share", 100 / 120, calls=3)) == {}
    assert run(call * 9, alone("written_share", 0.83, calls=3)) == {3: "written_share"}


def test_without_a_cache_the_ratio_is_1_and_no_alarm():
    fresh = spans(report(0, 0, 5_000))
    assert run(fresh * 50, alone("cost_over_uncached", 1.0, calls=5)) == {}


class TestEpisodes:
    def test_the_next_one_begins_after_the_first_is_over(self):
        calls = spans(*[REWRITES] * 10, *[HITS] * 10, *[REWRITES] * 10)
        # Of 4 calls 2 that rewrite are half of the input, 3 are three quarters.
        assert list(run(calls, alone("written_share", 0.6, calls=4))) == [4, 23]

    def test_it_is_not_over_just_below_the_threshold(self):
        """3 of 5 calls break, then 2, then 3: above 2.5 a threshold of 2 is passed; 0.8 of it is 1.6."""
        wavering = spans(*[REWRITES] * 3, *[HITS, HITS, REWRITES, REWRITES] * 10)
        assert list(run(wavering, alone("breaks", 2, calls=5))) == [3]

    def test_another_measure_that_passes_meanwhile_is_the_same_episode(self):
        limits = Limits(written_share=0.5, cost_over_uncached=1.0, breaks=2, calls=20)
        assert run(spans(*[REWRITES] * 60), limits) == {3: "breaks"}

    def test_no_breaks_at_all_can_be_asked_for(self):
        calls = spans(HITS, REWRITES, *[HITS] * 5, REWRITES)
        assert list(run(calls, alone("breaks", 0, calls=3))) == [2, 8]


class TestDollars:
    def test_the_window_is_what_the_last_dollars_bought(self):
        cost = float(REWRITES.cost)
        limits = alone("written_share", 0.5, dollars=4.5 * cost)
        assert run(spans(*[REWRITES] * 20), limits) == {5: "written_share"}

    def test_cheap_calls_fill_it_late_and_take_no_more_room(self):
        limits = alone("breaks", 10**5, dollars=5.0)
        stream, cheap = Stream(), spans(report(100, 900, miss="expired"))[0]
        for _ in range(5_000):
            stream, _ = after(stream, cheap, limits)
        span = whole(stream.pieces)
        assert 5.0 <= span.cost < 5.0 * (1 + 2 / 32)
        assert span.calls == pytest.approx(span.cost / cheap.cost)
        assert len(stream.pieces) <= 34
        assert len(span.misses) <= 34 * 17

    def test_calls_without_a_price_are_left_out(self):
        unpriced = spans(report(model="made.up", usage=Usage(10, 5, 0, 900), miss="expired"))
        assert run(unpriced * 99, alone("breaks", 0, dollars=0.01)) == {}
        assert run(unpriced * 99, alone("breaks", 0, calls=5)) == {1: "breaks"}


def test_what_is_unknown_is_not_counted():
    assert Span.of(report(usage=None)) is None
    silent = Span.of(report(usage=Usage(900, 5)))
    assert (silent.input, silent.written, silent.calls) == (0, 0, 1)
    unpriced = Span.of(report(model="made.up", usage=Usage(10, 5, 0, 90)))
    assert (unpriced.cost, unpriced.uncached, unpriced.input) == (0.0, 0.0, 100)


def test_a_window_keeps_so_many_pieces_whatever_its_size():
    stream = Stream()
    for call in spans(*[REWRITES] * 3_000):
        stream, _ = after(stream, call, Limits(calls=1_000))
    assert 1_000 <= whole(stream.pieces).calls <= 1_032
    assert len(stream.pieces) <= 34


class TestEpisode:
    def said(self, measure, *calls, limits=None):
        limits = limits or Limits(calls=len(calls))
        return episode(
            "conversation c0ffee", calls[-1].model_id, measure, whole(tuple(spans(*calls))), limits
        )

    def test_it_names_stream_figures_and_cause(self):
        said = self.said("written_share", *[REWRITES] * 19, HITS)
        assert str(said) == (
            "conversation c0ffee on us.anthropic.claude-sonnet-4-6: 95% of the input of the last 20 calls was "
            "written to the cache, more than 50%. Most often: system_changed. Look at report.miss of its calls; "
            "with CachePolicy(mode='off') they write nothing."
        )

    def test_money_is_said_with_what_no_cache_costs(self):
        """20 writes of 100,000 tokens at 3.75 and 10 fresh at 3.00 $/MTok, 5 output at 15."""
        rewrites = report(0, 100_000, miss="expired", model="global.anthropic.claude-sonnet-4-6")
        said = self.said("cost_over_uncached", *[rewrites] * 20)
        assert (said.cost, said.uncached) == (
            pytest.approx(20 * (0.375 + 0.00003 + 0.000075)),
            pytest.approx(20 * (0.3 + 0.00003 + 0.000075)),
        )
        assert "cost 1.25 of what they would without a cache ($7.50, not $6.00), more than 1.00" in str(said)

    def test_the_cause_is_the_most_frequent_break_and_its_most_frequent_place(self):
        def miss(cause, where):
            return report(0, 9, miss=type(REWRITES.miss)(cause, where))

        said = self.said(
            "breaks",
            *[miss("first_write", "system[0]")] * 5,
            *[miss("messages_changed", f"messages[{n}]") for n in (1, 2, 3, 3)],
            *[miss("expired", "system[0]")] * 3,
        )
        assert (said.cause, said.where, said.value) == ("messages_changed", "messages[3]", 7)
        assert "7 of the last 12 calls read less than they could have, more than 4." in str(said)

    def test_where_nothing_breaks_the_cause_is_what_else_is_known(self):
        """Each call another conversation that nothing reads: caching costs more than none."""
        unread = self.said("cost_over_uncached", *[COLD] * 20)
        assert unread.cause == "first_write"
        assert unread.remedy.startswith("Nothing reads what these calls write")
        assert self.said("written_share", *[HITS] * 20).cause is None

    def test_a_model_id_cannot_break_the_line(self):
        assert "\n" not in str(self.said("breaks", report(model="m\nWARNING", miss="expired")))

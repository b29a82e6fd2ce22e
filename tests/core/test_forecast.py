import pytest

from cachepoint.core.memory.counts import Count, Counts, Returned, Tried
from cachepoint.core.placement.forecast import LATE, OWN, PRIORS, Chance, Forecast, Prices, blended

PRICES = Prices(0.1, 1.25, 2.0)
WORTH = (1.25 - 1) / (1.25 - 0.1)
KIND = (b"app", "small_first")
EVEN = Chance(0.5, 0.625)


def counted(hits, tries, name="small_first"):
    return Forecast({b"app": Counts({name: Count(hits, tries)})})


def after(*deeds):
    counts = None
    for deed in deeds:
        counts = deed.over(counts)
    return counts.by_name["end"]


def test_a_new_kind_has_its_prior():
    soon, _ = PRIORS["small_first"]

    assert Forecast().chance(KIND) == Chance(soon, soon + (1 - soon) * LATE)


def test_what_never_comes_back_is_soon_not_worth_a_write():
    assert counted(0, 4).chance(KIND).soon < WORTH


def test_kinds_do_not_mix():
    assert counted(0, 9).chance((b"other app", "small_first")).soon == PRIORS["small_first"][0]


def test_a_depth_is_guessed_from_all_depths():
    forecast = counted(9, 9, "again")

    assert forecast.chance((b"app", "again:3"), (b"app", "again")) == forecast.chance((b"app", "again"))


def test_what_is_awaited_counts_by_how_long_it_is():
    """A minute after it says less than four; beyond five minutes it did not come."""
    known = Count(8, 10, open=(0.0,))
    chances = [blended(EVEN, 2.0, known, now).soon for now in (1.0, 60.0, 240.0, 301.0)]

    assert chances == sorted(chances, reverse=True)
    assert chances[0] == pytest.approx(blended(EVEN, 2.0, Count(8, 10), 0.0).soon, abs=0.01)
    assert chances[-1] == (1 + 8) / (2 + 10 + 1)


def test_soon_and_late_are_told_apart():
    count = after(
        Tried("end", 0.0), Returned("end", 0.0, 20.0), Tried("end", 20.0), Returned("end", 20.0, 900.0)
    )

    assert (count.hits, count.tries, count.late, count.passed) == (1, 2, 1, 1)


def test_what_did_not_come_in_five_minutes_may_come_within_the_hour():
    count = after(Tried("end", 0.0), Tried("end", 400.0), Returned("end", 0.0, 900.0), Tried("end", 8_000.0))

    assert (count.hits, count.tries, count.late, count.passed, count.open) == (0, 2, 1, 2, (8_000.0,))


def test_what_is_awaited_is_bounded():
    count = after(*[Tried("end", float(at)) for at in range(1_000)])

    assert len(count.open) + len(count.over) < 100
    assert count.tries <= 16


@pytest.mark.parametrize(
    ("gaps", "longer"),
    [((), False), ((900.0,), True), ((900.0, 7_200.0), False), ((20.0,) * 8, False)],
)
def test_five_minutes_first_and_an_hour_where_it_came_late(gaps, longer):
    """The rule of 13/8: 5m first, 1h after a return between five minutes and an hour, else 5m."""
    visits = Count()
    for gap in gaps:
        visits = visits.plus(gap, 8.0)
    short, long = PRICES.gain(blended(Chance(0.75, 0.8125), OWN, visits, 0.0))

    assert (long > short) is longer

from cachepoint.core.memory.records import Count, Counts
from cachepoint.core.placement.forecast import PRIORS, Forecast

WORTH = (1.25 - 1) / (1.25 - 0.1)
KIND = (b"app", "small_first")


def counted(hits, tries, name="small_first"):
    return Forecast({b"app": Counts({name: Count(hits, tries)})})


def test_a_new_kind_has_its_prior():
    returned, watched = PRIORS["small_first"]

    assert Forecast().chance(KIND) == returned / watched


def test_what_never_comes_back_is_soon_not_worth_a_write():
    assert counted(0, 4).chance(KIND) < WORTH


def test_what_this_request_is_the_return_of_counts_at_once():
    before = counted(0, 1)

    assert (
        Forecast(before.counts, {KIND: 1}).chance(KIND) == counted(1, 1).chance(KIND) == (1.1 + 1) / (2 + 1)
    )


def test_kinds_do_not_mix():
    assert counted(0, 9).chance((b"other app", "small_first")) == 0.55


def test_a_depth_is_guessed_from_all_depths():
    forecast = counted(9, 9, "again")

    assert forecast.chance((b"app", "again:3"), (b"app", "again")) == forecast.chance((b"app", "again"))

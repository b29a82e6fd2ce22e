from cachepoint.core.placement.forecast import FADE_AT, PRIORS, Forecast

WORTH = (1.25 - 1) / (1.25 - 0.1)
KIND = (b"app", "small_first")


def test_a_new_kind_has_its_prior():
    returned, watched = PRIORS["small_first"]

    assert Forecast().chance(KIND) == returned / watched


def test_what_never_comes_back_is_soon_not_worth_a_write():
    forecast = Forecast()
    for i in range(4):
        forecast.watch(b"%d" % i, KIND, until=10.0)

    assert forecast.chance(KIND) < WORTH


def test_what_comes_back_in_time_counts_once():
    forecast = Forecast()
    forecast.watch(b"a", KIND, until=10.0)
    forecast.saw([b"a"], now=5.0)
    before = forecast.chance(KIND)
    forecast.saw([b"a"], now=6.0)

    assert forecast.chance(KIND) == before == (1.1 + 1) / (2 + 1)


def test_what_comes_back_too_late_does_not_count():
    forecast = Forecast()
    forecast.watch(b"a", KIND, until=10.0)
    forecast.saw([b"a"], now=11.0)

    assert forecast.chance(KIND) == 1.1 / 3


def test_old_evidence_fades():
    forecast = Forecast()
    for i in range(200):
        forecast.watch(b"%d" % i, KIND, until=1e9)
    for i in range(200, 230):
        forecast.watch(b"%d" % i, KIND, until=1e9)
        forecast.saw([b"%d" % i], now=0.0)

    assert forecast.chance(KIND) > WORTH
    assert forecast._tallies[KIND].watched <= FADE_AT


def test_kinds_do_not_mix():
    forecast = Forecast()
    for i in range(9):
        forecast.watch(b"%d" % i, KIND, until=10.0)

    assert forecast.chance((b"other app", "small_first")) == 0.55


def test_what_is_watched_is_bounded():
    forecast = Forecast(capacity=4, watch=8)
    for i in range(100):
        forecast.watch(b"%d" % i, (b"%d" % i, "tools"), until=10.0)

    assert len(forecast._tallies) == 4
    assert len(forecast._watched) == 8

"""What it costs where something changes by the call and that is moved, kept in the transcript."""

from pathlib import Path

import pytest

PRACTICE = Path(__file__).parents[3] / "shared" / "practice"
PLACES = ("start", "middle", "end")


@pytest.mark.parametrize("place", PLACES)
def test_own_streams(place):
    import shaping

    row = shaping.own(place)

    assert row["kept"] < 0.25
    assert row["newest"] < 0.25
    assert row["learned"] < 0.25
    assert row["unmoved"] > max(row["kept"], row["learned"])


@pytest.mark.skipif(not PRACTICE.exists(), reason="the bench for placement is not beside the checkout")
@pytest.mark.parametrize("form", ["text", "blocks"])
@pytest.mark.parametrize("place", PLACES)
def test_streams_that_were_not_made_here(place, form):
    import shaping

    name = f"badge_{place}_{form}"

    assert shaping.of_practice(PRACTICE, name, 1, ["kept"])["kept"] <= shaping.bound_of(name)

"""The totals that the handlers of both frameworks keep."""

import decimal
from decimal import Decimal

import pytest

from cachepoint import Usage
from cachepoint.reporting import totals
from cachepoint.reporting.metrics import FirstTokens
from cachepoint.reporting.totals import UsageTotals


def test_c2_an_unknown_share_is_none_and_is_not_printed_as_0():
    """C2: a model that reports no cache tokens."""
    counted = UsageTotals()
    counted.add("meta.llama", Usage(100, 5))

    assert (counted.total.read_tokens, counted.hit_share) == (None, None)
    assert str(counted) == (
        "1 call\nmeta.llama: input 100 = read unknown + written unknown + uncached 100, output 5"
    )


def test_c2_of_a_known_one_it_is_printed():
    """C2: 0 is said where Bedrock said 0."""
    counted = UsageTotals()
    counted.add("m", Usage(100, 5, 0, 0, 0, 0))

    assert counted.hit_share == 0
    assert "read 0 + written 0 + uncached 100 (0% read)" in str(counted)


def test_c12_a_loss_has_its_sign_before_the_dollar():
    """C12: -$0.0041 and not $-0.0041."""
    counted = UsageTotals()
    counted.add("m", Usage(1, 1, 0, 9, 9, 0), Decimal("-0.0041"))

    assert str(counted).startswith("1 call, -$0.0041 saved\n")


def test_c12_money_is_taken_as_reports_have_it():
    """C12: a number of a report's dict, a string of an earlier release, a Decimal of a report: exact sums."""
    counted = UsageTotals()
    for saved in (0.1, "0.2", Decimal("0.3"), None):
        counted.add("m", Usage(1, 1), saved)

    assert counted.saved == Decimal("0.6")
    with pytest.raises(ValueError, match="'x' is no amount of money"):
        counted.add("m", Usage(1, 1), "x")
    assert counted.calls == 4


def test_a5_sums_do_not_ask_the_applications_decimal_context():
    """A5: a precision of 4 and traps in the application."""
    counted = UsageTotals()
    with decimal.localcontext(decimal.Context(prec=4, traps=[decimal.Inexact, decimal.Rounded])):
        for _ in range(3):
            counted.add("m", Usage(1, 1), Decimal("1.2345678"))

    assert counted.saved == Decimal("3.7037034")


def test_c15_a_model_id_makes_no_line_of_its_own():
    """C15: a model id with a newline."""
    counted = UsageTotals()
    counted.add("m\n2 calls, $9 saved", Usage(1, 1))

    assert "m\\n2 calls" in str(counted)
    assert len(str(counted).splitlines()) == 2


def test_the_time_to_the_first_token_is_by_whether_a_stream_read():
    counted = UsageTotals()
    hit, miss = Usage(5, 1, 90, 0), Usage(95, 1, 0, 0)
    for usage, began in ((miss, 1_500), (hit, 200), (hit, 400), (hit, None), (miss, None)):
        counted.add("m", usage, first_token_ms=began)

    assert counted.first_tokens == FirstTokens(hits=pytest.approx(0.3), misses=1.5)
    assert str(counted).splitlines()[-2:] == [
        "2 streams that read began after 0.30 s, of 95 input tokens (medians)",
        "1 stream that did not read began after 1.50 s, of 95 input tokens; those that read 80% sooner",
    ]


def test_of_calls_that_were_no_streams_nothing_is_said_of_a_first_token():
    counted = UsageTotals()
    counted.add("m", Usage(100, 5, 0, 0))

    assert counted.first_tokens == FirstTokens(None, None)
    assert "began" not in str(counted)
    with pytest.raises(TypeError):
        counted.add("m", Usage(100, 5), first_token_ms="soon")
    assert counted.calls == 1


def test_d7_models_are_bounded():
    """D7: a model id per call, as behind ARNs that are made anew."""
    counted = UsageTotals()
    for n in range(1_000):
        counted.add(f"arn:{n}", Usage(1, 1))

    assert len(counted.usage_by_model) == totals._MAX_MODELS + 1
    assert (counted.calls, counted.total) == (1_000, Usage(1_000, 1_000))

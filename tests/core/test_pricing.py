import decimal
import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import genai_prices
import pytest

from cachepoint import Usage
from cachepoint.core.accounting import money, pricelists, pricing
from cachepoint.core.accounting.pricing import Rates

KNOWN = Path(__file__).parents[3] / "shared" / "knowledge" / "models.json"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
TODAY = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
# Priced in models.json, and unknown to genai-prices 0.2.3 and to prices.toml: tokens and no dollars.
UNPRICED = (
    "amazon.nova-2-pro-preview-20251202-v1:0",
    "global.openai.gpt-5.4",
    "global.openai.gpt-5.5",
    "global.xai.grok-4.6",
    "us.xai.grok-4.6",
    "global.xai.grok-4.7",
    "us.xai.grok-4.7",
)


@pytest.fixture(autouse=True)
def _no_own_prices():
    yield
    pricing.set_prices(None)


def rates(model, tokens=0, at=TODAY):
    found = pricing.prices(model, at)
    return None if found is None else found.at(tokens)


def decimals(*texts):
    return Rates(*(None if text is None else Decimal(text) for text in texts))


@pytest.mark.parametrize(
    ("model", "tokens", "expected"),
    [
        (f"global.{SONNET}", 0, ("3", "15", "0.3", "3.75", "6")),
        (f"us.{SONNET}", 0, ("3.3", "16.5", "0.33", "4.125", "6.6")),
        # aws.amazon.com/bedrock/pricing for us-gov-west-1, quoted in litellm#27120
        (f"us-gov.{SONNET}", 0, ("3.60", "18", "0.36", "4.50", "7.20")),
        (
            f"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/{SONNET}",
            0,
            ("3.6", "18", "0.36", "4.5", "7.2"),
        ),
        ("us-gov.anthropic.claude-opus-4-8", 0, ("6", "30", "0.6", "7.5", "12")),
        (f"global.{SONNET}", 200_000, ("3", "15", "0.3", "3.75", "6")),
        (f"global.{SONNET}", 200_001, ("6", "22.5", "0.6", "7.5", "12")),
        ("global.anthropic.claude-haiku-5-5", 100_000, ("0.1", "0.5", "0.01", "0.125", "0.2")),
        ("global.anthropic.claude-haiku-5-5", 100_001, ("0.5", "2.5", "0.05", "0.625", "1")),
        ("us.amazon.nova-pro-v1:0", 0, ("0.8", "3.2", "0.2", "0.8", None)),
        ("anthropic.claude-opus-4-1-20250805-v1:0", 0, ("15", "75", "1.5", "18.75", None)),
        ("us.anthropic.claude-mythos-5", 0, ("11", "55", "1.1", "13.75", "22")),
        ("global.anthropic.claude-mythos-5", 0, None),
        ("meta.made-up", 0, None),
    ],
)
def test_rates(model, tokens, expected):
    assert rates(model, tokens) == (None if expected is None else decimals(*expected))


def test_prices_are_those_of_the_day():
    """GPT-5.6 Sol became cheaper on 2026-08-21."""
    day = datetime(2026, 8, 20, 23, tzinfo=UTC).timestamp()
    assert rates("global.openai.gpt-5.6-sol", at=day).input == 5
    assert rates("global.openai.gpt-5.6-sol", at=day + 3_600).input == 4


@pytest.mark.skipif(not KNOWN.exists(), reason="the recordings are not beside the checkout")
def test_every_priced_row_that_was_collected():
    rows = json.loads(KNOWN.read_text("utf-8"))["models"]
    priced = [row for model in rows for row in model.get("prices_usd_per_mtok") or ()]
    checked = 0
    for row in priced:
        if "." not in row["id"].split()[0] or row["id"].startswith("bedrock_mantle/"):
            continue  # no model id: "global (S5 …)", and an endpoint of its own
        found = rates(row["id"])
        assert (found is None) is (row["id"] in UNPRICED), row["id"]
        if found is None:
            continue
        checked += 1
        names = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
        for name, price in zip(names, (getattr(found, n) for n in pricing.RATES), strict=True):
            free = row[name] is None and name == "cache_write_5m" and ".nova" in f".{row['id']}"
            expected = row["input"] if free else row[name]
            assert (None if price is None else float(price)) == expected, (row["id"], name)
    assert checked >= 60


@pytest.mark.parametrize(
    ("model", "tier", "factor"),
    [
        ("us.amazon.nova-pro-v1:0", None, "1"),
        ("us.amazon.nova-pro-v1:0", "default", "1"),
        ("us.amazon.nova-pro-v1:0", "flex", "0.5"),
        ("amazon.nova-pro-v1:0", "priority", "1.75"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "flex", "0.5"),
        ("us.amazon.nova-pro-v1:0", "reserved", None),
        ("us.amazon.nova-2-lite-v1:0", "flex", "0.5"),
        ("global.amazon.nova-2-lite-v1:0", "flex", None),
        ("global.amazon.nova-2-lite-v1:0", "priority", "1.75"),
        ("us.anthropic.claude-sonnet-4-6", "flex", None),
        ("us.anthropic.claude-sonnet-4-6", "default", "1"),
        ("us.anthropic.claude-sonnet-4-6", "a tier of tomorrow", None),
        ("meta.made-up", "flex", None),
    ],
)
def test_c1_service_tiers_have_prices_of_their_own(model, tier, factor):
    """C1: half of it for flex, 1.75 of it for priority where AWS lists that, else None."""
    usage = Usage(1_000, 500, 4_000, 100, 100, 0)
    plain, tiered = pricing.cost(usage, model, TODAY), pricing.cost(usage, model, TODAY, tier)

    assert tiered == (None if factor is None else plain * Decimal(factor))


def test_c1_own_prices_follow_the_tier():
    """C1: own prices are those of the default tier."""
    pricing.set_prices({"*nova-pro*": {"input": 1, "output": 2}, "*claude*": {"input": 1, "output": 2}})
    usage = Usage(1_000_000)

    assert pricing.cost(usage, "amazon.nova-pro-v1:0", TODAY, "flex") == Decimal("0.5")
    assert pricing.cost(usage, "us.anthropic.claude-sonnet-4-6", TODAY, "flex") is None


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        (({"serviceTier": {"type": "flex"}},), "flex"),
        (({"metadata": {"serviceTier": {"type": "priority"}}},), "priority"),
        (({"serviceTier": {"type": "default"}}, {"serviceTier": {"type": "reserved"}}), "default"),
        (({"usage": {}}, {"serviceTier": {"type": "flex"}}), "flex"),
        (({"serviceTier": "flex"},), "flex"),
        ((None, {"serviceTier": None}, {"serviceTier": {"type": 3}}, {}), None),
        ((), None),
    ],
)
def test_c1_the_tier_that_served_the_call_counts(said, tier):
    """C1: what the answer says goes before what the request asked for."""
    assert pricing.tier_of(*said) == tier


TRAPS = {
    "precision 4": decimal.Context(prec=4),
    "traps": decimal.Context(prec=4, traps=[*decimal.getcontext().flags]),
    "towards zero": decimal.Context(prec=2, rounding=decimal.ROUND_DOWN),
}


@pytest.mark.parametrize("context", TRAPS.values(), ids=TRAPS)
@pytest.mark.parametrize("model", [f"us.{SONNET}", f"us-gov.{SONNET}", "us.anthropic.claude-mythos-5"])
def test_a5_money_does_not_ask_the_applications_decimal_context(context, model):
    """A5: a precision of 4, or every trap there is, on the application's thread."""
    usage = Usage(12_345, 6_789, 45_678, 9_876, 9_876, 0)
    expected = pricing.cost(usage, model, TODAY, None)
    for remembered in (pricelists.listed, pricelists.tier_factor, pricelists._corrections):
        remembered.cache_clear()

    with decimal.localcontext(context):
        got = pricing.cost(usage, model, TODAY)
        pricing.set_prices({"*mine*": {"input": 3.3333, "output": "15.55555"}})
        parts = pricing.amounts(usage, "claude-mine", TODAY) or pricing.amounts(usage, model, TODAY)
        total, doubled = parts.total, (parts + parts).total

    assert got == expected
    assert doubled == 2 * total


@pytest.mark.parametrize("at", [TODAY * 1000, float("nan"), float("inf"), -1e18, None, "now"])
def test_a5_a_time_that_is_no_date_has_no_price(at):
    """A5: a clock of milliseconds, or one that failed."""
    assert pricing.prices(f"us.{SONNET}", at) is None
    assert pricing.cost(Usage(1_000), f"us.{SONNET}", at) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0E-7", "0"), ("1E+2", "100"), ("0.00410", "0.0041"), ("-0.0041000", "-0.0041"), ("3", "3")],
)
def test_c12_amounts_print_as_people_write_them(amount, text):
    """C12: not 0E-7."""
    assert str(money.tidy(Decimal(amount))) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("-0.0041", "-$0.0041"),
        ("0", "$0.0000"),
        ("-0.00001", "$0.0000"),
        ("12345.678", "$12,345.68"),
        ("-2", "-$2.00"),
        (None, "unknown"),
    ],
)
def test_c12_the_sign_stands_before_the_dollar(amount, text):
    """C12: not $-0.0041."""
    assert money.dollars(None if amount is None else Decimal(amount)) == text


def test_c12_a_calls_price_survives_json():
    """C12: JSON numbers add up to the same as the amounts that were written."""
    for fresh in range(1, 90_001, 1_111):
        spent = pricing.cost(Usage(fresh, 7, 123_456, fresh), f"us.{SONNET}", TODAY)
        assert money.parsed(json.loads(json.dumps(money.for_json(spent)))) == spent


@pytest.mark.parametrize("wrong", ["x", True, [], float("nan"), "Infinity", {}])
def test_c12_what_is_no_money_is_refused(wrong):
    """C12: of lines in a file that were typed by hand."""
    assert money.parsed("0.10") == money.parsed(0.1) == Decimal("0.1")
    with pytest.raises(ValueError, match="is no amount of money"):
        money.parsed(wrong)


@pytest.mark.parametrize("prompt", [1_000, 150_000, 300_000])
@pytest.mark.parametrize(
    "model",
    [
        "global.anthropic.claude-sonnet-4-6",
        "us.anthropic.claude-opus-5-5",
        "eu.anthropic.claude-haiku-5-5",
        "global.openai.gpt-6-sol",
    ],
)
def test_the_sum_is_that_of_genai_prices(model, prompt):
    usage = Usage(prompt, 700, 2_000, 3_000, 3_000, 0)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=2_000,
            cache_write_tokens=3_000,
            output_tokens=700,
        ),
        model_ref=model,
        provider_id="aws",
        genai_request_timestamp=datetime.fromtimestamp(TODAY, UTC),
    )
    assert pricing.cost(usage, model, TODAY) == theirs.total_price


def test_both_ttls_and_what_no_report_split():
    model = f"global.{SONNET}"
    assert pricing.cost(Usage(0, 0, 0, 3_000_00, 1_000_00, 2_000_00), model, TODAY) == Decimal("3.15")
    assert pricing.cost(Usage(0, 0, 0, 1_000_00), model, TODAY) == Decimal("0.375")


def test_amounts_are_decimal_and_add_up():
    usage = Usage(500, 400, 4_000, 1_000, 1_000, 0)
    parts = pricing.amounts(usage, f"global.{SONNET}", TODAY)
    assert [parts.uncached, parts.reads, parts.writes, parts.output] == [
        Decimal(x) for x in ("0.0015", "0.0012", "0.00375", "0.006")
    ]
    assert parts.total == pricing.cost(usage, f"global.{SONNET}", TODAY)
    assert isinstance(parts.total, Decimal)


def test_what_has_no_price_is_no_guess():
    reads = Usage(10, 10, 1_000, 0, 0, 0)
    assert pricing.cost(reads, "meta.llama3-3-70b-instruct-v1:0", TODAY) is None
    assert pricing.cost(Usage(10, 10), "meta.llama3-3-70b-instruct-v1:0", TODAY) is not None
    assert pricing.cost(Usage(0, 0, 0, 10, 0, 10), "anthropic.claude-opus-4-1-20250805-v1:0", TODAY) is None


def test_own_prices_come_first_and_follow_the_models_row():
    pricing.set_prices(
        {"*claude-sonnet-4-6": {"input": 2.4, "output": "12"}, "arn:*/abc": {"input": 1, "output": 2}}
    )

    assert rates("us.anthropic.claude-sonnet-4-6") == decimals("2.4", "12", "0.24", "3", "4.8")
    assert rates("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc").input == 1
    assert rates(f"us.{SONNET}").input == Decimal("3.3")
    assert set(pricing.own_prices()) == {"*claude-sonnet-4-6", "arn:*/abc"}
    pricing.set_prices(None)
    assert rates("us.anthropic.claude-sonnet-4-6").input == Decimal("3.3")


def test_own_prices_of_nova_keep_its_free_writes():
    pricing.set_prices({"*nova-pro*": {"input": 1, "output": 2, "read": 0.1}})
    assert rates("us.amazon.nova-pro-v1:0") == decimals("1", "2", "0.1", "1", None)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"input": 1}, r"lacks 'output'"),
        (
            {"input": 1, "output": 2, "reads": 1},
            r"no price 'reads'; it has input, output, read, write_5m, write_1h",
        ),
        ({"input": "cheap", "output": 2}, r"\['input'\] is 'cheap'; give US dollars per million"),
        ({"input": -1, "output": 2}, r"\['input'\] is -1"),
        (3, r"is 3; give a dict with input"),
    ],
)
def test_wrong_prices_are_named(prices, message):
    with pytest.raises(ValueError, match=message):
        pricing.set_prices({"*": prices})


def test_pricing_a_call_is_quick():
    pricing.warm()
    usage, model = Usage(500, 400, 4_000, 1_000, 1_000, 0), f"us.{SONNET}"
    pricing.cost(usage, model, TODAY)
    began = time.perf_counter()
    for _ in range(1_000):
        pricing.cost(usage, model, TODAY)
    assert time.perf_counter() - began < 0.5

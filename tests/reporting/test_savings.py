from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from cachepoint import Usage
from cachepoint.core.accounting.pricing import Rates
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.models.rules import TTL_SECONDS, rules_for
from cachepoint.core.placement.planner import Plan
from cachepoint.reporting import savings
from cachepoint.reporting.savings import Measured, Workload
from cachepoint.reporting.totals import UsageTotals

SONNET = "global.anthropic.claude-sonnet-4-6"
CLAUDE = Rates(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75"), Decimal(6))
CHATBOT = Workload(requests=Decimal(200_000), prefix=4_000, user=500, output=400)


def test_the_support_chatbot_to_the_cent():
    before = savings.before(CHATBOT, CLAUDE).amounts
    after = savings.after(CHATBOT, CLAUDE, "5m").amounts

    assert (before.input, before.output, before.total) == (2_700, 1_200, 3_900)
    assert (after.reads, after.uncached, after.output) == (240, 300, 1_200)
    assert after.total == 1_740 + after.writes
    # The published row says about $5 of writes; so it comes out with an entry lost every two hours.
    assert round(after.writes, 2) == Decimal("4.97")
    assert round(100 * (1 - after.total / before.total)) == 55
    assert round(100 * (1 - after.input / before.input)) == 80


def test_without_losses_steady_traffic_writes_once():
    assert round(savings.expected_writes(replace(CHATBOT, losses=Decimal()), "5m"), 3) == 1


def test_a_write_takes_the_place_of_a_read():
    """The formula's two lines are what Bedrock bills: reads of those that hit, writes of those that miss."""
    bill = savings.after(CHATBOT, CLAUDE, "5m")
    reads = (CHATBOT.requests - bill.writes) * CHATBOT.prefix * CLAUDE.read / 1_000_000
    writes = bill.writes * CHATBOT.prefix * CLAUDE.write_5m / 1_000_000

    assert round(bill.amounts.reads + bill.amounts.writes, 12) == round(reads + writes, 12)


SONNET_55 = Rates(Decimal(2), Decimal(10), Decimal("0.1"), Decimal("2.5"), Decimal(4))
FABLE_51 = Rates(Decimal(10), Decimal(50), Decimal("0.25"), Decimal("12.5"), Decimal(20))
HAIKU_45 = Rates(Decimal(1), Decimal(5), Decimal("0.1"), Decimal("1.25"), Decimal(2))


@pytest.mark.parametrize(
    ("rates", "workload", "share", "before", "after", "input_percent"),
    [
        pytest.param(
            SONNET_55,
            Workload(Decimal(20_000), 36_000, 4_000, 2_050, reuse=Decimal(200)),
            0.90,
            2_000,
            650,
            85,
            id="document questions: only where reads cost 0.05",
        ),
        pytest.param(
            FABLE_51,
            Workload(Decimal(10_000), 27_700, 6_900, 3_080, reuse=Decimal(500)),
            0.80,
            5_000,
            2_300,
            78,
            id="agent loop: only where reads cost 0.025, and its head alone is cached",
        ),
        pytest.param(
            HAIKU_45,
            Workload(Decimal(17_000), 9_800, 200, 590, reuse=Decimal(1_000)),
            0.98,
            220,
            70,
            88,
            id="few-shot classifier on Haiku: only at 98 % repeated, not 92 %",
        ),
        pytest.param(
            CLAUDE,
            Workload(Decimal(1_000), 4_000, 500, 400, reuse=Decimal(1)),
            8 / 9,
            19.50,
            19.50,
            0,
            id="one-off generation: nothing pays",
        ),
    ],
)
def test_inputs_that_give_the_published_rows(rates, workload, share, before, after, input_percent):
    bills = savings.choices(workload, rates, savings.TTLS)
    bare, best = bills[None].amounts, savings.cheapest(bills).amounts

    assert workload.prefix / (workload.prefix + workload.user) == pytest.approx(share, abs=0.005)
    assert float(bare.total) == pytest.approx(before, rel=0.01)
    assert float(best.total) == pytest.approx(after, rel=0.04)
    assert round(100 * (1 - best.input / bare.input)) == input_percent


@pytest.mark.parametrize(
    ("row", "share", "published", "possible_at"),
    [
        ("document questions", "0.90", "0.85", {"0.1": False, "0.05": True}),
        ("agent loop", "0.80", "0.78", {"0.1": False, "0.05": False, "0.025": True}),
        ("few-shot on Haiku", "0.92", "0.88", {"0.1": False}),
    ],
)
def test_published_rows_that_cannot_be_right_where_reads_cost_a_tenth(row, share, published, possible_at):
    """share * (1 - read multiplier) bounds what the input line can lose, with writes for nothing."""
    for read, possible in possible_at.items():
        most = savings.most_saved(Decimal(share), Decimal(read))
        assert (most >= Decimal(published)) is possible, (row, read, most)


def test_the_repeated_shares_that_the_published_rows_need():
    needed = [savings.share_needed(Decimal(x), Decimal("0.1")) for x in ("0.85", "0.78", "0.88")]
    assert [round(share, 3) for share in needed] == [Decimal("0.944"), Decimal("0.867"), Decimal("0.978")]


def test_break_even():
    assert round(savings.break_even(CLAUDE, "5m"), 3) == Decimal("0.278")
    assert savings.reuses_to_pay(CLAUDE, "5m") == 1
    assert savings.reuses_to_pay(CLAUDE, "1h") == 2
    assert savings.break_even(replace(CLAUDE, write_1h=None), "1h") is None


@pytest.mark.parametrize("uses", range(1, 6))
@pytest.mark.parametrize("ttl", savings.TTLS)
def test_break_even_is_where_the_bill_turns(uses, ttl):
    workload = Workload(Decimal(1_000 * uses), 4_000, 0, 0, reuse=Decimal(uses))
    pays = savings.after(workload, CLAUDE, ttl).total < savings.before(workload, CLAUDE).total
    assert pays is (uses - 1 >= savings.reuses_to_pay(CLAUDE, ttl))


@pytest.mark.parametrize(("rate", "best"), [(300, "5m"), (5, "1h"), (0.2, None)])
def test_whether_5m_1h_or_nothing_pays(rate, best):
    workload = replace(CHATBOT, requests=Decimal(3_600), rate=Decimal(str(rate)))
    assert savings.cheapest(savings.choices(workload, CLAUDE, savings.TTLS)).ttl == best


def test_regular_traffic_slower_than_the_ttl_always_writes():
    slow = replace(CHATBOT, rate=Decimal(6), arrivals="regular", losses=Decimal())
    assert savings.miss_share(slow, "5m") == 1
    assert savings.miss_share(slow, "1h") == 0
    assert savings.after(slow, CLAUDE, "5m").total > savings.before(slow, CLAUDE).total


@pytest.mark.parametrize(("rate", "ttl", "losses"), [(30, "5m", 0), (6, "5m", 12), (1, "1h", 48)])
def test_expected_writes_against_a_simulation(rate, ttl, losses):
    random, n = Random(5), 20_000
    gaps = (random.expovariate(rate / 3_600) for _ in range(n))
    until_lost = (random.expovariate(losses / 86_400) if losses else float("inf") for _ in range(n))
    writes = sum(gap > min(TTL_SECONDS[ttl], lost) for gap, lost in zip(gaps, until_lost, strict=True))
    workload = Workload(Decimal(n), 4_000, 0, 0, rate=Decimal(rate), losses=Decimal(losses))

    assert float(savings.miss_share(workload, ttl)) == pytest.approx(writes / n, abs=0.012)


@pytest.mark.parametrize(
    ("field", "value"),
    [("requests", 0), ("prefix", -1), ("reuse", Decimal("0.5")), ("rate", 0), ("losses", -1)],
)
def test_impossible_figures_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        replace(CHATBOT, **{field: value})


def test_a_ttl_without_a_price_is_no_choice():
    five_only = replace(CLAUDE, write_1h=None)
    assert set(savings.choices(CHATBOT, five_only, savings.TTLS)) == {None, "5m"}
    with pytest.raises(ValueError, match="no price is known for reads and 1h writes"):
        savings.after(CHATBOT, five_only, "1h")


def report_of(usage, model=SONNET):
    return CallReport(
        model_id=model,
        priced_as=model,
        rules=rules_for(model),
        started=1_795_000_000.0,
        usage=usage,
        plan=Plan(),
        miss=None,
    )


def test_checkpoints_that_never_pay_are_a_loss():
    """Every call writes 4,000 tokens that no call reads: a quarter of their price is lost."""
    totals = UsageTotals()
    for _ in range(10):
        report = report_of(Usage(500, 400, 0, 4_000, 4_000, 0))
        assert report.saved == Decimal("-0.003")
        totals.add(SONNET, report.usage, report.saved)

    assert totals.saved == Decimal("-0.03")
    assert totals.hit_share == 0


def test_measured_calls_equal_the_reports():
    usages = [Usage(500, 400, 0, 4_000, 4_000, 0), Usage(500, 400, 4_000, 0, 0, 0), Usage(9, 1)]
    measured = Measured()
    reports = [report_of(usage) for usage in usages]
    for n, report in enumerate(reports):
        assert measured.add(report.usage, CLAUDE, 3_600.0 * n)
    assert not measured.add(Usage(1), None, None)
    assert not measured.add(None, CLAUDE, None)

    assert measured.after.total == sum(report.cost for report in reports)
    assert measured.before.total - measured.after.total == sum(report.saved for report in reports)
    assert (measured.calls, measured.unpriced, measured.without, measured.hours) == (3, 1, 1, 2)

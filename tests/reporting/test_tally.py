"""Figures of many calls: exact sums, bounded memory."""

import json
import random
from decimal import Decimal

import pytest

from cachepoint import Usage
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.reporting import tally as tallies
from cachepoint.reporting.pictures import as_table, in_notebook, stack
from cachepoint.reporting.tally import Row, Sums, Tally
from tests.observers.reports import SONNET, START, report, talk

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


def tally(*reports):
    return Tally.of(Row.of(r) for r in reports)


def many(calls, conversations, seed=1):
    r = random.Random(seed)
    for n in range(calls):
        yield report(
            r.randrange(9_000),
            r.randrange(4_000),
            r.randrange(90),
            r.randrange(300),
            at=START + n * r.random() * 20,
            conversation=f"c{r.randrange(conversations)}",
            miss=r.choice([None, "expired", "first_write", Miss("evicted_or_rerouted", "system", 700)]),
            model=r.choice([SONNET, HAIKU]),
        )


def test_a_row_is_the_same_from_a_report_and_from_its_line():
    one = report(100, 50, one_hour=20, miss=Miss("expired", "system[0]", 70), first_token_seconds=0.25)
    read = Row.read_from(json.loads(json.dumps(one.as_dict())))

    assert read == Row.of(one)
    assert read.usage == one.usage
    assert (read.cost, read.saved, read.at) == (one.cost, one.saved, one.started)


def test_the_sums_are_those_of_the_reports():
    reports = list(many(3_000, 40))
    got = tally(*reports)

    assert got.sums.usage == sum((r.usage for r in reports), Usage())
    assert got.sums.money == (sum(r.cost for r in reports), sum(r.uncached_cost for r in reports))
    assert {m: s.calls for m, s in got.by_model.items()} == {
        m: sum(r.model_id == m for r in reports) for m in (SONNET, HAIKU)
    }
    slices = list(got.course)
    assert sum(s.calls for s in slices) == 3_000
    assert sum(s.cost for s in slices) == sum(r.cost for r in reports)
    assert sum(s.read_tokens for s in slices) == got.sums.usage.read_tokens
    assert len(slices) <= tallies._MAX_SLICES


def test_unknown_is_not_zero():
    got = tally(report(usage=Usage(10, 5)), report(usage=None))

    assert got.sums.usage == Usage(10, 5)
    assert (got.sums.calls, got.sums.priced) == (2, 1)
    assert Sums().usage == Usage()
    assert tally(report(model="made.up", conversation=None)).sums.money is None
    assert "cost unknown" in as_table(tally(report(model="made.up")))


def test_quotas_count_no_reads_and_output_by_its_burndown():
    """Sonnet 4.6: output counts five times (bedrock-facts §4.4)."""
    assert tally(report(100, 50), report(100, 50), report(model="made.up")).quota_tokens == 2 * (
        10 + 50 + 5 * 5
    )
    assert tally(report(model="made.up")).quota_tokens is None


def test_what_was_held_and_paid_again_is_the_loss_where_the_report_cannot_say():
    got = tally(*talk(6, breaks={4}))

    # After call 3 the cache held 3,500 tokens.
    assert got.waste == {"first_write": (1, 0), "expired": (1, 3_500)}
    assert [(x.tokens, x.row.cause) for x in got.losses] == [(3_500, "expired")]
    assert got.conversations[0].lost == 3_500


def test_the_reports_own_figure_goes_first():
    got = tally(*talk(3), report(0, 4_000, miss=Miss("evicted_or_rerouted", "system", 1_234)))

    assert got.waste["evicted_or_rerouted"] == (1, 1_234)


def test_the_rewrite_factor_is_over_conversations():
    assert tally(*talk(9)).rewrite_factor == pytest.approx(6_000 / 6_020)
    assert tally(*talk(9, breaks={8})).rewrite_factor == pytest.approx(11_500 / 6_020)
    both = tally(*talk(9), *talk(9, conversation="other"))
    assert both.rewrite_factor == pytest.approx(12_000 / 12_040)
    assert tally().rewrite_factor is None


def test_memory_is_bounded_and_the_sums_stay_exact():
    reports = [
        report(0, 2_000, miss=Miss("expired", tokens=n), conversation=f"c{n}", at=START + 1_000 * n)
        for n in range(2_000)
    ]
    got = tally(*reports)

    assert got.sums.calls == 2_000
    assert len(got.conversations) == tallies._MAX_CONVERSATIONS + tallies._MAX_WORST
    assert not got.complete
    assert got.conversations[0].lost == 1_999
    assert len(got.losses) == tallies._MAX_LOSSES
    assert got.rewrite_factor == pytest.approx(2_000 / 2_010)
    assert sum(s.calls for s in got.course) == 2_000


def test_many_models_share_a_row():
    got = tally(*(report(model=f"made.up-{n}") for n in range(300)))

    assert len(got.by_model) == tallies._MAX_MODELS + 1
    assert got.by_model[tallies.OTHER].calls == 300 - tallies._MAX_MODELS


def test_the_table_says_it_all():
    shown = as_table(tally(*talk(6, breaks={4}), report(model="made.up", first_token_seconds=0.5)))

    assert "7 calls" in shown
    assert "expired: 1 call, 3,500 tokens lost" in shown
    assert "1 calls are not in the money" in shown
    assert "re-write factor" in shown
    assert "streams began after 0.50 s (median of misses)" in shown
    assert as_table(tally()) == "no calls"


def test_json_has_money_as_strings():
    got = json.loads(json.dumps(tally(*talk(3)).as_dict()))

    assert Decimal(got["saved_usd"]) == sum(r.saved for r in talk(3))
    assert got["from"] == "2026-11-23T00:00:00.000+00:00"
    assert got["models"][SONNET]["calls"] == 3


def test_pictures_escape_what_they_are_given():
    bad = report(0, 100, miss=Miss("expired", "<script>alert(1)</script>"), conversation="<b>")
    drawn = in_notebook("<i>", tally(bad)) + stack([Row.of(bad)])

    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert "&lt;i&gt;" in drawn

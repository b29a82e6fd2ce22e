"""Figures of many calls: exact sums, bounded memory."""

import decimal
import json
import random

import pytest

from cachepoint import Usage
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.observers import page
from cachepoint.reporting import course
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


def test_c12_lines_of_earlier_releases_are_read():
    """C12: their money is a string, and they have no service tier."""
    one = report(100, 50)
    old = {**one.as_dict(), "cost_usd": f"{one.cost:f}", "saved_usd": f"{one.saved:f}"}
    del old["tier"]

    assert Row.read_from(json.loads(json.dumps(old))) == Row.of(one)


WRONG = ["x", [], {}, True, -1, 1.5, 10**400]


@pytest.mark.parametrize("value", WRONG, ids=lambda v: repr(v)[:9])
@pytest.mark.parametrize(
    "name",
    ["model_id", "priced_as", "conversation", "started", "usage", "miss", "cost_usd", "saved_usd", "tier"],
)
def test_c11_a_wrongly_typed_line_is_refused_before_it_is_counted(name, value):
    """C11: nothing that was read can fail where it is added up or drawn."""
    line = report(100, 50, miss="expired").as_dict() | {name: value}
    try:
        row = Row.read_from(line)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return
    assert as_table(Tally.of([row]))
    assert page(Tally.of([row, row]))


@pytest.mark.parametrize("value", WRONG, ids=lambda v: repr(v)[:9])
@pytest.mark.parametrize("name", ["uncached_tokens", "read_tokens", "write_tokens", "output_tokens"])
def test_c11_a_wrong_number_of_tokens_is_refused(name, value):
    """C11: a text, a fraction or less than nothing."""
    line = report(100, 50).as_dict()
    with pytest.raises(TypeError, match="is no number of tokens"):
        Row.read_from(line | {"usage": line["usage"] | {name: value}})


@pytest.mark.parametrize("started", [START * 1000, float("nan"), None])
def test_a5_calls_at_no_time_are_counted_and_drawn(started):
    """A5: a clock of milliseconds, or one that failed: all figures but those over time are there."""
    one = report(100, 50, at=started, miss="expired", seconds=float("nan"))
    line = json.loads(json.dumps(one.as_dict()))
    got = tally(one, *talk(3), one)

    assert (line["started"], line["duration_ms"], line["cost_usd"]) == (None, None, None)
    assert (got.sums.calls, got.first, got.last) == (5, START, START + 60)
    assert sum(part.calls for part in got.course) == 3
    assert json.dumps(got.as_dict())
    for drawn in (as_table(got), in_notebook("x", got), page(got), page(tally(one, one))):
        assert "nan" not in drawn.lower().replace("finance", "")


def test_a5_sums_do_not_ask_the_applications_decimal_context():
    """A5: a precision of 4 and traps in the application."""
    reports = list(many(200, 9))
    expected = tally(*reports).as_dict()
    with decimal.localcontext(decimal.Context(prec=4, traps=[decimal.Inexact, decimal.Rounded])):
        got = tally(*reports)
        shown = as_table(got) + page(got) + in_notebook("x", got)

    assert got.as_dict() == expected
    assert shown == as_table(tally(*reports)) + page(tally(*reports)) + in_notebook("x", tally(*reports))


def test_c1_a_row_keeps_the_service_tier():
    """C1: what a loss cost is priced by the tier of its call."""
    assert Row.of(report(tier="flex")).tier == "flex"
    assert Row.of(report()).tier is None


def test_c2_what_no_report_said_is_unknown_in_every_figure():
    """C2: usage without cache keys."""
    got = tally(*(report(usage=Usage(100, 5), conversation="c") for _ in range(3)))

    assert (got.sums.usage.hit_share, got.rewrite_factor) == (None, None)
    assert got.as_dict()["hit_share"] is None
    assert as_table(got).count("unknown") == 3
    assert page(got).count("unknown") >= 4


def test_d7_causes_are_bounded():
    """D7: a file whose every line names another cause."""
    got = tally(*(report(miss=f"cause {n}") for n in range(500)))

    assert len(got.waste) == tallies._MAX_CAUSES + 1
    assert sum(calls for calls, _ in got.waste.values()) == 500


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
    assert len(slices) <= course.MAX_SLICES


def test_unknown_is_not_zero():
    got = tally(report(usage=Usage(10, 5)), report(usage=None))

    assert got.sums.usage == Usage(10, 5)
    assert (got.sums.calls, got.sums.priced) == (2, 1)
    assert Sums().usage == Usage()
    assert tally(report(model="made.up", conversation=None)).sums.money is None
    assert "cost unknown" in as_table(tally(report(model="made.up")))


def test_quotas_count_no_reads_and_output_by_its_burndown():
    """Sonnet 4.6: output counts five times (AWS user guide, quotas-token-burndown.html)."""
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
    assert "not in the money: 1 call of unknown price" in shown
    assert "re-write factor" in shown
    assert "stream that did not read began after 0.50 s" in shown
    assert as_table(tally()) == "no calls"


def test_c12_json_has_money_as_numbers():
    """C12: they add up, and read as what was printed."""
    got = json.loads(json.dumps(tally(*talk(3)).as_dict()))

    assert got["saved_usd"] == float(sum(r.saved for r in talk(3))) == 0.01089
    assert got["cost_usd"] + got["saved_usd"] == pytest.approx(got["uncached_cost_usd"])
    assert got["from"] == "2026-11-23T00:00:00.000+00:00"
    assert got["models"][SONNET]["calls"] == 3


def test_pictures_escape_what_they_are_given():
    bad = report(0, 100, miss=Miss("expired", "<script>alert(1)</script>"), conversation="<b>")
    drawn = in_notebook("<i>", tally(bad)) + stack([Row.of(bad)])

    assert "<script" not in drawn
    assert "<b>" not in drawn
    assert "&lt;i&gt;" in drawn


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("first", "second"), [(600, 40), (60, 900), (400, 400)])
def test_tallies_that_are_joined_are_as_one(first, second, turned):
    """Of many days and of some minutes, whichever is joined to which."""
    rows = [[Row.of(r) for r in many(n, 12, seed=n)] for n in (first, second)]
    renamed = [
        [row._replace(conversation=f"{n} {row.conversation}") for row in some] for n, some in enumerate(rows)
    ]
    apart = [Tally.of(some) for some in (reversed(renamed) if turned else renamed)]
    whole = Tally.of(row for some in renamed for row in some)
    apart[0].join(apart[1])
    joined, known = apart[0].as_dict(), whole.as_dict()
    assert joined == known
    assert len(list(apart[0].course)) <= course.MAX_SLICES
    assert list(apart[0].course) == list(whole.course)


def test_what_is_joined_from_another_week_is_bounded_too():
    rows = [Row.of(r) for r in many(300, 5)]
    later = [row._replace(at=row.at + 7 * 86_400, conversation="later") for row in rows]
    joined = Tally.of(rows)
    joined.join(Tally.of(later))
    assert len(list(joined.course)) <= course.MAX_SLICES
    assert list(joined.course) == list(Tally.of([*rows, *later]).course)


@pytest.mark.parametrize(
    ("tokens", "dollars"),
    [
        (300, 300 * (6 - 0.3)),
        (900, 400 * 6 + 500 * 3.75 - 900 * 0.3),
        (1_500, 500 * 3 + 600 * 3.75 + 400 * 6 - 1_500 * 0.3),
    ],
)
def test_lost_tokens_were_written_as_far_as_any_were_and_else_sent_fresh(tokens, dollars):
    """At the prices of a profile of one geography, which are a tenth higher."""
    row = Row.of(report(0, 1_000, 700, one_hour=400, model=SONNET))
    assert (row.write, row.write_1h) == (1_000, 400)
    assert float(row.dearer(tokens)) == pytest.approx(1.1 * dollars / 1e6)


def test_what_has_no_price_costs_nobody_knows_what():
    row = Row.of(report(model=SONNET))._replace(priced_as="another.model")
    assert row.dearer(10) is None

"""The bound of hand-worked calls, and of tiny streams against every placement there is."""

import itertools
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import UNKNOWN, rules_for
from cachepoint.reporting.bound import models
from cachepoint.reporting.bound.bound import bound
from cachepoint.reporting.bound.ledger import Ledger
from cachepoint.reporting.bound.models import Bounds
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import Tally
from tests.observers.reports import SONNET, START, report

RULES = replace(
    rules_for(SONNET),
    min_tokens=1_024,
    ttls=("5m", "1h"),
    multipliers={"read": 0.1, "write_5m": 1.25, "write_1h": 2.0},
)
NOVA = rules_for("us.amazon.nova-pro-v1:0")
BYTES = 4


@cache
def digests(blocks):
    """A number for every prefix, as digests are chained; of the empty one nothing."""
    return digests(blocks[:-1]) + (hash(blocks) % 2**64).to_bytes(8, "big") if blocks else b""


def sent(blocks, *, points=(), barred=(), lag=0.0):
    """Blocks are (name, tokens)."""
    sizes = tuple(itertools.accumulate(BYTES * tokens for _, tokens in blocks))
    return Sent(digests(tuple(blocks)), sizes, tuple(points), tuple(barred), lag)


def bound_of(*calls, rules=RULES):
    """Calls are (seconds, blocks) that cached nothing, and what else is known of them."""
    ledger = Ledger()
    for at, blocks, *more in calls:
        options = dict(*more)
        usage = options.pop("usage", {"fresh": sum(tokens for _, tokens in blocks)})
        ledger.add(at, sent(blocks, **options), **usage)
    return bound(ledger, rules)


def lower(*calls, **options):
    return pytest.approx(bound_of(*calls, **options).lower)


A, B, C = ("a", 2_000), ("b", 3_000), ("c", 1_500)


@pytest.mark.parametrize(
    ("minutes", "least", "five_minutes", "one_hour"),
    [
        ([0], 1, 1, 1),
        ([0, 1], 1.35, 1.35, 2),
        ([0, 10], 2, 2, 2),
        ([0, 10, 20], 2.2, 3, 2.2),
        ([0, 70], 2, 2, 2),
        ([0, 1, 10, 11], 2.3, 2.7, 2.3),
        ([0, 1, 2, 70], 2.45, 2.45, 3.0 + 0.2),
        ([0, 1, 2, 70, 71], 2.45 - 1 + 1.35, 2.8, 3.0 + 0.2 + 1),
    ],
    ids=str,
)
def test_one_prefix_costs_what_foresight_pays(minutes, least, five_minutes, one_hour):
    got = bound_of(*((60 * m, [A]) for m in minutes))

    assert got.lower == pytest.approx(2_000 * least)
    assert got.plan == pytest.approx(2_000 * least)
    assert got.five_minutes == pytest.approx(2_000 * five_minutes)
    assert got.one_hour == pytest.approx(2_000 * one_hour)
    assert (got.calls, got.paid) == (len(minutes), 2_000 * len(minutes))
    assert got.cost_over_bound == pytest.approx(len(minutes) / least)


def test_a_conversation_that_grows_writes_each_block_once():
    assert lower((0, [A]), (60, [A, B]), (120, [A, B, C])) == 2_000 * 1.45 + 3_000 * 1.35 + 1_500


def test_what_others_share_is_one_prefix_and_what_they_do_not_is_fresh():
    assert lower((0, [A, B]), (60, [A, C])) == 2_000 * 1.35 + 3_000 + 1_500


def test_blocks_below_the_minimum_count_with_the_first_above_it():
    small = ("small", 600)
    assert lower((0, [small]), (60, [small])) == 1_200
    assert lower((0, [small, A]), (60, [small, A])) == 2_600 * 1.35
    assert lower((0, [small, A]), (60, [small, B])) == 2_600 + 3_600


def test_a_checkpoint_that_counted_says_that_the_minimum_is_lower():
    small = ("small", 600)
    wrote = {"points": [0], "usage": {"fresh": 0, "write_5m": 600}}
    assert lower((0, [small], wrote), (60, [small])) == 600 * 1.35


def test_a_damaged_line_whose_digests_do_not_chain_stops_nothing():
    good = sent([A, B, C], points=(1,))
    damaged = good._replace(digests=good.digests[:8] + b"\xff" * 8 + good.digests[16:])
    tree = Ledger()
    for one in (good, damaged):
        tree.add(START, one, fresh=3_000)

    assert [(visit.end, visit.points) for visit in tree.calls] == [(3, (2,)), (3, (1,))]


def test_where_no_checkpoint_may_stand_nothing_ends():
    calls = [(60 * n, [A, (f"thought {n % 2}", 500)]) for n in range(4)]
    assert lower(*calls) == 2_000 * 1.55 + 2 * 500 * 1.35
    assert lower(*((*call, {"barred": [1]}) for call in calls)) == 2_000 * 1.55 + 4 * 500
    assert lower(*((*call, {"barred": [0]}) for call in calls)) == 2 * 2_500 * 1.35


def test_what_is_still_being_written_cannot_be_read():
    slow = {"lag": 30.0}
    assert lower((0, [A], slow), (10, [A], slow)) == 4_000
    assert lower((0, [A], slow), (10, [A], slow), (40, [A], slow)) == 2_000 * (1.25 + 1 + 0.1)


def test_a_read_shows_that_an_answer_had_begun():
    read = {"points": [0], "lag": 30.0, "usage": {"fresh": 0, "read": 2_000}}
    wrote = {"points": [0], "lag": 30.0, "usage": {"fresh": 0, "write_5m": 2_000}}
    got = bound_of((0, [A], wrote), (10, [A], read))

    assert got.lower == got.paid == pytest.approx(2_000 * 1.35)


def test_what_others_had_written_may_be_read_by_all():
    read = {"points": [0], "usage": {"fresh": 3_000, "read": 2_000}}
    got = bound_of((0, [A, B], read), (60, [A, B], {"usage": {"fresh": 5_000}}))

    assert got.lower == pytest.approx(2_000 * 0.2 + 3_000 * 1.35)
    assert got.plan == pytest.approx(got.lower)
    assert got.five_minutes == pytest.approx(got.lower)


def test_an_entry_that_lived_too_long_is_no_reason_to_be_cheaper_than_the_bound():
    wrote = {"points": [0], "usage": {"fresh": 0, "write_5m": 2_000}}
    read = {"points": [0], "usage": {"fresh": 0, "read": 2_000}}
    assert bound_of((0, [A], wrote), (600, [A], read)).cost_over_bound >= 1


def test_sizes_are_what_usage_says():
    """Tools weigh more bytes than tokens: where a checkpoint counted, and where a read ended, tells them."""
    ledger = Ledger()
    tools, first, second = ("tools", 4_000), ("x", 1_000), ("y", 1_000)
    ledger.add(0, sent([tools, first], points=[0]), fresh=1_000, write_5m=2_000)
    ledger.add(60, sent([tools, second], points=[0]), fresh=1_000, read=2_000)

    assert bound(ledger, RULES).lower == pytest.approx(2_000 * 1.35 + 2_000)


def test_a_read_tells_the_size_of_an_inner_checkpoint():
    ledger = Ledger()
    tools, first, second = ("tools", 4_000), ("x", 2_000), ("y", 2_000)
    ledger.add(0, sent([tools, first], points=[0, 1]), fresh=0, write_5m=4_000)
    ledger.add(60, sent([tools, second], points=[0, 1]), fresh=0, read=2_000, write_5m=2_000)

    got = bound(ledger, RULES)
    assert got.lower == pytest.approx(2_000 * 1.35 + 4_000)
    assert got.paid == pytest.approx(got.lower + 1_000)


def test_a_model_that_takes_no_hour_sends_all_of_it_fresh():
    got = bound_of((0, [A]), (60, [A]), rules=NOVA)

    assert got.lower == got.five_minutes == pytest.approx(2_000 * 1.25)
    assert got.one_hour == got.paid == 4_000


def test_nothing_is_known_without_prices_or_calls():
    assert bound_of((0, [A]), rules=UNKNOWN) is None
    assert bound_of() is None


@pytest.mark.parametrize("points", [(), (0, 2)])
def test_what_was_sent_comes_back_from_json(points):
    one = sent([A, B, C], points=points, barred=[1], lag=1.25)
    assert Sent.read_from(one.as_dict()) == one._replace(sizes=[*one.sizes])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("digests", "x"),
        ("digests", "AAAA"),
        ("digests", 5),
        ("bytes", []),
        ("bytes", [1, "2", 3]),
        ("bytes", [1, -2, 3]),
        ("bytes", [1, 2]),
        ("points", [3]),
        ("points", [1, 0]),
        ("points", ["0"]),
        ("points", 1),
        ("barred", [-1]),
        ("lag_ms", "1"),
        ("lag_ms", -1),
        ("lag_ms", float("nan")),
    ],
)
def test_what_nobody_sent_is_refused(name, value):
    line = sent([A, B, C]).as_dict() | {name: value}
    with pytest.raises((ValueError, TypeError)):
        Sent.read_from(line)


def row(at, *, model=SONNET, fresh=2_000):
    return Row.of(report(fresh=fresh, at=START + at, model=model, usage=Usage(fresh, 5, 0, 0, 0, 0)))


def test_models_share_nothing_and_add_up():
    bounds = Bounds()
    haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    for at in (0, 60):
        bounds.add(row(at, fresh=5_000), sent([("a", 5_000)]))
        bounds.add(row(at, model=haiku, fresh=5_000), sent([("b", 5_000)]))
        bounds.add(row(at, model="made.up"), sent([A]))

    assert set(bounds.by_model) == {SONNET, haiku}
    assert bounds.by_model[haiku].lower == pytest.approx(5_000 * 1.35)
    assert bounds.total.lower == pytest.approx(2 * 5_000 * 1.35)
    assert bounds.total.calls == 4


@pytest.mark.parametrize("most", ["MAX_CALLS", "MAX_BLOCKS"])
def test_beyond_its_bounds_all_is_forgotten(most, monkeypatch):
    monkeypatch.setattr(models, most, 3)
    tally = Tally()
    for n in range(5):
        tally.add(row(n), sent([(str(n), 2_000)]))

    assert tally.bounds.full
    assert (tally.bound, tally.bounds.calls) == (None, 0)
    assert tally.as_dict()["cost_over_bound"] is None


def test_calls_without_usage_or_time_are_passed_over():
    bounds = Bounds()
    bounds.add(Row.of(report(usage=None)), sent([A]))
    bounds.add(row(float("nan")), sent([A]))

    assert bounds.total is None


# Every placement there is, by the rules themselves: a cache as documented, simulated.


def optimum(calls):
    """The least that any checkpoints pay for (seconds, blocks, lag)."""
    best = sum(tokens for _, blocks, _ in calls for _, tokens in blocks)

    def go(number, entries, paid):
        nonlocal best
        if paid >= best:
            return
        if number == len(calls):
            best = paid
            return
        for points in placements(len(calls[number][1])):
            cost, left = served(calls[number], points, entries)
            go(number + 1, left, paid + cost)

    go(0, {}, 0.0)
    return best


@cache
def placements(blocks):
    """At most four checkpoints; those for one hour come first."""
    chosen = (c for n in range(min(blocks, 4) + 1) for c in itertools.combinations(range(blocks), n))
    return [
        [(index, 3_600 if place < hours else 300) for place, index in enumerate(indices)]
        for indices in chosen
        for hours in range(len(indices) + 1)
    ]


def served(call, points, entries):
    """What a call pays, and the entries after it."""
    at, blocks, lag = call
    upto = list(itertools.accumulate(tokens for _, tokens in blocks))
    points = [(i, ttl) for i, ttl in points if upto[i] >= 1_024]
    live = {
        i: entries[key]
        for i in range(len(blocks))
        if (key := tuple(blocks[: i + 1])) in entries and entries[key][1] <= at <= entries[key][2]
    }
    hit = max((i for i in live if any(p - 20 <= i <= p for p, _ in points)), default=-1)
    cost, before, left = 0.1 * upto[hit] if hit >= 0 else 0.0, hit, dict(entries)
    for i, ttl in points:
        if i > before:
            cost += (2.0 if ttl == 3_600 else 1.25) * (upto[i] - (upto[before] if before >= 0 else 0))
            before = i
        key, held = tuple(blocks[: i + 1]), live.get(i)
        # On top of an entry, or ahead of where it was read, nothing lives longer than that does.
        lives = min(ttl, live[hit][0]) if hit >= 0 else ttl
        left[key] = (lives, at + lag, at + lives) if held is None else (held[0], held[1], at + held[0])
        old = entries.get(key)
        if held is None and old is not None and old[2] >= at:
            left[key] = (max(lives, old[0]), min(at + lag, old[1]), max(at + lives, old[2]))
    if hit >= 0:
        ttl, ready, _ = live[hit]
        left[tuple(blocks[: hit + 1])] = (ttl, ready, at + ttl)
    return cost + upto[-1] - (upto[before] if before >= 0 else 0), left


BLOCKS = st.tuples(st.sampled_from("ab"), st.sampled_from([200, 900, 1_100, 3_000]))
CALLS = st.lists(
    st.tuples(
        st.sampled_from([1, 20, 120, 290, 400, 1_500, 3_500, 4_000]),
        st.lists(BLOCKS, min_size=1, max_size=3),
        st.sampled_from([0.0, 2.0, 60.0]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=120, deadline=None)
@given(CALLS, st.data())
def test_no_placement_pays_less_and_the_plan_is_one(gaps, data):
    at, entries, calls, ledger = 0.0, {}, [], Ledger()
    for gap, blocks, lag in gaps:
        at += gap
        call = at, tuple(blocks), lag
        calls.append(call)
        # Whatever the calls did, it tells no more than sizes.
        points = data.draw(st.sampled_from(placements(len(blocks))))
        paid, entries = served(call, points, entries)
        ledger.add(at, sent(blocks, points=[i for i, _ in points], lag=lag), **billed(call, points, paid))
    got, least = bound(ledger, RULES), optimum(calls)

    assert got.lower <= least + 1e-6
    assert got.plan >= least - 1e-6
    assert got.lower <= min(got.five_minutes, got.one_hour, got.plan)


def billed(call, points, paid):
    """The usage of a call, out of what it paid."""
    _, blocks, _ = call
    total = sum(tokens for _, tokens in blocks)
    upto = [0, *itertools.accumulate(tokens for _, tokens in blocks)]
    counted = [(i, ttl) for i, ttl in points if upto[i + 1] >= 1_024]
    deepest = upto[counted[-1][0] + 1] if counted else 0
    for read in upto:
        hour = max([0, *(upto[i + 1] - read for i, ttl in counted if ttl == 3_600)])
        short = deepest - read - hour
        if short >= 0 and abs(0.1 * read + 2 * hour + 1.25 * short + total - deepest - paid) < 1e-6:
            return {"fresh": total - deepest, "read": read, "write_5m": short, "write_1h": hour}
    raise AssertionError((call, points, paid))


def bounds_of(count, *, at=START):
    found = Bounds()
    row = Row.of(report(fresh=2_000, at=at))
    for n in range(count):
        found.add(row._replace(at=at + 60 * n), sent([A]))
    return found


def test_bounds_that_are_joined_share_no_entry():
    """Each writes the prefix once: two caches."""
    one, other, third = bounds_of(3), bounds_of(3), bounds_of(3)
    alone = one.total
    one.join(other)
    one.join(third)
    assert one.calls == 9
    assert one.total.lower == pytest.approx(3 * alone.lower)


@pytest.mark.parametrize("turned", [False, True])
def test_a_bound_that_is_not_known_is_not_known_of_more(turned, monkeypatch):
    known, full = bounds_of(2), Bounds()
    full.full = True
    first, second = (full, known) if turned else (known, full)
    first.join(second)
    assert first.full
    assert first.total is None

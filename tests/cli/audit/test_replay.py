"""What the library would have paid, and the least that anybody could have."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.invocation_logs import calls as made_calls
from benchmarks.invocation_logs import record
from cachepoint.cli.audit import windows
from cachepoint.cli.audit.engines import duck, many
from cachepoint.cli.audit.engines.plan import Audit, Plan
from cachepoint.cli.audit.replay import timeline
from cachepoint.cli.audit.scan import Piece, Span
from cachepoint.cli.audit.sources import Bodies
from cachepoint.cli.audit.windows import Windows
from cachepoint.core.accounting.sent import Sent
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.reporting.rows import Row

ACCOUNT = "111122223333"
MODEL = "us.anthropic.claude-sonnet-4-6"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Two hours of eight desks, in three files."""
    folder = tmp_path_factory.mktemp("log")
    rows = [
        record(n, at, desk, b'"inputBodyJson":' + body, b'"outputBodyJson":' + answer, usage)
        for n, (at, desk, body, answer, usage) in enumerate(made_calls(700, ACCOUNT, 5, desks=8))
    ]
    for n, some in enumerate((rows[:250], rows[250:500], rows[500:])):
        (folder / f"{n}.json").write_bytes(b"".join(some))
    return folder


@pytest.fixture(scope="module")
def found(log):
    return duck.run(Plan.of([log], replay=True), workers=1)


def test_it_pays_less_than_the_desks_did_and_no_less_than_can_be(found):
    replayed, bound = found.replayed, found.bound
    assert replayed.calls == replayed.priced == bound.calls == 700
    assert replayed.skipped == 0
    assert replayed.cost < replayed.paid
    assert replayed.usage.input_tokens == replayed.logged.input_tokens
    assert replayed.usage.hit_share > replayed.logged.hit_share
    assert bound.lower <= replayed.units <= bound.paid
    assert bound.lower <= min(bound.five_minutes, bound.one_hour)
    assert found.library_over_bound == replayed.units / bound.lower


def test_the_distributed_engine_replays_the_same(found, log):
    with many.connected("local", 1) as client:
        other = many.run(Plan.of([log], replay=True), client)
    assert other.replayed.usage == found.replayed.usage
    assert other.replayed.cost == found.replayed.cost
    assert other.bound == found.bound


def test_a_bound_by_stretches_is_no_higher_than_that_of_all(found, log, monkeypatch):
    monkeypatch.setattr(windows, "_CALLS", 90)
    apart = duck.run(Plan.of([log], replay=True), workers=1)
    assert apart.bound.calls == 700
    assert apart.bound.paid == pytest.approx(found.bound.paid)
    assert 0 < apart.bound.lower <= found.bound.lower


def sent(at, size):
    """A call whose one prefix was never there before, that read nothing and wrote it."""
    counted = dict.fromkeys(Row._fields) | {
        "fresh": 0,
        "read": 0,
        "write": size,
        "write_5m": size,
        "output": 1,
    }
    row = Row(**counted | {"at": at, "model": MODEL, "priced_as": MODEL, "write_1h": 0})
    return row, Sent(b"prefix00", (4 * size,), (0,), (), 0.0)


def test_what_may_live_across_a_stretch_is_taken_off_its_bound(monkeypatch):
    """Written once and read nine times; by stretches of two calls it is written five times."""
    rows = [sent(60.0 * n, 4_000) for n in range(10)]
    whole, apart = Windows(), Windows()
    for row, one in rows:
        whole.add(row, one)
    monkeypatch.setattr(windows, "_CALLS", 2)
    for row, one in rows:
        apart.add(row, one)
    whole, apart = whole.end(), apart.end()
    assert whole.lower == pytest.approx(4_000 * (1.25 + 9 * 0.1))
    assert 0 <= apart.lower <= whole.lower
    assert apart.calls == whole.calls == 10


def test_what_nothing_is_known_of_has_no_ratio(found):
    fewer = Audit(found.figures, found.scanned, replace(found.replayed, calls=699))
    assert fewer.library_over_bound is None
    assert Audit(found.figures, found.scanned, None).library_over_bound is None


def test_the_callers_checkpoints_are_not_replayed(log, found, tmp_path):
    bare = []
    for line in (log / "0.json").read_bytes().splitlines() + (log / "1.json").read_bytes().splitlines():
        one = json.loads(line)
        body = one["input"]["inputBodyJson"]
        one["input"]["inputBodyJson"] = DIALECTS["converse"].write(body, {}, None, {})
        bare.append(json.dumps(one))
    (tmp_path / "bare").mkdir()
    (tmp_path / "marked").mkdir()
    (tmp_path / "bare" / "log.json").write_text("\n".join(bare))
    for name in ("0.json", "1.json"):
        (tmp_path / "marked" / name).write_bytes((log / name).read_bytes())
    one, other = (
        duck.run(Plan.of([tmp_path / name], replay=True), workers=1).replayed for name in ("bare", "marked")
    )
    assert one.calls == other.calls == 500
    assert one.usage == other.usage
    assert one.cost == other.cost


def test_accounts_in_one_file_share_no_cache(log, tmp_path):
    """The same calls by two accounts: each pays what one pays."""
    lines = (log / "0.json").read_bytes().splitlines()
    other = [line.replace(ACCOUNT.encode(), b"222233334444") for line in lines]
    both = [line for pair in zip(lines, other, strict=True) for line in pair]
    (tmp_path / "both.json").write_bytes(b"\n".join(both))
    two = duck.run(Plan.of([tmp_path], replay=True), workers=1).replayed
    one = duck.run(Plan.of([log / "0.json"], replay=True), workers=1).replayed
    assert two.calls == 2 * one.calls == 500
    assert two.usage == one.usage + one.usage
    assert two.cost == 2 * one.cost


def test_what_is_not_logged_is_not_replayed(log, tmp_path):
    first, second, third = (log / "0.json").read_bytes().splitlines()[:3]
    bare, unknown = json.loads(first), {**json.loads(second), "modelId": "another.model-1"}
    del bare["input"]["inputBodyJson"]
    lines = [json.dumps(bare), json.dumps(unknown), third.decode()]
    (tmp_path / "log.json").write_text("\n".join(lines))
    found = duck.run(Plan.of([tmp_path], replay=True), workers=1)
    assert (found.replayed.calls, found.replayed.skipped) == (1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("timeline")


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=12), min_size=1, max_size=5))
def test_calls_come_by_time_from_files_that_overlap(folder, minutes):
    spans, number = [], 0
    for n, each in enumerate(minutes):
        path, span = folder / f"{n}.json", None
        with path.open("w") as file:
            for minute in each:
                file.write(json.dumps(told(minute, number)) + "\n")
                at = 1_790_812_800.0 + 60 * minute
                span = (span or Span(at, at, 0.0, Piece(n, path))).then(at)
                number += 1
        spans.append(span)
    times = [call.at for call in timeline(spans, Bodies([folder]), ACCOUNT)]
    assert times == sorted(times)
    assert len(times) == number


def told(minute, number):
    return {
        "timestamp": f"2026-10-01T00:{minute:02}:00Z",
        "accountId": ACCOUNT,
        "operation": "Converse",
        "modelId": str(number),
    }


@pytest.mark.parametrize(
    "given",
    [
        {"messages": "words"},
        {"messages": [{"role": "user", "content": [{"text": {"a": 1}}]}]},
        {"messages": [{"role": "\ud800", "content": [{"text": "a"}]}]},
        {"system": [{"document": None}], "messages": [{"role": "user", "content": [{"text": "a"}]}]},
        {"system": [{"document": {"format": "pdf", "source": {"bytes": 3}}}], "messages": []},
        {"messages": [{"role": "user", "content": 7}]},
    ],
    ids=["words", "a dict", "half a pair", "None", "a number of bytes", "a number"],
)
def test_a_request_that_is_none_is_skipped(given, tmp_path):
    """What the count of the log says it cannot use is in it the second time, too."""
    asked = {"messages": [{"role": "user", "content": [{"text": "Where?"}]}]}
    rows = [
        {
            "timestamp": f"2026-10-01T10:00:0{n}Z",
            "accountId": ACCOUNT,
            "operation": "Converse",
            "modelId": "us.anthropic.claude-sonnet-4-6",
            "input": {"inputBodyJson": body, "inputTokenCount": 5_000},
            "output": {"outputBodyJson": {"usage": {"inputTokens": 5_000, "outputTokens": 1}}},
        }
        for n, body in enumerate((asked, given, asked))
    ]
    path = tmp_path / "log.json"
    path.write_text("\n".join(map(json.dumps, rows)))
    replayed = duck.run(Plan.of([path], replay=True), workers=1).replayed
    assert (replayed.calls, replayed.skipped) == (2, 1)

"""The forms of logs: what Bedrock's logging, CloudWatch and the library write of the same calls."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.invocation_logs import calls as made_calls
from benchmarks.invocation_logs import record
from cachepoint import observers
from cachepoint.cli.audit.engines import duck
from cachepoint.cli.audit.engines.plan import Plan
from cachepoint.cli.audit.figures import follow
from cachepoint.cli.audit.formats import calls
from cachepoint.cli.audit.formats.logged import Logged, UnusableError
from cachepoint.cli.audit.scan import Piece, Scanned, prints, scan
from cachepoint.cli.report import read as read_report
from cachepoint.reporting.tally import Tally
from tests.observers.reports import talk

ACCOUNT = "111122223333"


@pytest.fixture(scope="module")
def records():
    """Records of the invocation log."""
    made = made_calls(300, ACCOUNT, 3)
    return [
        json.loads(record(n, at, desk, b'"inputBodyJson":' + body, b'"outputBodyJson":' + answer, usage))
        for n, (at, desk, body, answer, usage) in enumerate(made)
    ]


def audit(path):
    return duck.run(Plan.of([path]), workers=1)


def figures(found):
    shown = found.figures.as_dict()
    return {name: shown[name] for name in ("calls", "usage", "cost_usd", "waste", "breaks", "identities")}


def lines(records):
    return "".join(json.dumps(one) + "\n" for one in records)


def exported(records):
    """As CloudWatch Logs exports to S3: the time in front of each message."""
    return "".join(f"{one['timestamp']} {json.dumps(one)}\n" for one in records)


def filtered(records):
    """As `aws logs filter-log-events` prints, on one line."""
    events = [
        {"timestamp": 1, "message": json.dumps(one), "eventId": str(n)} for n, one in enumerate(records)
    ]
    return json.dumps({"events": events, "searchedLogStreams": []})


def subscribed(records):
    """As a subscription delivers: a message of many events."""
    events = [{"id": str(n), "timestamp": 1, "message": json.dumps(one)} for n, one in enumerate(records)]
    halves = events[:100], events[100:]
    return "".join(json.dumps({"messageType": "DATA_MESSAGE", "logEvents": half}) + "\n" for half in halves)


def queried(records):
    """As Logs Insights gives its results."""
    return "".join(json.dumps({"@timestamp": "x", "@message": json.dumps(one)}) + "\n" for one in records)


@pytest.fixture(scope="module")
def plain(records, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "log.json"
    path.write_text(lines(records))
    return figures(audit(path))


@pytest.mark.parametrize("form", [exported, filtered, subscribed, queried, json.dumps])
def test_the_same_calls_in_another_wrapping_are_the_same(form, records, plain, tmp_path):
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(form(records).encode()))
    found = audit(path)
    assert figures(found) == plain
    assert not found.scanned.reasons


def test_a_log_without_bodies_tells_tokens_and_money(records, plain, tmp_path):
    """Logging that was told to leave texts out."""
    bare = []
    for one in records:
        given = {k: v for k, v in one["input"].items() if k != "inputBodyJson"}
        returned = {k: v for k, v in one["output"].items() if k != "outputBodyJson"}
        bare.append({**one, "input": given, "output": returned})
    path = tmp_path / "log.json"
    path.write_text(lines(bare))
    found = audit(path)
    usage, counted = figures(found)["usage"], plain["usage"]
    for name in ("uncached_tokens", "read_tokens", "write_tokens", "output_tokens"):
        assert usage[name] == counted[name]
    assert found.scanned.silent == len(records)
    assert not found.figures.breaks


MESSAGES = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 9,
    "system": [{"type": "text", "text": "Be kind. " * 900, "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "Where?"}],
}
START = {
    "type": "message_start",
    "message": {
        "usage": {
            "input_tokens": 5,
            "output_tokens": 1,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 2_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2_000},
        }
    },
}


def invoked(operation, body, answer, model="us.anthropic.claude-sonnet-4-6"):
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-10-01T00:00:00Z",
        "accountId": ACCOUNT,
        "region": "eu-west-1",
        "operation": operation,
        "modelId": model,
        "input": {"inputBodyJson": body},
        "output": {"outputBodyJson": answer},
    }


CLEAN = [
    invoked("Converse", {"system": [{"text": "Be kind."}], "messages": []}, {"usage": {"inputTokens": 1}}),
    invoked("InvokeModel", MESSAGES, START["message"]),
    invoked("InvokeModelWithResponseStream", MESSAGES, [START]),
    invoked("InvokeModel", {"schemaVersion": "messages-v1", "messages": []}, {}, "us.amazon.nova-lite-v1:0"),
]


def one(record):
    (found,) = calls(json.dumps(record).encode(), lambda _: b"")
    return found


def test_a_stream_of_a_body_tells_its_ttl():
    events = [START, {"type": "message_delta", "usage": {"output_tokens": 7}}]
    found = one(invoked("InvokeModelWithResponseStream", MESSAGES, events))
    assert (found.dialect, found.region, found.account) == ("messages", "eu-west-1", ACCOUNT)
    assert (found.usage.write_1h_tokens, found.usage.uncached_tokens, found.usage.output_tokens) == (
        2_000,
        5,
        7,
    )
    assert found.at == 1_790_812_800.0


def test_a_call_that_failed_has_no_usage():
    refused = {**invoked("Converse", {"messages": []}, None), "errorCode": "ThrottlingException"}
    assert one(refused).usage is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"operation": "StartAsyncInvoke"}, "no call of a model"),
        ({"modelId": ""}, "no model"),
        ({"timestamp": "yesterday"}, "no time"),
        ({"timestamp": "2026-10-01T00:00:00"}, "no time"),
        ({"timestamp": 5}, "no time"),
        ({"input": []}, "input is of another type"),
        ({"output": "x"}, "output is of another type"),
        ({"input": {"inputBodyS3Path": 5}}, "the address of its body is none"),
    ],
)
def test_what_is_of_another_type_is_told_in_few_words(change, reason):
    found = one({**invoked("Converse", {"messages": []}, None), **change})
    assert isinstance(found, UnusableError)
    assert found.reason == reason


@pytest.mark.parametrize("text", [b"7", b"[[]]", b'"x"', b"null"])
def test_what_is_no_object_is_none(text):
    assert all(isinstance(found, UnusableError) for found in calls(text, lambda _: b""))


def test_half_a_surrogate_pair_in_an_answer_is_read():
    answer = {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "output": "\ud83d"}
    assert isinstance(one(invoked("Converse", {"messages": []}, answer)), Logged)


def test_our_own_calls_come_to_what_a_report_says(tmp_path):
    """`calls.jsonl` holds the causes already."""
    path, tally = tmp_path / "calls.jsonl", Tally()
    for report in (*talk(6, breaks={4}), *talk(4, conversation="decaf")):
        observers.jsonl(path)(report)
    read_report(tally, path)
    found = audit(path)
    shown, known = found.figures.as_dict(), tally.as_dict()
    for name in ("calls", "usage", "cost_usd", "saved_usd", "waste", "rewrite_factor", "models"):
        assert shown[name] == known[name]
    assert found.scanned.silent == 0


MARK = "CANARY-7f3a"
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["", MARK, "\ud83d", "\x00", "text", "9" * 400, "2026-10-01T00:00:00Z"]),
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["text", "role", "content", "cachePoint", ",", "\ud83d", MARK]), inner
        ),
    ),
    max_leaves=6,
)


def places(value, way=()):
    """The ways to all that is in a value."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*way, key))


def put(value, way, new):
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = put(copy[way[0]], way[1:], new)
    return copy


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    record=st.sampled_from(CLEAN),
    changes=st.lists(st.tuples(st.integers(0, 10_000), anything), min_size=1, max_size=3),
)
def test_whatever_stands_in_a_record_it_is_a_call_or_counted(record, changes, tmp_path):
    """Any part of a record is anything: the calls beside it are followed, and its text is in no reason."""
    for place, new in changes:
        ways = list(places(record))
        record = put(record, ways[place % len(ways)], new)
    whole = [CLEAN[0], record]
    path = tmp_path / "log.json"
    path.write_text("".join(json.dumps(one) + "\n" for one in whole), "utf-8", "surrogatepass")
    scanned = Scanned()
    tables = list(scan(Piece(0, path), lambda _: b"", b"k", scanned))
    found = follow(call for table in tables for call in prints(table))
    assert found.tally.sums.calls == scanned.calls >= 1
    assert MARK not in str(dict(scanned.reasons))


@pytest.mark.parametrize("role", ["tool", "User", "", "\ud800", "\u6771"], ids=ascii)
def test_a_role_that_bedrock_does_not_know_stops_nothing(role, records, tmp_path):
    """One record in a log; what it changed against the next one is looked for all the same."""
    desk = next(one for one in records if len(one["input"]["inputBodyJson"]["messages"]) > 1)
    said = desk["input"]["inputBodyJson"]
    rows = []
    for n in range(3):
        messages = [{**m, "role": role if i == 1 else m["role"]} for i, m in enumerate(said["messages"])]
        body = {**said, "system": [{"text": f"It is 10:0{n}. " * 900}], "messages": messages}
        rows.append(
            {
                **desk,
                "timestamp": f"2026-10-01T10:00:0{n}Z",
                "input": {**desk["input"], "inputBodyJson": body},
            }
        )
    path = tmp_path / "log.json"
    path.write_text(lines(rows))
    assert audit(path).scanned.calls == 3


@pytest.mark.parametrize("name", ["priced_as", "tier", "conversation"])
def test_a_report_with_half_a_surrogate_pair_is_read(name, tmp_path):
    """JSON allows it, and a table's text is UTF-8."""
    path = tmp_path / "calls.jsonl"
    observe = observers.jsonl(path)
    for report in talk(3):
        observe(report)
    rows = [{**json.loads(line), name: "half \ud800"} for line in path.read_text().splitlines()]
    path.write_text(lines(rows))
    assert audit(path).scanned.calls == len(rows)

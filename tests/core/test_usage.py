import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from cachepoint import Usage
from cachepoint.core.accounting.usage import READERS
from cachepoint.reporting.metrics import FirstTokens, first_tokens, quota_tokens, rewrite_factor

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings" / "calls.jsonl"


def test_converse_usage_adds_up():
    usage = Usage.from_converse(
        {
            "usage": {
                "inputTokens": 3,
                "outputTokens": 7,
                "totalTokens": 4_573,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 4_563,
                "cacheDetails": [
                    {"ttl": "1h", "inputTokens": 4_544},
                    {"ttl": "5m", "inputTokens": 19},
                ],
            }
        }
    )

    assert usage == Usage(3, 7, 0, 4_563, 19, 4_544)
    assert usage.input_tokens == 4_566


def test_what_the_report_does_not_say_is_unknown_not_zero():
    usage = Usage.from_converse({"usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}})

    assert (usage.read_tokens, usage.write_tokens, usage.write_1h_tokens) == (None, None, None)
    assert usage.input_tokens == 9


def test_writes_without_details_have_an_unknown_split():
    usage = Usage.from_converse(
        {"usage": {"inputTokens": 2, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 1_298}}
    )

    assert usage.write_tokens == 1_298
    assert usage.write_5m_tokens is None


def test_a_stream_reports_in_its_metadata_event():
    event = {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2}, "metrics": {"latencyMs": 1}}}

    assert Usage.from_converse(event) == Usage(1, 2)


def test_sums_keep_unknown_apart_from_zero():
    assert Usage(1, 1) + Usage(2, 2) == Usage(3, 3)
    assert Usage(1, 1, 5, 0, 0, 0) + Usage(2, 2) == Usage(3, 3, 5, 0, 0, 0)


def test_a_response_without_usage_has_none():
    assert Usage.from_converse({"output": {}}) is None
    assert Usage.from_messages({"content": []}) is None


@pytest.mark.parametrize(
    ("shape", "report"),
    [
        ("converse", {"usage": {}}),
        ("converse", {"usage": None}),
        ("converse", {"usage": {"inputTokens": None, "outputTokens": None}}),
        ("converse", {"metadata": {"usage": {}}}),
        ("messages", {"usage": {}}),
        ("message_stream", [{"usage": {}}, {"amazon-bedrock-invocationMetrics": {}}]),
        ("headers", {"X-Amzn-Bedrock-Input-Token-Count": ""}),
        ("langchain", {"input_token_details": {}}),
        ("llama_index", {"prompt_tokens": None}),
        ("log_record", {"input": {}, "output": {"outputBodyJson": {"usage": {}}}}),
        ("report", {"usage": {}}),
    ],
)
def test_c2_a_report_that_counts_nothing_is_no_usage(shape, report):
    """C2: None, not a usage of zeros."""
    assert Usage.of(shape, report) is None


def test_c2_what_was_read_is_unknown_where_no_report_says():
    """C2: the hit share is None then, not 0."""
    silent, said = Usage(100, 5), Usage(100, 5, 0, 0, 0, 0)

    assert (silent.read_tokens, silent.hit_share) == (None, None)
    assert (said.read_tokens, said.hit_share) == (0, 0.0)
    assert (silent + silent).hit_share is None
    assert (silent + said).read_tokens == 0


def _frozen(value):
    if isinstance(value, dict):
        return MappingProxyType({k: _frozen(v) for k, v in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


# Every shape of one call: 3 uncached, 5,385 read, 5,380 written (4,544 for 1h), 4 output.
KNOWN = Usage(3, 4, 5_385, 5_380, 836, 4_544)
UNSPLIT = Usage(3, 4, 5_385, 5_380)
CONVERSE = {
    "inputTokens": 3,
    "outputTokens": 4,
    "totalTokens": 10_772,
    "cacheReadInputTokens": 5_385,
    "cacheWriteInputTokens": 5_380,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 4_544}, {"ttl": "5m", "inputTokens": 836}],
}
MESSAGE = {
    "input_tokens": 3,
    "output_tokens": 4,
    "cache_read_input_tokens": 5_385,
    "cache_creation_input_tokens": 5_380,
    "cache_creation": {"ephemeral_5m_input_tokens": 836, "ephemeral_1h_input_tokens": 4_544},
}
METRICS = {
    "inputTokenCount": 3,
    "outputTokenCount": 4,
    "cacheReadInputTokenCount": 5_385,
    "cacheWriteInputTokenCount": 5_380,
}
HEADERS = {
    "X-Amzn-Bedrock-Input-Token-Count": "3",
    "X-Amzn-Bedrock-Output-Token-Count": "4",
    "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "5385",
    "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "5380",
}
START = {"type": "message_start", "message": {"usage": MESSAGE | {"output_tokens": 1}}}
DELTA = {"type": "message_delta", "usage": {"output_tokens": 4}}
STOP = {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}
COUNTS = {"inputTokenCount": 3, "cacheReadInputTokenCount": 5_385, "cacheWriteInputTokenCount": 5_380}


def chunk(event):
    return {"chunk": {"bytes": json.dumps(event).encode()}}


def log(body=None, **counts):
    output = {"outputTokenCount": 4} | ({} if body is None else {"outputBodyJson": body})
    return {"schemaType": "ModelInvocationLog", "input": COUNTS | counts, "output": output}


@pytest.mark.parametrize(
    ("shape", "data", "expected"),
    [
        ("converse", {"usage": CONVERSE}, KNOWN),
        ("converse", {"metadata": {"usage": CONVERSE}}, KNOWN),
        ("messages", {"usage": MESSAGE}, KNOWN),
        ("message_stream", [START, DELTA, STOP], KNOWN),
        ("message_stream", [START, MESSAGE | {"usage": MESSAGE}], KNOWN),
        ("message_stream", [chunk(START), chunk(DELTA), chunk(STOP)], KNOWN),
        ("message_stream", [STOP], UNSPLIT),
        ("message_stream", [{"type": "ping"}], None),
        ("headers", HEADERS, UNSPLIT),
        ("headers", {"ResponseMetadata": {"HTTPHeaders": HEADERS}}, UNSPLIT),
        ("headers", {"content-type": "application/json"}, None),
        (
            "langchain",
            {
                "input_tokens": 10_768,
                "output_tokens": 4,
                "total_tokens": 10_772,
                "input_token_details": {
                    "cache_read": 5_385,
                    "cache_creation": 0,
                    "ephemeral_5m_input_tokens": 836,
                    "ephemeral_1h_input_tokens": 4_544,
                },
            },
            KNOWN,
        ),
        (
            "langchain",
            {
                "input_tokens": 10_768,
                "output_tokens": 4,
                "total_tokens": 10_772,
                "input_token_details": {"cache_read": 5_385, "cache_creation": 5_380},
            },
            UNSPLIT,
        ),
        ("langchain", {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}, Usage(9, 1)),
        ("langchain", None, None),
        (
            "llama_index",
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 10_772,
                "cache_read_input_tokens": 5_385,
                "cache_creation_input_tokens": 5_380,
            },
            UNSPLIT,
        ),
        ("llama_index", {"tool_calls": []}, None),
        ("log_record", log({"usage": CONVERSE}), KNOWN),
        ("log_record", log({"usage": MESSAGE}), KNOWN),
        ("log_record", log([START, DELTA]), KNOWN),
        # The body of 2025 says less than the record.
        ("log_record", log({"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}), UNSPLIT),
        ("log_record", log(), UNSPLIT),
        ("log_record", {"input": {}, "output": {}}, None),
        ("report", KNOWN.as_dict(), KNOWN),
        ("report", {"usage": UNSPLIT.as_dict(), "miss": None}, UNSPLIT),
        ("report", {"usage": None}, None),
    ],
)
def test_every_shape_reads_the_same(shape, data, expected):
    assert Usage.of(shape, data) == expected


@pytest.mark.parametrize(
    ("shape", "report"),
    [
        ("converse", {"usage": CONVERSE}),
        ("converse", {"metadata": {"usage": CONVERSE}, "ResponseMetadata": None}),
        ("messages", {"usage": MESSAGE}),
        ("message_stream", [START, DELTA, STOP]),
        ("log_record", log({"usage": CONVERSE})),
        ("report", KNOWN.as_dict()),
    ],
)
def test_a5_what_cannot_be_changed_is_read(shape, report):
    """A5: a response that is a read-only mapping."""
    assert Usage.of(shape, _frozen(report)) == KNOWN


STRANGE = [None, "", "x", -1, 1.5, float("nan"), float("inf"), True, [], {}, object, "9" * 5_000]


@pytest.mark.parametrize("shape", [s for s in READERS if s != "message_stream"])
@pytest.mark.parametrize("value", STRANGE, ids=lambda v: repr(v)[:9])
def test_a5_strange_reports_are_unknown(shape, value):
    """A5: whatever a report holds, reading it raises nothing, and nonsense counts nothing."""
    assert Usage.of(shape, value) is None
    for name in ("usage", "metadata", "ResponseMetadata", "input", "input_token_details", "prompt_tokens"):
        assert Usage.of(shape, {name: value}) is None


@pytest.mark.parametrize("value", STRANGE, ids=lambda v: repr(v)[:9])
@pytest.mark.parametrize("name", [*CONVERSE])
def test_a5_a_strange_value_leaves_the_others(name, value):
    """A5: one value that is no count is unknown, and the rest stands."""
    usage = Usage.from_converse({"usage": CONVERSE | {name: value}})

    assert usage.output_tokens in {0, 4}
    assert usage.read_tokens in {None, 5_385}
    assert json.dumps(usage.as_dict())


def test_a5_counts_may_be_texts_and_floats():
    """A5: a proxy that makes its numbers floats or texts."""
    assert Usage.from_converse({"usage": {"inputTokens": "3", "outputTokens": 4.0}}) == Usage(3, 4)


def test_a5_headers_without_metadata():
    """A5: `ResponseMetadata: None`."""
    assert Usage.from_headers({"ResponseMetadata": None}) is None
    assert Usage.from_headers({"ResponseMetadata": {"HTTPHeaders": None}}) is None


def test_every_shape_is_in_the_table():
    readers = {name for name in dir(Usage) if name.startswith("from_")}
    assert set(READERS.values()) == readers
    with pytest.raises(ValueError, match="shape is 'xml'; use one of 'converse', 'messages'"):
        Usage.of("xml", {})


def test_nova_reports_its_own_keys_over_invoke_model():
    usage = {
        "inputTokens": 10,
        "outputTokens": 2,
        "cacheReadInputTokenCount": 0,
        "cacheWriteInputTokenCount": 1_298,
    }
    assert Usage.from_messages({"usage": usage}) == Usage(10, 2, 0, 1_298)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"cacheWriteInputTokens": 10_760}, id="cacheDetails and totalTokens say otherwise"),
        pytest.param(
            {"cacheWriteInputTokens": 10_760, "totalTokens": 16_152}, id="cacheDetails says otherwise"
        ),
    ],
)
def test_a_stream_with_thinking_that_doubles_its_writes(changes):
    """langchain-aws#983."""
    assert Usage.from_converse({"metadata": {"usage": CONVERSE | changes}}) == KNOWN


def test_doubled_writes_without_details():
    usage = CONVERSE | {"cacheWriteInputTokens": 10_760, "cacheDetails": []}
    assert Usage.from_converse({"metadata": {"usage": usage}}) == UNSPLIT
    # Where the total was doubled with it, nothing tells.
    usage["totalTokens"] = 16_152
    assert Usage.from_converse({"metadata": {"usage": usage}}).write_tokens == 10_760


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"cache_creation": 10_760}, UNSPLIT),
        (
            {"cache_creation": 0, "ephemeral_5m_input_tokens": 836, "ephemeral_1h_input_tokens": 4_544},
            KNOWN,
        ),
    ],
)
def test_doubled_writes_in_langchains_form(details, expected):
    metadata = {
        "input_tokens": 16_148,
        "output_tokens": 4,
        "total_tokens": 10_772,
        "input_token_details": {"cache_read": 5_385, **details},
    }
    assert Usage.from_langchain(metadata) == expected


def test_an_openai_stream_counts_its_input_twice():
    """bifrost#6942: its totalTokens adds up, so only the model tells."""
    usage = {"inputTokens": 4_995, "outputTokens": 19, "totalTokens": 10_007, "cacheWriteInputTokens": 4_993}
    event = {"metadata": {"usage": usage}}

    assert Usage.from_converse(event, "global.openai.gpt-5.6-luna").uncached_tokens == 2
    assert Usage.from_converse(event, "us.anthropic.claude-sonnet-4-6").uncached_tokens == 4_995
    assert Usage.from_converse({"usage": usage}, "global.openai.gpt-5.6-luna").uncached_tokens == 4_995
    assert Usage.from_converse(event).uncached_tokens == 4_995


RECORDED = (
    [json.loads(line) for line in RECORDINGS.read_text("utf-8").splitlines()] if RECORDINGS.exists() else []
)
recorded = pytest.mark.parametrize(
    "call",
    RECORDED
    or [pytest.param(None, marks=pytest.mark.skip(reason="the recordings are not beside the checkout"))],
    ids=lambda call: "none" if call is None else f"{call['file'].rpartition('/')[2]}:{call['n']}",
)


def read(call):
    body = {"usage": call["usage"]}
    if call["operation"] == "invoke":
        return Usage.from_messages(body)
    return Usage.from_converse({"metadata": body} if call["operation"] == "converse-stream" else body)


def unsplit(usage):
    """What is left where a shape drops how writes split by TTL."""
    known = usage.write_tokens in {0, None}
    return replace(
        usage,
        write_5m_tokens=usage.write_5m_tokens if known else None,
        write_1h_tokens=usage.write_1h_tokens if known else None,
    )


@recorded
def test_recorded_calls_in_every_shape(call):
    usage, wire = read(call), call["usage"]
    get = wire.get
    fresh, out = get("inputTokens", get("input_tokens")), get("outputTokens", get("output_tokens"))
    cached = get("cacheReadInputTokens", get("cache_read_input_tokens"))
    written = get("cacheWriteInputTokens", get("cache_creation_input_tokens"))

    assert (usage.uncached_tokens, usage.output_tokens) == (fresh, out)
    assert (usage.read_tokens, usage.write_tokens) == (cached, written)
    assert usage.input_tokens + out == wire.get("totalTokens", fresh + cached + written + out)
    if wire.get("cacheDetails"):
        assert usage.write_5m_tokens == sum(
            d["inputTokens"] for d in wire["cacheDetails"] if d["ttl"] == "5m"
        )
    counts = {
        "inputTokenCount": fresh,
        "cacheReadInputTokenCount": cached,
        "cacheWriteInputTokenCount": written,
    }
    assert Usage.from_log_record({"input": counts, "output": {"outputBodyJson": {"usage": wire}}}) == usage
    assert Usage.from_log_record({"input": counts, "output": {"outputTokenCount": out}}) == unsplit(usage)
    named = zip(HEADERS, (fresh, out, cached, written), strict=True)
    assert Usage.from_headers({name: str(n) for name, n in named}) == unsplit(usage)
    assert Usage.from_report(json.loads(json.dumps(usage.as_dict()))) == usage


CHAT_MODEL = "langchain_aws.chat_models.bedrock_converse"


@recorded
def test_recorded_calls_through_langchain_aws(call):
    converse = pytest.importorskip(CHAT_MODEL, reason="langchain-aws is not installed")
    if call["operation"] == "invoke":
        pytest.skip(reason="InvokeModel: langchain-aws reads the headers")
    assert Usage.from_langchain(converse._extract_usage_metadata({"usage": dict(call["usage"])})) == read(
        call
    )


@recorded
def test_recorded_calls_through_llama_index(call):
    base = pytest.importorskip("llama_index.llms.bedrock_converse.base", reason="LlamaIndex is not installed")
    if call["operation"] == "invoke":
        pytest.skip(reason="InvokeModel: LlamaIndex has Converse only")
    counts = base.BedrockConverse._get_response_token_counts(None, {"usage": call["usage"]})
    assert Usage.from_llama_index(counts) == unsplit(read(call))


def test_recordings_are_all_read():
    if not RECORDED:
        pytest.skip(reason="the recordings are not beside the checkout")
    usages = [read(call) for call in RECORDED]
    assert len(usages) == 43
    assert sum(bool(u.read_tokens) for u in usages) == 23
    assert sum(bool(u.write_tokens) for u in usages) == 32


@pytest.mark.parametrize(
    ("usages", "factor"),
    [
        ([Usage(3, 1, 0, 1_000), Usage(3, 1, 1_000, 500), Usage(3, 1, 1_500, 500)], 2_000 / 2_003),
        ([Usage(0, 1, 0, 1_000), Usage(0, 1, 0, 1_000), Usage(0, 1, 0, 1_000)], 3.0),
        ([Usage(5, 1)], None),
        ([], None),
    ],
)
def test_rewrite_factor(usages, factor):
    assert rewrite_factor(usages) == factor


def test_a_quota_counts_no_reads():
    usage = Usage(100, 10, 5_000, 200)
    assert quota_tokens(usage, 5) == 350
    assert quota_tokens(usage, None) is None


def test_first_tokens_of_hits_and_misses():
    hit, miss = Usage(1, 1, 100, 0), Usage(1, 1, 0, 100)
    assert first_tokens([(hit, 0.2), (hit, 0.4), (miss, 1.0), (miss, None)]) == FirstTokens(
        0.30000000000000004, 1.0
    )
    assert first_tokens([(hit, None)]) == FirstTokens(None, None)


def test_first_tokens_lays_hits_beside_fresh_streams():
    """With how many there were and how large: medians of large and of small prompts say little together."""
    hit, miss = Usage(10, read_tokens=90), Usage(300, read_tokens=0)
    found = first_tokens([(hit, 0.2), (hit, 0.4), (hit, 0.3), (miss, 1.0), (miss, None)])
    assert (found.hit_streams, found.miss_streams) == (3, 1)
    assert (found.hit_tokens, found.miss_tokens) == (100, 300)
    assert found.sooner == pytest.approx(0.7)
    assert list(found.words()) == [
        "3 streams that read began after 0.30 s, of 100 input tokens (medians)",
        "1 stream that did not read began after 1.00 s, of 300 input tokens; those that read 70% sooner",
    ]


def test_first_tokens_say_it_where_reading_was_slower_and_where_nothing_is_to_be_compared():
    hit, miss = Usage(10, read_tokens=90), Usage(300, read_tokens=0)
    assert list(first_tokens([(hit, 2.0), (miss, 1.0)]).words())[1].endswith("; those that read 100% later")
    assert first_tokens([(hit, 2.0)]).sooner is None
    assert first_tokens([(hit, 2.0), (miss, 0.0)]).sooner is None
    (alone,) = first_tokens([(miss, 1.0)]).words()
    assert alone == "1 stream that did not read began after 1.00 s, of 300 input tokens"

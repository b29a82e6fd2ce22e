import json
from pathlib import Path

import pytest

from cachepoint import Usage

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


@pytest.mark.skipif(not RECORDINGS.exists(), reason="../shared/recordings is not there")
def test_every_recorded_usage_adds_up():
    for line in RECORDINGS.read_text("utf-8").splitlines():
        call = json.loads(line)
        read = Usage.from_messages if call["operation"] == "invoke" else Usage.from_converse
        usage = read({"usage": call["usage"]})

        total = call["usage"].get("totalTokens", usage.input_tokens + usage.output_tokens)
        assert usage.input_tokens + usage.output_tokens == total

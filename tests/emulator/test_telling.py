"""A call as one line: what it says, and that it says nothing of the prompt."""

import base64
import json

import pytest

from cachepoint.emulator import EmulatedCall
from tests.emulator.wire import OPUS_48, SONNET, post, user

AT = 1_700_000_000.0
MOMENT = "2023-11-14 22:13:20"
USAGE = {
    "cacheReadInputTokens": 1_500,
    "cacheWriteInputTokens": 20,
    "inputTokens": 3,
    "outputTokens": 12_000,
}


def call(operation="Converse", model=SONNET, status=200, at=AT, **more):
    return EmulatedCall(at, operation, model, "us-east-1", status, **more)


def test_what_was_read_and_written():
    line = str(call(usage=USAGE, body=b"prompt"))
    assert line == f"{MOMENT} Converse {SONNET}: 1,500 read, 20 written, 3 uncached, 12,000 output"


def test_a_model_that_caches_nothing_has_no_such_counts():
    line = str(call(usage={"inputTokens": 3, "outputTokens": 4, "serverToolUsage": {}}))
    assert line.endswith(": 3 uncached, 4 output")


def test_what_was_counted_and_what_was_looked_up():
    assert str(call("CountTokens", usage={"inputTokens": 1_503})).endswith(": 1,503 counted")
    assert str(call("GetInferenceProfile")).endswith(": answered")


def test_why_it_was_refused():
    line = str(call(status=429, error="ThrottlingException", message="Too many tokens."))
    assert line == f"{MOMENT} Converse {SONNET}: refused, 429 ThrottlingException: Too many tokens."


def test_a_stream_that_broke():
    line = str(call("ConverseStream", error="StreamCut", message="Cut."))
    assert line.endswith(": broken off, 200 StreamCut: Cut.")


@pytest.mark.parametrize("at", [float("1e300"), -1e300, 0.0])
def test_any_clock_will_do(at):
    assert f"Converse {SONNET}: answered" in str(call(at=at))


def test_it_is_one_line_of_bounded_length_that_commands_no_terminal():
    line = str(call("GET /\n\x1b[31m" + "x" * 70_000, "", status=404, error="No", message="\n" * 5_000))
    assert len(line) < 500
    assert line.isprintable()


SECRET = "The patient's name is 'Ada' and she is ill"


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": SECRET, "content": [{"text": "hi"}]}]},
        {"messages": [user({"text": "hi"})], "additionalModelRequestFields": {SECRET: 1}},
        {"messages": [user({"document": {"name": SECRET, "format": "txt", "source": {"text": "hi"}}})]},
        {"messages": [user({"image": {"format": SECRET, "source": {"bytes": "aGk="}}})]},
        {"messages": [user({"text": "hi"})], "toolConfig": {"tools": [{"toolSpec": {"name": SECRET}}]}},
        SECRET.encode(),
        json.dumps(SECRET).encode(),
    ],
)
def test_what_a_refusal_repeats_of_the_request_is_left_out(bedrock, body):
    assert post(bedrock, body, OPUS_48)[0] == 400
    (refused,) = bedrock.calls
    line = str(refused)
    assert ": refused, 400 ValidationException: " in line
    assert not [piece for piece in ("patient", "Ada", "she is") if piece in line]


def test_nor_of_a_body_within_the_body(bedrock):
    inner = base64.b64encode(json.dumps({"anthropic_version": SECRET, "max_tokens": 5}).encode())
    body = {"input": {"invokeModel": {"body": inner.decode()}}}
    assert post(bedrock, body, "anthropic.claude-sonnet-4-6", "count-tokens")[0] == 400
    assert SECRET not in str(bedrock.calls[0])


def test_nor_of_what_is_no_json():
    line = str(call(status=400, error="ValidationException", message=f"A size, not {SECRET!r}.", body=b"{"))
    assert line.endswith("ValidationException: A size, not \N{HORIZONTAL ELLIPSIS}.")


def test_names_stay(bedrock):
    body = {"messages": [{"role": "nobody", "content": [{"text": "hi"}]}]}
    post(bedrock, body)
    assert "Value 'nobody' at 'messages.1.member.role'" in str(bedrock.calls[0])

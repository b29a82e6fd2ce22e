"""What befalls single requests, by what they say, through boto3."""

import json

import pytest
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ConnectionClosedError
from urllib3.exceptions import ProtocolError

from cachepoint.emulator import BedrockEmulator, Cut, Delay, EmulatedError, Garbage, Refused, Reply, Reset
from tests.emulator.wire import POINT, SONNET, client, text, user

HEAD = text(1500)
UNLUCKY = "unlucky"


@pytest.fixture
def start():
    """Starts emulators in which a fault befalls unlucky requests; gives each and a client."""
    running = []

    def begin(fault):
        def faults(request):
            return fault if UNLUCKY in request.last_user_text else None

        bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok " * 40), faults=faults).start()
        running.append(bedrock)
        return bedrock, client(bedrock)

    yield begin
    for bedrock in running:
        bedrock.stop()


def converse(runtime, said=UNLUCKY, **more):
    return runtime.converse(modelId=SONNET, messages=[user({"text": said})], **more)


def streamed(runtime, said=UNLUCKY, **more):
    answer = runtime.converse_stream(modelId=SONNET, messages=[user({"text": said})], **more)
    return [next(iter(event)) for event in answer["stream"]]


def test_it_befalls_the_request_that_it_is_drawn_for_and_no_other(start):
    bedrock, runtime = start(Refused())
    assert converse(runtime, "lucky")["stopReason"] == "end_turn"
    with pytest.raises(runtime.exceptions.ThrottlingException, match="Too many requests"):
        converse(runtime)
    assert [(call.status, call.error) for call in bedrock.calls] == [
        (200, None),
        (429, "ThrottlingException"),
    ]


def test_what_is_refused_has_written_nothing(start):
    _, runtime = start(Refused("Busy.", "ServiceUnavailableException", 503))
    with pytest.raises(runtime.exceptions.ServiceUnavailableException, match="Busy"):
        converse(runtime, system=[HEAD, POINT])
    assert converse(runtime, "lucky", system=[HEAD, POINT])["usage"]["cacheWriteInputTokens"] == 1500


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stream_is_cut_where_it_is_told(start, after):
    bedrock, runtime = start(Cut(after))
    whole = streamed(runtime, "lucky")
    assert streamed(runtime) == whole[:after]
    assert bedrock.calls[-1].error == "StreamCut"
    assert converse(runtime)["stopReason"] == "end_turn"


def test_garbage_is_no_answer(start):
    bedrock, runtime = start(Garbage(after=2))
    assert "output" not in converse(runtime)
    assert bedrock.calls[-1].error == "Garbage"
    with pytest.raises(ChecksumMismatch):
        streamed(runtime)


def test_garbage_in_a_body_of_invoke_model(start):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}
    _, runtime = start(Garbage())
    asked = {**body, "messages": [{"role": "user", "content": UNLUCKY}]}
    answer = runtime.invoke_model(modelId=SONNET, body=json.dumps(asked))["body"].read()
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer)


def test_a_connection_ends_before_the_answer(start):
    bedrock, runtime = start(Reset())
    for call in (converse, streamed):
        with pytest.raises(ConnectionClosedError):
            call(runtime)
    assert [(call.status, call.error) for call in bedrock.calls] == [(0, "Reset")] * 2
    assert "broken off, 0 Reset" in str(bedrock.calls[0])


def test_a_connection_ends_in_a_stream(start):
    _, runtime = start(Reset(after=2))
    seen = []
    answer = runtime.converse_stream(modelId=SONNET, messages=[user({"text": UNLUCKY})])
    with pytest.raises(ProtocolError, match="prematurely"):
        seen.extend(next(iter(event)) for event in answer["stream"])
    assert seen == ["messageStart", "contentBlockDelta"]
    assert converse(runtime)["stopReason"] == "end_turn"


def test_an_answer_is_late(start):
    bedrock, runtime = start(Delay(0.2))
    assert converse(runtime)["metrics"]["latencyMs"] >= 200
    assert bedrock.calls[0].error is None


def test_a_function_that_raises_is_a_fault_of_the_emulator_s_user():
    def faults(_):
        raise EmulatedError("Not now.", code="ModelTimeoutException", status=408)

    with BedrockEmulator(faults=faults) as bedrock:
        runtime = client(bedrock)
        with pytest.raises(runtime.exceptions.ModelTimeoutException, match="Not now"):
            converse(runtime)

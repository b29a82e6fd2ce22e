"""CachingClient over real boto3 against the emulator."""

import logging
import pickle

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from builders import SONNET, assistant, marks, point, text, tool, user

from cachepoint import CachePolicy, CallReport, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.emulator import BedrockEmulator, EmulatedError

APP_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"


def boto(bedrock, service="bedrock-runtime"):
    return boto3.client(
        service,
        endpoint_url=bedrock.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def bedrock():
    with BedrockEmulator(profiles={APP_PROFILE: "anthropic.claude-sonnet-4-6"}) as bedrock:
        yield bedrock


@pytest.fixture
def cache(bedrock):
    return PromptCache(policy=CachePolicy(), clock=bedrock.now)


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock), cache=cache)


def chat(*turns, model=SONNET):
    messages = [user(text(40, turns[0]))]
    for turn in turns[1:]:
        messages += [assistant({"text": "well"}), user(text(40, turn))]
    return {"modelId": model, "system": [text(2_500)], "messages": messages}


def test_a_conversation_reads_all_that_came_before(client, bedrock):
    turns = ["a"]
    before = 0
    for turn in "bcde":
        report = client.converse(**chat(*turns))["ResponseMetadata"]["cachepoint"]
        assert isinstance(report, CallReport)
        assert (report.usage.read_tokens or 0) >= before
        before = report.usage.read_tokens + report.usage.write_tokens
        turns.append(turn)

    assert before > 2_400
    assert [c.status for c in bedrock.calls] == [200] * 4


def test_a_stream_reports_with_its_last_event(client):
    client.converse(**chat("a"))
    response = client.converse_stream(**chat("a", "b"))
    assert "cachepoint" not in response["ResponseMetadata"]
    events = list(response["stream"])

    assert "metadata" in events[-1]
    report = response["ResponseMetadata"]["cachepoint"]
    assert report.usage.read_tokens == events[-1]["metadata"]["usage"]["cacheReadInputTokens"] > 0
    assert report.miss is None


def test_a_stream_left_early_is_abandoned(client, cache):
    response = client.converse_stream(**chat("a"))
    next(iter(response["stream"]))
    response["stream"].close()

    call = cache.prepare(chat("a"), region=client.meta.endpoint_url)
    assert call.plan.expected_read_tokens is None


def test_the_report_equals_the_ledger(client, bedrock):
    for turns in ("a", "ab", "abc"):
        report = client.converse(**chat(*turns))["ResponseMetadata"]["cachepoint"]
        wire = bedrock.calls[-1].usage
        assert report.usage.read_tokens == wire["cacheReadInputTokens"]
        assert report.usage.write_tokens == wire["cacheWriteInputTokens"]
        assert report.usage.uncached_tokens == wire["inputTokens"]


def test_everything_else_passes_through(client):
    assert client.meta.region_name == "us-east-1"
    assert client.exceptions.ThrottlingException
    with pytest.raises(AttributeError):
        client.no_such_operation  # noqa: B018


def test_errors_are_botos_own(client):
    with pytest.raises(ParamValidationError):
        client.converse(modelId=SONNET, messages=3)
    with pytest.raises(ParamValidationError):
        client.converse(messages=[user(text(5))])
    with pytest.raises(ClientError, match="The provided model identifier is invalid"):
        client.converse(modelId="no.such-model", messages=[user(text(5))])


def test_a_misspelt_option_is_an_error_before_anything_is_sent(client, bedrock):
    with pytest.raises(ValueError, match="no option 'tll'"):
        client.converse(**chat("a"), cache_policy={"tll": "1h"})
    with pytest.raises(ParamValidationError, match="cache_polcy"):
        client.converse(**chat("a"), cache_polcy="off")

    assert bedrock.calls == ()


def test_a_policy_for_one_call(client, bedrock):
    client.converse(**chat("a"), cache_policy="off")
    client.converse(**chat("a"), cache_policy={"ttl": "1h"})

    assert marks(bedrock.calls[0].request) == []
    assert marks(bedrock.calls[1].request) == ["system@1h", "messages[0]@1h"]


def test_an_application_profile_is_asked_for_once(bedrock, cache):
    control = boto(bedrock, "bedrock")
    asked = []
    control.meta.events.register("before-call.bedrock.GetInferenceProfile", lambda **_: asked.append(1))
    client = CachingClient(boto(bedrock), cache=cache, control=control)
    for _ in range(3):
        client.converse(**chat("a", model=APP_PROFILE))

    assert len(asked) == 1
    assert bedrock.calls[-1].usage["cacheReadInputTokens"] > 0


def test_a_profile_that_may_not_be_asked_for_is_said_once(bedrock, cache, caplog):
    class Denied:
        def get_inference_profile(self, **_):
            raise PermissionError("no")

    client = CachingClient(boto(bedrock), cache=cache, control=Denied())
    for _ in range(2):
        client.converse(**chat("a", model=APP_PROFILE))

    assert caplog.text.count("allow bedrock:GetInferenceProfile or give base_model_id=") == 1
    assert marks(bedrock.calls[-1].request) == []


def test_a_base_model_may_be_named(bedrock, cache):
    client = CachingClient(boto(bedrock), cache=cache, base_model_id="anthropic.claude-sonnet-4-6")
    client.converse(**chat("a", model=APP_PROFILE))

    assert marks(bedrock.calls[-1].request) == ["system", "messages[0]"]


def test_a_refusal_is_answered_by_sending_again_without(caplog):
    """A model whose row is wrong: Bedrock refuses, the call goes through, and it is remembered."""
    refusals = []

    def stubborn(request):
        if "cachePoint" in str(request.body) and not refusals:
            refusals.append(1)
            raise EmulatedError(
                "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again.",
                code="ValidationException",
                status=400,
            )
        return responder(request)

    from cachepoint.emulator import TextResponder

    responder = TextResponder()
    with BedrockEmulator(responder=stubborn) as bedrock:
        client = CachingClient(boto(bedrock), cache=PromptCache(CachePolicy(), bedrock.now))
        caplog.set_level(logging.WARNING, "cachepoint")
        first = client.converse(**chat("a"))
        client.converse(**chat("a", "b"))

        assert first["output"]["message"]["content"]
        assert [c.status for c in bedrock.calls] == [400, 200, 200]
        assert marks(bedrock.calls[1].request) == marks(bedrock.calls[2].request) == []
    assert caplog.text.count("Bedrock refused a checkpoint") == 1


def test_hand_placed_points_on_a_model_without_caching_are_the_callers_own(client, bedrock):
    """Law 1: for such a model the request is not touched, and Bedrock's refusal is what the caller sees."""
    request = {"modelId": LLAMA, "system": [text(50), point()], "messages": [user(text(5))]}
    with pytest.raises(ClientError, match="did not allow prompt caching"):
        client.converse(**request)

    assert marks(bedrock.calls[-1].request) == ["system"]


def test_the_callers_request_stays_as_it_is(client):
    request = {
        **chat("a", "b"),
        "toolConfig": {"tools": [tool("look_up", 200)]},
    }
    before = repr(request)
    client.converse(**request)

    assert repr(request) == before


def test_it_pickles_as_far_as_its_client_does(cache):
    copy = pickle.loads(pickle.dumps(CachingClient(_PICKLABLE, cache=PromptCache(CachePolicy()))))
    assert copy.tag == "x"
    with BedrockEmulator() as bedrock, pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        pickle.dumps(CachingClient(boto(bedrock), cache=cache))


class _Tagged:
    tag = "x"


_PICKLABLE = _Tagged()

"""Who is let in, and which model can be called from where."""

import pytest
from botocore.exceptions import ClientError

from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire
from tests.emulator.bodies import body, invoke, stream
from tests.emulator.wire import HAIKU, NOVA, SONNET, user

MESSAGES = [user({"text": "hi"})]
UNKNOWN = "The provided model identifier is invalid."
ON_DEMAND = (
    "Invocation of model ID {} with on-demand throughput isn\u2019t supported."
    " Retry your request with the ID or ARN of an inference profile that contains this model."
)


def converse(client, model):
    return client.converse(modelId=model, messages=MESSAGES)


def converse_stream(client, model):
    return list(client.converse_stream(modelId=model, messages=MESSAGES)["stream"])


def invoked(client, model):
    nova = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    return invoke(client, model, nova if "nova" in model else body())


def invoked_stream(client, model):
    return stream(client, model, body())


def error(call, *arguments):
    with pytest.raises(ClientError) as caught:
        call(*arguments)
    response = caught.value.response
    return (
        response["ResponseMetadata"]["HTTPStatusCode"],
        response["Error"]["Code"],
        response["Error"]["Message"],
    )


@pytest.mark.parametrize("send", [converse, converse_stream, invoked, invoked_stream])
class TestRegions:
    """agent-health#298, 2026-06: a `us.` profile in eu-central-1; OpenMetadata#31699, 2026-08: `eu.` elsewhere."""

    @pytest.mark.parametrize(
        ("model", "region"),
        [
            (SONNET, "eu-central-1"),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "us-east-1"),
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "us-east-1"),
            ("jp.anthropic.claude-sonnet-4-6", "eu-west-1"),
            ("jp.anthropic.claude-sonnet-4-6", "ap-southeast-2"),
            ("au.anthropic.claude-sonnet-4-6", "ap-northeast-1"),
            ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-east-1"),
            ("global.anthropic.claude-sonnet-4-6", "us-gov-west-1"),
            (f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/{SONNET}", "eu-west-1"),
        ],
    )
    def test_a_profile_of_another_area_is_unknown(self, bedrock, send, model, region):
        client = wire.client(bedrock, region=region)
        assert error(send, client, model) == (400, "ValidationException", UNKNOWN)
        client.close()

    @pytest.mark.parametrize(
        ("model", "region"),
        [
            (SONNET, "us-west-2"),
            (SONNET, "ca-central-1"),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "eu-north-1"),
            ("apac.anthropic.claude-sonnet-4-20250514-v1:0", "ap-south-1"),
            ("jp.anthropic.claude-sonnet-4-6", "ap-northeast-3"),
            ("au.anthropic.claude-sonnet-4-6", "ap-southeast-2"),
            ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1"),
            ("global.anthropic.claude-sonnet-4-6", "me-central-1"),
        ],
    )
    def test_one_of_its_own_is_answered(self, bedrock, send, model, region):
        client = wire.client(bedrock, region=region)
        assert send(client, model)
        client.close()


def test_without_a_region_any_profile_is_answered(bedrock):
    """A bearer token names no Region; Bedrock knows it by the host."""
    status, _, _ = wire.post(
        bedrock, {"messages": MESSAGES}, "eu.anthropic.claude-opus-5", Authorization="Bearer t"
    )
    assert (status, bedrock.calls[0].region) == (200, "us-east-1")


class TestOnDemand:
    """Flowise#4253, 2025-04; catwalk#223, 2026-03; dify-official-plugins#3511, 2026-07."""

    @pytest.mark.parametrize("send", [converse, converse_stream, invoked, invoked_stream])
    @pytest.mark.parametrize(
        "model",
        [
            "anthropic.claude-3-7-sonnet-20250219-v1:0",
            "anthropic.claude-sonnet-4-20250514-v1:0",
            "anthropic.claude-sonnet-4-6",
            "anthropic.claude-opus-5",
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0",
        ],
    )
    def test_a_claude_is_called_through_a_profile(self, client, send, model):
        assert error(send, client, model) == (400, "ValidationException", ON_DEMAND.format(model))

    @pytest.mark.parametrize("send", [converse, invoked])
    @pytest.mark.parametrize("model", ["amazon.nova-lite-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"])
    def test_others_are_called_by_their_id(self, client, send, model):
        assert send(client, model)

    def test_an_application_profile_is_a_profile(self):
        arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
        with BedrockEmulator(profiles={arn: "anthropic.claude-sonnet-4-6"}) as bedrock:
            client = wire.client(bedrock)
            assert converse(client, arn)
            assert invoked(client, arn)["model"]
            client.close()


class TestKeys:
    """vercel/ai#4163, 2024-12; claude-code#2260, 2025-06; open-science#53, 2026-07."""

    @pytest.mark.parametrize("send", [converse, converse_stream, invoked, invoked_stream])
    def test_an_unknown_key_is_refused(self, send):
        with BedrockEmulator(access_keys=["other"]) as bedrock:
            client = wire.client(bedrock)
            said = error(send, client, HAIKU)
            client.close()
        assert said == (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
        assert bedrock.calls[0].usage is None

    def test_a_known_one_is_let_in(self):
        with BedrockEmulator(access_keys=["test"]) as bedrock:
            client = wire.client(bedrock)
            assert converse(client, NOVA)
            client.close()

    @pytest.mark.parametrize(
        ("headers", "status", "code", "message"),
        [
            ({"Authorization": "Bearer good"}, 200, "", ""),
            (
                {"Authorization": "Bearer bad"},
                403,
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
            ),
            ({}, 403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ],
    )
    def test_a_bearer_token(self, headers, status, code, message):
        with BedrockEmulator(access_keys=["good"]) as bedrock:
            answered, told, answer = wire.post(bedrock, {"messages": MESSAGES}, **headers)
        assert answered == status
        assert told.get("x-amzn-ErrorType", ":").partition(":")[0] == code
        assert answer.get("message", "") == message

    def test_by_default_all_are(self, client):
        assert converse(client, NOVA)

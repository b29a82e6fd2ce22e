"""`cachepoint doctor --aws` against a local Bedrock, and against errors as AWS gives them."""

import json

import pytest
from typer.testing import CliRunner

from cachepoint.cli import build
from cachepoint.cli.doctor.service import refused
from cachepoint.cli.doctor.setup import Refusal
from cachepoint.emulator import BedrockEmulator
from tests.aws.stubs import APP_PROFILE

SONNET = "us.anthropic.claude-sonnet-4-6"


def doctor(*args):
    result = CliRunner().invoke(build(), ["doctor", "--aws", *args, "--json"])
    return json.loads(result.stdout)["findings"]


def of(check, findings):
    return [one for one in findings if one["check"] == check]


def test_credentials_and_access_are_there(bedrock):
    findings = doctor("--endpoint-url", bedrock.url, "--model", SONNET)
    (credentials,), (access,) = of("credentials", findings), of("access", findings)
    assert credentials["what"] == "credentials from env, Region us-east-1"
    assert access["what"] == f"{SONNET} answers at {bedrock.url}"
    (call,) = bedrock.calls
    assert (call.operation, call.request["inferenceConfig"]) == ("Converse", {"maxTokens": 1})


def test_nothing_is_sent_unless_asked(bedrock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock.url)
    CliRunner().invoke(build(), ["doctor", "--model", SONNET])
    assert bedrock.calls == ()


def test_the_environments_endpoint_is_called(bedrock, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock.url)
    (access,) = of("access", doctor("--model", SONNET))
    assert access["level"] == "ok"
    assert len(bedrock.calls) == 1


def test_a_key_that_is_not_known():
    with BedrockEmulator(access_keys=["AKIDOTHER"]) as bedrock:
        (access,) = of("access", doctor("--endpoint-url", bedrock.url, "--model", SONNET))
    assert access["level"] == "fault"
    assert "UnrecognizedClientException" in access["what"]
    assert access["remedy"].startswith("the credentials are not valid")


def test_a_model_that_only_a_profile_can_call(bedrock):
    (access,) = of("access", doctor("--endpoint-url", bedrock.url, "--model", "anthropic.claude-sonnet-4-6"))
    assert access["level"] == "fault"
    assert access["remedy"] == "call it through a profile: put global. or us. in front of the id"


def test_a_model_of_another_geography(bedrock):
    model = "eu.anthropic.claude-sonnet-4-6"
    (access,) = of("access", doctor("--endpoint-url", bedrock.url, "--model", model))
    assert access["remedy"] == "see that the id is right, and that this Region has it"


def test_a_profile_is_followed_to_its_model():
    with BedrockEmulator(profiles={APP_PROFILE: SONNET}) as bedrock:
        findings = doctor("--endpoint-url", bedrock.url, "--model", APP_PROFILE)
    behind, access = of("access", findings)
    assert behind["what"] == f"AWS says that anthropic.claude-sonnet-4-6 is behind {APP_PROFILE}"
    assert access["level"] == "ok"
    assert of("model", findings)[0]["what"].startswith("Claude Sonnet 4.6")


def test_a_profile_that_is_not_there(bedrock):
    behind, access = of("access", doctor("--endpoint-url", bedrock.url, "--model", APP_PROFILE))
    assert behind["level"] == access["level"] == "fault"
    assert "bedrock:GetInferenceProfile" in behind["remedy"]


@pytest.mark.parametrize(
    ("gone", "what", "remedy"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "there are no credentials for AWS", "sign in: "),
        (("AWS_REGION", "AWS_DEFAULT_REGION"), "no Region is named", "set AWS_REGION, or give --region"),
    ],
)
def test_what_is_not_set(gone, what, remedy, bedrock, monkeypatch):
    for name in gone:
        monkeypatch.delenv(name)
    findings = doctor("--endpoint-url", bedrock.url, "--model", SONNET)
    (fault,) = of("credentials", findings)
    assert (fault["level"], fault["what"]) == ("fault", what)
    assert fault["remedy"].startswith(remedy)
    assert of("access", findings) == []
    assert bedrock.calls == ()


def test_nobody_answers_there():
    with BedrockEmulator() as bedrock:
        url = bedrock.url
    (access,) = of("access", doctor("--endpoint-url", url, "--model", SONNET))
    assert "EndpointConnectionError" in access["what"]
    assert access["remedy"] == "see that this machine reaches AWS, and that the Region is right"


def test_a_profile_of_the_configuration_that_is_not_there(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    findings = doctor("--model", SONNET)
    for check in ("boto3", "credentials"):
        (fault,) = of(check, findings)
        assert fault["level"] == "fault"
        assert "(nobody) could not be found" in fault["what"]
        assert fault["remedy"] == "see that AWS_PROFILE names a profile of ~/.aws/config"


# As AWS says it (texts of threads, 2025-2026).
@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            "allow bedrock",
        ),
        ("AccessDeniedException", "Please make sure your API Key is valid.", "make a new key"),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "the credentials have",
        ),
        (
            "ResourceNotFoundException",
            "This model version has reached the end of its life.",
            "the model has ended",
        ),
        ("SomethingElse", "?", "see what is said there"),
    ],
)
def test_each_refusal_has_its_remedy(code, message, remedy):
    found = refused("it does not answer", Refusal(code, message))
    assert found.level == "fault"
    assert found.remedy.startswith(remedy)
    assert message in found.what


def test_a_throttled_call_is_no_fault():
    assert refused("it does not answer", Refusal("ThrottlingException", "Too many tokens")).level == "note"

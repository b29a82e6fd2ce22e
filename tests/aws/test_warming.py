"""`warm` of the clients: what is asked, what is sent, what comes of it."""

import copy

import pytest
from builders import NOVA, SONNET, assistant, marks, text, tool, user

from cachepoint import CallReport
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.warming import cheapest
from cachepoint.core.guard import InvalidOptionError
from tests.aws.stubs import Answering, Awaited, answer, boto

HEAD = {"modelId": SONNET, "system": [text(10_000)]}


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({}, {"maxTokens": 1}),
        ({"inferenceConfig": {"maxTokens": 4_096, "temperature": 0.5}}, {"maxTokens": 1, "temperature": 0.5}),
        (
            {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2_000}}},
            {"maxTokens": 2_001},
        ),
        (
            {
                "additionalModelRequestFields": {
                    "reasoning_config": {"type": "enabled", "budget_tokens": 1_024}
                }
            },
            {"maxTokens": 1_025},
        ),
        ({"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}}, {"maxTokens": 1}),
        (
            {
                "inferenceConfig": {"maxTokens": 100},
                "additionalModelRequestFields": {
                    "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}
                },
            },
            {},
        ),
        (
            {"toolConfig": {"tools": [tool("find")], "toolChoice": {"any": {}}}},
            {"maxTokens": 1},
        ),
    ],
)
def test_it_is_answered_with_as_few_tokens_as_it_allows(given, least):
    request = HEAD | given
    before = copy.deepcopy(request)
    asked = cheapest(request)

    assert asked["inferenceConfig"] == least
    assert {k: v for k, v in asked.items() if k not in {"inferenceConfig", "messages"}} == {
        k: v for k, v in request.items() if k != "inferenceConfig"
    }
    assert request == before


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        (None, ["user"]),
        ([], ["user"]),
        ([user(text(5))], ["user"]),
        ([user(text(5)), assistant(text(5))], ["user", "assistant", "user"]),
    ],
)
def test_it_ends_with_a_question(messages, roles):
    asked = cheapest({**HEAD, "messages": messages})
    assert [message["role"] for message in asked["messages"]] == roles


def test_a_prefix_is_written_and_read(bedrock, cache):
    client = CachingClient(boto(bedrock.url), cache=cache)
    report = client.warm(HEAD)
    after = client.converse(**HEAD, messages=[user(text(5))])["ResponseMetadata"]["cachepoint"]

    assert isinstance(report, CallReport)
    assert report.usage.output_tokens == 1
    assert report.usage.write_tokens > 9_000
    assert after.usage.read_tokens > 9_000
    assert "system" in marks(bedrock.calls[0].request)


@pytest.mark.parametrize("model", [SONNET, NOVA])
async def test_an_awaited_client_warms(bedrock, cache, model):
    client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)
    report = await client.warm({**HEAD, "modelId": model})
    response = await client.converse(modelId=model, system=HEAD["system"], messages=[user(text(5))])

    assert report.usage.write_tokens > 8_000
    assert response["ResponseMetadata"]["cachepoint"].usage.read_tokens > 8_000


@pytest.mark.parametrize("policy", ["off", {"mode": "off"}])
def test_nothing_is_sent_where_nothing_would_be_written(cache, policy):
    client = Answering()
    report = CachingClient(client, cache=cache).warm(HEAD, cache_policy=policy)
    assert not client.requests
    assert report.usage is None
    assert report.plan.note == "mode is off"


def test_a_client_goes_on_as_it_was(cache):
    inner = Answering(answer(), answer())
    client = CachingClient(inner, cache=cache)
    client.warm(HEAD)
    client.converse(**HEAD, messages=[user(text(5))], inferenceConfig={"maxTokens": 7})
    assert [r["inferenceConfig"]["maxTokens"] for r in inner.requests] == [1, 7]


def test_a_misspelt_policy_is_refused(cache):
    client = Answering()
    with pytest.raises(InvalidOptionError, match="tll"):
        CachingClient(client, cache=cache).warm(HEAD, cache_policy={"tll": "1h"})
    assert not client.requests


def test_an_hour_is_written_where_it_is_asked_for(cache):
    inner = Answering(answer())
    CachingClient(inner, cache=cache).warm(HEAD, cache_policy={"ttl": "1h"})
    assert inner.requests[0]["system"][-1]["cachePoint"]["ttl"] == "1h"

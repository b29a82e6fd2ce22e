"""`warm` of the clients: what is asked, what is sent, what comes of it."""

import copy
import json

import pytest
from builders import NOVA, SONNET, assistant, marks, text, tool, user

from cachepoint import CallReport
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.warming import cheapest, cheapest_body
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


SYSTEM = text(10_000)["text"]
ASKING = {"role": "user", "content": [{"type": "text", "text": "."}]}


@pytest.mark.parametrize(
    ("dialect", "given", "least"),
    [
        ("messages", {"max_tokens": 4_096}, {"max_tokens": 1, "messages": [ASKING]}),
        (
            "messages",
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}, "messages": [ASKING]},
            {"max_tokens": 2_001, "messages": [ASKING]},
        ),
        (
            "nova",
            {"inferenceConfig": {"max_new_tokens": 50, "temperature": 0.5}, "messages": [user(text(5))]},
            {"inferenceConfig": {"temperature": 0.5, "maxTokens": 1}},
        ),
        (
            "nova",
            {
                "inferenceConfig": {
                    "maxTokens": 50,
                    "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"},
                }
            },
            {"inferenceConfig": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}},
        ),
    ],
)
def test_a_body_is_answered_with_as_few_tokens_as_it_allows(dialect, given, least):
    before = copy.deepcopy(given)
    asked = cheapest_body(given, dialect)
    assert asked == {**given, **least, "messages": asked["messages"]}
    assert asked["messages"][-1]["role"] == "user"
    assert given == before


def body_of(**more):
    base = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 300, "system": SYSTEM}
    return json.dumps({**base, "messages": [], **more})


def test_a_body_is_written_and_read(bedrock, cache):
    client = CachingClient(boto(bedrock.url), cache=cache)
    report = client.warm({"modelId": SONNET, "body": body_of()})
    asked = body_of(messages=[{"role": "user", "content": "What now?"}])
    after = client.invoke_model(modelId=SONNET, body=asked)
    after["body"].read()

    assert report.usage.output_tokens == 1
    assert report.usage.write_tokens > 9_000
    assert after["ResponseMetadata"]["cachepoint"].usage.read_tokens > 9_000


async def test_an_awaited_client_warms_with_a_body(bedrock, cache):
    client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)
    report = await client.warm(
        {"modelId": NOVA, "body": json.dumps({"system": [text(10_000)], "messages": []})}
    )
    assert report.usage.write_tokens > 8_000
    unsent = await client.warm({"modelId": NOVA, "body": "no JSON"})
    assert (unsent.usage, unsent.plan.note) == (None, "no body with messages was read")
    assert len(bedrock.calls) == 1


@pytest.mark.parametrize("body", ["no JSON", body_of(system="short"), b"", None])
def test_no_body_is_sent_where_nothing_would_be_written(cache, body):
    client = Answering()
    twin = CachingClient(client, cache=cache).warming()
    response = twin.invoke_model(modelId=SONNET, body=body)
    assert json.load(response["body"])["content"] == [{"type": "text", "text": ""}]
    assert response["ResponseMetadata"]["cachepoint"].usage is None
    assert not client.requests


def test_a_body_that_the_caller_marked_is_sent_with_as_few_tokens(bedrock, cache):
    marked = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
    hand = body_of(system=marked, messages=[{"role": "user", "content": "Hi."}])
    report = CachingClient(boto(bedrock.url), cache=cache).warm({"modelId": SONNET, "body": hand})
    assert bedrock.calls[0].request["max_tokens"] == 1
    assert report.usage.output_tokens == 1

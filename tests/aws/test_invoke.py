"""CachingClient's InvokeModel over real boto3 against the emulator."""

import asyncio
import json

import pytest

from cachepoint.aws import AsyncCachingClient, CachingClient
from tests.aws.stubs import Awaited, boto
from tests.emulator.bodies import assistant, body, user, words
from tests.emulator.wire import NOVA, SONNET


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock.url), cache=cache)


def chat(*turns, **more):
    messages = [user(words(40, turns[0]))]
    for turn in turns[1:]:
        messages += [assistant("well"), user(words(40, turn))]
    return {"modelId": SONNET, "body": json.dumps(body(*messages, system=words(2_500), **more))}


def report_of(response):
    return response["ResponseMetadata"]["cachepoint"]


def test_a_conversation_reads_all_that_came_before(client, bedrock):
    turns, before = ["a"], 0
    for turn in "bcde":
        response = client.invoke_model(**chat(*turns))
        answer = json.load(response["body"])
        usage = report_of(response).usage
        assert usage.read_tokens == answer["usage"]["cache_read_input_tokens"] >= before
        assert usage.write_5m_tokens == answer["usage"]["cache_creation_input_tokens"]
        before = usage.read_tokens + usage.write_tokens
        turns.append(turn)
    assert before > 2_400
    assert [c.status for c in bedrock.calls] == [200] * 4


def test_a_stream_reports_with_its_last_event(client):
    json.load(client.invoke_model(**chat("a"))["body"])
    response = client.invoke_model_with_response_stream(**chat("a", "b"))
    assert "cachepoint" not in response["ResponseMetadata"]
    events = [json.loads(event["chunk"]["bytes"]) for event in response["body"]]
    counted = events[-1]["amazon-bedrock-invocationMetrics"]
    assert report_of(response).usage.read_tokens == counted["cacheReadInputTokenCount"] > 2_400
    assert report_of(response).usage.output_tokens == counted["outputTokenCount"]
    assert report_of(response).miss is None


def test_awaited_calls_share_what_they_know(bedrock, cache):
    json.load(CachingClient(boto(bedrock.url), cache=cache).invoke_model(**chat("a"))["body"])
    client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)

    async def asking():
        streamed = await client.invoke_model_with_response_stream(**chat("a", "b"))
        assert [event async for event in streamed["body"]]
        answer = await client.invoke_model(**chat("a", "b", "c"))
        assert json.loads(await answer["body"].read())["type"] == "message"
        return streamed, answer

    reports = [report_of(response) for response in asyncio.run(asking())]
    assert [r.usage.read_tokens > 2_400 for r in reports] == [True, True]
    assert [r.miss for r in reports] == [None, None]


def test_off_is_off(bedrock, client):
    request = chat("a")
    response = client.invoke_model(**request, cache_policy="off")
    response["body"].read()
    assert "cache_control" not in str(bedrock.calls[0].request)
    assert report_of(response).plan.checkpoints == ()


def test_what_another_api_wrote_is_not_expected(bedrock, client):
    """Converse and InvokeModel share no entries (CacheCanary 0.4.0, measured on Bedrock, 2026-10)."""
    said = [{"text": words(40, "a")}]
    converse = {"system": [{"text": words(2_500)}], "messages": [{"role": "user", "content": said}]}
    client.converse(modelId=SONNET, **converse)
    response = client.invoke_model(**chat("a"))
    response["body"].read()
    assert report_of(response).plan.expected_read_tokens is None
    assert report_of(response).usage.read_tokens == 0
    again = client.invoke_model(**chat("a"))
    again["body"].read()
    assert report_of(again).plan.expected_read_tokens == pytest.approx(2_540, rel=0.02)


def test_novas_bodies_are_cached_too(bedrock, client):
    system = [{"text": words(2_500)}]
    request = {"messages": [{"role": "user", "content": [{"text": words(40, "a")}]}], "system": system}
    reports = []
    for turn in "bcd":
        response = client.invoke_model(modelId=NOVA, body=json.dumps(request))
        answer = json.load(response["body"])
        reports.append(report_of(response))
        assert reports[-1].usage.read_tokens == answer["usage"]["cacheReadInputTokenCount"]
        request["messages"] += [answer["output"]["message"], {"role": "user", "content": [{"text": turn}]}]
    streamed = client.invoke_model_with_response_stream(modelId=NOVA, body=json.dumps(request))
    assert list(streamed["body"])
    reports.append(report_of(streamed))
    assert [r.usage.read_tokens > 2_400 for r in reports] == [False, True, True, True]
    assert reports[-1].usage.write_tokens is not None
    assert bedrock.calls[0].request["system"][0]["cachePoint"] == {"type": "default"}

"""`cache_outlook` of the clients: of requests of Converse and of InvokeModel, without a request."""

import asyncio
import json
from io import BytesIO

import pytest
from builders import NOVA, SONNET

from cachepoint import Outlook, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core.guard import InvalidOptionError
from tests.aws.stubs import (
    APP_PROFILE,
    LLAMA,
    Answering,
    Awaited,
    AwaitedAnswering,
    boto,
    chat,
    old_boto,
    without_points,
)
from tests.aws.test_faults import BODY
from tests.emulator.bodies import body, user, words
from tests.faults import CLIENTS, are_short, check

EMBEDDING = "amazon.titan-embed-text-v2:0"
NOVAS = {
    "modelId": NOVA,
    "body": json.dumps({"messages": [{"role": "user", "content": [{"text": words(2_500)}]}]}),
}
REQUESTS = {"converse": chat("a"), "messages": BODY, "nova": NOVAS}


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock.url), cache=cache)


def send(client, request):
    if "body" not in request:
        return client.converse(**request)["ResponseMetadata"]["cachepoint"]
    response = client.invoke_model(**request)
    response["body"].read()
    return response["ResponseMetadata"]["cachepoint"]


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_what_is_foreseen_is_what_comes(client, bedrock, request_):
    before = dict(request_)
    assert client.cache_outlook(request_).state == "unknown"
    assert len(bedrock.calls) == 0
    wrote = send(client, request_).usage.write_tokens
    seen = client.cache_outlook(request_)
    assert (seen.state, seen.reported_tokens) == ("warm", seen.read_tokens)
    report = send(client, request_)
    assert seen.read_tokens == report.usage.read_tokens
    assert bool(wrote) is (report.usage.read_tokens > 0)
    assert request_ == before


def test_awaited_it_says_the_same(client, bedrock, cache):
    send(client, chat("a"))
    now = cache.now()
    cache._clock = lambda: now
    awaited = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)
    for request in REQUESTS.values():
        seen = client.cache_outlook(request, also=NOVA)
        assert asyncio.run(awaited.cache_outlook(request, also=NOVA)) == seen
        assert asyncio.run(client.acache_outlook(request, also=NOVA)) == seen


def test_a_file_is_left_where_it_stands(client):
    file = BytesIO(b"..." + BODY["body"].encode())
    file.seek(3)
    assert client.cache_outlook({**BODY, "body": file}).input_tokens > 1_024
    assert file.tell() == 3


def test_a_body_is_sized_where_nothing_is_placed(client):
    seen = client.cache_outlook(BODY, cache_policy="off")
    assert (seen.state, seen.note) == ("unknown", "mode is off")
    assert seen.input_tokens > 1_024
    assert seen.price_cold > 0


@pytest.mark.parametrize(
    ("model", "sent"),
    [(SONNET, "no JSON"), (SONNET, json.dumps({"inputText": "hi"})), (LLAMA, "{}"), (EMBEDDING, "{}")],
)
def test_a_body_that_is_not_read_is_unknown(client, model, sent):
    seen = client.cache_outlook({"modelId": model, "body": sent})
    assert (seen.state, seen.input_tokens, seen.price_cold) == ("unknown", None, None)
    assert seen.note == f"its body is in no form of {model} that takes checkpoints"


def test_nobody_is_asked_which_model_is_behind_an_arn(bedrock, cache):
    asked = []

    class Control:
        def get_inference_profile(self, **request):
            asked.append(request)
            return boto(bedrock.url, "bedrock").get_inference_profile(**request)

    client = CachingClient(boto(bedrock.url), cache=cache, control=Control())
    request = chat("a", model=APP_PROFILE)
    assert client.cache_outlook(request).price_cold is None
    assert asked == []
    client.converse(**request)
    assert len(asked) == 1
    seen = client.cache_outlook(request)
    assert (seen.state, seen.model_id, len(asked)) == ("warm", APP_PROFILE, 1)
    assert seen.price_cold > 0


def test_the_model_behind_an_arn_may_be_named(bedrock, cache):
    client = CachingClient(boto(bedrock.url), cache=cache, base_model_id=SONNET)
    client.converse(**chat("a", model=APP_PROFILE))
    assert client.cache_outlook(chat("a", model=APP_PROFILE)).state == "warm"


def test_an_old_botocore_places_nothing(bedrock, cache, tmp_path, monkeypatch):
    client = CachingClient(old_boto(bedrock.url, tmp_path, monkeypatch, without_points), cache=cache)
    assert client.cache_outlook(chat("a")).note == "mode is off"


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        ({"messages": []}, {}),
        (chat("a"), {"cache_policy": {"tll": "1h"}}),
        (chat("a"), {"also": 7}),
        ({**chat("a"), "cache_polcy": "off"}, {}),
    ],
    ids=["no model", "policy", "also", "misspelt"],
)
def test_wrong_arguments_are_refused(client, faults, request_, options):
    with pytest.raises(InvalidOptionError):
        client.cache_outlook(request_, **options)
    with pytest.raises(InvalidOptionError):
        asyncio.run(client.acache_outlook(request_, **options))
    assert faults() == 0


ENTRIES = (
    *CLIENTS,
    "cachepoint.aws.client:CachingClient.cache_outlook",
    "cachepoint.aws.async_client:AsyncCachingClient.cache_outlook",
    "cachepoint.aws.carrier:Carrier.acache_outlook",
)
INVOKED = {
    "modelId": SONNET,
    "body": json.dumps(body(user(words(40)), system=words(2_500), temperature=1e-7)),
}


@pytest.mark.parametrize("request_", [chat("a"), INVOKED], ids=["converse", "messages"])
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "awaited"])
def test_a_fault_of_ours_fails_no_outlook(request_, awaited):
    def look(client):
        seen = client.cache_outlook(request_, also=NOVA)
        return isinstance(asyncio.run(seen) if awaited else seen, Outlook)

    def make():
        kind = AsyncCachingClient if awaited else CachingClient
        return kind(AwaitedAnswering() if awaited else Answering(), cache=PromptCache())

    assert len(check(look, True, make=make, entries=ENTRIES)) > 50


def test_entry_points_are_short():
    are_short(ENTRIES)

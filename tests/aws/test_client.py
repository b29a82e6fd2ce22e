"""CachingClient over real boto3 against the emulator."""

import asyncio
import copy
import gc
import logging
import pickle
import weakref
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from builders import SONNET, marks, point, text, tool, user

from cachepoint import CachePolicy, CallReport, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient, shared_cache
from cachepoint.aws.carrier import called_by
from cachepoint.emulator import BedrockEmulator, EmulatedError
from tests.aws.stubs import LLAMA, Answering, Awaited, AwaitedAnswering, answer, boto, chat


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock.url), cache=cache)


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


def test_a_stream_that_was_read_goes_with_its_last_holder(client):
    """As boto3's own does; one that waits for the collector may be ended in the middle of anything."""
    gc.collect()
    gc.disable()
    try:
        response = client.converse_stream(**chat("a"))
        raw = weakref.ref(response["stream"]._stream)
        for _ in response["stream"]:
            pass
        assert response["ResponseMetadata"]["cachepoint"].usage
        del response, _
        assert raw() is None
    finally:
        gc.enable()


def test_a_stream_left_before_it_began_is_abandoned(client, cache):
    response = client.converse_stream(**chat("a"))
    response["stream"].close()

    call = cache.prepare(chat("a"), region=called_by(client))
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
    with pytest.raises(ParamValidationError, match="temprature"):
        client.converse(**chat("a"), temprature=0)

    assert bedrock.calls == ()


def test_a_policy_for_one_call(client, bedrock):
    client.converse(**chat("a"), cache_policy="off")
    client.converse(**chat("a"), cache_policy={"ttl": "1h"})

    assert marks(bedrock.calls[0].request) == []
    assert marks(bedrock.calls[1].request) == ["system@1h", "messages[0]@1h"]


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
        client = CachingClient(boto(bedrock.url), cache=PromptCache(CachePolicy(), bedrock.now))
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


def test_nothing_is_sent_twice_where_no_model_is_named():
    stub = Answering(answer())
    assert CachingClient(stub, cache=PromptCache()).converse(messages=[]) == answer()
    assert stub.requests == [{"messages": []}]


def test_c17_what_is_remembered_belongs_to_endpoint_and_region(bedrock, cache):
    """C17: the second one's first call is a first write, and is compared with nothing."""
    with BedrockEmulator() as other:
        clients = [
            CachingClient(boto(url, region=region), cache=cache)
            for url in (bedrock.url, other.url)
            for region in ("us-east-1", "us-west-2")
        ]
        reports = [c.converse(**chat("a"))["ResponseMetadata"]["cachepoint"] for c in clients]
    assert [r.miss.cause for r in reports] == ["first_write"] * 4
    assert {r.plan.expected_read_tokens for r in reports} == {None}
    assert len({called_by(c) for c in clients}) == 4


def test_the_other_way_round(bedrock, cache):
    """Sync and async clients share what they know."""
    CachingClient(boto(bedrock.url), cache=cache).converse(**chat("a"))
    client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)

    async def body():
        streamed = await client.converse_stream(**chat("a", "b"))
        assert [e async for e in streamed["stream"]][-1]["metadata"]
        return streamed, await client.converse(**chat("a", "b", "c"))

    reports = [r["ResponseMetadata"]["cachepoint"] for r in asyncio.run(body())]
    assert [r.usage.read_tokens > 2_000 for r in reports] == [True, True]
    assert [r.miss for r in reports] == [None, None]


def test_an_awaited_call_that_is_refused_is_sent_again_without():
    refused = ClientError(
        {"Error": {"Message": "This model doesn't support the cachePoint field."}}, "Converse"
    )
    stub = AwaitedAnswering(refused, answer())
    response = asyncio.run(AsyncCachingClient(stub, cache=PromptCache()).converse(**chat("a")))
    assert response["stopReason"] == "end_turn"
    assert [bool(marks(r)) for r in stub.requests] == [True, False]


def test_c13_the_policy_of_a_call_lies_on_top_of_the_clients(bedrock, cache):
    """C13: option by option."""
    client = CachingClient(boto(bedrock.url), cache=cache, policy={"tail": "never"})
    client.converse(**chat("a"), cache_policy={"ttl": "1h"})
    assert marks(bedrock.calls[0].request) == ["system@1h"]


class _Arranging:
    def _question(self, request, *others):
        return super()._question({**request, "system": [*request["system"], text(5, "arranged")]}, *others)

    def _finish(self, call):
        return replace(call, request={**call.request, "inferenceConfig": {"maxTokens": 7}})


def test_a_subclass_arranges_the_request_and_finishes_the_call():
    made = [
        type("Ours", (_Arranging, base), {})(stub(answer()), cache=PromptCache())
        for base, stub in ((CachingClient, Answering), (AsyncCachingClient, AwaitedAnswering))
    ]
    made[0].converse(**chat("a"))
    asyncio.run(made[1].converse(**chat("a")))
    for client in made:
        (sent,) = client.requests
        # A point behind each block of the system prompt: the first is free.
        assert marks(sent) == ["system@1h", "system@1h", "messages[0]"]
        assert sent["system"][-2]["text"].startswith("arranged")
        assert sent["inferenceConfig"] == {"maxTokens": 7}


def test_what_there_is_shows(client):
    assert {"converse", "converse_stream", "count_tokens", "meta"} <= set(dir(client))


def copies(client):
    return [copy.copy(client), copy.deepcopy(client), pickle.loads(pickle.dumps(client))]


def test_a9_it_is_copied_as_its_client_is(cache, bedrock):
    """A9: with the policy; what this process shares is shared by a copy of it."""
    for again in copies(CachingClient(_PICKLABLE, policy={"ttl": "1h"}, base_model_id="x")):
        assert again.tag == "x"
        assert again._policy == CachePolicy(ttl="1h")
        assert again._cache is shared_cache()
        assert again._base_model_id == "x"
    own = CachingClient(_PICKLABLE, cache=PromptCache(CachePolicy(ttl="1h")))
    assert {again._cache.policy for again in copies(own)} == {CachePolicy(ttl="1h")}
    for copied in (copy.deepcopy, pickle.dumps):
        plain = boto(bedrock.url)
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as stock:
            copied(plain)
        with pytest.raises(stock.type):
            copied(CachingClient(plain, cache=cache))


class _Tagged:
    tag = "x"


_PICKLABLE = _Tagged()

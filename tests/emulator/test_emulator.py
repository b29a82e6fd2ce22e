"""Through unmodified boto3, over HTTP."""

import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import pytest
from botocore.exceptions import ClientError

from cachepoint.emulator import BedrockEmulator, Reply, ScriptedResponder
from tests.emulator import wire
from tests.emulator.wire import (
    HAIKU,
    HOUR,
    LLAMA,
    NOVA,
    OPUS_48,
    POINT,
    SONNET,
    TOOL,
    cached,
    post,
    text,
    user,
)

PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
REQUEST = {"modelId": SONNET, "system": [text(2000), POINT], "messages": [user({"text": "What now?"})]}


def usage_of_stream(client, **request):
    return list(client.converse_stream(**request)["stream"])[-1]["metadata"]["usage"]


def test_a_second_call_reads_what_the_first_wrote(client):
    first, second = client.converse(**REQUEST)["usage"], client.converse(**REQUEST)["usage"]
    assert cached(first) == (0, 2000)
    assert first["cacheDetails"] == [{"inputTokens": 2000, "ttl": "5m"}]
    assert cached(second) == (2000, 0)
    assert "cacheDetails" not in second
    for usage in (first, second):
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] + sum(cached(usage))


def test_converse_and_converse_stream_share_a_cache(client):
    client.converse(**REQUEST)
    assert cached(usage_of_stream(client, **REQUEST)) == (2000, 0)


def test_1h_comes_before_5m_in_the_details(client):
    request = {**REQUEST, "system": [text(2000), HOUR], "messages": [user(text(100), POINT)]}
    details = client.converse(**request)["usage"]["cacheDetails"]
    assert [(one["ttl"], one["inputTokens"]) for one in details] == [("1h", 2000), ("5m", 103)]


@pytest.mark.parametrize(("model", "trailing"), [(SONNET, 3), (OPUS_48, 2), (NOVA, 0)])
def test_what_follows_a_marker_at_the_very_end(client, model, trailing):
    usage = client.converse(modelId=model, messages=[user(text(3000), POINT)])["usage"]
    assert usage["inputTokens"] == trailing
    assert usage["cacheWriteInputTokens"] > 0


def test_the_wire_carries_what_botocore_does_not_model(bedrock):
    body = {key: value for key, value in REQUEST.items() if key != "modelId"}
    _, headers, answer = post(bedrock, body)
    usage = answer["usage"]
    assert usage["cacheWriteInputTokenCount"] == usage["cacheWriteInputTokens"] == 2000
    assert usage["cacheReadInputTokenCount"] == usage["cacheReadInputTokens"] == 0
    assert usage["serverToolUsage"] == {}
    assert headers["x-amzn-RequestId"]


def test_a_claude_without_markers_reports_zeros(client):
    usage = client.converse(modelId=SONNET, messages=REQUEST["messages"])["usage"]
    assert cached(usage) == (0, 0)


def test_a_model_that_cannot_cache_reports_no_cache_keys(client):
    usage = client.converse(modelId=LLAMA, messages=REQUEST["messages"])["usage"]
    assert usage.keys() == {"inputTokens", "outputTokens", "totalTokens"}


def test_nova_has_no_details(client):
    usage = client.converse(**{**REQUEST, "modelId": NOVA})["usage"]
    assert usage["cacheWriteInputTokens"] > 0
    assert "cacheDetails" not in usage


def test_a_stream_has_many_events_and_its_usage_in_the_last(client):
    events = list(
        client.converse_stream(**{**REQUEST, "messages": [user({"text": "What about w?" * 20})]})["stream"]
    )
    kinds = [next(iter(event)) for event in events]
    assert kinds[0] == "messageStart"
    assert kinds[-2:] == ["messageStop", "metadata"]
    assert kinds.count("contentBlockDelta") > 3
    assert "contentBlockStart" not in kinds
    assert not any("usage" in next(iter(event.values())) for event in events[:-1])


def test_its_clock_can_be_moved(client, bedrock):
    before = bedrock.now()
    client.converse(**REQUEST)
    bedrock.advance(301)
    assert cached(client.converse(**REQUEST)["usage"]) == (0, 2000)
    assert bedrock.now() - before == pytest.approx(301, abs=5)
    with pytest.raises(ValueError, match="only moves forward"):
        bedrock.advance(-1)


def test_a_clock_of_ones_own():
    with BedrockEmulator(clock=lambda: 1000.0) as bedrock:
        bedrock.advance(5)
        assert bedrock.now() == 1005.0


def test_every_call_is_listed(client, bedrock):
    client.converse(**REQUEST)
    usage = usage_of_stream(client, **REQUEST)
    with pytest.raises(ClientError):
        client.converse(**{**REQUEST, "modelId": "nonsense.model"})
    answered, streamed, refused = bedrock.calls
    assert (answered.operation, answered.model_id, answered.region, answered.status) == (
        "Converse",
        SONNET,
        "us-east-1",
        200,
    )
    assert answered.request["messages"] == REQUEST["messages"]
    assert json.loads(answered.body) == answered.request
    assert answered.path.endswith("/converse")
    assert streamed.operation == "ConverseStream"
    assert streamed.usage["cacheReadInputTokens"] == usage["cacheReadInputTokens"]
    assert (refused.status, refused.error, refused.usage) == (400, "ValidationException", None)
    with pytest.raises(FrozenInstanceError):
        answered.status = 1


def test_reset_forgets_entries_and_calls(client, bedrock):
    client.converse(**REQUEST)
    bedrock.reset()
    assert bedrock.calls == ()
    assert cached(client.converse(**REQUEST)["usage"]) == (0, 2000)


def test_the_region_comes_from_the_signature(client, bedrock):
    client.converse(**REQUEST)
    other = wire.client(bedrock, region="us-west-2")
    assert cached(other.converse(**REQUEST)["usage"]) == (0, 2000)
    assert [call.region for call in bedrock.calls] == ["us-east-1", "us-west-2"]
    other.close()


def test_a_bearer_token_is_as_good(bedrock):
    status, _, _ = post(bedrock, {"messages": [user({"text": "hi"})]}, Authorization="Bearer token")
    assert (status, bedrock.calls[0].region) == (200, "us-east-1")


def test_an_application_profile_stands_for_its_model():
    with BedrockEmulator(profiles={PROFILE: HAIKU}) as bedrock:
        runtime, control = wire.client(bedrock), wire.client(bedrock, "bedrock")
        usage = runtime.converse(**{**REQUEST, "modelId": PROFILE, "system": [text(4100), POINT]})["usage"]
        assert cached(usage) == (0, 4100)
        assert cached(runtime.converse(**{**REQUEST, "modelId": PROFILE})["usage"]) == (0, 0)
        for name in (PROFILE, "abc123"):
            profile = control.get_inference_profile(inferenceProfileIdentifier=name)
            assert (profile["type"], profile["inferenceProfileArn"]) == ("APPLICATION", PROFILE)
            assert profile["models"][0]["modelArn"].endswith(
                "foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"
            )
        system = control.get_inference_profile(inferenceProfileIdentifier=SONNET)
        assert system["type"] == "SYSTEM_DEFINED"
        with pytest.raises(control.exceptions.ResourceNotFoundException):
            control.get_inference_profile(inferenceProfileIdentifier="missing")
        runtime.close()
        control.close()


def test_an_arn_of_a_model_is_its_model(client):
    arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0"
    assert client.converse(**{**REQUEST, "modelId": arn})["usage"]["cacheWriteInputTokens"] > 1024


class TestCountTokens:
    def test_counts_with_or_without_checkpoints(self, client):
        model = "anthropic.claude-sonnet-4-6"
        counts = [
            client.count_tokens(
                modelId=model, input={"converse": {"system": system, "messages": REQUEST["messages"]}}
            )
            for system in ([text(2000)], [text(2000), POINT])
        ]
        assert counts[0]["inputTokens"] == counts[1]["inputTokens"] > 2000

    def test_counts_what_converse_counts(self, client):
        converse = {"messages": REQUEST["messages"], "toolConfig": {"tools": [TOOL]}}
        model = "anthropic.claude-sonnet-4-6"
        count = client.count_tokens(modelId=model, input={"converse": converse})["inputTokens"]
        assert client.converse(modelId=SONNET, **converse)["usage"]["inputTokens"] == count

    @pytest.mark.parametrize(
        "model", [SONNET, NOVA, "anthropic.claude-opus-4-8", "anthropic.claude-sonnet-5-5", PROFILE]
    )
    def test_is_refused_for_profiles_and_newer_models(self, model):
        with BedrockEmulator(profiles={PROFILE: SONNET}) as bedrock:
            body = {"input": {"converse": {"messages": REQUEST["messages"]}}}
            status, _, answer = post(bedrock, body, model, "count-tokens")
        assert (status, answer["message"]) == (400, "The provided model doesn't support counting tokens.")


class TestTime:
    def test_simultaneous_calls_all_write_and_a_later_one_reads(self):
        everyone = threading.Barrier(4)

        def together(request):
            if request.messages == REQUEST["messages"]:
                everyone.wait(timeout=10)
            return Reply.text("hi")

        with BedrockEmulator(responder=together) as bedrock, ThreadPoolExecutor(4) as pool:
            client = wire.client(bedrock)
            usages = list(pool.map(lambda _: client.converse(**REQUEST)["usage"], range(4)))
            later = client.converse(**{**REQUEST, "messages": [user({"text": "And now?"})]})["usage"]
            client.close()
        assert {cached(usage) for usage in usages} == {(0, 2000)}
        assert cached(later) == (2000, 0)

    def test_a_stream_is_readable_as_soon_as_it_began(self):
        slow = Reply(({"text": "word " * 40},), pause=0.02)
        with BedrockEmulator(responder=ScriptedResponder([slow, "next"])) as bedrock:
            client = wire.client(bedrock)
            stream = iter(client.converse_stream(**REQUEST)["stream"])
            assert next(stream) == {"messageStart": {"role": "assistant"}}
            assert cached(client.converse(**REQUEST)["usage"]) == (2000, 0)
            assert "metadata" in list(stream)[-1]
            client.close()

    def test_delay_holds_every_answer_back(self):
        with BedrockEmulator(delay=0.05) as bedrock:
            client = wire.client(bedrock)
            started = time.monotonic()
            client.converse(**REQUEST)
            assert time.monotonic() - started >= 0.05
            client.close()

    def test_a_long_conversation_costs_milliseconds(self, client, bedrock):
        turns = [wire.user(text(500)) if n % 2 == 0 else wire.assistant(text(500)) for n in range(199)]
        request = {"modelId": SONNET, "messages": [*turns[:-1], user(text(500), POINT)]}
        client.converse(**request)
        started = time.monotonic()
        for _ in range(5):
            client.converse(**request)
        assert (time.monotonic() - started) / 5 < 0.25
        assert bedrock.calls[-1].usage["cacheReadInputTokens"] > 90_000

    def test_keep_alive_streams_do_not_wait_for_acknowledgements(self, client):
        client.converse(**REQUEST)
        started = time.monotonic()
        for _ in range(10):
            usage_of_stream(client, **REQUEST)
        assert (time.monotonic() - started) / 10 < 0.035


class TestLife:
    def test_it_listens_on_the_loopback_only(self, bedrock):
        assert bedrock.url == f"http://127.0.0.1:{bedrock.port}"

    def test_start_and_stop(self):
        bedrock = BedrockEmulator()
        with pytest.raises(RuntimeError, match="not running"):
            _ = bedrock.url
        assert bedrock.start() is bedrock.start()
        port = bedrock.port
        bedrock.stop()
        bedrock.stop()
        with BedrockEmulator(port=port) as again:
            assert again.port == port

    def test_stopping_ends_open_connections(self):
        bedrock = BedrockEmulator().start()
        client = wire.client(bedrock)
        client.converse(**REQUEST)
        bedrock.stop()
        with pytest.raises(Exception, match=r"(?i)connect|closed"):
            client.converse(**REQUEST)
        client.close()

    def test_calls_are_bounded(self):
        with BedrockEmulator(max_calls=3) as bedrock:
            for _ in range(5):
                post(bedrock, {"messages": []})
            assert len(bedrock.calls) == 3

    def test_many_threads(self):
        with BedrockEmulator() as bedrock, ThreadPoolExecutor(16) as pool:
            client = wire.client(bedrock, connections=16)
            client.converse(**REQUEST)
            usages = list(pool.map(lambda _: client.converse(**REQUEST)["usage"], range(100)))
            client.close()
        assert {cached(usage) for usage in usages} == {(2000, 0)}
        assert len(bedrock.calls) == 101

    def test_a_responder_that_fails_is_a_500_that_says_so(self, caplog):
        def broken(request):
            raise KeyError("oops")

        with BedrockEmulator(responder=broken) as bedrock:
            status, _, answer = post(bedrock, {"messages": [user({"text": "hi"})]})
        assert (status, answer["message"]) == (500, "The emulator failed: KeyError('oops')")
        assert "oops" in caplog.text

    def test_rerouting_misses_only_on_cross_region_profiles(self):
        with BedrockEmulator(reroute=0.5, seed=3) as bedrock:
            client = wire.client(bedrock)
            for model in (NOVA, "amazon.nova-lite-v1:0"):
                for _ in range(12):
                    client.converse(**{**REQUEST, "modelId": model})
            client.close()
        misses = {model: [] for model in (NOVA, "amazon.nova-lite-v1:0")}
        for call in bedrock.calls:
            misses[call.model_id].append(call.usage["cacheReadInputTokens"] == 0)
        assert sum(misses[NOVA]) == 2
        assert sum(misses["amazon.nova-lite-v1:0"]) == 1


def test_another_path_is_an_unknown_operation(bedrock):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{bedrock.url}/health")
    with caught.value as answer:
        assert answer.code == 404
        assert "is not emulated" in json.loads(answer.read())["message"]


async def test_aiohttp_reads_a_stream(bedrock):
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from botocore.eventstream import EventStreamBuffer

    buffer, kinds = EventStreamBuffer(), []
    async with aiohttp.ClientSession() as session:
        path = f"{bedrock.url}/model/{SONNET.replace(':', '%3A')}/converse-stream"
        async with session.post(path, json={"messages": [user({"text": "hi"})]}) as answer:
            async for data in answer.content.iter_any():
                buffer.add_data(data)
                kinds += [event.headers[":event-type"] for event in buffer]
    assert (kinds[0], kinds[-1]) == ("messageStart", "metadata")


async def test_aiobotocore(bedrock):
    session = pytest.importorskip("aiobotocore.session", reason="it pins another botocore than langchain-aws")
    options = {
        "endpoint_url": bedrock.url,
        "region_name": "us-east-1",
        "aws_access_key_id": "a",
        "aws_secret_access_key": "b",
    }
    async with session.get_session().create_client("bedrock-runtime", **options) as client:
        usages = [(await client.converse(**REQUEST))["usage"] for _ in range(2)]
        stream = (await client.converse_stream(**REQUEST))["stream"]
        events = [event async for event in stream]
    assert [cached(usage) for usage in usages] == [(0, 2000), (2000, 0)]
    assert cached(events[-1]["metadata"]["usage"]) == (2000, 0)

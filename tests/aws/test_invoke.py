"""CachingClient's InvokeModel over real boto3 against the emulator."""

import asyncio
import base64
import gc
import io
import json
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from botocore.response import StreamingBody

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.carrier import called_by
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import BedrockEmulator, EmulatedError, TextResponder
from tests.aws.stubs import (
    APP_PROFILE,
    LLAMA,
    Answering,
    Awaited,
    AwaitedAnswering,
    boto,
    old_boto,
    without_points,
)
from tests.emulator import wire
from tests.emulator.bodies import HOUR, MARK, TOOL, assistant, body, result, text, use, user, words
from tests.emulator.wire import NOVA, OPUS_48, SONNET


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock.url), cache=cache)


def chat(*turns, **more):
    messages = [user(words(40, turns[0]))]
    for turn in turns[1:]:
        messages += [assistant("well"), user(words(40, turn))]
    return {"modelId": SONNET, "body": json.dumps(body(*messages, **{"system": words(2_500), **more}))}


def report_of(response):
    return response["ResponseMetadata"]["cachepoint"]


def test_a_conversation_reads_all_that_came_before(client, bedrock):
    turns, before = ["a"], 0
    for turn in "bcde":
        response = client.invoke_model(**chat(*turns))
        answer = json.load(response["body"])
        usage = report_of(response).usage
        assert usage.read_tokens == answer["usage"]["cache_read_input_tokens"] >= before
        assert usage.write_tokens == answer["usage"]["cache_creation_input_tokens"]
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


def _within(body):
    with body as raw:
        return raw.read()


def _into(body):
    buffer = bytearray(70)
    while body.readinto(buffer):
        pass


READINGS = {
    "read": lambda body: body.read(),
    "json.load": json.load,
    "in pieces": lambda body: [*iter(partial(body.read, 100), b"")],
    "chunks": lambda body: list(body.iter_chunks(64)),
    "lines": lambda body: list(body.iter_lines()),
    "readlines": lambda body: body.readlines(),
    "iter": list,
    "next": lambda body: [next(body), *body],
    "with": _within,
    "readinto": _into,
    "buffered": lambda body: io.BufferedReader(body).read(),
    "exactly": lambda body: body.read(10) + body.read(int(body._content_length) - 10),
}


@pytest.mark.parametrize("way", READINGS)
def test_the_report_is_there_once_the_body_was_read(client, bedrock, way):
    response = client.invoke_model(**chat("a"))
    assert type(response["body"]) is StreamingBody
    assert "cachepoint" not in response["ResponseMetadata"]
    READINGS[way](response["body"])
    wired = bedrock.calls[-1].usage
    usage = report_of(response).usage
    assert usage.write_tokens == wired["cacheWriteInputTokens"] > 2_400
    assert usage.output_tokens == wired["outputTokens"]
    assert json.dumps(response["ResponseMetadata"], default=str)


def test_a_body_that_is_closed_unread_is_reported_by_its_headers(client, bedrock, cache):
    response = client.invoke_model(**chat("a", **HOUR_SYSTEM))
    response["body"].close()
    wired, usage = bedrock.calls[-1].usage, report_of(response).usage
    assert usage.write_tokens == wired["cacheWriteInputTokens"] > 2_400
    # Of the TTLs the headers say nothing.
    assert usage.write_1h_tokens is None
    assert report_of(client.converse(**converse("a"))).usage.read_tokens == 0


HOUR_SYSTEM = {"system": [text(words(2_500), **HOUR)]}


def converse(*turns):
    said = [{"role": "user", "content": [{"text": words(40, turn)}]} for turn in turns]
    return {"modelId": SONNET, "system": [{"text": words(2_500)}], "messages": said}


def test_a_body_that_is_never_read_keeps_nobody(client, cache):
    """What it writes can be read as soon as the answer began, by whoever waited; and it is not kept."""
    response = client.invoke_model(**chat("a"))
    again = cache.prepare(
        json.loads(chat("a")["body"]), SONNET, dialect="messages", region=called_by(client._client)
    )
    assert again.wait_for is None
    assert again.plan.expected_read_tokens > 2_400
    kept = weakref.ref(response["body"]._raw_stream)
    del response
    gc.collect()
    assert kept() is None


def test_a_body_that_is_torn_raises_and_reports_nothing(client, monkeypatch):
    response = client.invoke_model(**chat("a"))

    def torn(*_, **__):
        raise ConnectionError("torn")

    monkeypatch.setattr(response["body"]._raw_stream._source, "read", torn)
    with pytest.raises(ConnectionError, match="torn"):
        response["body"].read()
    assert "cachepoint" not in response["ResponseMetadata"]


def test_a_tracer_that_reads_within_the_call_has_the_report_in_time(bedrock, cache):
    """As OpenTelemetry's instrumentation of botocore does, which ends its span when the call returns."""
    plain, seen = boto(bedrock.url), []
    make = plain._make_api_call

    def traced(operation, arguments):
        response = make(operation, arguments)
        read = response["body"].read()
        seen.append(report_of(response))
        return {**response, "body": StreamingBody(io.BytesIO(read), len(read))}

    plain._make_api_call = traced
    told = []
    cache.observers.append(told.append)
    response = CachingClient(plain, cache=cache).invoke_model(**chat("a"))
    assert json.load(response["body"])["type"] == "message"
    assert told == seen == [report_of(response)]


def test_a_stream_left_before_it_began_is_abandoned(client, cache):
    client.invoke_model_with_response_stream(**chat("a"))["body"].close()
    again = cache.prepare(
        json.loads(chat("a")["body"]), SONNET, dialect="messages", region=called_by(client._client)
    )
    assert again.plan.expected_read_tokens is None


def test_options_are_refused_and_errors_are_botos_own(client, bedrock):
    with pytest.raises(InvalidOptionError, match="cache_policy"):
        client.invoke_model(**chat("a"), cache_polcy="off")
    with pytest.raises(InvalidOptionError, match="tll"):
        client.invoke_model_with_response_stream(**chat("a"), cache_policy={"tll": "1h"})
    with pytest.raises(ParamValidationError, match="temprature"):
        client.invoke_model(**chat("a"), temprature=1)
    with pytest.raises(ParamValidationError, match="modelId"):
        client.invoke_model(body="{}")
    assert bedrock.calls == ()
    with pytest.raises(ClientError, match="max_tokens"):
        client.invoke_model(**chat("a", max_tokens=None))
    assert len(bedrock.calls) == 1


def refusing(refusals):
    responder = TextResponder()

    def answer(request):
        if "cachePoint" in str(request.body) and refusals:
            raise EmulatedError(refusals.pop(), code="ValidationException", status=400)
        return responder(request)

    return answer


REFUSAL = "messages.0.content.0.text.cache_control: Extra inputs are not permitted"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_a_refusal_is_answered_by_sending_again_what_was_given(awaited, stream, caplog):
    given = io.BytesIO(b"x" + chat("a")["body"].encode())
    given.seek(1)
    with BedrockEmulator(responder=refusing([REFUSAL])) as bedrock:
        cache = PromptCache(CachePolicy(), bedrock.now)
        plain = boto(bedrock.url)
        client = (
            AsyncCachingClient(Awaited(plain), cache=cache) if awaited else CachingClient(plain, cache=cache)
        )
        ask = client.invoke_model_with_response_stream if stream else client.invoke_model
        asked = ask(modelId=SONNET, body=given)
        response = asyncio.run(_awaiting(asked)) if awaited else asked
        if not awaited:
            assert list(response["body"])
        assert [c.status for c in bedrock.calls] == [400, 200]
        first, second = (str(c.request) for c in bedrock.calls)
        assert "cache_control" in first
        assert "cache_control" not in second
    assert report_of(response).plan.note == "Bedrock refused a checkpoint"
    assert caplog.text.count("Bedrock refused a checkpoint") == 1


async def _awaiting(asked):
    response = await asked
    read = getattr(response["body"], "read", None)
    assert await read() if read else [event async for event in response["body"]]
    return response


def test_b5_the_callers_own_checkpoint_is_sent_again():
    """B5: ours is refused, the caller's stays."""
    with BedrockEmulator(responder=refusing([REFUSAL])) as bedrock:
        client = CachingClient(boto(bedrock.url), cache=PromptCache(CachePolicy(), bedrock.now))
        client.invoke_model(**chat("a", **HOUR_SYSTEM))["body"].read()
        first, second = (str(c.request).count("cache_control") for c in bedrock.calls)
        assert (first, second) == (2, 1)
        assert bedrock.calls[1].request["system"] == HOUR_SYSTEM["system"]


def test_an_hour_that_a_model_does_not_know_is_not_asked_for_again():
    """litellm#34248: "…cache_control.ephemeral.ttl: Extra inputs are not permitted"."""
    said = "system.0.cache_control.ephemeral.ttl: Extra inputs are not permitted"
    with BedrockEmulator(responder=refusing([said])) as bedrock:
        cache = PromptCache(CachePolicy(ttl="1h"), bedrock.now)
        client = CachingClient(boto(bedrock.url), cache=cache)
        for turns in ("a", "ab"):
            client.invoke_model(**chat(*turns))["body"].read()
        assert [c.status for c in bedrock.calls] == [400, 200, 200]
        assert "'ttl'" in str(bedrock.calls[0].request)
        assert bedrock.calls[2].request["system"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_model_without_caching_reports_what_it_used(client, bedrock):
    """Its counts come in the headers, whatever its body looks like."""
    headers = {"x-amzn-bedrock-input-token-count": "7", "x-amzn-bedrock-output-token-count": "2"}
    for plain, made in ((b'{"generation": "hi"}', CachingClient), (b"no JSON", CachingClient)):
        said = {"body": io.BytesIO(plain), "ResponseMetadata": {"HTTPHeaders": headers}}
        response = made(Answering(said), cache=PromptCache()).invoke_model(modelId=LLAMA, body="{}")
        assert response["body"].read() == plain
        usage = report_of(response).usage
        assert (usage.uncached_tokens, usage.output_tokens, usage.read_tokens) == (7, 2, None)


ODD = {
    "read-only": lambda: MappingProxyType({"body": io.BytesIO(b"{}")}),
    "no metadata": lambda: {"body": io.BytesIO(b"{}"), "ResponseMetadata": None},
    "no body": lambda: {"ResponseMetadata": {}},
    "a list": list,
    "none": lambda: None,
}


@pytest.mark.parametrize("odd", ODD)
def test_a5_an_answer_of_any_make_reaches_the_caller(odd, faults):
    """A5: a response that is read-only, or none at all."""
    response = ODD[odd]()
    got = CachingClient(Answering(response), cache=PromptCache()).invoke_model(**chat("a"))
    awaited = AsyncCachingClient(AwaitedAnswering(ODD[odd]()), cache=PromptCache())
    asyncio.run(awaited.invoke_model(**chat("a")))
    if odd in {"no body", "a list", "none"}:
        assert got is response
    else:
        assert got["body"].read() == b"{}"
    assert faults() == 0


def test_an_application_profile_is_planned_as_its_model(bedrock, cache):
    client = CachingClient(boto(bedrock.url), cache=cache, control=boto(bedrock.url, "bedrock"))
    for _ in range(2):
        response = client.invoke_model(**{**chat("a"), "modelId": APP_PROFILE})
        response["body"].read()
    report = report_of(response)
    assert (report.model_id, report.priced_as) == (APP_PROFILE, "anthropic.claude-sonnet-4-6")
    assert report.usage.read_tokens > 2_400
    assert report.cost is not None


def test_automatic_caching_is_the_callers_own_and_ours_fill_the_rest(client, bedrock):
    """On a model that has it (Opus 4.8): the end is known to be written, and the head gets one of ours."""
    turns, reports = ["a"], []
    for turn in "bcd":
        response = client.invoke_model(**{**chat(*turns, **MARK), "modelId": OPUS_48})
        response["body"].read()
        reports.append(report_of(response))
        turns.append(turn)
        assert bedrock.calls[-1].request["cache_control"] == MARK["cache_control"]
        assert bedrock.calls[-1].request["system"][0]["cache_control"] == {"type": "ephemeral"}
    before = [0, *(r.usage.read_tokens + r.usage.write_tokens for r in reports)]
    assert [r.usage.read_tokens for r in reports] == before[:-1]
    assert [r.miss and r.miss.cause for r in reports] == ["first_write", None, None]
    other = client.invoke_model(**{**chat("z", **MARK), "modelId": OPUS_48})
    other["body"].read()
    assert report_of(other).usage.read_tokens > 2_400


def test_the_tier_that_served_a_call_is_priced(client, bedrock):
    """C1: InvokeModel has it as a parameter."""
    plain, priority = (client.invoke_model(**chat("a"), **more) for more in ({}, {"serviceTier": "priority"}))
    for response in (plain, priority):
        response["body"].read()
    assert (report_of(plain).tier, report_of(priority).tier) == (None, "priority")


CHAT = [("user", words(300, "q"))]
for _turn in range(6):
    CHAT += [("assistant", words(150, f"a{_turn}")), ("user", words(200, f"u{_turn}"))]
AGENT = [user(text(words(200, "do")))]
for _turn in range(5):
    AGENT += [
        assistant(text("I look."), *[use(f"c{_turn}{n}") for n in range(3)]),
        user(*[result(f"c{_turn}{n}", [text(words(250, f"r{_turn}{n}"))]) for n in range(3)]),
    ]
DOCUMENT = {
    "type": "document",
    "title": "notes",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjcK" * 2_000},
}
JOBS = {
    "chat": (
        [user(text(said)) if role == "user" else assistant(text(said)) for role, said in CHAT],
        {"system": [text(words(2_000, "sys"))]},
        2,
    ),
    "agent": (AGENT, {"system": [text(words(1_500, "sys"))], "tools": [TOOL]}, 2),
    "documents": (
        [user(DOCUMENT, text("What is it?")), assistant(text("A list.")), user(text("Of what?"))],
        {"system": [text(words(500, "sys"))]},
        2,
    ),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_costs_what_it_costs_through_converse(job):
    messages, head, step = JOBS[job]
    reports = {}
    for api in ("converse", "invoke"):
        with BedrockEmulator() as bedrock:
            client = CachingClient(boto(bedrock.url), cache=PromptCache(CachePolicy(), bedrock.now))
            reports[api] = [
                _report(api, client, messages[: end + 1], head) for end in range(0, len(messages), step)
            ]
    spent = {api: float(sum(r.cost for r in each)) for api, each in reports.items()}
    assert spent["invoke"] == pytest.approx(spent["converse"], rel=0.02)
    for one, other in zip(reports["converse"], reports["invoke"], strict=True):
        assert one.usage.read_tokens == pytest.approx(other.usage.read_tokens, rel=0.02, abs=30)
        assert [c.where for c in one.plan.checkpoints] == [c.where for c in other.plan.checkpoints]
        assert (one.miss and one.miss.cause) == (other.miss and other.miss.cause)


def _report(api, client, messages, head):
    if api == "invoke":
        response = client.invoke_model(modelId=SONNET, body=json.dumps(body(*messages, **head)))
        response["body"].read()
        return report_of(response)
    said = [{**m, "content": [_conversed(b) for b in m["content"]]} for m in messages]
    system = [{"text": b["text"]} for b in head["system"]]
    more = {"toolConfig": {"tools": [wire.TOOL]}} if "tools" in head else {}
    more["inferenceConfig"] = {"maxTokens": 200}
    return report_of(client.converse(modelId=SONNET, messages=said, system=system, **more))


def _conversed(block):
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "tool_use":
            return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}
        case "tool_result":
            content = [_conversed(part) for part in block["content"]]
            return {"toolResult": {"toolUseId": block["tool_use_id"], "content": content}}
        case "document":
            data = base64.b64decode(block["source"]["data"])
            return {"document": {"format": "pdf", "name": block["title"], "source": {"bytes": data}}}


@pytest.mark.parametrize(
    "model", ["amazon.titan-embed-text-v2:0", "us.cohere.embed-v4:0", "amazon.nova-canvas-v1:0"]
)
def test_what_writes_no_text_passes_through(model, caplog):
    """Embeddings and pictures: no report, no advice, and a body that nobody looked at."""
    said, given, told = {"body": io.BytesIO(b"{}"), "ResponseMetadata": {}}, io.BytesIO(b"{}"), []
    stub = Answering(said)
    client = CachingClient(stub, cache=PromptCache(observers=[told.append]))
    assert client.invoke_model(modelId=model, body=given) is said
    assert stub.requests == [{"modelId": model, "body": given}]
    assert (told, caplog.text) == ([], "")


def test_an_answer_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr("cachepoint.aws.answers._MOST", 1_000)
    said = json.dumps({"usage": {"input_tokens": 9}, "content": "x" * 5_000}).encode()
    headers = {"x-amzn-bedrock-input-token-count": "7"}
    response = {"body": io.BytesIO(said), "ResponseMetadata": {"HTTPHeaders": headers}}
    got = CachingClient(Answering(response), cache=PromptCache()).invoke_model(**chat("a"))
    assert b"".join(iter(partial(got["body"].read, 100), b"")) == said
    assert got["body"]._read == b""
    assert report_of(got).usage.uncached_tokens == 7


@pytest.mark.parametrize("kind", [io.StringIO, io.BytesIO])
def test_a_stubs_body_may_be_of_text(kind, faults):
    said = '{"usage": {"input_tokens": 9}}'
    body = kind(said) if kind is io.StringIO else kind(said.encode())
    got = CachingClient(Answering({"body": body}), cache=PromptCache()).invoke_model(**chat("a"))
    assert got["body"].read() in {said, said.encode()}
    assert report_of(got).usage.uncached_tokens == 9
    assert faults() == 0


def test_a7_an_old_botocore_lets_bodies_pass(bedrock, cache, tmp_path, monkeypatch, caplog):
    """A7: botocore 1.36 knows no `cachePoint`, and looks into no body."""
    client = CachingClient(old_boto(bedrock.url, tmp_path, monkeypatch, without_points), cache=cache)
    client.invoke_model(**chat("a"))["body"].read()
    assert "cache_control" in str(bedrock.calls[0].request)
    assert caplog.text == ""


def test_calls_at_once_wait_for_the_first_ones_write(bedrock):
    """`warm_first`: those that come while a prefix is being written read it once that answer began."""
    cache = PromptCache(CachePolicy(fan_out="warm_first"), bedrock.now)
    client = CachingClient(boto(bedrock.url), cache=cache)

    def ask(question):
        response = client.invoke_model(**chat(question))
        response["body"].read()
        return report_of(response).usage

    with ThreadPoolExecutor(4) as pool:
        usages = list(pool.map(ask, "abcd"))
    assert sorted(u.read_tokens > 2_400 for u in usages) == [False, True, True, True]

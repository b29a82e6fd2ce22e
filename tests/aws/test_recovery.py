"""Bad days: what Bedrock refuses, breaks and delays, and callers who leave. No claim is left, no error changed."""

import asyncio
import gc
import json
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError
from builders import SONNET, marks, text, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import CLAIM_SECONDS, Table
from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply
from tests.aws.stubs import Awaited, chat
from tests.emulator.bodies import body, words
from tests.emulator.bodies import user as said

# botocore leaves the socket of a stream that broke, or that nobody read, to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def _collected():
    """Nothing is left of a test: the warning of it would fail one of another module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


KEY = b"k" * 32
ASK = chat("a")
BODY = {"modelId": SONNET, "body": json.dumps(body(said(words(40)), system=words(2_500)))}
REFUSAL = "This model doesn't support the cachePoint field. Remove cachePoint from your request."
BROKEN = EmulatedError("The model stopped.", code="modelStreamErrorException", status=424)


def boto(url, **config):
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(**{"retries": {"total_max_attempts": 1}, **config}),
    )


def held(memory):
    """Who holds what, of all that is remembered."""
    return [row[0] for row in memory._tables[Table.PLACES]._rows.values() if row[0].holder]


def learned(memory):
    return [row[0] for row in memory._tables[Table.PLACES]._rows.values() if row[0].expires]


# The ways of a call, sync and async: what reads all of its answer.
def converse(client):
    return client.converse(**ASK)["output"]["message"]


def converse_stream(client):
    return [e for e in client.converse_stream(**ASK)["stream"] if "metadata" not in e]


def invoke(client):
    answer = json.loads(client.invoke_model(**BODY)["body"].read())
    return answer["content"]


def invoke_stream(client):
    answer = client.invoke_model_with_response_stream(**BODY)["body"]
    return [json.loads(e["chunk"]["bytes"])["type"] for e in answer]


async def aconverse(client):
    return (await client.converse(**ASK))["output"]["message"]


async def aconverse_stream(client):
    response = await client.converse_stream(**ASK)
    return [e async for e in response["stream"] if "metadata" not in e]


async def ainvoke(client):
    response = await client.invoke_model(**BODY)
    return json.loads(await response["body"].read())["content"]


async def ainvoke_stream(client):
    response = await client.invoke_model_with_response_stream(**BODY)
    return [json.loads(e["chunk"]["bytes"])["type"] async for e in response["body"]]


def awaiting(way):
    return lambda client: asyncio.run(way(client))


SYNC = {
    "converse": converse,
    "converse_stream": converse_stream,
    "invoke": invoke,
    "invoke_stream": invoke_stream,
}
ASYNC = {
    "converse": aconverse,
    "converse_stream": aconverse_stream,
    "invoke": ainvoke,
    "invoke_stream": ainvoke_stream,
}
WAYS = {
    **{name: (way, CachingClient, lambda c: c, way) for name, way in SYNC.items()},
    **{f"async {n}": (awaiting(w), AsyncCachingClient, Awaited, SYNC[n]) for n, w in ASYNC.items()},
}
ways = pytest.mark.parametrize("way", WAYS)
STREAMS = [name for name in WAYS if name.endswith("stream")]
streams = pytest.mark.parametrize("way", STREAMS)


class Worker:
    """A client of ours, and what it remembers."""

    def __init__(self, bedrock, way, memory=None, policy=None, **config):
        self.memory = memory or LocalMemory()
        self.told = []
        self.cache = PromptCache(
            policy or CachePolicy(tail="always"),
            bedrock.now,
            memory=self.memory,
            key=KEY,
            observers=[self.told.append],
        )
        self.run, kind, wrap, self.plain = WAYS[way]
        self.boto = boto(bedrock.url, **config)
        self.client = kind(wrap(self.boto), cache=self.cache)

    def call(self):
        return self.run(self.client)


# What a checkpoint caused.


def refusing(request):
    if any(mark in str(request.body) for mark in ("cachePoint", "cache_control")):
        raise EmulatedError(REFUSAL, code="ValidationException", status=400)
    return Reply.text("well")


@ways
def test_a_refusal_is_told_to_the_fleet(way):
    """The second worker does not run into it; an hour later somebody asks again."""
    with BedrockEmulator(responder=refusing) as bedrock:
        memory = LocalMemory()
        first, second = (Worker(bedrock, way, memory) for _ in range(2))
        first.call()
        assert [c.status for c in bedrock.calls] == [400, 200]
        second.call()
        first.call()
        assert [c.status for c in bedrock.calls] == [400, 200, 200, 200]
        assert held(memory) == []
        bedrock.advance(3_601)
        second.call()
        assert [c.status for c in bedrock.calls[4:]] == [400, 200]
        assert first.cache.faults == second.cache.faults == 0


def test_what_is_named_is_stripped_and_nothing_more():
    """A layer that the model refuses: the next call has its other checkpoints."""

    def no_system(request):
        if any("cachePoint" in block for block in request.body.get("system", ())):
            message = "#/system/1: extraneous key [cachePoint] is not permitted"
            raise EmulatedError(f"Malformed input request: {message}", code="ValidationException", status=400)
        return Reply.text("well")

    with BedrockEmulator(responder=no_system) as bedrock:
        memory = LocalMemory()
        first, second = (Worker(bedrock, "converse", memory) for _ in range(2))
        first.call()
        second.call()
        assert [c.status for c in bedrock.calls] == [400, 200, 200]
        assert marks(bedrock.calls[1].request) == []
        assert marks(bedrock.calls[2].request) == ["messages[0]"]


@ways
def test_a_refusal_of_the_second_sending_is_the_callers(way):
    """It is sent again once, and once alone."""

    def never(_):
        raise EmulatedError(REFUSAL, code="ValidationException", status=400)

    with BedrockEmulator(responder=never) as bedrock:
        worker = Worker(bedrock, way)
        with pytest.raises(ClientError, match="cachePoint"):
            worker.call()
        assert len(bedrock.calls) == 2
        assert held(worker.memory) == []


# Everything else.

ERRORS = (
    ("ThrottlingException", 429, "Too many requests, please wait."),
    ("ServiceUnavailableException", 503, "The service is busy."),
    ("ModelNotReadyException", 429, "The model is not ready."),
    ("InternalServerException", 500, "It broke."),
    ("ModelErrorException", 424, "The model broke."),
    ("AccessDeniedException", 403, "You may not."),
    ("ValidationException", 400, "The model does not like this."),
)
RETRIES = (
    {"total_max_attempts": 1},
    {"mode": "standard", "max_attempts": 2},
    {"mode": "adaptive", "max_attempts": 2},
    {"mode": "legacy", "max_attempts": 1},
)


def shown(error):
    response = {k: v for k, v in error.response.items() if k != "ResponseMetadata"}
    return type(error).__name__, str(error), response, error.operation_name


@pytest.fixture
def _no_backoff(monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr("botocore.retries.bucket.TokenBucket.acquire", lambda *_, **__: True)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.mark.usefixtures("_no_backoff")
@pytest.mark.parametrize("retries", RETRIES, ids=lambda r: r.get("mode", "none"))
@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e[0])
@pytest.mark.parametrize("way", ["converse", "invoke_stream", "async converse_stream"])
def test_errors_and_retries_are_those_of_the_plain_client(way, error, retries):
    code, status, message = error

    def failing(_):
        raise EmulatedError(message, code=code, status=status)

    with BedrockEmulator(responder=failing) as bedrock:
        worker = Worker(bedrock, way, retries=retries)
        seen = []
        for run in (lambda: worker.plain(worker.boto), worker.call):
            before = len(bedrock.calls)
            with pytest.raises(ClientError) as caught:
                run()
            seen.append((shown(caught.value), len(bedrock.calls) - before))
        assert seen[0] == seen[1]
        assert seen[0][1] == 1 or retries.get("mode")
        assert held(worker.memory) == []
        assert learned(worker.memory) == []
        assert worker.told == []
        assert worker.cache.faults == 0


@pytest.mark.usefixtures("_no_backoff")
@ways
def test_what_boto3_gets_through_is_one_call_of_ours(way):
    """Retries carry the same checkpoints; nothing is claimed twice."""
    failures = [1, 1]

    def busy(_):
        if failures:
            failures.pop()
            raise EmulatedError("Too many requests.", code="ThrottlingException", status=429)
        return Reply.text("well")

    with BedrockEmulator(responder=busy) as bedrock:
        worker = Worker(bedrock, way, retries={"mode": "standard", "max_attempts": 4})
        assert worker.call()
        assert [c.status for c in bedrock.calls] == [429, 429, 200]
        assert len({c.body for c in bedrock.calls}) == 1
        assert len(worker.told) == 1
        assert held(worker.memory) == []


@ways
def test_a_time_out_is_botocores(way):
    def slow(_):
        return Reply(({"text": "well"},), delay=0.6)

    with BedrockEmulator(responder=slow) as bedrock:
        worker = Worker(bedrock, way, read_timeout=0.15)
        with pytest.raises(ReadTimeoutError):
            worker.call()
        assert held(worker.memory) == []
        assert learned(worker.memory) == []
        assert worker.told == []


# Streams that break, and callers who leave.


@streams
def test_a_stream_that_breaks_is_unknown(way):
    """It was paid for, and nobody said how much; what it began to write can be read."""

    def breaking(_):
        return Reply(({"text": "well, " * 40},), fault=BROKEN)

    with BedrockEmulator(responder=breaking) as bedrock:
        worker = Worker(bedrock, way)
        seen = []
        for run in (lambda: worker.plain(worker.boto), worker.call):
            with pytest.raises(EventStreamError) as caught:
                run()
            seen.append(shown(caught.value))
        assert seen[0] == seen[1]
        (report,) = worker.told
        assert report.usage is None
        assert report.cost is None
        assert report.miss is None
        assert held(worker.memory) == []
        # Sizes are what usage tells.
        assert all(place.tokens is None for place in learned(worker.memory))
        assert worker.cache.faults == 0


@streams
def test_a_stream_that_ends_too_soon_is_unknown(way):
    with BedrockEmulator(responder=lambda _: Reply.text("well, " * 40), cut_streams=1.0) as bedrock:
        worker = Worker(bedrock, way)
        with suppress(EventStreamError):
            worker.call()
        assert [report.usage for report in worker.told] == [None]
        assert held(worker.memory) == []


MEMBER = {
    "converse_stream": ("converse_stream", ASK, "stream"),
    "invoke_stream": ("invoke_model_with_response_stream", BODY, "body"),
}


def opened(worker, way):
    method, request, member = MEMBER[way]
    return getattr(worker.client, method)(**request)[member]


def taken(stream):
    for _ in stream:
        break


def closed(stream):
    with stream:
        next(iter(stream))


def generator_closed(stream):
    with closing(event for event in stream) as events:
        next(events)


def dropped_midway(stream):
    events = iter(stream)
    next(events)


def never_read(stream):
    del stream


def closed_unread(stream):
    stream.close()


LEAVING = (taken, closed, generator_closed, dropped_midway, never_read, closed_unread)


@pytest.mark.parametrize("leave", LEAVING, ids=lambda f: f.__name__)
@pytest.mark.parametrize("way", MEMBER)
def test_who_leaves_a_stream_holds_nothing(way, leave):
    with BedrockEmulator(responder=lambda _: Reply.text("well, " * 40)) as bedrock:
        worker = Worker(bedrock, way)
        leave(opened(worker, way))
        gc.collect()
        # What was dropped is given back with the next call of any kind.
        worker.cache.prepare({"messages": [user(text(5))]}, SONNET)
        assert held(worker.memory) == []
        assert [r.usage for r in worker.told] == [None] * (leave not in {never_read, closed_unread})
        assert worker.cache.faults == 0


@pytest.mark.parametrize("way", MEMBER)
@pytest.mark.parametrize("ending", ["break", "aclose", "cancel", "drop"])
def test_who_leaves_an_awaited_stream_holds_nothing(way, ending):
    async def leaving(worker):
        method, request, member = MEMBER[way]
        stream = (await getattr(worker.client, method)(**request))[member]

        async def read():
            async with aclosing(aiter(stream)) as events:
                async for _ in events:
                    if ending == "aclose":
                        return
                    await asyncio.sleep(3_600)

        if ending == "break":
            async for _ in stream:
                break
        elif ending == "aclose":
            await read()
        elif ending == "cancel":
            task = asyncio.create_task(read())
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            stream = None
        gc.collect()

    with BedrockEmulator(responder=lambda _: Reply.text("well, " * 40)) as bedrock:
        worker = Worker(bedrock, f"async {way}")
        asyncio.run(leaving(worker))
        worker.cache.prepare({"messages": [user(text(5))]}, SONNET)
        assert held(worker.memory) == []
        assert worker.cache.faults == 0


# A worker that is killed.


def test_a_killed_workers_claim_ends_by_its_age_and_another_takes_over():
    with BedrockEmulator(responder=lambda _: Reply.text("well")) as bedrock:
        memory = LocalMemory()
        dead, other = (Worker(bedrock, "converse", memory) for _ in range(2))
        call = dead.cache.prepare(ASK, region=f"{bedrock.url}|us-east-1")
        assert call.claimed
        assert held(memory)
        bedrock.advance(1)
        other.call()
        assert marks(bedrock.calls[-1].request) == []
        bedrock.advance(CLAIM_SECONDS)
        other.call()
        assert marks(bedrock.calls[-1].request) == ["system", "messages[0]"]
        assert held(memory) == []


def test_nobody_waits_longer_than_its_bound(monkeypatch):
    """With `warm_first`, for a worker that never answers: the wait ends, and the call goes out."""
    monkeypatch.setattr("cachepoint.aws.waiting.WAIT_SECONDS", 0.3)
    with BedrockEmulator(responder=lambda _: Reply.text("well")) as bedrock:
        memory, policy = LocalMemory(), CachePolicy(tail="always", fan_out="warm_first")
        dead, other = (Worker(bedrock, "converse", memory, policy) for _ in range(2))
        threads = threading.active_count()
        with ThreadPoolExecutor(1) as pool:
            # Not of this thread, which could not go on with it.
            call = pool.submit(dead.cache.prepare, ASK, region=f"{bedrock.url}|us-east-1").result()
        assert call.claimed
        began = time.monotonic()
        other.call()
        assert 0.2 < time.monotonic() - began < 2
        # The emulator's, of the connection.
        assert threading.active_count() <= threads + 1
        dead.cache.abandon(call)
        assert held(memory) == []

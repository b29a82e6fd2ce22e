"""An alarm that raises passes the clients: before anything is sent, and once."""

import asyncio
import json

import pytest
from builders import SONNET, marks, text

from cachepoint import PromptCache, observers
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.emulator import BedrockEmulator
from tests.aws.stubs import Awaited, boto, chat


@pytest.fixture
def bedrock():
    with BedrockEmulator() as emulator:
        yield emulator


@pytest.fixture
def cache(bedrock):
    return PromptCache(clock=bedrock.now, observers=[observers.alarm("raise", written_share=0.0, calls=2)])


def body(*turns):
    asked = [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return {
        "modelId": SONNET,
        "body": json.dumps(
            {
                "anthropic_version": "bedrock-2023-05-31",
                "max_tokens": 20,
                "system": text(2_500)["text"],
                "messages": asked,
            }
        ),
    }


def growing(n):
    return chat(*"abcdefgh"[:n])


def growing_body(n):
    long = text(1_500)["text"]
    return body(*[f"{turn} {long}" for turn in "abcdefgh"[: 2 * n - 1]])


def read(response):
    for member in ("stream", "body"):
        if member in response:
            answer = response[member]
            return answer.read() if hasattr(answer, "read") else list(answer)
    return response


async def aread(response):
    for member in ("stream", "body"):
        if member in response:
            answer = response[member]
            return await answer.read() if hasattr(answer, "read") else [event async for event in answer]
    return response


class Sync:
    def __init__(self, bedrock, cache):
        self.client = CachingClient(boto(bedrock.url), cache=cache)

    def __call__(self, operation, **request):
        return read(getattr(self.client, operation)(**request))


class Async:
    def __init__(self, bedrock, cache):
        self.client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)

    def __call__(self, operation, **request):
        async def ask():
            answer = await getattr(self.client, operation)(**request)
            return answer if operation == "warm" else await aread(answer)

        return asyncio.run(ask())


OPERATIONS = {
    "converse": growing,
    "converse_stream": growing,
    "invoke_model": growing_body,
    "invoke_model_with_response_stream": growing_body,
}


@pytest.mark.parametrize("make", [Sync, Async])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_next_call_is_held_back_before_anything_is_sent(operation, make, bedrock, cache):
    ask, request = make(bedrock, cache), OPERATIONS[operation]
    for n in (1, 2):
        ask(operation, **request(n))
    with pytest.raises(observers.CacheAlarm) as caught:
        ask(operation, **request(3))
    assert len(bedrock.calls) == 2
    assert caught.value.episode.measure == "written_share"

    ask(operation, **request(3))
    ask(operation, **request(4))
    assert [call.status for call in bedrock.calls] == [200] * 4
    assert marks(bedrock.calls[3].request) if operation.startswith("converse") else True
    assert cache.faults == 0


@pytest.mark.parametrize("make", [Sync, Async])
def test_warming_is_held_back_too(make, bedrock, cache):
    ask = make(bedrock, cache)
    for n in (1, 2):
        ask("converse", **growing(n))
    with pytest.raises(observers.CacheAlarm):
        ask("warm", request=growing(3))
    assert len(bedrock.calls) == 2


@pytest.mark.parametrize("make", [Sync, Async])
def test_the_report_of_what_was_warmed_without_a_plan_is_no_call(make, bedrock):
    """It is read with a plan that is off, after the answer: nothing can be held back any more."""
    alarm = observers.alarm("raise", written_share=0.0, calls=1, by="all")
    cache = PromptCache(clock=bedrock.now, observers=[alarm])
    ask = make(bedrock, cache)
    ask("converse", **growing(1))
    assert ask("warm", request={**growing(1), "modelId": "us.meta.llama3-3-70b-instruct-v1:0"}) is not None
    assert len(bedrock.calls) == 1


@pytest.mark.parametrize("make", [Sync, Async])
def test_a_loop_that_rewrites_all_night_is_stopped(make, bedrock):
    """The system prompt holds a clock that our policy may not split off."""
    alarm = observers.alarm("raise", calls=5, by="all")
    cache = PromptCache("auto", bedrock.now, observers=[alarm])
    ask, answered = make(bedrock, cache), 0
    with pytest.raises(observers.CacheAlarm) as caught:
        for n in range(50):
            request = {**growing(1), "system": [text(2_500, f"{n:08}")]}
            ask("converse", **request, cache_policy={"tail": "always", "split": "off"})
            answered += 1
    assert answered < 25
    assert caught.value.episode.value > 0.5

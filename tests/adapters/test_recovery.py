"""Bad days, on every adapter: errors and retries are those of the base class, and no claim is left behind."""

import asyncio
import gc
import time

import pytest

from cachepoint import PromptCache
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table
from cachepoint.emulator import EmulatedError, Reply, TextResponder
from tests.adapters.contract import MANUAL

# botocore and the SDKs leave the sockets of broken streams to the garbage collector.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
BUSY = EmulatedError("Too many requests, please wait.", code="ThrottlingException", status=429)
BROKEN = EmulatedError("The model stopped.", code="modelStreamErrorException", status=424)
SOON = 10.0


def held(memory):
    return [row[0] for row in memory._tables[Table.PLACES]._rows.values() if row[0].holder]


def let_go(memory):
    """Whether nothing is held any more, once the threads that the frameworks left behind are done."""
    ends = time.monotonic() + SOON
    while held(memory) and time.monotonic() < ends:
        time.sleep(0.01)
    return not held(memory)


def ask(adapter):
    return [adapter.system(MANUAL), adapter.user("Where is the valve?")]


def throttle(_):
    raise BUSY


def breaking(_):
    return Reply(({"text": "It is on the left. " * 20},), fault=BROKEN)


def stream(model, messages):
    return model.stream_chat(messages) if hasattr(model, "stream_chat") else model.stream(messages)


async def astream(model, messages):
    return await model.astream_chat(messages) if hasattr(model, "stream_chat") else model.astream(messages)


def awaited(model, messages):
    return model.achat(messages) if hasattr(model, "stream_chat") else model.ainvoke(messages)


def test_throttling_is_passed_on_and_nothing_is_held(adapter, mode, bedrock, cache):
    bedrock.say(throttle)
    seen = []
    for model in (adapter.base(bedrock), adapter.cached(bedrock, cache=cache)):
        before = len(bedrock.calls)
        with pytest.raises(Exception, match="Too many") as caught:
            adapter.ask(model, ask(adapter), mode=mode)
        seen.append((type(caught.value), str(caught.value), len(bedrock.calls) - before))
    assert seen[0] == seen[1]
    assert let_go(cache.memory)
    assert cache.faults == 0


def test_a_stream_that_breaks_is_that_of_the_base_class(adapter, mode, bedrock, cache):
    if "stream" not in mode:
        return
    bedrock.say(breaking)
    told, seen = [], []
    cache.observers.append(told.append)
    for model in (adapter.base(bedrock), adapter.cached(bedrock, cache=cache)):
        before = len(bedrock.calls)
        with pytest.raises(Exception, match="stopped") as caught:
            adapter.ask(model, ask(adapter), mode=mode)
        seen.append((type(caught.value), str(caught.value), len(bedrock.calls) - before))
    assert seen[0] == seen[1]
    gc.collect()
    assert let_go(cache.memory)
    assert [report.usage for report in told] == [None]
    assert cache.faults == 0


@pytest.mark.parametrize("leave", ["one chunk", "closed", "never read"])
def test_who_leaves_a_stream_holds_nothing(adapter, leave, bedrock, cache):
    bedrock.say(lambda _: Reply.text("It is on the left. " * 40))
    chunks = stream(adapter.cached(bedrock, cache=cache), ask(adapter))
    if leave != "never read":
        next(chunks)
    if leave == "closed":
        chunks.close()
    del chunks
    gc.collect()
    # What was dropped is given back with the next call.
    adapter.ask(adapter.cached(bedrock, cache=cache), ask(adapter))
    assert let_go(cache.memory)
    assert cache.faults == 0


def test_who_leaves_an_awaited_stream_holds_nothing(adapter, bedrock, cache):
    async def leaving():
        async for _ in await astream(adapter.cached(bedrock, cache=cache), ask(adapter)):
            break
        gc.collect()

    bedrock.say(lambda _: Reply.text("It is on the left. " * 40))
    asyncio.run(leaving())
    gc.collect()
    adapter.ask(adapter.cached(bedrock, cache=cache), ask(adapter))
    assert let_go(cache.memory)
    assert cache.faults == 0


def test_a_task_that_is_cancelled_holds_nothing(adapter, bedrock, cache):
    async def leaving():
        task = asyncio.create_task(awaited(adapter.cached(bedrock, cache=cache), ask(adapter)))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    bedrock.say(lambda _: Reply(({"text": "It is on the left."},), delay=0.4))
    asyncio.run(leaving())
    assert let_go(cache.memory)
    assert cache.faults == 0


def test_a_refusal_is_told_to_the_fleet(adapter, mode, bedrock):
    """The second worker, with a cache of its own on the same memory, does not run into it."""

    def refusing(request):
        if "cachePoint" in str(request.body) or "cache_control" in str(request.body):
            message = "You invoked an unsupported model or your request did not allow prompt caching."
            raise EmulatedError(message, code="AccessDeniedException", status=403)
        return said(request)

    said = TextResponder()
    bedrock.say(refusing)
    memory, key = LocalMemory(), b"k" * 32
    for _ in range(2):
        worker = PromptCache(clock=bedrock.now, memory=memory, key=key)
        assert adapter.ask(adapter.cached(bedrock, cache=worker), ask(adapter), mode=mode).text
        assert worker.faults == 0
    assert [c.status for c in bedrock.calls] == [403, 200, 200]
    assert held(memory) == []


def test_retries_of_the_framework_are_undisturbed(adapter, bedrock, cache, monkeypatch):
    """As many requests as of the base class, and one call of ours for each."""

    def busy_twice(request):
        if len(bedrock.calls) - before < 2:
            raise BUSY
        return said(request)

    said = TextResponder()
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    seen = []
    for model in (adapter.base(bedrock), adapter.cached(bedrock, cache=cache)):
        before = len(bedrock.calls)
        bedrock.say(busy_twice)
        if adapter.name == "llama_index":
            model.max_retries = 4
            assert model.chat(ask(adapter)).message.content
        else:
            retried = model.with_retry(stop_after_attempt=4, wait_exponential_jitter=False)
            assert retried.invoke(ask(adapter)).text
        seen.append([c.status for c in bedrock.calls[before:]])
    assert seen[0] == seen[1] == [429, 429, 200]
    assert let_go(cache.memory)
    assert cache.faults == 0


def test_a_model_keeps_alive_what_its_calls_wrote(adapter, bedrock):
    """Through its own client; Anthropic's SDK has none that could."""
    cache = PromptCache({"ttl": "5m"}, bedrock.now)
    model = adapter.cached(bedrock, cache=cache)
    if adapter.name == "langchain_anthropic":
        with pytest.raises(ValueError, match="KeepAlive"):
            model.keep_alive(budget=5)
        return
    keep = model.keep_alive(budget=5)
    keep.follow()
    refreshed, kept = [], 0
    for number in range(3):
        messages = [adapter.system(MANUAL)]
        for turn in range(4):
            messages.append(adapter.user(f"Question {number} {turn}: where is the valve?"))
            answer = adapter.ask(model, messages)
            messages.append(answer.message)
            kept += answer.report["kept_tokens"]
            for _ in range(24):
                bedrock.advance(20)
                refreshed += keep.tick()
    keep.stop()
    assert refreshed
    assert kept
    assert all(r.kind == "refresh" and not r.usage.write_tokens for r in refreshed)
    assert cache.faults == 0

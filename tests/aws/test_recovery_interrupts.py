"""Ctrl-C at every step of ours, and tasks that are cancelled at every await: nothing is half written, none held."""

import asyncio
import gc
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO

import pytest
from builders import SONNET, text, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table
from tests.aws.stubs import Answering, answer, chat, events, streamed
from tests.faults import _place

ASK = chat("a")
# Every third of a thousand steps; all of them take a minute.
STRIDE = 3
BODY = {
    "modelId": SONNET,
    "body": json.dumps(
        {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 10,
            "system": text(2_500)["text"],
            "messages": [{"role": "user", "content": text(50)["text"]}],
        }
    ),
}


def held(memory):
    return [row[0] for row in memory._tables[Table.PLACES]._rows.values() if row[0].holder]


def consistent(memory):
    """The sums are those of the records."""
    return all(rows.bytes == sum(r[2] for r in rows._rows.values()) for rows in memory._tables.values())


def converse(client):
    client.converse(**ASK)


def converse_stream(client):
    list(client.converse_stream(**ASK)["stream"])


def invoke(client):
    client.invoke_model(**BODY)["body"].read()


# The way of a call, and what the stub answers with.
WAYS = {
    "converse": (converse, answer),
    "stream": (converse_stream, lambda: streamed(iter(events()))),
    "stream that breaks": (converse_stream, lambda: streamed(breaking())),
    "invoke": (invoke, lambda: {"body": BytesIO(b'{"usage": {"input_tokens": 10}}'), "ResponseMetadata": {}}),
    "busy": (converse, lambda: RuntimeError("too much to do")),
}


def breaking():
    yield from events()[:2]
    raise ConnectionError("torn")


@contextmanager
def interrupted(number):
    """Within the block, entering the numbered function of ours is met by one Ctrl-C.

    Yields:
        A list with the place, once it came so far.
    """
    left, hit = number, []

    def see(frame, event, _):
        nonlocal left
        if event == "call" and (place := _place(frame.f_code)) and "emulator" not in place.module:
            left -= 1
            if left == 0:
                hit.append(place)
                # A profiler that raises is turned off.
                raise KeyboardInterrupt

    sys.setprofile(see)
    try:
        yield hit
    finally:
        sys.setprofile(None)


def tried(way, policy, number):
    """One call that is interrupted at a step; the step, or None where it has fewer."""
    run, answers = WAYS[way]
    memory = LocalMemory()
    cache = PromptCache(policy, memory=memory, key=b"k" * 32)
    client = CachingClient(Answering(answers()), cache=cache)
    raised = None
    with interrupted(number) as hit:
        try:
            run(client)
        except (KeyboardInterrupt, RuntimeError, ConnectionError) as error:
            raised = type(error)
    sys.setprofile(None)
    del client
    gc.collect(0)
    if not hit:
        return None
    step = str(hit[0])
    assert raised in {
        KeyboardInterrupt,
        RuntimeError if way == "busy" else KeyboardInterrupt,
        ConnectionError,
        None,
    }, step
    # What could not be given back on the spot is, with the next call of any kind.
    cache.prepare({"messages": [user(text(5))]}, SONNET)
    assert held(memory) == [], step
    assert consistent(memory), step
    assert not memory._lock.locked(), step
    return step


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_at_any_step_leaves_nothing_held(way):
    policy, steps = CachePolicy(tail="always"), []
    # The first call of a process has steps more.
    tried(way, policy, 10**9)
    while (step := tried(way, policy, 1 + STRIDE * len(steps))) is not None:
        steps.append(step)
    assert len(steps) > 800 // STRIDE
    assert len({step.partition(":")[0] for step in steps}) > 20


def test_ctrl_c_reaches_the_caller():
    """It is not swallowed by a guard."""
    client = CachingClient(Answering(KeyboardInterrupt()), cache=PromptCache())
    with pytest.raises(KeyboardInterrupt):
        client.converse(**ASK)


def test_ctrl_c_while_waiting_for_another(monkeypatch):
    """Who waits may have claimed what it took over."""
    monkeypatch.setattr("cachepoint.aws.waiting.WAIT_SECONDS", 0.1)
    memory = LocalMemory()
    cache = PromptCache(CachePolicy(tail="always", fan_out="warm_first"), memory=memory)
    client = CachingClient(Answering(answer()), cache=cache)
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(cache.prepare, ASK).result()
    monkeypatch.setattr(CachingClient, "_finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        client.converse(**ASK)
    cache.abandon(writer)
    assert held(memory) == []
    assert threading.active_count() < 20


class Remote(LocalMemory):
    """As one that is asked over a network: every trip is awaited before it is made and after."""

    async def arecall(self, question, timeout):
        await asyncio.sleep(0)
        found = self.recall(question, timeout)
        await asyncio.sleep(0)
        return found

    async def arecord(self, changes, timeout):
        await asyncio.sleep(0)
        held = self.record(changes, timeout)
        await asyncio.sleep(0)
        return held


class Slow:
    """An awaited client whose answers take some turns of the loop."""

    meta = None

    async def converse(self, **_):
        for _ in range(3):
            await asyncio.sleep(0)
        return answer()

    async def converse_stream(self, **_):
        await asyncio.sleep(0)
        return streamed(self._events())

    async def _events(self):
        for event in events():
            await asyncio.sleep(0)
            yield event

    async def invoke_model(self, **_):
        await asyncio.sleep(0)
        return {"body": Body(), "ResponseMetadata": {"HTTPHeaders": {}}}


class Body:
    """As aiobotocore's."""

    async def read(self):
        await asyncio.sleep(0)
        return json.dumps({"type": "message", "usage": {"input_tokens": 10, "output_tokens": 5}}).encode()


async def aconverse(client):
    await client.converse(**ASK)


async def astream(client):
    async for _ in (await client.converse_stream(**ASK))["stream"]:
        pass


async def ainvoke(client):
    await (await client.invoke_model(**BODY))["body"].read()


async def cancelled_after(turns, way, *, warm=False):
    """A call whose task is cancelled after so many turns of the loop; whether it ended before."""
    memory = Remote()
    policy = CachePolicy(tail="always", fan_out="warm_first" if warm else "single_flight")
    cache = PromptCache(policy, memory=memory, key=b"k" * 32)
    client = AsyncCachingClient(Slow(), cache=cache)
    writer = asyncio.create_task(aconverse(client)) if warm else None
    if writer is not None:
        for _ in range(8):
            await asyncio.sleep(0)
    task = asyncio.create_task(way(client))
    for _ in range(turns):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    if writer is not None:
        await writer
    await asyncio.sleep(0)
    assert held(memory) == [], turns
    assert consistent(memory)
    assert cache.faults == 0
    assert len(asyncio.all_tasks()) == 1
    return ended


@pytest.mark.parametrize("warm", [False, True], ids=["alone", "beside another"])
@pytest.mark.parametrize("way", [aconverse, astream, ainvoke], ids=["converse", "stream", "invoke"])
def test_a_task_that_is_cancelled_at_any_await_holds_nothing(way, warm):
    turns = 0
    while not asyncio.run(cancelled_after(turns, way, warm=warm)):
        turns += 1
        assert turns < 200
    assert turns > 5

"""The clients wait for another call's write: for its first event or its answer, never for long, never in vain."""

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.config import Config
from builders import SONNET, text, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient, waiting
from cachepoint.core import flights
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table
from tests.aws.stubs import Awaited, answer, events, streamed

FIRST = CachePolicy(fan_out="warm_first")
SOON, LONG = 5.0, 10.0
BROKEN = RuntimeError("Bedrock is on fire")


def request(number=0):
    return {
        "modelId": SONNET,
        "system": [text(10_000)],
        "messages": [user(text(5, f"{number}"))],
    }


def writes(sent):
    return sent is not None and "cachePoint" in sent["system"][-1]


class Gated:
    """A client whose answers come when they are let go; the first call may end otherwise."""

    meta = None

    def __init__(self, *ends):
        self.ends = list(ends)
        self.sent = []
        self.arrived = threading.Semaphore(0)
        self.gate = threading.Event()

    def converse(self, **request):
        self.sent.append(request)
        first = len(self.sent) == 1
        self.arrived.release()
        if first:
            assert self.gate.wait(LONG)
        if first and self.ends:
            raise self.ends[0]
        return answer()

    def converse_stream(self, **request):
        self.sent.append(request)
        self.arrived.release()
        return streamed(self._events())

    def _events(self):
        assert self.gate.wait(LONG)
        yield from events()


class AwaitedGated:
    """The same for a loop."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.sent = []
        self.arrived = asyncio.Event()
        self.gate = asyncio.Event()

    async def converse(self, **request):
        self.sent.append(request)
        first = len(self.sent) == 1
        self.arrived.set()
        if first:
            await asyncio.wait_for(self.gate.wait(), LONG)
        if first and self.ends:
            raise self.ends[0]
        return answer()

    async def converse_stream(self, **request):
        self.sent.append(request)
        self.arrived.set()
        return streamed(self._events())

    async def _events(self):
        await asyncio.wait_for(self.gate.wait(), LONG)
        for event in events():
            yield event


@pytest.fixture
def cache():
    return PromptCache(FIRST)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def begun(pool, gated, client, how="converse"):
    """A writer that has been sent and not been answered."""
    read = {"converse": lambda r: r, "converse_stream": lambda r: list(r["stream"])}[how]
    writer = pool.submit(lambda: read(getattr(client, how)(**request())))
    assert gated.arrived.acquire(timeout=SOON)
    return writer


def waiters(count=1):
    """Wait until so many stand and wait for somebody of this process."""
    ends = time.monotonic() + SOON
    while sum(len(f._wakes) for f in list(flights._aloft.values())) < count:
        assert time.monotonic() < ends
        time.sleep(0.005)


@pytest.mark.parametrize("how", ["converse", "converse_stream"])
def test_threads_wait_for_the_answer_and_read(how, cache, pool):
    gated = Gated()
    client = CachingClient(gated, cache=cache)
    writer = begun(pool, gated, client, how)
    others = [pool.submit(client.converse, **request(n)) for n in range(1, 4)]
    waiters(3)
    assert len(gated.sent) == 1
    gated.gate.set()
    reports = [other.result(SOON)["ResponseMetadata"]["cachepoint"] for other in others]
    writer.result(SOON)

    assert all(report.plan.expected_read_tokens for report in reports)
    assert all(map(writes, gated.sent))


def test_the_first_event_of_a_stream_is_enough(cache, pool):
    gated = Gated()
    client = CachingClient(gated, cache=cache)
    goes_on = threading.Event()

    def lazily():
        stream = iter(client.converse_stream(**request())["stream"])
        first = next(stream)
        assert goes_on.wait(LONG)
        return [first, *stream]

    writer = pool.submit(lazily)
    assert gated.arrived.acquire(timeout=SOON)
    other = pool.submit(client.converse, **request(1))
    waiters()
    gated.gate.set()
    assert other.result(SOON)["ResponseMetadata"]["cachepoint"].plan.expected_read_tokens
    assert not writer.done()
    goes_on.set()
    assert len(writer.result(SOON)) == len(events())


def test_a_writer_that_fails_is_waited_for_no_longer(cache, pool):
    gated = Gated(BROKEN)
    client = CachingClient(gated, cache=cache)
    writer = begun(pool, gated, client)
    others = [pool.submit(client.converse, **request(n)) for n in range(1, 4)]
    waiters(3)
    gated.gate.set()
    with pytest.raises(RuntimeError, match="on fire"):
        writer.result(SOON)
    reports = [other.result(SOON)["ResponseMetadata"]["cachepoint"] for other in others]

    assert sum(report.plan.expected_read_tokens is None for report in reports) == 1
    assert all(report.plan.checkpoints for report in reports)


def test_a_stream_that_is_closed_unread_frees(cache, pool):
    gated = Gated()
    client = CachingClient(gated, cache=cache)
    stream = client.converse_stream(**request())["stream"]
    other = pool.submit(client.converse, **request(1))
    waiters()
    stream.close()
    assert other.result(SOON)["ResponseMetadata"]["cachepoint"].plan.expected_read_tokens is None
    assert writes(gated.sent[1])


class Configured(Gated):
    """A client that gives up on an answer after half a second."""

    class meta:
        config = Config(read_timeout=0.5)
        endpoint_url = region_name = ""


def test_nobody_waits_longer_than_for_an_answer(cache, pool):
    gated = Configured()
    client = CachingClient(gated, cache=cache)
    begun(pool, gated, client)
    started = time.monotonic()
    report = pool.submit(client.converse, **request(1)).result(SOON)["ResponseMetadata"]["cachepoint"]
    took = time.monotonic() - started
    gated.gate.set()

    assert 0.5 <= took < 2.0
    assert report.seconds >= 0.5


class Stuck(Configured):
    """No answer comes until all have asked, however long they waited."""

    def __init__(self, calls):
        super().__init__()
        self.meeting = threading.Barrier(calls)

    def converse(self, **request):
        self.sent.append(request)
        self.arrived.release()
        self.meeting.wait(LONG)
        return answer()


def test_of_threads_that_wait_no_longer_one_writes(cache, pool):
    gated = Stuck(7)
    client = CachingClient(gated, cache=cache)
    writer = begun(pool, gated, client)
    others = [pool.submit(client.converse, **request(n)) for n in range(1, 7)]
    reports = [other.result(SOON)["ResponseMetadata"]["cachepoint"] for other in (writer, *others)]
    assert sum(map(writes, gated.sent)) == 2
    assert sum(bool(report.plan.checkpoints) for report in reports) == 2


class AwaitedStuck(AwaitedGated):
    """The same for a loop."""

    meta = Configured.meta

    def __init__(self, calls):
        super().__init__()
        self.meeting = asyncio.Barrier(calls)

    async def converse(self, **request):
        self.sent.append(request)
        self.arrived.set()
        await asyncio.wait_for(self.meeting.wait(), LONG)
        return answer()


async def test_of_tasks_that_wait_no_longer_one_writes(cache):
    gated = AwaitedStuck(7)
    client = AsyncCachingClient(gated, cache=cache)
    writer = asyncio.create_task(client.converse(**request()))
    await asyncio.wait_for(gated.arrived.wait(), SOON)
    await asyncio.wait_for(asyncio.gather(*(client.converse(**request(n)) for n in range(1, 7))), SOON)
    await writer
    assert sum(map(writes, gated.sent)) == 2


class Forgetful(LocalMemory):
    """Keeps what the first call records, and nothing of what is recorded after it."""

    def __init__(self):
        super().__init__()
        self.recorded = 0
        self.recalls = 0

    def recall(self, question, timeout):
        self.recalls += 1
        return super().recall(question, timeout)

    def record(self, changes, timeout):
        self.recorded += 1
        if self.recorded == 1:
            return super().record(changes, timeout)
        table, keys = Table.PLACES, [c.key for c in changes.all if c.table == Table.PLACES]
        return {table: self._tables[table].find(keys, changes.now)}


@pytest.mark.parametrize("end", ["abandon", "drop"])
def test_a_claim_that_nobody_ends_is_not_waited_for(end, pool):
    """Its call ended or was dropped, and the memory was not told; nor does it hear of who takes it over."""
    memory = Forgetful()
    cache = PromptCache(FIRST, memory=memory)
    gated = Gated()
    gated.sent.append(None)
    client = CachingClient(gated, cache=cache)
    call = pool.submit(client._prepare, request(), None).result(SOON)
    if end == "abandon":
        cache.abandon(call)
    else:
        del call
        gc.collect()
    started = time.monotonic()
    pool.submit(client.converse, **request(1)).result(SOON)
    assert time.monotonic() - started < 1.0
    assert memory.recalls < 10


@pytest.mark.parametrize(("given", "seconds"), [(60, 10.0), (3, 3), (None, 10.0)])
def test_ten_seconds_at_most(given, seconds):
    class Client:
        class meta:
            config = Config(read_timeout=given)

    assert waiting.longest(Client()) == seconds
    assert waiting.longest(object()) == 10.0


def test_a_thread_does_not_wait_for_itself(cache):
    """It opens one stream, and asks something else before it reads."""
    gated = Gated()
    client = CachingClient(gated, cache=cache)
    stream = client.converse_stream(**request())["stream"]
    gated.sent.append(None)
    started = time.monotonic()
    client.converse(**request(1))

    assert time.monotonic() - started < 1.0
    assert not writes(gated.sent[-1])
    gated.gate.set()
    assert list(stream)


async def test_a_task_does_not_wait_for_itself(cache):
    gated = AwaitedGated()
    client = AsyncCachingClient(gated, cache=cache)
    stream = (await client.converse_stream(**request()))["stream"]
    started = time.monotonic()
    await client.converse_stream(**request(1))

    assert time.monotonic() - started < 1.0
    assert not writes(gated.sent[-1])
    gated.gate.set()
    assert [event async for event in stream]


def test_a_loop_does_not_wait_for_a_stream_that_its_thread_left_unread(cache):
    sync, gated = Gated(), Gated()
    stream = CachingClient(sync, cache=cache).converse_stream(**request())["stream"]
    gated.sent.append(None)
    started = time.monotonic()

    async def inner():
        return await AsyncCachingClient(Awaited(gated), cache=cache).converse(**request(1))

    assert asyncio.run(inner())
    assert time.monotonic() - started < 1.0
    assert not writes(gated.sent[-1])
    sync.gate.set()
    assert list(stream)


@pytest.mark.parametrize("how", ["converse", "converse_stream"])
async def test_tasks_wait_and_the_loop_goes_on(how, cache):
    gated = AwaitedGated()
    client = AsyncCachingClient(gated, cache=cache)

    async def write():
        response = await getattr(client, how)(**request())
        return [event async for event in response["stream"]] if how == "converse_stream" else response

    writer = asyncio.create_task(write())
    await asyncio.wait_for(gated.arrived.wait(), SOON)
    others = [asyncio.create_task(client.converse(**request(n))) for n in range(1, 4)]
    ticks = 0
    while sum(len(f._wakes) for f in list(flights._aloft.values())) < 3:
        ticks += 1
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert len(gated.sent) == 1
    gated.gate.set()
    responses = await asyncio.wait_for(asyncio.gather(*others), SOON)
    await writer

    assert ticks
    assert all(r["ResponseMetadata"]["cachepoint"].plan.expected_read_tokens for r in responses)


async def test_a_writer_that_is_cancelled_frees(cache):
    gated = AwaitedGated()
    client = AsyncCachingClient(gated, cache=cache)
    writer = asyncio.create_task(client.converse(**request()))
    await asyncio.wait_for(gated.arrived.wait(), SOON)
    other = asyncio.create_task(client.converse(**request(1)))
    await asyncio.sleep(0.05)
    assert len(gated.sent) == 1
    writer.cancel()
    report = (await asyncio.wait_for(other, SOON))["ResponseMetadata"]["cachepoint"]

    assert report.plan.checkpoints
    assert report.plan.expected_read_tokens is None


async def test_a_waiter_that_is_cancelled_leaves_nothing(cache):
    gated = AwaitedGated()
    client = AsyncCachingClient(gated, cache=cache)
    writer = asyncio.create_task(client.converse(**request()))
    await asyncio.wait_for(gated.arrived.wait(), SOON)
    others = [asyncio.create_task(client.converse(**request(n))) for n in range(1, 3)]
    await asyncio.sleep(0.05)
    others[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await others[0]
    assert sum(len(f._wakes) for f in list(flights._aloft.values())) == 1
    gated.gate.set()
    await asyncio.wait_for(asyncio.gather(writer, others[1]), SOON)
    assert len(gated.sent) == 2
    assert not any(f._wakes for f in list(flights._aloft.values()))


async def test_a_thread_is_waited_for_by_a_loop(cache, pool):
    sync, gated = Gated(), AwaitedGated()
    gated.sent.append(None)
    writer = await asyncio.to_thread(begun, pool, sync, CachingClient(sync, cache=cache))
    other = asyncio.create_task(AsyncCachingClient(gated, cache=cache).converse(**request(1)))
    await asyncio.to_thread(waiters)
    sync.gate.set()
    report = (await asyncio.wait_for(other, SOON))["ResponseMetadata"]["cachepoint"]
    assert report.plan.expected_read_tokens
    assert writer.result(SOON)


def elsewhere(cache):
    """Another process's cache over the same memory, whose calls are in no hands here."""
    theirs = PromptCache(FIRST, memory=cache.memory, key=cache._key)
    call = CachingClient(Gated(), cache=theirs)._prepare(request(), None)
    flights._aloft.anew()
    return theirs, call


def test_another_process_is_asked_at_intervals(cache, pool):
    theirs, call = elsewhere(cache)
    gated = Gated()
    gated.sent.append(None)
    other = pool.submit(CachingClient(gated, cache=cache).converse, **request(1))
    time.sleep(0.3)
    assert len(gated.sent) == 1
    theirs.began(call)
    assert other.result(SOON)["ResponseMetadata"]["cachepoint"].plan.expected_read_tokens


async def test_a_loop_asks_at_intervals_too(cache):
    theirs, call = elsewhere(cache)
    gated = AwaitedGated()
    gated.sent.append(None)
    other = asyncio.create_task(AsyncCachingClient(gated, cache=cache).converse(**request(1)))
    await asyncio.sleep(0.3)
    assert len(gated.sent) == 1
    theirs.abandon(call)
    assert (await asyncio.wait_for(other, SOON))["ResponseMetadata"]["cachepoint"].plan.checkpoints


@pytest.mark.parametrize("broken", ["cachepoint.aws.carrier.waited", "cachepoint.core.flights.find"])
def test_a_fault_in_waiting_fails_no_call(broken, cache, monkeypatch):
    cache.prepare({k: v for k, v in request().items() if k != "modelId"}, SONNET)
    gated = Gated()
    gated.sent.append(None)
    monkeypatch.setattr(broken, lambda *_: 1 / 0)
    assert CachingClient(gated, cache=cache).converse(**request(1))["usage"]


def test_other_policies_do_not_wait(cache, pool):
    gated = Gated()
    begun(pool, gated, CachingClient(gated, cache=cache))
    client = CachingClient(gated, cache=cache, policy={"fan_out": "single_flight"})
    response = pool.submit(client.converse, **request(1)).result(SOON)
    gated.gate.set()
    assert not response["ResponseMetadata"]["cachepoint"].plan.checkpoints


CHILD = """
import os, sys
sys.path[:0] = {path!r}
from cachepoint.aws import CachingClient, carrier
from cachepoint.core import flights
from tests.aws.test_waiting import FIRST, Gated, PromptCache, request

carrier.longest = lambda _: 0.3
cache = PromptCache(FIRST)
gated = Gated()
gated.sent.append(None)
client = CachingClient(gated, cache=cache)
call = client._prepare(request(), None)
child = os.fork()
if not child:
    # The parent's call ends in the parent alone: here it is waited for until the time is up.
    unknown = flights.find(call.token) is None
    os._exit(0 if unknown and client.converse(**request(1))["usage"] and len(gated.sent) == 2 else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_goes_on():
    script = CHILD.format(path=sys.path)
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_cache_is_pickled_while_calls_are_under_way(cache):
    call = cache.prepare({k: v for k, v in request().items() if k != "modelId"}, SONNET)
    other = pickle.loads(pickle.dumps(cache))
    assert other.prepare(call.original, SONNET).wait_for is None

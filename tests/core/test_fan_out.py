"""Which write of another call to wait for, and how a call is decided again."""

import gc
import threading

import pytest
from builders import SONNET, text, usage, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.core import flights
from cachepoint.core.memory.deeds import Claim, Release
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table

HEAD = 10_000
REQUEST = {"system": [text(HEAD)], "messages": [user(text(5))]}


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Spying(LocalMemory):
    """Keeps what it was asked to record, and counts what it was asked."""

    def __init__(self):
        super().__init__()
        self.recorded = []
        self.recalls = 0

    def recall(self, question, timeout):
        self.recalls += 1
        return super().recall(question, timeout)

    def record(self, changes, timeout):
        self.recorded.append(changes)
        return super().record(changes, timeout)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory():
    return Spying()


@pytest.fixture
def cache(clock, memory):
    return PromptCache(CachePolicy(fan_out="warm_first"), clock, memory=memory)


def asks(number, tokens=5):
    return {"system": [text(HEAD)], "messages": [user(text(tokens, f"{number}"))]}


def prepare(cache, request=REQUEST):
    return cache.prepare(request, model_id=SONNET)


def test_who_comes_second_is_told_what_to_wait_for(cache):
    first, second = prepare(cache, asks(1)), prepare(cache, asks(2))

    assert first.wait_for is None
    assert first.plan.checkpoints
    assert second.wait_for.holder == first.token
    assert second.wait_for.place == first.case.prefix.digests[0]
    assert not second.plan.checkpoints
    assert not cache.ready(second)
    assert cache.ready(first)


def test_once_it_is_there_it_is_read(cache, clock):
    first, second = prepare(cache, asks(1)), prepare(cache, asks(2))
    clock.now += 2
    cache.settle(first, usage(write=HEAD))

    assert cache.ready(second)
    second = cache.again(second)
    assert second.wait_for is None
    assert second.plan.expected_read_tokens == HEAD
    assert second.waited == 2
    assert cache.settle(second, usage(read=HEAD)).seconds == 2


def test_an_answer_that_begins_is_enough(cache):
    first, second = prepare(cache, asks(1)), prepare(cache, asks(2))
    cache.began(first)

    assert cache.ready(second)
    assert cache.again(second).plan.expected_read_tokens


def test_a_writer_that_failed_frees_it_and_the_next_one_writes(cache):
    first, second, third = (prepare(cache, asks(n)) for n in range(3))
    cache.abandon(first)
    second, third = cache.again(second), cache.again(third)

    assert second.wait_for is None
    assert second.claimed
    assert third.wait_for.holder == second.token
    assert not third.writing


def test_what_never_ends_is_over_after_ten_seconds(cache, clock):
    prepare(cache, asks(1))
    second = prepare(cache, asks(2))
    clock.now += 9.9
    assert not cache.ready(second)
    clock.now += 0.2
    assert cache.ready(second)
    second = cache.again(second)
    assert second.wait_for is None
    assert second.plan.checkpoints
    assert prepare(cache, asks(3)).wait_for is None


def test_who_waits_holds_nothing(cache):
    """So that no two calls wait for each other."""
    always = CachePolicy(fan_out="warm_first", tail="always")
    long = asks(1, 3_000)
    prepare(cache, asks(0))
    second = cache.prepare(long, model_id=SONNET, policy=always)
    third = cache.prepare(long, model_id=SONNET, policy=always)

    assert second.wait_for == third.wait_for
    assert not second.writing


def test_a_claim_that_was_lost_is_waited_for(cache, memory):
    """Both recall before either records."""
    calls = []
    meeting = threading.Barrier(2)
    recall = memory.recall

    def slow(question, timeout):
        found = recall(question, timeout)
        meeting.wait(5)
        return found

    memory.recall = slow
    threads = [threading.Thread(target=lambda: calls.append(prepare(cache))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(bool(call.wait_for) for call in calls) == [False, True]
    assert sorted(bool(call.writing) for call in calls) == [False, True]


def test_again_moves_claims_and_counts_nothing(cache, memory, clock):
    first, second = prepare(cache), prepare(cache)
    cache.abandon(first)
    memory.recorded.clear()
    clock.now += 1
    second = cache.again(second)

    deeds = [change for changes in memory.recorded for change in changes.all]
    assert deeds
    assert all(change.table == Table.PLACES for change in deeds)
    assert all(isinstance(change.deed, Claim | Release) for change in deeds)
    assert not any(change.then for change in deeds)


def test_ready_is_one_look(cache, memory):
    prepare(cache)
    second = prepare(cache)
    memory.recalls = 0
    cache.ready(second)
    assert memory.recalls == 1


def test_to_have_waited_is_no_return(cache, clock):
    """What the call itself noted while it waited does not count as having come back."""
    first, second = prepare(cache, asks(1, 400)), prepare(cache, asks(2, 400))
    clock.now += 5
    cache.settle(first, usage(write=HEAD + 400))
    second = cache.again(second)

    entries = second.case.view.entries
    assert all(place.visits.tries == place.visits.hits == 0 for place in entries.values())


def test_again_without_a_wait_keeps_what_it_holds(cache):
    first = prepare(cache)
    again = cache.again(first)

    assert again.plan.checkpoints == first.plan.checkpoints
    assert again.claimed == first.claimed
    assert again.wait_for is None
    assert prepare(cache).wait_for.holder == first.token


def test_little_is_not_waited_for(cache):
    """What could not be cached alone is not worth it."""
    cache.settle(prepare(cache), usage(write=HEAD))
    always = CachePolicy(fan_out="warm_first", tail="always")
    little = asks(1, 500)
    much = asks(1, 2_000)

    for request, waits in ((little, False), (much, True)):
        first, second = (cache.prepare(request, model_id=SONNET, policy=always) for _ in range(2))
        assert first.writing
        assert bool(second.wait_for) is waits


@pytest.mark.parametrize("policy", [{}, {"fan_out": "off"}, {"fan_out": "warm_first", "mode": "off"}])
def test_nobody_else_waits(cache, policy):
    prepare(cache)
    other = PromptCache(CachePolicy(**policy), memory=cache.memory, key=cache._key, clock=cache._clock)
    assert other.prepare(REQUEST, model_id=SONNET).wait_for is None


def test_another_process_is_waited_for_too(clock, memory):
    ours, theirs = (
        PromptCache(CachePolicy(fan_out="warm_first"), clock, memory=memory, key=b"k") for _ in range(2)
    )
    first, second = prepare(theirs), prepare(ours)
    assert not ours.ready(second)
    theirs.settle(first, usage(write=HEAD))
    assert ours.ready(second)
    assert ours.again(second).plan.expected_read_tokens


async def test_the_awaited_steps_are_the_same(cache):
    first, second = [await cache.aprepare(asks(n), model_id=SONNET) for n in range(2)]
    assert not await cache.aready(second)
    await cache.asettle(first, usage(write=HEAD))
    assert await cache.aready(second)
    assert (await cache.aagain(second)).plan.expected_read_tokens == HEAD


def test_what_is_not_remembered_is_not_waited_for(cache, memory):
    prepare(cache)
    second = prepare(cache)

    def broken(*_):
        raise TimeoutError

    memory.recall = memory.record = broken
    assert cache.ready(second)
    second = cache.again(second)
    assert second.wait_for is None
    assert second.request


def test_a_fault_lets_the_call_go(cache, monkeypatch):
    prepare(cache)
    second = prepare(cache)
    monkeypatch.setattr("cachepoint.core.agreeing.decide", lambda *_: 1 / 0)
    again = cache.again(second)
    assert again.wait_for is None
    assert again.request == second.request


def test_to_warm_writes_all_and_counts_nothing(cache, memory):
    """Also where nothing of the kind has ever come back."""
    for n in range(30):
        once = {"system": [text(2_000, f"once {n}")], "messages": [user(text(5))]}
        cache.settle(cache.prepare(once, model_id=SONNET), usage(write=2_000))
    memory.recorded.clear()
    never = CachePolicy(tail="never")
    call = cache.prepare(REQUEST, model_id=SONNET, policy=never, warm=True)

    assert [c.reason for c in call.plan.checkpoints] == ["head", "end"]
    changed = [change for changes in memory.recorded for change in changes.all]
    assert {change.table for change in changed} == {Table.PLACES, Table.CUTS}
    assert all(isinstance(c.deed, Claim) for c in changed if c.table == Table.PLACES)


def test_what_is_being_warmed_is_waited_for(cache):
    warming = cache.prepare(asks(1), model_id=SONNET, warm=True)
    second = prepare(cache, asks(2))
    cache.settle(warming, usage(write=HEAD))

    assert second.wait_for.holder == warming.token
    assert cache.again(second).plan.expected_read_tokens == HEAD


def test_a_dropped_call_is_in_no_hands(cache):
    call = prepare(cache)
    token = call.token
    assert flights.find(token) is call.flight
    del call
    gc.collect()
    assert flights.find(token) is None

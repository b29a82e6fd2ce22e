"""Which write of another call to wait for, and how a call is decided again."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import SONNET, text, usage, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.core import flights
from cachepoint.core.memory.deeds import Claim, Release
from cachepoint.core.memory.local import LocalMemory
from cachepoint.core.memory.records import Table
from cachepoint.core.placement.fan_out import Standing

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
    assert second.plan.expected_read_tokens == pytest.approx(HEAD, rel=0.001)
    assert second.waited == 2
    assert cache.settle(second, usage(read=HEAD)).seconds == 2


def test_what_turns_out_too_small_to_be_cached_is_waited_for_once(cache):
    """Else each would write it in vain, one after the other, while the rest wait."""
    near = {"system": [text(1_000)], "messages": [user(text(5))]}
    first, second, third = (prepare(cache, near) for _ in range(3))
    assert first.claimed
    cache.settle(first, usage(fresh=700))
    second, third = cache.again(second), cache.again(third)

    assert second.wait_for is third.wait_for is None
    assert not second.plan.checkpoints


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
    assert second.claimed
    assert prepare(cache, asks(3)).wait_for.holder == second.token


def test_who_comes_when_nobody_waits_any_more_writes_and_is_waited_for(cache, clock):
    prepare(cache, asks(1))
    clock.now += 10.1
    late, later = prepare(cache, asks(2)), prepare(cache, asks(3))

    assert late.wait_for is None
    assert late.claimed
    assert later.wait_for.holder == late.token
    assert not later.plan.checkpoints


@pytest.mark.parametrize(("seconds", "give_up"), [(10.1, False), (10.1, True), (2.0, True), (0.1, True)])
def test_of_those_who_wait_no_longer_one_takes_it_over(cache, clock, seconds, give_up):
    prepare(cache, asks(0))
    waiters = [prepare(cache, asks(n)) for n in range(1, 6)]
    clock.now += seconds
    taker, *others = [cache.again(call, give_up=give_up) for call in waiters]

    assert taker.claimed
    assert taker.wait_for is None
    assert {call.wait_for.holder for call in others} == {taker.token}
    assert not any(call.plan.checkpoints or call.writing for call in others)


def recalled_together(memory, count):
    """From now on so many recall before any of them records."""
    meeting = threading.Barrier(count)
    recall = memory.recall

    def slow(question, timeout):
        found = recall(question, timeout)
        meeting.wait(5)
        return found

    memory.recall = slow


def test_of_those_who_give_up_at_once_one_takes_it_over(cache, memory):
    """All recall before any records."""
    writer = prepare(cache, asks(0))
    waiters = [prepare(cache, asks(n)) for n in range(1, 9)]
    recalled_together(memory, len(waiters))
    with ThreadPoolExecutor(len(waiters)) as pool:
        calls = list(pool.map(lambda call: cache.again(call, give_up=True), waiters))

    (taker,) = (call for call in calls if call.claimed)
    assert [bool(call.plan.checkpoints) for call in calls].count(True) == 1
    assert all(call.wait_for.holder == taker.token for call in calls if call is not taker)
    assert writer.token not in {call.token for call in calls}


def test_who_is_out_of_time_does_not_write_beside_who_took_over(cache, clock):
    """However long that took already: what it waits for goes unmarked."""
    prepare(cache, asks(0))
    taker, other = prepare(cache, asks(1)), prepare(cache, asks(2))
    clock.now += 10.1
    taker = cache.again(taker)
    clock.now += 5
    other = cache.again(other)

    assert other.wait_for.holder == taker.token
    assert not other.plan.checkpoints


@pytest.mark.parametrize("ends", ["settle", "abandon"])
def test_one_that_was_given_up_ends_after_all(cache, clock, ends):
    """What it wrote is read; what it did not write stays with who took it over."""
    writer = prepare(cache, asks(0))
    taker, other = prepare(cache, asks(1)), prepare(cache, asks(2))
    clock.now += 10.1
    taker, other = cache.again(taker), cache.again(other)
    cache.settle(writer, usage(write=HEAD)) if ends == "settle" else cache.abandon(writer)

    assert cache.ready(other) is (ends == "settle")
    other = cache.again(other)
    assert bool(other.plan.expected_read_tokens) is (ends == "settle")
    assert (other.wait_for is None) is (ends == "settle")


def test_a_claim_that_can_be_seen_is_in_hands(cache, memory):
    """Else whoever sees it before its call came back from `prepare` would take it over."""
    seen, record = [], memory.record

    def spying(changes, timeout):
        seen.extend(flights.is_lost(c.deed.holder) for c in changes.all if isinstance(c.deed, Claim))
        return record(changes, timeout)

    memory.record = spying
    first, second = prepare(cache), prepare(cache)
    cache.abandon(first)
    assert cache.again(second).claimed
    assert seen
    assert not any(seen)


@pytest.mark.parametrize("fan_out", ["single_flight", "off"])
def test_others_give_no_claim_up(cache, memory, clock, fan_out):
    first = prepare(cache, asks(0))
    clock.now += 30
    cache.prepare(asks(1), model_id=SONNET, policy={"fan_out": fan_out})
    place = memory.recall(Standing(clock.now, first.case.prefix.digests), 1)[Table.PLACES]
    assert place[first.case.prefix.digests[0]].holder == first.token


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
    recalled_together(memory, 2)
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
    assert (await cache.aagain(second)).plan.expected_read_tokens == pytest.approx(HEAD, rel=0.001)


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
    assert cache.again(second).plan.expected_read_tokens == pytest.approx(HEAD, rel=0.001)


def test_a_dropped_call_is_in_no_hands(cache):
    call = prepare(cache)
    token = call.token
    assert flights.find(token) is call.flight
    assert not flights.is_lost(token)
    del call
    gc.collect()
    assert flights.find(token) is None
    assert flights.is_lost(token)
    assert not flights.is_lost(b"of another process")

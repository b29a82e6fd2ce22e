"""Slow, full, stalled, killed, restarted: no call fails or is late, and the store is used again when it is back."""

import asyncio
import gc
import logging
import threading
import time
from functools import partial

import pytest
from builders import SONNET, usage

from cachepoint import PromptCache
from cachepoint.core.memory.deeds import Claim, Learned, Release, Seen
from cachepoint.core.memory.records import Change
from cachepoint.core.prompt.cuts import Cut
from cachepoint.memory import Table, connect
from tests.memory.changes import NOW, Asked, step
from tests.memory.servers import KEY, PATIENT, free_port, waited
from tests.memory.test_shared import PLACE, on, prompt, recall, record

# Seconds that a call gives its memory here, and what it may take beyond on a busy machine.
DEADLINE, SLACK = 0.05, 0.25
# As the promise is: back within ten seconds.
BACK = 10.0


@pytest.fixture
def memory(own_server, connected):
    memory = connected(own_server)
    assert memory.open(PATIENT)
    return memory


def stalled(server):
    server.stall()


def killed(server):
    server.kill()


def full(server):
    server.fill()


def go_on(server):
    server.go_on()


def start(server):
    server.start()


def empty(server):
    server.empty()


BAD_DAYS = [pytest.param(stalled, go_on, id="stalled"), pytest.param(killed, start, id="killed")]
BAD_DAYS += [pytest.param(full, empty, id="full")]


def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


@pytest.mark.parametrize(("befall", "mend"), BAD_DAYS)
class TestBadDays:
    def test_calls_go_on_in_time_and_the_store_is_used_again(self, own_server, memory, befall, mend, caplog):
        caplog.set_level(logging.INFO, "cachepoint")
        cache = PromptCache(memory=memory, memory_timeout=DEADLINE)
        cache.settle(cache.prepare(prompt(), SONNET), usage(write=4_000))
        befall(own_server)

        def call(n):
            cache.settle(cache.prepare(prompt(n), SONNET), usage(read=4_000, write=9))

        took = [timed(partial(call, n)) for n in range(2, 40)]
        assert not memory.is_shared
        assert cache.faults == 0
        assert sorted(took)[-4] < 2 * DEADLINE + SLACK
        # In memory of what this process did itself.
        assert cache.prepare(prompt(40), SONNET).plan.expected_read_tokens

        mend(own_server)
        assert waited(lambda: memory.is_shared, BACK)
        record(memory, on(b"after", Claim(b"x", NOW)))
        assert recall(connect(own_server.url, key=KEY), Table.PLACES, b"after")
        said = [r.levelname for r in caplog.records if "not used for now" in r.message]
        assert said.count("WARNING") == 1

    def test_awaited_calls_go_on_as_well_and_stop_no_loop(self, own_server, memory, befall, mend):
        befall(own_server)

        async def ticking(stop, gaps):
            last = time.monotonic()
            while not stop.is_set():
                await asyncio.sleep(0.005)
                now = time.monotonic()
                gaps.append(now - last)
                last = now

        async def calls():
            stop, gaps = asyncio.Event(), []
            ticker = asyncio.create_task(ticking(stop, gaps))
            for n in range(20):
                held = await memory.arecord(step([on(b"%d" % n, Claim(b"x", NOW))]), DEADLINE)
                assert held[Table.PLACES][b"%d" % n].holder == b"x"
                await memory.arecall(Asked(Table.PLACES, b"%d" % n), DEADLINE)
                await asyncio.sleep(0.006)
            stop.set()
            await ticker
            return gaps

        gaps = asyncio.run(calls())
        assert sorted(gaps)[-2] < DEADLINE
        assert not memory.is_shared

    def test_a_claim_ends_though_its_end_fell_into_the_outage(self, own_server, memory, befall, mend):
        record(memory, on(PLACE, Claim(b"x", NOW)))
        befall(own_server)
        for _ in range(3):
            memory.recall(Asked(Table.PLACES, b"other"), DEADLINE)
            memory.record(step([on(b"q", Seen(NOW))]), DEADLINE)
        memory.record(step([on(PLACE, Release(b"x"))]), DEADLINE)
        mend(own_server)

        assert waited(lambda: memory.is_shared, BACK)
        other = connect(own_server.url, key=KEY)
        place = recall(other, Table.PLACES, PLACE).get(PLACE)
        other.close()
        assert place is None or not place.holder

    def test_known_texts_go_on_being_cut_alike(self, own_server, connected, memory, befall, mend):
        """Both those that this worker cut, and those of which it only read."""
        record(memory, on(b"mine", Cut(1_100, "documents"), Table.CUTS))
        record(connected(own_server), on(b"theirs", Cut(1_200, "documents"), Table.CUTS))
        recall(memory, Table.CUTS, b"theirs")
        befall(own_server)
        for _ in range(4):
            held = memory.record(step([on(b"theirs", Cut(5, "stable"), Table.CUTS)]), DEADLINE)
            assert held[Table.CUTS][b"theirs"].at == 1_200
        cuts = memory.recall(Asked(Table.CUTS, b"mine", b"theirs"), DEADLINE)[Table.CUTS]
        assert {key: cut.at for key, cut in cuts.items()} == {b"mine": 1_100, b"theirs": 1_200}


class TestRestarts:
    def test_one_that_comes_back_empty_learns_again_how_texts_are_cut(self, own_server, memory):
        record(memory, on(b"t", Cut(1_100, "documents"), Table.CUTS))
        own_server.restart()
        assert waited(lambda: recall(memory, Table.CUTS, b"t") and memory.is_shared)
        record(memory, on(b"t", Cut(1_100, "documents"), Table.CUTS))
        other = connect(own_server.url, key=KEY)

        assert recall(other, Table.CUTS, b"t")[b"t"].at == 1_100
        other.close()

    def test_connections_that_the_server_closed_while_they_rested_are_not_used(self, own_server, memory):
        recall(memory, Table.PLACES, PLACE)
        own_server.restart()
        time.sleep(0.6)

        assert record(memory, on(PLACE, Claim(b"x", NOW)))
        assert memory.is_shared
        assert recall(memory, Table.PLACES, PLACE)

    def test_a_server_that_lost_the_script_gets_it_again(self, own_server, memory):
        with own_server.client() as client:
            client.script_flush()
        record(memory, on(PLACE, Seen(NOW)))
        asyncio.run(memory.arecord(step([on(b"q", Seen(NOW))]), PATIENT))

        assert memory.is_shared
        assert recall(memory, Table.PLACES, PLACE, b"q").keys() == {PLACE, b"q"}

    def test_one_that_is_not_there_at_first_is_used_once_it_is(self, own_server, connected):
        own_server.kill()
        memory = connected(own_server)
        assert not memory.open(1.0)
        assert memory.record(step([on(PLACE, Seen(NOW))]), DEADLINE) is not None
        own_server.start()

        assert waited(lambda: memory.is_shared, BACK)

    def test_a_replica_is_not_written_to(self, own_server, memory):
        with own_server.client() as client:
            client.replicaof("127.0.0.1", free_port())
            memory.record(step([on(PLACE, Claim(b"x", NOW))]), PATIENT)
            assert not memory.is_shared
            client.replicaof("NO", "ONE")

        assert waited(lambda: memory.is_shared, BACK)


class TestDeadlines:
    def test_a_late_answer_is_never_taken_for_another(self, own_server, memory):
        """The connection that was waited on in vain is closed."""
        record(memory, *[on(b"%d" % n, Learned("5m", NOW, n)) for n in range(9)])
        for n in range(9):
            own_server.stall()
            timer = threading.Timer(0.08, own_server.go_on)
            timer.start()
            memory.recall(Asked(Table.PLACES, b"%d" % n), 0.04)
            timer.join()
            assert waited(lambda: memory.is_shared, BACK)
            found = recall(memory, Table.PLACES, b"%d" % ((n + 1) % 9))
            assert [place.tokens for place in found.values()] == [(n + 1) % 9]

    def test_one_late_answer_is_no_outage_and_two_are(self, own_server, memory):
        own_server.stall()
        memory.recall(Asked(Table.PLACES, PLACE), 0.02)
        assert memory.is_shared
        memory.recall(Asked(Table.PLACES, PLACE), 0.02)
        assert not memory.is_shared
        own_server.go_on()
        assert waited(lambda: memory.is_shared, BACK)

    def test_connecting_counts_and_a_name_that_nobody_knows_holds_nobody_up(self):
        memory = connect("redis://nobody.invalid:6379", key=KEY)
        took = [timed(lambda: memory.recall(Asked(Table.PLACES, PLACE), DEADLINE)) for _ in range(20)]
        memory.close()

        assert max(took) < DEADLINE + SLACK

    def test_no_time_is_no_trip(self, own_server, memory):
        own_server.stall()
        assert timed(lambda: memory.record(step([on(PLACE, Seen(NOW))]), 0.0)) < SLACK
        assert timed(lambda: asyncio.run(memory.arecord(step([on(PLACE, Seen(NOW))]), 0.0))) < SLACK
        own_server.go_on()

    def test_many_threads_wait_no_longer_than_each_may(self, own_server, memory):
        own_server.stall()
        took = []

        def ask():
            took.append(timed(lambda: memory.recall(Asked(Table.PLACES, PLACE), DEADLINE)))

        threads = [threading.Thread(target=ask) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own_server.go_on()

        assert max(took) < DEADLINE + 2 * SLACK


class TestClosing:
    def test_a_closed_memory_answers_for_this_process(self, own_server, memory):
        record(memory, on(PLACE, Seen(NOW)))
        asyncio.run(memory.aclose())
        memory.close()

        assert not memory.is_shared
        assert memory.recall(Asked(Table.PLACES, PLACE), PATIENT)[Table.PLACES]
        assert memory.record(step([Change(Table.PLACES, b"q", Seen(NOW))]), PATIENT)

    def test_what_is_owed_is_sent_though_nobody_saw_yet_that_the_store_is_back(self, own_server, memory):
        record(memory, on(PLACE, Claim(b"x", NOW)))
        own_server.fill()
        for _ in range(3):
            memory.record(step([on(b"q", Seen(NOW))]), DEADLINE)
        assert not memory.is_shared
        memory.record(step([on(PLACE, Release(b"x"))]), DEADLINE)
        # It looked once, in vain, and looks again after a second.
        time.sleep(0.3)
        own_server.empty()
        memory.close()

        other = connect(own_server.url, key=KEY)
        place = recall(other, Table.PLACES, PLACE).get(PLACE)
        other.close()
        assert place is None or not place.holder

    def test_one_that_nobody_holds_any_more_looks_for_no_server(self, own_server):
        memory = connect(own_server.url, key=KEY)
        own_server.kill()
        assert not memory.open(1.0)
        (thread,) = [t for t in threading.enumerate() if t.name == "cachepoint-watching"]
        del memory

        # Errors hold frames in a ring.
        assert waited(lambda: gc.collect() >= 0 and not thread.is_alive())

"""Several workers on one store: what one learned the others know, each in one round trip."""

import asyncio
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from builders import SONNET, assistant, text, tool, usage, user
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint import PromptCache
from cachepoint.core.memory.counts import Count, Counts, Tried
from cachepoint.core.memory.deeds import Await, CameBack, Claim, Learned, Release, Seen
from cachepoint.core.memory.records import Change, Place, Texts, Trace
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.sketches import Sketch
from cachepoint.memory import Limit, Table, connect
from cachepoint.memory.store.elements import laid, whole, written
from cachepoint.memory.wire.links import Link
from tests.memory.changes import DEEDS, NOW, Asked, step
from tests.memory.servers import KEY, PATIENT

PLACE = b"p" * 16


def on(key, deed, table=Table.PLACES, then=()):
    return Change(table, key, deed, then)


def record(memory, *all_of, now=NOW):
    return memory.record(step(all_of, now), PATIENT)


def recall(memory, table, *keys, now=NOW):
    return memory.recall(Asked(table, *keys, now=now), PATIENT)[table]


def prompt(count=1):
    """A request of a conversation with tools, `count` turns long."""
    said = [user(text(40, "q0"))]
    for n in range(count - 1):
        said += [assistant(text(60, f"a{n}")), user(text(60, f"q{n + 1}"))]
    return {"system": [text(3_000)], "toolConfig": {"tools": [tool("a", 400)]}, "messages": said}


@pytest.fixture
def trips(monkeypatch):
    """Counts what goes over the wire after a connection is made."""
    sent = []
    send, asend = Link.send, Link.aask

    def counted(link, data, timeout):
        sent.append(data)
        return send(link, data, timeout)

    async def awaited(link, data, count, timeout):
        sent.append(data)
        return await asend(link, data, count, timeout)

    monkeypatch.setattr(Link, "send", counted)
    monkeypatch.setattr(Link, "aask", awaited)
    return sent


class TestWorkers:
    def test_any_worker_reads_what_another_wrote(self, server, connected):
        one, other = (PromptCache(memory=connected(server), memory_timeout=PATIENT) for _ in range(2))
        one.settle(one.prepare(prompt(), SONNET), usage(write=4_000))

        call = other.prepare(prompt(2), SONNET)
        assert call.plan.expected_read_tokens == 4_000
        assert call.case.thread.before is not None, "the last request is known for the diagnosis"
        assert other.faults == 0

    def test_a_text_is_cut_alike_everywhere(self, server, connected):
        first, second = connected(server), connected(server)
        record(first, on(b"t", Cut(1_200, "documents"), Table.CUTS))

        held = record(second, on(b"t", Cut(7, "stable"), Table.CUTS))
        assert held[Table.CUTS][b"t"] == Cut(1_200, "documents")
        assert recall(second, Table.CUTS, b"t")[b"t"].at == 1_200

    def test_each_call_is_one_round_trip(self, server, connected, trips):
        memory = connected(server)
        cache = PromptCache(memory=memory, memory_timeout=PATIENT)
        assert memory.open(PATIENT)
        cache.settle(cache.prepare(prompt(), SONNET), usage(write=4_000))
        trips.clear()

        call = cache.prepare(prompt(2), SONNET)
        assert len(trips) == 2
        cache.began(call)
        cache.settle(call, usage(read=4_000, write=100))
        assert len(trips) == 4

    def test_a_second_trip_is_made_only_where_texts_are_cut_otherwise(self, server, connected, trips):
        """Another worker cut the system prompt, which this one does not know yet."""
        one, other = (PromptCache(memory=connected(server), memory_timeout=PATIENT) for _ in range(2))
        request = {
            "system": [text(4_000), {"text": "x " * 800 + "\nit is 12:34:56 now"}],
            "messages": [user(text(9))],
        }
        one.prepare(request, SONNET)
        assert other.memory.open(PATIENT)
        trips.clear()
        other.prepare(request, SONNET)
        first = len(trips)
        trips.clear()
        other.prepare(request, SONNET)

        assert first in {2, 3}
        assert len(trips) == 2

    def test_namespaces_share_nothing(self, server, connected):
        one, other = connected(server, namespace="a"), connected(server, namespace="b")
        record(one, on(PLACE, Seen(NOW)))

        assert recall(one, Table.PLACES, PLACE)
        assert not recall(other, Table.PLACES, PLACE)

    def test_another_schema_is_another_world(self, server, connected, monkeypatch):
        monkeypatch.setattr("cachepoint.memory.store.keys.SCHEMA", b"0")
        older = connected(server)
        monkeypatch.undo()
        record(older, on(PLACE, Seen(NOW)))

        assert not recall(connected(server), Table.PLACES, PLACE)

    def test_policies_are_not_shared(self, server, connected):
        one = PromptCache("off", memory=connected(server), memory_timeout=PATIENT)
        other = PromptCache({"ttl": "1h"}, memory=connected(server), memory_timeout=PATIENT)

        assert not one.prepare(prompt(), SONNET).plan.checkpoints
        assert other.prepare(prompt(), SONNET).plan.checkpoints


class TestConsequences:
    def test_what_follows_travels_with_the_next_trip_and_is_done_once(self, server, connected):
        """Two workers saw the same prefix come back: it counts once, by whoever was first."""
        one, other = connected(server), connected(server)
        tried = (on(b"app", Tried("again", NOW), Table.COUNTS),)
        record(one, on(PLACE, Await(((b"app", "again"),), NOW), then=tried))
        record(other, on(PLACE, Await(((b"app", "again"),), NOW), then=tried))
        for memory in (one, other):
            recall(memory, Table.COUNTS, b"app")

        assert recall(one, Table.COUNTS, b"app")[b"app"].by_name["again"].open == (NOW,)

    def test_it_is_sent_when_the_memory_is_closed(self, server, connected):
        one = connected(server)
        record(one, on(PLACE, Seen(NOW), then=(on(b"app", Tried("again", NOW), Table.COUNTS),)))
        one.close()

        assert recall(connected(server), Table.COUNTS, b"app")

    def test_what_had_no_time_left_goes_with_the_next_trip(self, server, connected):
        """But for a claim: told late it could come behind its own end, and nobody would end it."""
        one = connected(server)
        assert one.open(PATIENT)
        held = one.record(step([on(PLACE, Seen(NOW)), on(PLACE, Claim(b"x", NOW))]), 0.0)
        assert held[Table.PLACES][PLACE].holder == b"x"
        recall(one, Table.PLACES, b"other")

        found = recall(connected(server), Table.PLACES, PLACE)[PLACE]
        assert (found.seen, found.holder) == (NOW, b"")


class TestLogs:
    @pytest.mark.parametrize("table", Table)
    def test_what_is_written_is_read_as_it_was(self, table):
        @settings(max_examples=25, deadline=None)
        @given(st.lists(DEEDS[table], min_size=1, max_size=8))
        def read(deeds):
            record = None
            for deed in deeds:
                record = deed.over(record)
            assert laid(len(deeds), b"".join(map(written, deeds))) == record
            assert laid(*whole(record)) == record

        read()

    def test_a_log_stays_short_whoever_writes(self, server, connected):
        """A head that all workers go through, call after call."""
        workers = [connected(server) for _ in range(3)]
        for n in range(60):
            record(
                workers[n % 3], on(PLACE, Seen(NOW + n)), on(b"app", Tried("again", NOW + n), Table.COUNTS)
            )
            if n % 4 == 0:
                recall(workers[n % 2], Table.COUNTS, b"app")
        with server.client() as client:
            sizes = [client.strlen(key) for key in client.keys("*")]

        assert recall(workers[0], Table.PLACES, PLACE)[PLACE].times == 60
        assert max(sizes) < 700

    def test_of_two_that_draw_up_the_same_log_none_loses_a_change(self, server, connected):
        workers = [connected(server) for _ in range(4)]
        barrier = threading.Barrier(4)

        one = Counts({"again": Count(1, 1)}, fade=10**6)

        def work(worker):
            for _ in range(50):
                barrier.wait()
                record(workers[worker], on(b"app", one, Table.COUNTS))
                recall(workers[worker], Table.COUNTS, b"app")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))

        assert recall(workers[0], Table.COUNTS, b"app")[b"app"].by_name["again"].tries == 200

    def test_a_place_at_rest_is_one_record_of_few_bytes(self, server, connected):
        """What the size of a fleet's memory is made of."""
        memory = connected(server)
        record(memory, on(PLACE, Seen(NOW)), on(PLACE, Claim(b"x" * 12, NOW)))
        record(memory, on(PLACE, Learned("5m", NOW, 2_400)), on(PLACE, Release(b"x" * 12)))
        with server.client() as client:
            (key,) = client.keys("*")
            assert client.strlen(key) < 80
            assert client.memory_usage(key) < 200
            assert 0 < client.pttl(key) <= 86_402_000
        assert len(key) < 30

        assert recall(memory, Table.PLACES, PLACE)[PLACE] == Place(2_400, NOW + 300, "5m", NOW, 1, proved=NOW)

    @pytest.mark.parametrize(
        "garbage",
        [
            b"",
            b"x",
            b"\xff" * 6,
            b"\xff" * 40,
            b"\xff" * 4 + b"\xdc\x00\x01\x92\x63\x91\x01",
            b"\xff" * 4 + b"\xdc\x00\x01" + written(Tried("a", 1.0)),
            b"\xff" * 4 + b"\xdc\x00\x02" + written(Seen(1.0)),
            b"\xff" * 4 + b"\xdc\x00\x02" + written(Seen(1.0)) + written(Texts((Sketch(b""),))),
            pickle.dumps(Place()),
        ],
    )
    def test_of_garbage_nothing_is_remembered_and_it_gives_way(self, server, connected, garbage):
        memory = connected(server)
        name = memory._settings.keys.one(Table.PLACES, PLACE)
        with server.client() as client:
            client.set(name, garbage)
        assert recall(memory, Table.PLACES, PLACE) == {}
        held = record(memory, on(PLACE, Claim(b"x", NOW)))

        assert held[Table.PLACES][PLACE].holder == b"x"
        assert recall(memory, Table.PLACES, PLACE)[PLACE].holder == b"x"
        assert memory.is_shared

    def test_a_record_of_another_type_gives_way(self, server, connected):
        memory = connected(server)
        with server.client() as client:
            client.lpush(memory._settings.keys.one(Table.PLACES, PLACE), "x")

        assert recall(memory, Table.PLACES, PLACE) == {}
        assert record(memory, on(PLACE, Claim(b"x", NOW)))[Table.PLACES][PLACE].holder == b"x"
        assert recall(memory, Table.PLACES, PLACE)

    def test_what_cannot_be_written_is_left_out(self, server, connected):
        memory = connected(server)
        trace = Trace((("\ud800", b"x"),), b"s", (b"", b"", b""), b"")
        held = record(
            memory,
            on(b"t", trace, Table.TURNS),
            on(PLACE, Learned("5m", NOW, 1 << 80)),
            on(b"q", Claim(b"x", NOW)),
        )

        assert held[Table.PLACES] == {PLACE: None, b"q": Place(holder=b"x", since=NOW)}
        assert memory.is_shared


class TestTime:
    def test_what_was_not_used_for_so_long_is_not_found(self, server, connected):
        """By the writer's clock, give or take a second; the server's expiry is far off."""
        memory = connected(server, limits={Table.PLACES: Limit(9, 60.0, 9_999)})
        record(memory, on(PLACE, Seen(NOW)))

        assert recall(memory, Table.PLACES, PLACE, now=NOW + 60)
        assert not recall(memory, Table.PLACES, PLACE, now=NOW + 62)
        record(memory, on(PLACE, Claim(b"x", NOW + 62)), now=NOW + 62)
        assert recall(memory, Table.PLACES, PLACE, now=NOW + 62)[PLACE] == Place(holder=b"x", since=NOW + 62)

    def test_the_server_drops_it_soon_after(self, server, connected):
        memory = connected(server, limits={Table.PLACES: Limit(9, 60.0, 9_999)})
        record(memory, on(PLACE, Seen(NOW)))
        with server.client() as client:
            assert 60_000 < client.pttl(client.keys("*")[0]) <= 62_000

    def test_an_entry_in_its_last_second_is_not_counted_on(self, server, connected):
        memory = connected(server)
        record(memory, on(PLACE, Learned("5m", NOW, 2_400)))

        def lives(now):
            return recall(memory, Table.PLACES, PLACE, now=now)[PLACE].live(now)

        assert lives(NOW + 298.5)
        assert not lives(NOW + 299.5)

    @pytest.mark.parametrize("now", [0.0, -5.0, 1e300])
    def test_a_clock_may_say_anything(self, server, connected, now):
        memory = connected(server)
        record(memory, on(PLACE, Seen(0.0)), now=now)

        assert recall(memory, Table.PLACES, PLACE, now=now)


class TestConcurrency:
    def test_of_many_threads_one_holds_a_claim(self, server, connected):
        workers = [connected(server) for _ in range(4)]
        barrier = threading.Barrier(16)

        def claim(n):
            barrier.wait()
            return [
                record(workers[n % 4], on(b"%d" % i, Claim(b"%d" % n, NOW)))[Table.PLACES][b"%d" % i].holder
                for i in range(20)
            ]

        with ThreadPoolExecutor(16) as pool:
            told = list(pool.map(claim, range(16)))
        assert all(len(set(holders)) == 1 for holders in zip(*told, strict=True))

    def test_one_memory_serves_several_loops_and_threads_at_once(self, server, connected):
        memory = connected(server)

        async def work(n):
            async def one(i):
                await memory.arecord(step([on(b"%d-%d" % (n, i), Seen(NOW))]), PATIENT)
                return await memory.arecall(Asked(Table.PLACES, b"%d-%d" % (n, i)), PATIENT)

            found = await asyncio.gather(*(one(i) for i in range(30)))
            return sum(len(f[Table.PLACES]) for f in found)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda n: asyncio.run(work(n)), range(4))) == [30] * 4
        assert recall(memory, Table.PLACES, b"0-0", b"3-29").keys() == {b"0-0", b"3-29"}
        assert memory.is_shared

    def test_a_cancelled_task_leaves_nothing_behind(self, server, connected):
        memory = connected(server)
        assert memory.open(PATIENT)

        async def cancelled():
            tasks = [
                asyncio.create_task(memory.arecord(step([on(PLACE, Seen(NOW))]), PATIENT)) for _ in range(20)
            ]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return await memory.arecall(Asked(Table.PLACES, PLACE), PATIENT)

        for _ in range(5):
            assert asyncio.run(cancelled())[Table.PLACES].keys() <= {PLACE}
        assert memory.is_shared


def _claims(url, count, barrier, answers):
    memory = connect(url, key=KEY)
    memory.open(PATIENT)
    barrier.wait()
    token = b"%d" % os.getpid()
    held = [record(memory, on(b"%d" % n, Claim(token, NOW)))[Table.PLACES][b"%d" % n] for n in range(count)]
    answers.put((token, [place.holder for place in held], memory.is_shared))
    memory.close()


def _in_child(memory, answers):
    answers.send(
        (
            recall(memory, Table.PLACES, PLACE),
            record(memory, on(b"c", Claim(b"child", NOW))),
            memory.is_shared,
        )
    )


class TestProcesses:
    def test_of_several_processes_one_holds_a_claim(self, server):
        context = multiprocessing.get_context("spawn")
        barrier, answers = context.Barrier(3), context.Queue()
        workers = [
            context.Process(target=_claims, args=(server.url, 50, barrier, answers), daemon=True)
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        told = [answers.get(timeout=120) for _ in workers]
        for worker in workers:
            worker.join(20)

        assert all(shared for *_, shared in told)
        assert all(len(set(holders)) == 1 for holders in zip(*(held for _, held, _ in told), strict=True))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_forked_child_makes_its_own_connections(self, server, connected):
        memory = connected(server)
        record(memory, on(PLACE, Seen(NOW)))
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_in_child, args=(memory, there), daemon=True)
        child.start()
        assert here.poll(30), "the child hangs"
        found, held, shared = here.recv()
        child.join(20)

        assert found[PLACE].times == 1
        assert held[Table.PLACES][b"c"].holder == b"child"
        assert shared
        assert recall(memory, Table.PLACES, b"c")[b"c"].holder == b"child"

    def test_a_pickled_memory_connects_again(self, server, connected):
        memory = connected(server)
        record(memory, on(PLACE, CameBack()), on(PLACE, Seen(NOW)))
        other = pickle.loads(pickle.dumps(PromptCache(memory=memory)))

        assert recall(other.memory, Table.PLACES, PLACE)
        assert other.memory.key == memory.key
        other.memory.close()

"""What is remembered: by whom, for how long, how much, and what a call is where nothing is."""

import asyncio
import copy
import logging
import multiprocessing
import os
import pickle
import threading
from functools import partial

import pytest
from builders import NOVA, SONNET, assistant, marks, point, result, text, tool, usage, use, user
from memories import Empty, Full, Late, Raising

from cachepoint import CachePolicy, PromptCache
from cachepoint.core import cache as core
from cachepoint.core.memory.counts import FADE, Count, Counts, Returned, Tried
from cachepoint.core.memory.deeds import Claim, Forget, Learned, Release, Seen
from cachepoint.core.memory.records import CLAIM_SECONDS, Change, Changes, Cut, Row, Texts, Trace
from cachepoint.core.prompt import digests
from cachepoint.core.prompt.documents import MIN_DOCUMENT, retrieved
from cachepoint.core.prompt.overlap import common
from cachepoint.core.prompt.sketches import Sketch
from cachepoint.core.prompt.transcripts import Transcripts
from cachepoint.memory import LIMITS, Limit, LocalMemory, Table
from tests.work import work

NOW = 1_795_000_000.0


@pytest.fixture
def clock():
    return [NOW]


def made(clock, memory=None, **options):
    return PromptCache(CachePolicy(), lambda: clock[0], memory=memory, key=b"k", **options)


def turns(count=4, system=2_000):
    """The requests of one conversation with tools, each with the answer that Bedrock gives."""
    messages = [user(text(40, "q0"))]
    for n in range(count):
        yield {
            "system": [text(system)],
            "toolConfig": {"tools": [tool("a", 400)]},
            "messages": list(messages),
        }
        messages += [assistant(use("a", f"t{n}")), user(result(f"t{n}", 300))]


def sent(cache):
    """What leaves over a conversation."""
    requests = []
    for n, request in enumerate(turns()):
        call = cache.prepare(request, model_id=SONNET)
        requests.append(call.request)
        cache.began(call)
        cache.settle(call, usage(read=2_400 * bool(n), write=320))
    return requests


def record(memory, *changes, now=NOW):
    return memory.record(Changes(now, changes), 1.0)


class Asked:
    """A question for a few keys."""

    def __init__(self, table, *keys, now=NOW):
        self.keys, self.now = {table: keys}, now

    def more(self, _):
        return {}


def recall(memory, table, *keys, now=NOW):
    return memory.recall(Asked(table, *keys, now=now), 1.0)[table]


class TestFailing:
    @pytest.mark.parametrize("memory", [Raising, Late])
    def test_every_call_goes_out_as_with_an_empty_memory(self, clock, memory, caplog):
        failing = made(clock, memory())

        assert sent(failing) == sent(made(clock, Empty()))
        assert failing.faults > 0
        assert [r.levelno for r in caplog.records].count(logging.WARNING) == 1

    def test_awaited_memories_fail_alike(self, clock):
        async def told(cache):
            requests = []
            for request in turns():
                call = await cache.aprepare(request, model_id=SONNET)
                requests.append(call.request)
                await cache.abegan(call)
                await cache.asettle(call, usage(write=2_400))
                await cache.aabandon(call)
            return requests

        assert asyncio.run(told(made(clock, Raising()))) == asyncio.run(told(made(clock, Empty())))

    def test_a_call_gives_its_memory_no_more_than_its_deadline(self, clock, monkeypatch):
        memory = Late()
        monkeypatch.setattr(core, "Allowance", memory.allowance)
        cache = made(clock, memory, memory_timeout=0.1)
        call = cache.prepare(next(turns()), model_id=SONNET)
        cache.began(call)
        cache.settle(call, usage(write=2_400))

        assert memory.given == [0.1, 0.0, 0.0, 0.0]

    def test_what_a_full_memory_holds_still_serves(self, clock):
        memory = Full()
        first, second, *_ = turns()
        cache = made(clock, memory)
        cache.settle(cache.prepare(first, model_id=SONNET), usage(write=2_440))
        memory.full = True
        calls = [cache.prepare(second, model_id=SONNET) for _ in range(2)]

        assert [c.plan.expected_read_tokens for c in calls] == [2_440, 2_440]
        assert calls[0].request == calls[1].request

    def test_an_option_that_is_no_memory_is_refused_when_given(self):
        with pytest.raises(ValueError, match=r"memory is 'dict'; give a cachepoint.memory.Memory"):
            PromptCache(memory={})
        with pytest.raises(ValueError, match="namespace is 5; give a text"):
            PromptCache(namespace=5)
        with pytest.raises(ValueError, match="clock is 5; give a function"):
            PromptCache(clock=5)
        with pytest.raises(ValueError, match="memory_timeout is -1; use 0 to 60 seconds"):
            PromptCache(memory_timeout=-1)

    def test_the_old_name_goes_on_with_a_warning(self, clock):
        with pytest.warns(DeprecationWarning, match="memory=") as warned:
            cache = PromptCache(store=LocalMemory())
        assert warned[0].filename == __file__
        assert cache.prepare(next(turns()), model_id=SONNET).plan.checkpoints


class TestWorkers:
    def test_two_caches_place_as_one(self, clock):
        """The same conversation, its turns dealt out to two workers that share a memory and a key."""
        document = "The pump is primed by hand, as everybody knows. " * 80
        retrieved.announce([document])
        requests = [
            {
                "system": [text(1_500)],
                "messages": [
                    user({"text": f"{document}\n\nQuestion: how?"}),
                    *[m for n in range(turn) for m in (assistant(text(30, f"{n}")), user(text(60, f"{n}")))],
                ],
            }
            for turn in range(6)
        ]
        shared = LocalMemory()
        pair = [made(clock, shared), made(clock, shared)]
        alone = [made(clock, LocalMemory())] * 2

        def placed(caches):
            out = []
            for n, request in enumerate(requests):
                clock[0] += 5
                call = caches[n % 2].prepare(request, model_id=SONNET)
                caches[n % 2].settle(call, usage(read=2_000 * bool(n), write=400))
                out.append(call.request)
            return out

        together = placed(pair)
        clock[0] = NOW
        assert together == placed(alone)
        assert len([b for b in together[-1]["messages"][0]["content"] if "text" in b]) == 2

    def test_a_text_that_one_worker_cut_is_cut_so_by_the_other(self, clock):
        """The second worker's retriever never announced the document."""
        document = "Close the valve before the pump is opened. " * 80
        request = {"messages": [user({"text": f"{document}\n\nQuestion: when?"})]}
        shared = LocalMemory()
        retrieved.announce([document])
        first = made(clock, shared).prepare(request, model_id=SONNET).request
        retrieved.__init__(least=MIN_DOCUMENT)

        assert made(clock, shared).prepare(request, model_id=SONNET).request == first
        assert made(clock, LocalMemory()).prepare(request, model_id=SONNET).request != first

    def test_of_two_that_decide_at_once_one_writes(self, clock):
        """1,000 tries: each on a prefix that nobody has written."""
        tries, shared = 1_000, LocalMemory()
        caches = [made(clock, shared), made(clock, shared)]
        requests = [{"messages": [user(text(1_500, f"{n} "))]} for n in range(tries)]
        barrier = threading.Barrier(2)
        claimed = [[], []]

        def work(worker):
            for request in requests:
                barrier.wait()
                call = caches[worker].prepare(request, model_id=SONNET, policy={"tail": "always"})
                claimed[worker].append(len(call.claimed))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [a + b for a, b in zip(*claimed, strict=True)] == [1] * tries

    def test_the_loser_of_a_cut_decides_once_more(self, clock):
        """Between recall and record another worker cut the text elsewhere."""
        document = "Grease the bearing with the grey grease. " * 80
        retrieved.announce([document])
        request = {"messages": [user({"text": f"{document}\n\nQuestion: which?"})]}

        class Contested(LocalMemory):
            def record(self, changes, timeout):
                for change in changes.all:
                    if change.table is Table.CUTS:
                        super().record(
                            Changes(changes.now, (Change(Table.CUTS, change.key, Cut(1_200, "documents")),)),
                            1,
                        )
                return super().record(changes, timeout)

        content = made(clock, Contested()).prepare(request, model_id=SONNET).request["messages"][0]["content"]
        assert len(next(b["text"] for b in content if "text" in b)) == 1_200

    def test_namespaces_and_endpoints_share_nothing(self, clock):
        """C17: what was sent to one endpoint is not compared with what was sent to another."""
        shared, request = LocalMemory(), next(turns())
        for namespace, region in (("a", "here"), ("a", "there"), ("b", "here")):
            cache = made(clock, shared, namespace=namespace)
            call = cache.prepare(request, model_id=SONNET, region=region)
            assert cache.settle(call, usage(write=2_440)).miss.cause == "first_write"


class TestClaims:
    def test_c3_a_writer_that_was_interrupted_holds_nothing_for_ever(self, clock):
        """C3: ten hours later nobody is writing."""
        cache, request = made(clock), next(turns())
        cache.prepare(request, model_id=SONNET)
        clock[0] += 36_000

        assert (
            cache.settle(cache.prepare(request, model_id=SONNET), usage(write=2_440)).miss.cause
            == "first_write"
        )

    def test_c4_a_call_that_failed_forgets_nothing_of_another(self, clock):
        """C4: of two overlapping calls with one prefix, one fails; and a late word of one that was settled."""
        cache, request = made(clock), next(turns())
        one, two = (cache.prepare(request, model_id=SONNET) for _ in range(2))
        cache.settle(one, usage(write=2_440))
        cache.abandon(two)
        cache.abandon(one)

        assert cache.prepare(request, model_id=SONNET).plan.expected_read_tokens == 2_440

    def test_a_claim_ends_when_the_answer_begins(self, clock):
        cache, request = made(clock), next(turns())
        first = cache.prepare(request, model_id=SONNET)
        assert first.claimed
        assert not cache.prepare(request, model_id=SONNET).claimed
        cache.began(first)

        later = cache.prepare(request, model_id=SONNET)
        assert later.plan.expected_read_tokens == pytest.approx(2_440, rel=0.1)

    def test_a_claim_ends_with_a_failure(self, clock):
        cache, request = made(clock), next(turns())
        cache.abandon(cache.prepare(request, model_id=SONNET))

        assert cache.prepare(request, model_id=SONNET).claimed

    def test_it_is_held_by_whoever_came_first_for_as_long_as_it_lives(self):
        first = Claim(b"a", NOW).over(None)

        assert Claim(b"b", NOW + 1).over(first) is first
        assert Claim(b"b", NOW + CLAIM_SECONDS + 1).over(first).holder == b"b"
        assert Release(b"b").over(first) is first
        assert Release(b"a").over(first).holder == b""


class TestRecords:
    def test_what_a_later_call_told_is_not_forgotten(self):
        place = Learned("5m", NOW, 2_000).over(None)

        assert Forget(NOW - 1).over(place) is place
        assert not Forget(NOW).over(place).expires

    def test_a_late_answer_shortens_no_entry(self):
        place = Learned("1h", NOW).over(None)

        assert Learned("5m", NOW + 10).over(place).expires == NOW + 10 + 3_600
        assert Learned("5m", NOW - 10).over(place).expires == NOW + 3_600

    def test_counts_are_added_and_fade(self):
        counts = None
        for _ in range(200):
            counts = Counts({"a": Count(1, 1)}).over(counts)

        assert counts.by_name["a"].tries == pytest.approx(FADE)
        assert counts.by_name["a"].hits == counts.by_name["a"].tries

    def test_names_of_counts_are_bounded(self):
        counts = None
        for n in range(2_000):
            counts = Counts({f"again:{n}": Count(0, 1)}).over(counts)

        assert len(counts.by_name) == 256
        assert "again:1999" in counts.by_name

    def test_what_counts_weigh_is_kept_up_to_date(self):
        counts = Counts({})
        for n in range(600):
            counts = Tried(f"again:{n % 300}", float(n)).over(counts)
            counts = Returned(f"again:{n % 300}", float(n), 5.0).over(counts) if n % 3 else counts

        assert len(counts.by_name) == 256
        assert counts.weight == Counts(counts.by_name).weight

    def test_the_first_cut_stays(self):
        assert Cut(7, "documents").over(Cut(5, "stable")).at == 5

    def test_blocks_compare(self):
        def blocks(digests):
            return b"".join(d * 8 for d in digests)

        assert common(blocks([b"a", b"b", b"c"]), blocks([b"a", b"b"])) == 2
        assert common(blocks([b"a", b"c"]), blocks([b"a", b"b"])) == 1
        assert common(blocks([b"a", b"b", b"x", b"y"]), blocks([b"a", b"b", b"c"])) == 2
        assert common(blocks([b"a"]), blocks([b"b"])) == 0

    def test_what_follows_a_change_is_done_where_it_changed_anything(self):
        memory = LocalMemory()
        then = (Change(Table.COUNTS, b"app", Counts({"a": Count(0, 1)})),)
        claim = Change(Table.PLACES, b"p", Claim(b"a", NOW), then)
        record(memory, claim)
        record(memory, claim)

        assert recall(memory, Table.COUNTS, b"app")[b"app"].by_name["a"].tries == 1


WEIGHTY = {
    Table.PLACES: lambda n: Seen(NOW),
    Table.COUNTS: lambda n: Counts({str(i): Count(1, 1) for i in range(50)}),
    Table.CUTS: Cut,
    Table.TEXTS: lambda n: Texts((Sketch(b"x" * 4_000),)),
    Table.LAST: lambda n: Trace((), b"s", (b"", b"", b""), b"x" * 8_000),
    Table.TURNS: lambda n: Trace((), b"s", (b"", b"", b""), b"x" * 8_000),
    Table.ROWS: lambda n: Row(frozenset({"tools"})),
}


class TestBounds:
    @pytest.mark.parametrize("table", Table)
    def test_a_table_is_bounded_in_bytes(self, table):
        limit = Limit(10**9, 10**9, 200_000)
        memory = LocalMemory({table: limit})
        for n in range(2_000):
            record(memory, Change(table, b"%d" % n, WEIGHTY[table](n)))

        _, size = memory.sizes()[table]
        assert 0 < size <= limit.bytes
        assert size == sum(row[2] for row in memory._tables[table]._rows.values())
        assert recall(memory, table, b"1999", b"0").keys() == {b"1999"}

    @pytest.mark.parametrize("table", Table)
    def test_a_table_is_bounded_in_records_and_age(self, table):
        memory = LocalMemory({table: Limit(10, 60.0, 10**9)})
        for n in range(20):
            record(memory, Change(table, b"%d" % n, WEIGHTY[table](n)))
        assert memory.sizes()[table][0] == 10

        assert not recall(memory, table, b"19", now=NOW + 61)
        record(memory, Change(table, b"new", WEIGHTY[table](0)), now=NOW + 61)
        assert memory.sizes()[table][0] == 1

    @pytest.mark.parametrize("table", Table)
    def test_what_is_used_stays(self, table):
        memory = LocalMemory({table: Limit(10, 60.0, 10**9)})
        for n in range(20):
            others = [Change(table, b"%d %d" % (n, i), WEIGHTY[table](i)) for i in range(9)]
            record(memory, Change(table, b"used", WEIGHTY[table](0)), *others)

        assert recall(memory, table, b"used")

    def test_recall_changes_nothing_not_even_what_goes_next(self):
        memory = LocalMemory({Table.PLACES: Limit(2, 60.0, 10**9)})
        for key in (b"a", b"b"):
            record(memory, Change(Table.PLACES, key, Seen(NOW)))
        recall(memory, Table.PLACES, b"a")
        record(memory, Change(Table.PLACES, b"c", Seen(NOW)))

        assert recall(memory, Table.PLACES, b"a", b"b").keys() == {b"b"}

    def test_b2_a_text_in_constant_use_is_cut_as_before(self, clock):
        """B2: while many other texts go by, and no longer announced."""
        limit = Limit(64, 10**9, 10**9)
        cache = made(clock, LocalMemory({Table.CUTS: limit}))
        document = "Drain the sump every second week. " * 60
        retrieved.announce([document])
        request = {"messages": [user({"text": f"{document}\n\nQuestion: when?"})]}
        first = cache.prepare(request, model_id=SONNET).request
        retrieved.__init__(least=MIN_DOCUMENT)
        for n in range(500):
            cache.prepare({"messages": [user(text(400, f"{n} "))]}, model_id=SONNET)
            if n % 30 == 0:
                cache.prepare(request, model_id=SONNET)
        cache._transcripts = Transcripts()

        assert cache.prepare(request, model_id=SONNET).request == first

    def test_d5_long_conversations_are_bounded_in_bytes(self, clock):
        """D5: many conversations of thousands of blocks."""
        cache = made(clock)
        for n in range(12):
            content = [{"text": f"{n} {i}"} for i in range(4_000)]
            cache.prepare({"messages": [user(*content)]}, model_id=SONNET)

        for table, (records, size) in cache.memory.sizes().items():
            assert records <= LIMITS[table].records
            assert size <= LIMITS[table].bytes
        assert cache._transcripts.bytes <= 24 << 20


def _in_child(cache, request, answers):
    call = cache.prepare(request, model_id=SONNET)
    answers.send((cache.faults, marks(call.request), call.plan.expected_read_tokens, len(cache.observers)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
class TestForks:
    def test_a8_a9_a_child_of_a_busy_parent_goes_on_as_the_parent_was(self, clock):
        """A8, A9: gunicorn prefork while a thread prepares; key, memory and observers as they were."""
        cache = made(clock, observers=[print])
        first, second, *_ = turns()
        cache.settle(cache.prepare(first, model_id=SONNET), usage(write=2_440))
        stop = threading.Event()

        def busy():
            n = 0
            while not stop.is_set():
                n += 1
                cache.prepare({"system": [text(3_000, f"{n}")], "messages": [user(text(9))]}, model_id=SONNET)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            context = multiprocessing.get_context("fork")
            for _ in range(10):
                here, there = context.Pipe(duplex=False)
                child = context.Process(target=_in_child, args=(cache, second, there), daemon=True)
                child.start()
                assert here.poll(20), "the child hangs"
                faults, marked, expected, observers = here.recv()
                child.join(20)
                assert (faults, expected, observers) == (0, 2_440, 1)
                assert marked
        finally:
            stop.set()
            thread.join()


class TestCopies:
    def test_a9_a_copy_is_the_same_cache(self, clock):
        """A9: a deepcopied model goes on with what is known."""
        cache = made(clock)

        assert copy.deepcopy(cache) is cache
        assert copy.copy(cache) is cache

    def test_a9_pickled_it_keeps_key_policy_and_observers(self):
        """A9: the memory of this process stays here; all else is as it was."""
        cache = PromptCache(
            CachePolicy(ttl="1h"), key=b"k", observers=[print], namespace="n", memory_timeout=0.5
        )
        other = pickle.loads(pickle.dumps(cache))

        assert (other.policy, other.observers, other.namespace) == (cache.policy, [print], "n")
        assert other._digester.one(b"x") == cache._digester.one(b"x")
        assert not any(records for records, _ in other.memory.sizes().values())


class TestText:
    def test_c14_a_call_shows_no_text(self, clock):
        """C14: `repr(Call)` in a log or a traceback."""
        request = {"system": [text(2_000, "secret")], "messages": [user(text(9, "secret"))]}

        assert "secret" not in repr(made(clock).prepare(request, model_id=SONNET))

    def test_c5_documents_that_are_off_cost_nothing(self, clock):
        """C5: ten distinct documents in the system prompt are written by nobody."""
        cache = made(clock)
        for n in range(10):
            document = f"Leaflet {n}. " + "The pump is primed by hand. " * 200
            retrieved.announce([document])
            request = {
                "system": [{"text": f"Answer from:\n{document}\nBe short."}],
                "messages": [user(text(9))],
            }
            assert marks(cache.prepare(request, model_id=SONNET, policy={"documents": "off"}).request) == []


class Held:
    """A value of a request that takes as long to serialise as the test wants."""

    def __init__(self):
        self.reached, self.go = threading.Event(), threading.Event()

    def __repr__(self):
        self.reached.set()
        assert self.go.wait(20)
        return "held"


class TestWork:
    def test_d3_nobody_waits_while_another_hashes(self, clock):
        """D3: a large request is hashed in one thread; the others go on."""
        cache, held = made(clock), Held()
        heavy = {"messages": [user({"toolResult": {"toolUseId": "t", "content": [{"json": {"x": held}}]}})]}
        thread = threading.Thread(target=cache.prepare, args=(heavy, SONNET))
        thread.start()
        try:
            assert held.reached.wait(20)
            assert cache.prepare({"messages": [user(text(9))]}, model_id=SONNET).request
        finally:
            held.go.set()
            thread.join()
        assert cache.faults == 0

    @pytest.mark.parametrize("kind", ["tools", "chat"])
    def test_d4_what_was_there_a_turn_ago_costs_next_to_nothing(self, clock, kind):
        """D4: the work of a turn does not grow with the transcript in front of it."""

        def transcript(count):
            messages = [user(text(40))]
            for n in range(count):
                said = (
                    (use("a", f"{n}"), result(f"{n}", 30))
                    if kind == "tools"
                    else (text(30, f"{n}"), text(30, f"q{n}"))
                )
                messages += [assistant(said[0]), user(said[1])]
            return {"system": [text(1_500)], "toolConfig": {"tools": [tool("a", 50)]}, "messages": messages}

        def settled(cache, request):
            cache.settle(cache.prepare(request, model_id=SONNET), usage(read=1_500, write=9))

        def turn(count):
            cache, longer = made(clock), transcript(count + 1)
            for messages in (longer["messages"][:-2], longer["messages"]):
                request = copy.deepcopy({**longer, "messages": messages})
                done = work(partial(settled, cache, request))
            return done

        assert turn(400) < 3 * turn(50)

    @pytest.mark.parametrize(
        ("before", "now"),
        [
            ({"x": 1}, {"x": 1.0}),
            ({"x": 1}, {"x": True}),
            ({"x": 0.0}, {"x": -0.0}),
            ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
            ({"held": {"a": "1", "b": "2"}}, {"held": {"b": "2", "a": "1"}}),
        ],
    )
    @pytest.mark.parametrize("where", ["schema", "input", "json"])
    def test_d4_what_is_equal_and_not_the_same_is_read_anew(self, clock, before, now, where):
        """D4: a comparison takes 1 and True, and keys in another order, for the same; the wire does not."""

        def request(value):
            held = {"schema": {}, "input": {}, "json": {}, where: value}
            spec = {"name": "a", "inputSchema": {"json": held["schema"]}}
            called = {"toolUse": {"toolUseId": "t", "name": "a", "input": held["input"]}}
            answer = {"toolResult": {"toolUseId": "t", "content": [{"json": held["json"]}]}}
            messages = [user(text(2_000)), assistant(called), user(answer), assistant(text(9)), user(text(9))]
            return {"toolConfig": {"tools": [{"toolSpec": spec}]}, "messages": messages}

        def digests_of(cache, value):
            return cache.prepare(request(value), model_id=SONNET).case.prefix.digests

        cache, fresh = made(clock), made(clock)
        assert digests_of(cache, before) != digests_of(cache, now)
        assert digests_of(cache, now) == digests_of(fresh, now)

    def test_d4_what_came_later_is_compared_exactly_as_well(self, clock):
        """D4: of what a transcript grew by, and not only of what it began with."""

        def messages(value):
            called = {"toolUse": {"toolUseId": "t", "name": "a", "input": {"x": value}}}
            yield user(text(2_000))
            yield from (assistant(called), user(result("t", 30)), assistant(text(9)), user(text(9)))

        def digests_of(cache, value, count=5):
            request = {"messages": [*messages(value)][:count]}
            return cache.prepare(request, model_id=SONNET).case.prefix.digests

        cache = made(clock)
        for count in (1, 3, 5):
            ones = digests_of(cache, 1, count)

        # Where a request parts from the transcript, what stood behind that is not looked for in it.
        other = {"messages": [*[*messages(1)][:1], assistant(text(9)), user(text(9))]}
        assert cache.prepare(other, model_id=SONNET).case.prefix.digests[0] == ones[0]
        assert cache.faults == 0
        assert digests_of(cache, True) != ones
        assert digests_of(cache, True) == digests_of(made(clock), True)

    def test_d4_what_goes_on_is_as_if_it_were_read_afresh(self, clock):
        """D4: all that is known of a prefix, and not its digests alone."""
        paper = {"document": {"format": "pdf", "name": "d", "source": {"bytes": b"x" * 9_000}}}
        first = user(paper, text(300), point("1h"))
        longer = [first, assistant(text(30)), user(text(30)), assistant(text(9)), user(text(9))]
        cache = made(clock)
        for count in (1, 5, 3, 5):
            request = {"system": [text(2_000)], "messages": longer[:count]}
            prefix = cache.prepare(request, model_id=SONNET).case.prefix
            assert prefix == made(clock).prepare(request, model_id=SONNET).case.prefix
            assert prefix.ends
            assert prefix.hand

    def test_d6_a_history_that_nobody_wrote_is_linear(self, clock):
        """D6: a chat with new documents in every turn, each a place that was seen and is not held."""

        def settled(cache, request):
            clock[0] += 0.01
            call = cache.prepare(request, model_id=NOVA)
            read = call.plan.expected_read_tokens or 0
            marked = max((c.tokens for c in call.plan.checkpoints), default=read)
            cache.settle(call, usage(read=read, write=marked - read))

        def turn(count):
            cache, messages = made(clock), []
            for n in range(count):
                found = text(300, f"d{n}")["text"]
                retrieved.announce([found])
                messages.append(user({"text": f"{found}\n\nQuestion {n}?"}))
                done = work(partial(settled, cache, {"messages": list(messages)}))
                messages.append(assistant(text(50, f"a{n}")))
            return done

        assert turn(200) < 5 * turn(50)

    def test_a_turn_that_is_read_leaves_one_place_in_the_memory(self, clock):
        """What is in between two turns was awaited as well, and never told of anything."""
        memory = LocalMemory()
        cache, messages, held = made(clock, memory), [], []
        for n in range(30):
            messages.append(user(text(100, f"q{n}")))
            clock[0] += 20
            call = cache.prepare({"system": [text(3_000)], "messages": list(messages)}, model_id=SONNET)
            read = call.plan.expected_read_tokens or 0
            cache.settle(call, usage(read=read, write=call.plan.checkpoints[-1].tokens - read))
            messages.append(assistant(text(100, f"a{n}")))
            held.append(memory.sizes()[Table.PLACES][0])

        assert held[-1] - held[9] == 20

    def test_d4_a_large_file_is_compared_not_hashed_again(self, clock, monkeypatch):
        """D4: a PDF in every call, in new bytes each time."""
        cache = made(clock)
        hashed = []
        real = digests._hashed
        monkeypatch.setattr(digests, "_hashed", lambda data: hashed.append(len(data)) or real(data))
        for n in range(4):
            document = {
                "document": {
                    "format": "pdf",
                    "name": "d",
                    "source": {"bytes": bytes(bytearray(b"x" * 300_000))},
                }
            }
            cache.prepare(
                {"system": [text(40, f"{n}")], "messages": [user(document, {"text": "?"})]}, model_id=SONNET
            )

        assert hashed == [300_000]

    def test_the_memo_tells_one_from_true(self, clock):
        """1, 1.0 and True are equal in Python and not the same on the wire."""
        cache = made(clock)

        def expected(value):
            messages = [
                user(text(40)),
                assistant({"toolUse": {"toolUseId": "t", "name": "a", "input": {"x": value}}}),
            ]
            call = cache.prepare({"messages": [*messages, user(result("t", 2_000))]}, model_id=SONNET)
            cache.settle(call, usage(write=2_060))
            return call.plan.expected_from

        assert [expected(1), expected(1), expected(True), expected(1.0), expected(1)] == [
            None,
            2,
            None,
            None,
            2,
        ]

    def test_memos_are_bounded_in_bytes_and_age(self):
        now = [0.0]
        memo = digests.Memo(size=10_000, age=60.0, clock=lambda: now[0])
        for n in range(1_000):
            memo.put(n, n, 500)
        assert len(memo._young) + len(memo._old) <= 2 * 10_000 / 800 + 2

        now[0] = 61.0
        memo.put("new", 1, 1)
        now[0] = 122.0
        memo.put("newer", 1, 1)
        assert memo.get(999) is None
        assert memo.get("new") == 1

    def test_what_a_memo_finds_again_weighs_what_it_weighed(self):
        memo = digests.Memo(size=10_000)
        for n in range(8):
            memo.put(n, n, 1_000)
        # Eight opened a generation; those before it move there.
        assert [memo.get(n) for n in range(7)] == [*range(7)]
        for n in range(8, 20):
            memo.put(n, n, 1_000)
            assert len(memo._young) * 1_300 <= 10_000 + 1_300


class TestUnknown:
    def test_c2_usage_that_says_nothing_of_the_cache_gives_no_verdict(self, clock):
        """C2: no cache keys, or a turn that a guardrail blocked with all counts 0."""
        cache, request = made(clock), next(turns())
        cache.settle(cache.prepare(request, model_id=SONNET), usage(write=2_440))
        for silent in (
            {"usage": {"inputTokens": 2_440, "outputTokens": 5, "totalTokens": 2_445}},
            usage(fresh=0),
            {},
        ):
            call = cache.prepare(request, model_id=SONNET)
            assert cache.settle(call, silent).miss is None

        assert cache.prepare(request, model_id=SONNET).plan.expected_read_tokens == 2_440

    def test_e6_a_model_without_caching_is_a_warning_once(self, clock, caplog):
        """E6: at INFO nobody sees it."""
        cache = made(clock)
        for _ in range(2):
            cache.prepare(next(turns()), model_id="made.up\nforged-model")

        assert [r.levelname for r in caplog.records] == ["WARNING"]
        assert "\n" not in caplog.records[0].getMessage()


def test_what_tools_are_made_of_takes_no_place_among_the_last_requests(clock):
    """Placement remembers as many conversations with forty tools as without."""
    memory = LocalMemory()
    cache = made(clock, memory)
    tools = {"toolConfig": {"tools": [tool(f"t{i}", 100) for i in range(40)]}}
    cache.prepare({**tools, "messages": [user(text(40))]}, SONNET)
    _, last = memory.sizes()[Table.LAST]
    _, turns = memory.sizes()[Table.TURNS]

    assert last < 2_000 < turns

"""The benchmarks run, with the smallest of inputs; what they find is not looked at."""

import logging
import math

import pytest

CASES = range(19)


@pytest.fixture(autouse=True)
def _unlogged():
    """What is fuzzed logs half surrogate pairs, which no worker of pytest can send to another."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@pytest.mark.parametrize("kind", ["chat", "tool-rich"])
def test_overhead_runs(kind):
    import overhead

    found = overhead.measure(kind, rounds=2, messages=8)

    assert found["tokens"] > 0
    assert all(math.isfinite(value) for value in found.values())


def test_no_case_of_hostile_is_forgotten_here():
    import hostile

    assert len(hostile.CASES) == len(CASES)


@pytest.mark.parametrize("number", CASES)
def test_a_case_of_hostile_runs(number, monkeypatch):
    import hostile

    monkeypatch.setattr(hostile, "TIMES", 2)
    case = hostile.CASES[number]
    steps = case.steps(max(case.size // 400, 2))
    measured = list(hostile.spent(steps) if case.unit == "ms" else hostile.grown(steps))

    assert measured
    assert all(math.isfinite(value) for value in measured)


def test_the_wait_beside_a_heavy_thread_is_measured():
    import hostile

    found = hostile.waits(lambda i: hostile.request(hostile.text(i, 20_000), "hi"), times=2)

    assert found["alone"] > 0
    assert found["median"] <= found["worst"]


def test_growth_runs():
    import growth

    before, after = growth.run(60, 30)

    assert before > 0
    assert after > 0


def test_a_hundredth_of_the_fuzz_leaves_the_emulator_as_it_was():
    """200,000 bodies of noise and 50,000 requests in `make long`; through HTTP, to a process of its own."""
    import fuzz

    with fuzz.emulator() as (port, pid):
        found, grown = fuzz.run(port, pid, noises=2_000, valids=500, seed=7)

    assert found.wrong == []
    assert found.statuses.keys() <= fuzz.ALLOWED
    assert found.statuses[200] >= 500
    assert found.statuses.total() == 2_500
    assert grown < fuzz.BOUND_MB


def test_the_fuzz_sees_what_is_wrong():
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    import fuzz

    class Broken(BaseHTTPRequestHandler):
        def do_POST(self):
            # All is read, or what the client still sends is met by a reset.
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            while "Transfer-Encoding" in self.headers and (size := int(self.rfile.readline(), 16)):
                self.rfile.read(size + 2)
            self.send_error(500)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        found = fuzz.client(server.server_port, 3, 2, seed=1)
        server.shutdown()

    assert found.statuses == {500: 5}
    assert len(found.wrong) == 5


def test_deadline_runs(monkeypatch):
    import deadline

    monkeypatch.setattr(deadline, "DEADLINES", (0.001,))
    found = deadline.measure(rounds=1)

    assert found["plain"]["call"] > 0
    assert all(found[f"{name}, 1 ms"]["sleep"] >= 0.001 for name in deadline.LATE)


def test_the_agents_streams_begin_sooner_with_caching():
    """At a twentieth of the time; the first call, which reads nothing, is the only miss."""
    pytest.importorskip("langchain_aws", reason="the LangChain extra is not installed")
    import latency

    found = {name: latency.run(mode, speed=20) for name, mode in latency.MODES.items()}

    assert latency.wrong(found) == []
    assert found["without"]["calls"] == found["with"]["calls"] >= 8
    # 0.5 s, and then 0.11 s for each 1,000 of some 4,000 tokens: the instructions alone.
    assert found["without"]["session"]["misses"] > 0.5 + 0.11 * 3
    assert found["without"]["session"]["hits"] is None
    assert found["with"]["session"]["hits"] < found["without"]["session"]["misses"]
    assert "without" in latency.table(found)


@pytest.mark.parametrize("fan_out", ["warm_first", "single_flight", "off"])
@pytest.mark.parametrize("way", ["LangChain abatch", "LlamaIndex workers", "LlamaIndex achat", "threads"])
def test_what_twenty_calls_at_once_pay_for_their_prefix(way, fan_out):
    """The one benchmark whose figures are promised: 1.25 + 19 * 0.1, 1.25 + 19, 20 * 1.25."""
    pytest.importorskip("llama_index.llms.bedrock_converse", reason="the LlamaIndex extra is not installed")
    pytest.importorskip("langchain_aws", reason="the LangChain extra is not installed")
    import fan_out as benchmark

    found = benchmark.measure(way, fan_out, delay=1.0)

    assert found["prefix"] <= benchmark.BOUNDS[fan_out]
    assert found["writers"] == (20 if fan_out == "off" else 1)
    assert found["then"] == pytest.approx(0.1)


def test_placement_is_never_far_above_the_best_of_the_layouts():
    """Agents and single calls: what is learned there must not cost."""
    import placement

    agent, letters = (placement.ratios(name, seed=3) for name in ("agent", "letters"))

    assert agent["cachepoint"] <= 1.005 * min(agent.values())
    assert letters["cachepoint"] <= 1.005
    assert letters["system and tail"] > 1.2


def test_what_a_retriever_does_not_announce_is_found():
    import placement

    found = placement.ratios("examples", seed=3)

    assert found["cachepoint"] <= 0.2
    assert min(ratio for name, ratio in found.items() if name != "cachepoint") >= 1


def test_the_start_of_the_plugin_is_measured():
    import plugin_start

    found = plugin_start.measure(runs=1)

    assert found.keys() == {"with", "without"}
    assert all(clock > cpu * 0.1 > 0 for runs in found.values() for clock, cpu in runs)


def test_a_machine_that_changes_its_speed_moves_no_median_of_the_start():
    import plugin_start

    found = {"with": [(0.31, 0), (0.61, 0), (0.62, 0)], "without": [(0.3, 0), (0.3, 0), (0.6, 0)]}

    assert plugin_start.later(found) == pytest.approx(20)


@pytest.fixture
def redis():
    """What the benchmarks of a fleet start; skipped where there is none."""
    pytest.importorskip("redis", reason="the redis extra is not installed")
    import redis_server

    if redis_server.SERVER is None:
        pytest.skip(reason=redis_server.MISSING)
    with redis_server.redis_server() as server:
        yield server


@pytest.mark.parametrize("fan_out", ["warm_first", "single_flight"])
def test_what_twenty_calls_over_eight_processes_pay_for_their_prefix(redis, fan_out):
    """Its figures are promised: 1.25 + 19 * 0.1, 1.25 + 19; exactly one of the twenty writes."""
    import fleet

    found = fleet.at_once(redis, fan_out)

    assert found["prefix"] <= fleet.AT_ONCE[fan_out]
    assert found["writers"] == 1
    assert found["then"] == pytest.approx(0.1)


def test_workers_that_share_a_memory_cost_what_one_process_does(redis):
    import fleet

    (row,) = fleet.hopping(redis, seed=3, names=("casefile",)).values()

    assert row["shared"] <= fleet.BOUND * row["one"]
    assert row["apart"] > 1.1 * row["one"]


@pytest.mark.parametrize("fault", ["killed", "stalled", "full", "restarted"])
def test_no_call_fails_for_its_store(redis, fault):
    import fleet_faults

    found = fleet_faults.measure(fault, calls=60)

    assert (found["calls"], found["failed"], found["faults"]) == (60, 0, 0)
    assert found["back"] < 30


def test_the_parts_of_a_call_s_time_are_measured(redis):
    import fleet_cpu

    found = fleet_cpu.measure(redis, rounds=8)

    for kind in fleet_cpu.KINDS:
        assert found[kind]["read"] > found[kind]["written"] > 0
        assert 0 < found[kind]["ratio"] < 5
    assert found["loop"]["longest shared"] > 0


def test_what_entries_take_is_measured(redis):
    import fleet_memory

    found = fleet_memory.measure(redis, 20_000)

    assert found["entries"]["count"] >= 20_000
    assert found["entries"]["a million"] < fleet_memory.MOST
    assert found["records"]["chat last"]["median"] > 100
    assert found["a call"]["turn of a chat"]["commands"] > 0


@pytest.mark.parametrize("ttl", ["5m", "auto"])
def test_keeping_alive_is_measured(ttl):
    import random
    from itertools import islice

    import keep_alive

    for stream in keep_alive.STREAMS.values():
        kept, _ = keep_alive.run(islice(stream(random.Random(1)), 3), ttl, keep_alive.MODEL, keeping=True)
        assert math.isfinite(kept)
    calls = islice(keep_alive.pauses(random.Random(1)), 14)
    _, refreshes = keep_alive.run(calls, "5m", keep_alive.MODEL, keeping=True)
    assert refreshes


def test_a_part_of_the_fuzz_of_calls_finds_nothing():
    """300,000 inputs in `make long`."""
    import fuzz_calls

    found = fuzz_calls.run(1_000, seed=7)

    assert found.wrong == []
    assert found.inputs == 1_000
    assert found.kinds.keys() == {"right", "grown", "wrong", "alien"}


def test_the_fuzz_of_calls_sees_what_is_wrong(monkeypatch):
    """A dialect that loses a block; one that raises, behind a guard; and one that changes what it is given."""
    import fuzz_calls

    from cachepoint.core.prompt.dialects import converse

    written, read, head = converse.write, converse.read, converse.head
    lost = lambda *args: {**written(*args), "messages": []}  # noqa: E731
    raising = lambda *args: read(*args) and 1 / 0  # noqa: E731

    def changing(request):
        request["messages"].append({"role": "user", "content": []})
        return head(request)

    for name, broken, says in (
        ("write", lost, "says something else"),
        ("read", raising, "ZeroDivisionError"),
        ("head", changing, "the request given is another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(converse, name, broken)
            wrong = fuzz_calls.run(60, seed=7).wrong
        assert any(says in one for one in wrong), name


def test_a_part_of_the_fuzz_of_readers_finds_nothing():
    """600,000 inputs in `make long`."""
    pytest.importorskip("orjson", reason="the audit extra is not installed")
    import fuzz_readers

    found = fuzz_readers.all_of((), 3_000, seed=7)

    with fuzz_readers.readers() as every:
        assert found.keys() == {reader.name for reader in every}
    assert [wrong for _, _, of_one in found.values() for wrong in of_one] == []


def test_the_fuzz_of_readers_sees_what_is_wrong():
    pytest.importorskip("orjson", reason="the audit extra is not installed")
    import fuzz_readers

    def fails(_):
        raise KeyError("x")

    reader = fuzz_readers.Reader("broken", 1, fuzz_readers.message, fails)
    assert len(fuzz_readers.run(reader, 3, seed=1)) == 3


def test_the_readers_shares_are_all_inputs():
    pytest.importorskip("orjson", reason="the audit extra is not installed")
    import fuzz_bytes
    import fuzz_readers

    with fuzz_readers.readers() as every:
        assert sum(reader.share for reader in every) == 1_000
        assert fuzz_bytes.SHARES.keys() <= {reader.name for reader in every}


def test_the_soak_runs():
    import soak

    found = list(soak.run(300, 100))

    assert [n for n, _ in found] == [100, 120, 150, 180, 210, 240, 270, 300]
    assert all(mb > 0 for _, mb in found)

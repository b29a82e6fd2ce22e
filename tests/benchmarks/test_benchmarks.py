"""The benchmarks run, with the smallest of inputs; what they find is not looked at."""

import math

import pytest

CASES = range(19)


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

"""logging, JSON lines and CloudWatch's embedded metric format."""

import io
import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachepoint import PromptCache, Usage, configure, observers
from cachepoint.core import listeners
from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.guard import Guard, InvalidOptionError
from tests.observers.reports import SONNET, START, report


class TestLog:
    def test_a_line_per_call(self, caplog):
        caplog.set_level(logging.INFO, "cachepoint.calls")
        one = report(100, 50, miss=Miss("expired", "system[0]", 70))
        observers.log()(one)

        assert caplog.messages[0].split() == [
            *("call", f"model={SONNET}", "conversation=c0ffee"),
            *("input=160", "read=100", "write_5m=50", "write_1h=0", "uncached=10", "output=5"),
            *(f"cost_usd={one.cost}", f"saved_usd={one.saved}"),
            *("miss=expired", "where=system[0]", "lost=70"),
        ]
        assert caplog.records[0].cachepoint == one.as_dict()

    def test_what_is_unknown_is_left_out(self, caplog):
        caplog.set_level(logging.DEBUG, "mine")
        observers.log("mine", logging.DEBUG)(report(model="made.up", usage=Usage(10, 5), conversation=None))

        assert caplog.messages == ["call model=made.up input=10 uncached=10 output=5"]

    def test_c15_a_model_id_makes_no_line_and_no_value_of_its_own(self, caplog):
        """C15: a model id with a newline, or with a blank and a figure behind it."""
        caplog.set_level(logging.INFO, "cachepoint.calls")
        for model in ("m\ncall model=other read=9", "m read=9", 'm"'):
            observers.log()(report(model=model, usage=Usage(10, 5)))

        assert all(len(message.splitlines()) == 1 for message in caplog.messages)
        assert caplog.messages[0].startswith('call model="m\\ncall model=other read=9" conversation=')
        assert caplog.messages[1].startswith('call model="m read=9" conversation=')
        assert caplog.messages[2].startswith('call model="m\\"" conversation=')

    def test_c12_small_amounts_have_no_exponent(self, caplog):
        """C12: neither 0E-7 nor 1.2e-06."""
        caplog.set_level(logging.INFO, "cachepoint.calls")
        observers.log()(report(0, 0, 1, 0, model="global.anthropic.claude-haiku-5-5"))

        assert "cost_usd=0.0000001 saved_usd=0 " in f"{caplog.messages[0]} "

    def test_levels_have_names(self, caplog):
        caplog.set_level(logging.WARNING, "mine")
        observers.log(logging.getLogger("mine"), "WARNING")(report())

        assert caplog.records[0].levelno == logging.WARNING

    def test_nothing_is_made_of_a_line_nobody_reads(self):
        logger = logging.getLogger("quiet")
        logger.setLevel(logging.ERROR)

        observers.log(logger)(None)


class TestJsonl:
    def test_it_appends_to_a_path(self, tmp_path):
        path = tmp_path / "calls.jsonl"
        for _ in range(2):
            observers.jsonl(path)(report(100, 50))

        assert [json.loads(line) for line in path.read_text().splitlines()] == [report(100, 50).as_dict()] * 2

    def test_a_file_that_was_moved_away_is_begun_anew(self, tmp_path):
        path = tmp_path / "calls.jsonl"
        sink = observers.jsonl(str(path))
        sink(report())
        path.rename(tmp_path / "calls.jsonl.1")
        sink(report())

        assert len(path.read_text().splitlines()) == 1

    @pytest.mark.parametrize("kind", ["path", "file"])
    def test_lines_of_many_threads_stay_whole(self, tmp_path, kind):
        path = tmp_path / "calls.jsonl"
        with path.open("w") as file, ThreadPoolExecutor(8) as pool:
            sink = observers.jsonl(path if kind == "path" else file)
            list(pool.map(lambda n: sink(report(n)), range(400)))

        reads = [json.loads(line)["usage"]["read_tokens"] for line in path.read_text().splitlines()]
        assert sorted(reads) == list(range(400))


class TestEmf:
    def test_a_line_is_a_metric(self):
        stream, one = io.StringIO(), report(100, 50, miss=Miss("expired", "system[0]", 70))
        observers.emf(stream, namespace="mine")(one)
        line = json.loads(stream.getvalue())

        assert line["_aws"]["Timestamp"] == START * 1000
        first, waste = line["_aws"]["CloudWatchMetrics"]
        assert first["Namespace"] == "mine"
        assert first["Dimensions"] == [["ModelId"]]
        assert {m["Name"]: line[m["Name"]] for m in first["Metrics"]} == {
            "Calls": 1,
            "InputTokens": 160,
            "UncachedTokens": 10,
            "CacheReadTokens": 100,
            "CacheWriteTokens": 50,
            "OutputTokens": 5,
            "CostUSD": float(one.cost),
            "SavedUSD": float(one.saved),
        }
        assert waste["Dimensions"] == [["ModelId", "Cause"]]
        assert (line["ModelId"], line["Cause"], line["WasteTokens"]) == (SONNET, "expired", 70)

    def test_what_is_unknown_is_no_metric(self, capsys):
        observers.emf()(report(model="made.up", usage=Usage(10, 5), miss="expired"))
        line = json.loads(capsys.readouterr().out)

        assert not {"CacheReadTokens", "CostUSD", "WasteTokens"} & line.keys()
        assert len(line["_aws"]["CloudWatchMetrics"]) == 1

    def test_a5_a_call_at_no_time_is_a_metric_of_now(self):
        """A5: a clock of milliseconds."""
        stream = io.StringIO()
        observers.emf(stream)(report(at=START * 1000))

        assert START - 10**9 < json.loads(stream.getvalue())["_aws"]["Timestamp"] / 1000 < START + 10**9


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        (lambda: observers.jsonl("/nonexistent/x.jsonl"), r"cannot write to '/nonexistent/x.jsonl'"),
        (lambda: observers.jsonl(os.sep), r"jsonl got '.', which is a directory; name a file in it"),
        (lambda: observers.jsonl(5), r"jsonl got 5; give a path or a text file"),
        (lambda: observers.emf(5), r"stream is 5; give a text stream"),
        (lambda: observers.emf(namespace=None), r"namespace is None; give a name"),
        (lambda: observers.log(5), r"logger is 5; give a logger or its name"),
        (lambda: observers.log(level="LOUD"), r"level is 'LOUD'; give a level of logging"),
        (lambda: configure(observers=[1]), r"observers\[0\] is 1; give functions that take a CallReport"),
        (lambda: configure(observers=observers.log()), r"observers is _Log\(.*; give a list"),
        (lambda: configure(observers="log"), r"observers is 'log'; give a list"),
        (lambda: listeners.observe([print, None]), r"observers\[1\] is None"),
        (lambda: configure(prices=3), r"prices is 3; give a dict of prices by model id pattern"),
    ],
)
def test_d8_what_cannot_work_is_refused_when_it_is_set(sink, message):
    """D8: not at every call."""
    with pytest.raises(InvalidOptionError, match=message):
        sink()


def test_d8_nothing_is_set_where_something_is_refused():
    """D8: the prices beside an observer that cannot be called."""
    with pytest.raises(InvalidOptionError):
        configure(prices={"*": {"input": 1, "output": 2}}, observers=[1])

    assert not pricing.own_prices()
    assert listeners.of_process() == ()


def test_d8_jsonl_makes_no_file_before_there_is_a_line(tmp_path):
    """D8: looking whether it could be written leaves nothing behind."""
    observers.jsonl(tmp_path / "calls.jsonl")

    assert not list(tmp_path.iterdir())


def test_d8_a_failing_observer_is_one_warning_and_a_counter(caplog):
    """D8: not a traceback per call; and the others are told."""

    def fails(report):
        raise InvalidOptionError("no such place")

    told, guard = [], Guard()
    for _ in range(20):
        listeners.tell(report(), [fails, told.append], guard)

    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert (len(warnings), guard.faults, len(told)) == (1, 20, 20)
    assert "telling an observer" in warnings[0].getMessage()


def test_they_attach_to_one_cache_and_to_the_process(tmp_path):
    one, all_of_them = [], []
    caches = PromptCache(observers=[one.append]), PromptCache()
    configure(observers=[all_of_them.append])
    try:
        for cache in caches:
            cache.settle(cache.prepare({"modelId": SONNET, "messages": []}), {"usage": {}})
    finally:
        configure(observers=[])

    assert (len(one), len(all_of_them)) == (1, 2)

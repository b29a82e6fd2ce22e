"""logging, JSON lines and CloudWatch's embedded metric format."""

import io
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachepoint import PromptCache, Usage, configure, observers
from cachepoint.core.accounting.diagnosis import Miss
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

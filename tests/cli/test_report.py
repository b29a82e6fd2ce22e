import io
import json
import sys
import time
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from cachepoint import Usage, observers
from cachepoint.cli import build
from tests.observers.reports import talk


def invoke(*args, stdin=None, code=0):
    result = CliRunner().invoke(build(), ["report", *map(str, args)], input=stdin)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def reports():
    return [*talk(6, breaks={4}), *talk(4, conversation="decaf")]


@pytest.fixture
def calls(tmp_path, reports):
    path = tmp_path / "calls.jsonl"
    for one in reports:
        observers.jsonl(path)(one)
    return path


def test_it_prints_a_summary(calls):
    shown = invoke(calls).stdout

    assert "10 calls" in shown
    assert "expired: 1 call, 3,500 tokens lost" in shown
    assert "without a cache" in shown


def test_json(calls, reports):
    figures = json.loads(invoke(calls, "--json").stdout)

    assert figures["calls"] == 10
    assert figures["usage"] == sum((r.usage for r in reports), Usage()).as_dict()
    assert Decimal(str(figures["saved_usd"])) == sum(r.saved for r in reports)


def test_many_files_and_standard_input_add_up(calls):
    assert json.loads(invoke(calls, calls, "--json").stdout)["calls"] == 20
    assert json.loads(invoke("-", "--json", stdin=calls.read_text()).stdout)["calls"] == 10
    assert json.loads(invoke("--json", stdin=calls.read_text()).stdout)["calls"] == 10


def test_a_page(calls, tmp_path):
    out = tmp_path / "out.html"
    result = invoke(calls, "--html", out)

    assert out.read_text("utf-8").startswith("<!doctype html>")
    assert result.stdout == ""
    assert f"wrote {out}" in result.stderr


def test_lines_that_are_no_reports_are_counted_and_passed_over(calls):
    with calls.open("a") as file:
        file.write('{"half": \n[]\n\n{"model_id": "x", "started": "today"}\nnull\n')
    result = invoke(calls, "--json")

    assert json.loads(result.stdout)["calls"] == 10
    assert "4 lines are not reports of calls" in result.stderr


def test_lines_of_before_there_were_conversations(calls, tmp_path):
    old = tmp_path / "old.jsonl"
    lines = [json.loads(line) for line in calls.read_text().splitlines()]
    news = ("conversation", "priced_as", "duration_ms", "first_token_ms", "quota_tokens")
    old.write_text("\n".join(json.dumps({k: v for k, v in x.items() if k not in news}) for x in lines))

    assert json.loads(invoke(old, "--json").stdout)["calls"] == 10


def test_a_missing_file_is_said_in_one_line(tmp_path):
    assert "No such file" in invoke(tmp_path / "no.jsonl", code=1).stderr


def test_no_file_at_a_terminal_is_said(monkeypatch):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO()))
    from cachepoint.cli.faults import told
    from cachepoint.cli.report import _STDIN, _lines

    with pytest.raises(BaseException, match="1"), told():
        list(_lines(_STDIN))


def test_live_from_standard_input_ends_with_it(calls):
    shown = invoke("--live", "-", stdin=calls.read_text()).stdout

    assert "10 calls" in shown


def test_live_follows_one_file(calls):
    assert "--live follows one file" in invoke("--live", calls, calls, code=1).stderr


def test_live_follows_a_growing_file_until_ctrl_c(calls, reports, monkeypatch):
    def append_three_and_a_half():
        for one in reports[:3]:
            observers.jsonl(calls)(one)
        with calls.open("a") as file:
            file.write('{"model_id": ')

    def stop():
        raise KeyboardInterrupt

    pauses = iter([append_three_and_a_half, int, stop])
    monkeypatch.setattr(time, "sleep", lambda _: next(pauses)())
    result = invoke("--live", "--json", calls)

    # Half a line is not read before its other half comes.
    assert "are not reports" not in result.stderr
    assert json.loads(result.stdout)["calls"] == 13

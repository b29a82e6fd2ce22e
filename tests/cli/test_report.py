import io
import json
import sys
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from cachepoint import Usage, observers
from cachepoint.cli import build
from cachepoint.cli.lines import STDIN, opened
from cachepoint.core.accounting.sent import Sent
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
    assert f"{calls}: 4 lines are not reports of calls: 11, 12, 14, 15" in result.stderr


def test_lines_of_before_there_were_conversations(calls, tmp_path):
    old = tmp_path / "old.jsonl"
    lines = [json.loads(line) for line in calls.read_text().splitlines()]
    news = ("conversation", "priced_as", "duration_ms", "first_token_ms", "quota_tokens")
    old.write_text("\n".join(json.dumps({k: v for k, v in x.items() if k not in news}) for x in lines))

    assert json.loads(invoke(old, "--json").stdout)["calls"] == 10


@pytest.fixture
def with_blocks(tmp_path, reports):
    """A file whose lines tell what was sent: the same three blocks by every call."""
    path = tmp_path / "blocks.jsonl"
    sent = Sent(bytes(range(24)), (4_000, 8_000, 9_000), (2,), (), 0.5)
    for one in reports:
        observers.jsonl(path)(replace(one, sent=sent))
    return path


def test_the_bound_of_what_was_sent(with_blocks, tmp_path):
    figures = json.loads(invoke(with_blocks, "--json").stdout)
    line = f"input {figures['cost_over_bound']:.2f} of the lower bound; 5m alone "

    assert figures["cost_over_bound"] >= 1
    assert figures["bound"]["calls"] == 10
    assert [m["bound"] for m in figures["models"].values()] == [figures["bound"]]
    assert line in invoke(with_blocks).stdout
    assert line in invoke(with_blocks, "--html", "-").stdout


def test_lines_that_say_nothing_of_what_was_sent_have_no_bound(calls, with_blocks):
    figures = json.loads(invoke(calls, "--json").stdout)

    assert (figures["cost_over_bound"], figures["bound"]) == (None, None)
    assert "lower bound" not in invoke(calls).stdout + invoke(calls, "--html", "-").stdout
    assert "(of 10 calls)" in invoke(calls, with_blocks).stdout


def test_c11_blocks_that_cannot_be_are_counted_with_their_line(with_blocks):
    """C11: one wrongly typed value is one line."""
    with_blocks.write_text(with_blocks.read_text() + changed(with_blocks, sent__points=[7]) + "\n")
    result = invoke(with_blocks, "--json")

    assert json.loads(result.stdout)["calls"] == 10
    assert "line 11 is not a report of a call" in result.stderr


def test_a_missing_file_is_said_in_one_line(tmp_path):
    assert "No such file" in invoke(tmp_path / "no.jsonl", code=1).stderr


def test_no_file_at_a_terminal_is_said(monkeypatch):
    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO()))
    with pytest.raises(ValueError, match="standard input is a terminal"):
        opened(STDIN)


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


def changed(path, **values):
    """A line of the file with other values; `usage__x` is within `usage`."""
    line = json.loads(path.read_text().splitlines()[0])
    for name, value in values.items():
        outer, _, inner = name.partition("__")
        if inner:
            line[outer] = {**(line[outer] or {}), inner: value}
        else:
            line[outer] = value
    return json.dumps(line)


WRONG = {
    "usage": ["x", [1], 5],
    "usage__uncached_tokens": ["5", 1.5, -5, 10**40, [1], float("nan")],
    "usage__read_tokens": [{}],
    "cost_usd": ["abc", "NaN", "Infinity", "9e999999", [1], "-1"],
    "saved_usd": ["NaN", {}],
    "started": [5, None, "today", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"],
    "model_id": [None, [1], 5],
    "priced_as": [5],
    "conversation": [[1], 7],
    "miss": ["x", 5],
    "miss__cause": [{}, 5],
    "miss__tokens": ["4", -1],
    "first_token_ms": ["4", -1, float("nan")],
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in WRONG.items() for v in values], ids=lambda x: str(x)[:20]
)
def test_c11_a_wrongly_typed_value_is_counted_with_its_line(name, value, calls, tmp_path):
    """C11: one wrongly typed value ended `report` in a traceback, or was added up."""
    bad = changed(calls, **{name: value})
    calls.write_text("".join(f"{line}\n" for line in [*calls.read_text().splitlines()[:2], bad]))
    for args in (["--json"], ["--html", tmp_path / "x.html", "--json"]):
        result = invoke(calls, *args)
        assert json.loads(result.stdout)["calls"] == 2
        assert f"{calls}: line 3 is not a report of a call" in result.stderr


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\x00\x01", b"[" * 100_000, b"9" * 5_000], ids=lambda x: str(x)[:9]
)
def test_c11_what_is_no_json_is_counted(line, calls):
    """C11: a deep or long line, or other bytes."""
    calls.write_bytes(line + b"\n" + calls.read_bytes())
    result = invoke(calls, "--json")
    assert json.loads(result.stdout)["calls"] == 10
    assert "line 1 is not a report" in result.stderr


def test_c11_each_source_tells_its_own_lines(calls, tmp_path):
    """C11: of many lines the first are named."""
    other = tmp_path / "other.jsonl"
    other.write_text("x\n" * 9)
    stderr = invoke(calls, other, "--json").stderr
    assert stderr == f"cachepoint: {other}: 9 lines are not reports of calls: 1, 2, 3, 4, 5 and 4 more\n"


def test_c11_half_a_surrogate_pair_is_replaced(calls, tmp_path):
    """C11: JSON may hold what UTF-8 cannot."""
    calls.write_text(changed(calls, model_id="a\ud800b"))
    invoke(calls, "--html", tmp_path / "x.html")
    assert "a?b" in (tmp_path / "x.html").read_text("utf-8")


def test_c11_the_page_goes_to_standard_output(calls, tmp_path, monkeypatch):
    """C11: `--html -` wrote a file called `-`."""
    monkeypatch.chdir(tmp_path)
    result = invoke(calls, "--html", "-")
    assert result.stdout.startswith("<!doctype html>")
    assert not (tmp_path / "-").exists()
    assert "both go to standard output" in invoke(calls, "--html", "-", "--json", code=1).stderr


@pytest.mark.parametrize("live", [[], ["--live"]])
@pytest.mark.parametrize("where", [".", "no/x.html"])
def test_c11_a_page_that_has_no_place_is_refused_at_once(live, where, calls, tmp_path):
    """C11: `--live --html` said so at the end only."""
    result = invoke(calls, *live, "--html", tmp_path / where, code=1)
    assert "give it a file in a folder that exists" in result.stderr


@pytest.mark.parametrize("where", ["calls.jsonl", "./calls.jsonl", "link.jsonl"])
def test_what_is_read_is_not_written_over(where, calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calls.jsonl").write_bytes(before := calls.read_bytes())
    (tmp_path / "link.jsonl").symlink_to("calls.jsonl")
    result = invoke("calls.jsonl", "--html", where, code=1)
    assert "lies in what is read" in result.stderr
    assert (tmp_path / "calls.jsonl").read_bytes() == before


def test_an_option_is_no_name_of_a_page(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "'--json'; give it a file" in invoke(calls, "--html", "--json", code=1).stderr
    assert not (tmp_path / "--json").exists()


def test_c11_live_and_a_page(calls, tmp_path, monkeypatch):
    """C11: `--live --html` ends with the page."""

    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", stop)
    result = invoke("--live", calls, "--html", tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text("utf-8").startswith("<!doctype html>")
    assert (result.stdout, "wrote" in result.stderr) == ("", True)

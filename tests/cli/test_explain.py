"""cachepoint explain: two requests beside each other."""

import json

import pytest
from builders import SONNET
from typer.testing import CliRunner

from cachepoint.cli import build
from tests.cli.pairs import PAIRS, agent, later, written


@pytest.fixture
def run(tmp_path):
    def run(before, after, *options):
        files = [tmp_path / name for name in ("before.json", "after.json")]
        for file, request in zip(files, (before, after), strict=True):
            file.write_text(request if isinstance(request, str) else written(request), "utf-8")
        return CliRunner().invoke(build(), ["explain", *map(str, files), "--model", SONNET, *options])

    return run


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_first_difference_is_named(run, pair):
    options = () if "modelId" in pair.after or "model" in pair.after else ("--model", SONNET)
    result = run(pair.before, pair.after, "--json", *options)
    found = json.loads(result.stdout)

    if pair.cause is None:
        assert (result.exit_code, found) == (0, None)
        return
    assert result.exit_code == 1
    assert found["cause"] == pair.cause
    assert found["where"].startswith(pair.where)
    assert pair.what in found["detail"]
    assert found["lost"] > 0
    assert found["dollars"] > 0
    assert found["remedy"].endswith(".")


def test_there_are_forty_pairs():
    assert len(PAIRS) >= 40


def test_no_text_is_shown_unasked(run):
    other = agent()
    other["system"][0]["text"] = other["system"][0]["text"].replace("Ada", "Bob")

    assert "Bob" not in run(agent(), other).output
    assert "Bob" in run(agent(), other, "--show-text").output


def test_what_goes_on_is_said(run):
    result = run(agent(), later(agent()))

    assert result.exit_code == 0
    assert "goes on from the first" in result.stdout


def test_a_file_that_is_none_names_its_line(run):
    result = run(agent(), '{"messages":\n [,]}')

    assert result.exit_code == 2
    assert "after.json, line 2: no JSON" in result.stderr

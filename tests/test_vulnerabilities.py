"""The step of `make check` that asks for known vulnerabilities: what it makes of what pip-audit prints."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / ".ci/vulnerabilities.py"
GOOD = {"name": "pip", "version": "26.0", "vulns": []}
BAD = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [
        {"id": "PYSEC-2014-8", "aliases": ["CVE-2014-1402"], "fix_versions": ["2.7.3"], "description": "x"}
    ],
}
# As pip-audit 2.10.1 printed it on a machine that reaches a mirror alone.
UNKNOWN = {
    "name": "jinja2",
    "skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (2.4.1)",
}


@pytest.fixture
def step():
    spec = importlib.util.spec_from_file_location("vulnerabilities", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answers(step, monkeypatch):
    """What pip-audit prints, one run after the other; and what it was asked."""

    def script(*outputs):
        left, asked = list(outputs), []

        def run(command, **_):
            asked.append(command)
            printed = left.pop(0)
            if isinstance(printed, Exception):
                raise printed
            return subprocess.CompletedProcess(command, 1, stdout=printed, stderr="")

        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return script


def printed(*dependencies):
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_a_known_vulnerability_fails_the_check(step, answers):
    answers(printed(GOOD), printed(GOOD, BAD, UNKNOWN))
    with pytest.raises(SystemExit) as ended:
        step.main()
    assert ended.value.code == "vulnerabilities:\njinja2 2.4.1: PYSEC-2014-8; fixed in 2.7.3"


def test_one_that_is_accepted_does_not(step, answers, monkeypatch, capsys):
    monkeypatch.setattr(step, "ACCEPTED", {"CVE-2014-1402": "no template of a stranger's is rendered"})
    answers(printed(GOOD), printed(GOOD, BAD))
    step.main()
    assert "none is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    "output", ["", "no JSON", "[]", printed(UNKNOWN), subprocess.TimeoutExpired("x", 1)], ids=str
)
def test_where_the_data_cannot_be_had_it_says_so_and_asks_no_more(step, answers, capsys, output):
    asked = answers(output)
    step.main()
    assert "not looked for" in capsys.readouterr().out
    assert len(asked) == 1

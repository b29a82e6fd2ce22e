import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import cachepoint
from cachepoint.cli import COMMANDS, build
from cachepoint.core.models.rules import table


def invoke(*args):
    result = CliRunner().invoke(build(), list(args))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_help_names_every_command():
    shown = invoke("--help")
    assert all(name in shown for name in COMMANDS)


def test_version():
    assert invoke("--version").strip() == f"cachepoint {cachepoint.__version__}"


def test_models_as_json():
    rows = json.loads(invoke("models", "--json"))["models"]
    assert [row["name"] for row in rows] == [row.name for row in table()]
    sonnet = next(row for row in rows if row["name"] == "Claude Sonnet 4.6")
    assert (sonnet["min_tokens"], sonnet["ttls"]) == (1_024, ["5m", "1h"])
    assert sonnet["source"]
    assert sonnet["checked"]


def test_models_as_a_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke("models").splitlines()
    row = next(line for line in lines if line.startswith("Claude Sonnet 4.6"))
    assert row.split()[3:9] == ["1,024", "5m", "1h", "0.1", "1.25", "2"]
    assert max(map(len, lines)) <= 80 or "Sources:" in lines


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_extra_is_named(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from cachepoint.cli import build; build()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "cachepoint[cli]"' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_e2_the_script_without_its_extra_says_one_line(missing):
    """E2: pip installs the script `cachepoint` without the extra too; it printed a traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None; from cachepoint.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    said = 'cachepoint: the command line needs typer and rich: pip install "cachepoint[cli]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize("text", ["claude-sonnet-4-6", "US.ANTHROPIC.CLAUDE-SONNET-4-6", "Claude Sonnet 4.6"])
def test_c7_models_shows_the_one_that_is_meant(text):
    """C7: the same names as for `savings --model`."""
    rows = json.loads(invoke("models", text, "--json"))["models"]
    assert [row["name"] for row in rows] == ["Claude Sonnet 4.6"]


@pytest.mark.parametrize(
    "text",
    [
        "sonnet-4.6",
        "us.anthropic.claude-sonnet-4-6",
        "anthropic.claude-sonnet-4-6",
        "bedrock_converse:us.anthropic.claude-sonnet-4-6",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6",
    ],
)
def test_models_tells_of_one_how_sure_we_are_and_since_when(text, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    title, *lines = invoke("models", text).splitlines()
    said = " ".join(" ".join(lines).split())
    assert title == "Claude Sonnet 4.6"
    assert "id anthropic.claude-sonnet-4-6 " in said
    assert "minimum 1,024 tokens; 2,048 to be safe " in said
    assert "prices reads 0.1, 5m writes 1.25, 1h writes 2 of input " in said
    assert "sure medium, checked 2026-11-22 " in said
    assert "sources AWS user guide; AWS model cards" in said


def test_the_table_of_models_says_how_sure_we_are_and_of_when_it_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = invoke("models")
    assert "  sure     checked  " in shown.splitlines()[0]
    newest = max(row.checked for row in table())
    assert f"The table is of {newest}" in shown
    assert json.loads(invoke("models", "--json"))["checked"] == newest
    # One word of the row for each of the table's.
    by_name = {row.name: row.confidence for row in table()}
    line = next(line for line in shown.splitlines() if line.startswith("Claude Sonnet 4.5 "))
    assert line.split()[9] == by_name["Claude Sonnet 4.5"] == "high"


@pytest.mark.parametrize("part", ["claude-sonnet", "haik", "4.6", "nova"])
def test_models_finds_a_part_of_an_id(part):
    rows = json.loads(invoke("models", part, "--json"))["models"]
    assert len(rows) > 1
    assert all(
        part.replace(".", "-") in row["name"].lower().replace(" ", "-").replace(".", "-") for row in rows
    )


def test_c7_models_shows_those_with_a_part_of_a_name():
    """C7: in the order of the table, each once."""
    names = [
        row["name"] for row in json.loads(invoke("models", "haiku", "Nova Pro", "haiku", "--json"))["models"]
    ]
    assert names[:2] == ["Claude Haiku 5.5", "Claude Haiku 4.5"]
    assert names[-1] == "Nova Pro"
    assert len(names) == len(set(names)) == 5


@pytest.mark.parametrize(
    ("text", "near"), [("claud-sonet-4.6", "claude-sonnet-4-6'"), ("", "`cachepoint models`")]
)
def test_c7_models_asks_do_you_mean(text, near):
    """C7: and names what is near."""
    result = CliRunner().invoke(build(), ["models", text])
    assert result.exit_code == 1
    assert f"no model {text!r} is known; " in result.stderr
    assert near in result.stderr


@pytest.mark.parametrize("columns", ["40", "80"])
def test_c11_the_models_fit(columns, monkeypatch):
    """C11: on 40 columns the names were gone."""
    monkeypatch.setenv("COLUMNS", columns)
    lines = invoke("models", "claude", "nova").splitlines()
    assert any(line.startswith("Claude Sonnet 4.6") for line in lines)
    assert not any("…" in line for line in lines)
    assert max(map(len, lines)) <= int(columns)


def test_help_is_quick_and_imports_no_framework():
    code = (
        "import sys; from cachepoint.cli import build; build(); "
        "print([m for m in ('langchain_core', 'boto3', 'llama_index') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

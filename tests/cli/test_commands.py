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
    code = f"import sys; sys.modules[{missing!r}] = None; import cachepoint.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "cachepoint[cli]"' in done.stderr.splitlines()[-1]


def test_help_is_quick_and_imports_no_framework():
    code = (
        "import sys; from cachepoint.cli import build; build(); "
        "print([m for m in ('langchain_core', 'boto3', 'llama_index') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

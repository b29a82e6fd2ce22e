"""The bare package knows no framework: tried in a virtual environment that holds nothing else."""

import subprocess
import venv
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

USES = """
import sys
import cachepoint
from cachepoint import CachePolicy, PromptCache
import cachepoint.aws, cachepoint.emulator, cachepoint.stores

cache = PromptCache(policy=CachePolicy())
request = {"system": [{"text": "word " * 4000}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
call = cache.prepare(request, model_id="us.anthropic.claude-sonnet-4-6")
assert "cachePoint" in call.request["system"][-1], call.plan
cache.settle(call, {"usage": {"inputTokens": 4, "outputTokens": 1}})
assert not cache.faults
foreign = {"langchain_core", "langchain_aws", "llama_index", "boto3", "typer", "rich"} & set(sys.modules)
assert not foreign, foreign
rooms = {"cachepoint.observers", "cachepoint.reporting"} & set(sys.modules)
assert not rooms, rooms
"""

# C9: as docs/reports.md writes.
ASKS = """
import cachepoint

assert "observers" in dir(cachepoint)
cachepoint.configure(observers=[cachepoint.observers.log()])
assert callable(cachepoint.observers.emf())
from cachepoint import *
assert observers is cachepoint.observers
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, with_pip=False)
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "cachepoint.pth").write_text(str(SRC))
    return home / "bin" / "python"


def run(python, code):
    return subprocess.run(
        [python, "-I", "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )


def test_the_core_works_without_anything_else(python):
    done = run(python, USES)

    assert done.returncode == 0, done.stderr


def test_c9_observers_are_there_without_an_import_of_their_own(python):
    """C9: `import cachepoint`, and then `cachepoint.observers.jsonl(…)`."""
    done = run(python, ASKS)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("cachepoint.langchain", "cachepoint[langchain]"),
        ("cachepoint.llama_index", "cachepoint[llama-index]"),
    ],
)
def test_a_missing_extra_is_named(python, module, extra):
    done = run(python, f"import {module}")

    assert "ImportError" in done.stderr
    assert f'pip install "{extra}"' in done.stderr

"""Every example runs by itself and shows a cache hit."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(p for p in (ROOT / "examples").glob("*.py") if not p.name.startswith("_"))
# LlamaIndex asks asyncio for a loop where none runs, which Python 3.12 and 3.13 warn of and 3.14 refuses (it
# then makes one). All that is let through is that warning, of that module.
STRICT = (
    "-W",
    "error",
    "-W",
    "ignore:There is no current event loop:DeprecationWarning:llama_index.core.async_utils",
)
NO_LOOP = "There is no current event loop"
READ = re.compile(r"read[ =:]+([\d,]+)|([\d,]+) read")


def run(path):
    # -B: the examples leave nothing behind. A test file is run the way its reader would run it.
    pytest_run = (
        ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"] if path.name.startswith("test_") else []
    )
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AWS_", "CACHEPOINT_", "EXAMPLE_"))
    }
    command = [sys.executable, "-B", *STRICT, *pytest_run, str(path)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=120, check=False
    )


def test_there_is_one_for_each_way_of_use():
    assert {p.stem for p in EXAMPLES} >= {
        "core_loop",
        "langchain_agent",
        "langchain_chat",
        "langchain_usage_callback",
        "plain_boto3",
        "session",
        "test_cache_hits",
    }


@pytest.mark.parametrize(
    ("module", "passes"), [("llama_index.core.async_utils", True), ("cachepoint.llama_index.llms", False)]
)
def test_a17_a_warning_of_llama_index_s_own_fails_no_example(module, passes):
    """A17: on Python 3.13 two examples met `-W error` with a DeprecationWarning that is LlamaIndex's own."""
    warn = f"import warnings; warnings.warn_explicit({NO_LOOP!r}, DeprecationWarning, 'x.py', 1, {module!r})"
    command = [sys.executable, "-B", *STRICT, "-c", warn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0, done.stderr == "") == (passes, passes)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_runs_and_shows_a_hit(path):
    done = run(path)
    assert done.returncode == 0, done.stderr or done.stdout
    read = [int((a or b).replace(",", "")) for a, b in READ.findall(done.stdout)]
    assert max(read) > 1_000, done.stdout
    assert done.stderr == ""

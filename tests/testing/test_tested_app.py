"""The sample project under examples/: green as it stands, and red, each with a clear message, once it moves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "examples" / "tested_app"
# In CI pytest shows whole differences.
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CACHEPOINT_"))}
PYTEST = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]

CLOCK = (
    "rag.py",
    ('return f"You answer', 'return f"It is {datetime.now():%H:%M:%S.%f}. You answer'),
    ("from langchain_core.documents", "from datetime import datetime\nfrom langchain_core.documents"),
)
SWAPPED = (
    "agent.py",
    (
        "[FunctionTool.from_defaults(search), FunctionTool.from_defaults(price)]",
        "[FunctionTool.from_defaults(price), FunctionTool.from_defaults(search)]",
    ),
)


def begun(folder):
    env = {**ENV, "CI": "true"}
    return subprocess.Popen(
        PYTEST, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def copied(folder, *changes):
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, *edits in changes:
        text = (folder / name).read_text("utf-8")
        for old, new in edits:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What pytest says of the project as it is, and with a clock and two tools that changed places: at once."""
    home = tmp_path_factory.mktemp("apps")
    running = [begun(copied(home / "as_it_is")), begun(copied(home / "moved", CLOCK, SWAPPED))]
    return [(process.communicate(timeout=240)[0], process.returncode) for process in running]


def test_it_is_green(runs):
    said, code = runs[0]
    assert code == 0, said
    assert "6 passed" in said


def test_a_clock_in_the_system_prompt_is_named(runs):
    said, code = runs[1]
    assert code == 1
    assert "FAILED test_rag.py::test_the_handbook_is_read_from_the_second_question_on" in said
    assert "2 of 3 calls read too little: after call 1 each should have read 90% of its input." in said
    assert "call 2, us.anthropic.claude-sonnet-4-6: read 0 of" in said
    assert "against call 1: system[0] differs from character" in said
    assert "a time of day" in said
    assert "do: Put what changes into the newest message" in said


def test_tools_that_changed_places_are_named(runs):
    said, _ = runs[1]
    assert "FAILED test_agent.py::test_the_layout_is_the_one_that_was_reviewed" in said
    shown = [" ".join(line.split()) for line in said.splitlines()]
    for old, new in (
        ("tools[0] toolSpec search", "tools[0] toolSpec price"),
        ("tools[1] toolSpec price", "tools[1] toolSpec search"),
    ):
        assert any(line.startswith(f"E - {old}") for line in shown), said
        assert any(line.startswith(f"E + {new}") for line in shown), said


def test_the_snapshots_hold_no_word_of_a_prompt():
    snapshots = "".join(path.read_text("utf-8") for path in (APP / "__snapshots__").iterdir())
    assert "bytes" in snapshots
    assert not [word for word in ("litres", "You", "valve", "stock") if word in snapshots]

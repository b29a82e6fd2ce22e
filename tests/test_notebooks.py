"""The example notebooks run from top to bottom, and show what they say."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
MISSING = [name for name in ("nbclient", "ipykernel") if find_spec(name) is None]
needs_kernel = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
READ = re.compile(r"<span>[^<]*<i[^>]*></i>read ([\d,]+)|>([\d,]+) read|read +([\d,]+)")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Each notebook as it is after all its cells ran, in a kernel of its own."""
    home = tmp_path_factory.mktemp("jupyter")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CACHEPOINT_"))}
    env |= {"IPYTHONDIR": str(home / "ipython"), "JUPYTER_PLATFORM_DIRS": "1", "HOME": str(home)}

    @cache
    def run(path):
        out = home / path.name
        command = [sys.executable, "-B", "-c", RUN, str(path), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(out.read_text("utf-8"))

    return run


def cells(notebook, kind="code"):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def shown(notebook, form):
    """What the cells show, in one form."""
    outputs = [out for cell in cells(notebook) for out in cell["outputs"]]
    return ["".join(out["data"][form]) for out in outputs if form in out.get("data", {})]


def test_there_is_one_for_each_way_of_use():
    assert [path.stem for path in NOTEBOOKS] == ["boto3", "langchain", "llama_index"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path):
    notebook = json.loads(path.read_text("utf-8"))

    assert [cell for cell in cells(notebook) if cell["outputs"] or cell["execution_count"]] == []


@needs_kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_from_top_to_bottom_and_shows_hits(path, executed):
    notebook = executed(path)

    counts = [cell["execution_count"] for cell in cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = {out["output_type"] for cell in cells(notebook) for out in cell["outputs"]}
    assert kinds == {"execute_result"}, "a warning or an error"
    pictures = shown(notebook, "text/html")
    assert len(pictures) >= 4
    assert not [html for html in pictures if "<script" in html or "http" in html]
    read = [
        int(next(filter(None, found)).replace(",", "")) for html in pictures for found in READ.findall(html)
    ]
    assert max(read) > 1_000


@needs_kernel
def test_no_text_of_a_prompt_is_in_what_it_shows(executed):
    """The prompts of this notebook are the source of a module."""
    html = "".join(shown(executed(ROOT / "examples" / "boto3.ipynb"), "text/html"))

    assert "TextWrapper" not in html
    assert "shorten" not in html

"""What stands at the top of a checkout."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = {
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
}
TOP |= {"Makefile", "README.md", "SECURITY.md", "benchmarks", "cassettes", "docs", "examples", "mkdocs.yml"}
TOP |= {"pyproject.toml", "src", "tests"}


def test_nothing_that_a_run_left_is_kept():
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(reason="this is no checkout of git")
    assert {name.partition("/")[0] for name in found.stdout.splitlines()} == TOP

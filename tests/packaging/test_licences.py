"""The licence of every dependency is known, and none asks for more than a notice."""

import json
import subprocess
import sys
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import licences  # noqa: E402

sys.path.pop(0)


def run(*options):
    command = [sys.executable, str(ROOT / "benchmarks" / "licences.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def saying(files=(), **fields):
    about = Message()
    for name, value in fields.items():
        about[name.replace("_", "-")] = value
    return SimpleNamespace(metadata=about, files=files)


def test_every_dependency_that_is_installed_names_one_that_asks_for_no_more_than_a_notice():
    done = run("--json")

    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0, done.stderr
    assert {"genai-prices", "langchain-aws", "llama-index-core", "typer", "botocore"} <= rows.keys()
    assert rows["langchain-aws"]["licence"].startswith("MIT")
    assert [row for row in rows.values() if row["wrong"] or row["licence"] == "unknown"] == []


def test_of_an_extra_alone_the_others_are_not_listed():
    done = run("--extra", "cli")

    assert "typer" in done.stdout
    assert "langchain-aws" not in done.stdout
    assert "genai-prices" in done.stdout


def test_an_extra_that_there_is_not_is_refused():
    done = run("--extra", "lang-chain")

    assert done.returncode == 1
    assert "cachepoint has no extra lang-chain; it has all, anthropic," in done.stderr


@pytest.mark.parametrize(
    ("said", "licence", "wrong"),
    [
        ({"License_Expression": "MIT OR GPL-2.0-only", "License": "x"}, "MIT OR GPL-2.0-only", False),
        ({"License_Expression": "GPL-3.0-or-later"}, "GPL-3.0-or-later", True),
        ({"License": "LGPL-2.1"}, "LGPL-2.1", False),
        (
            {"Classifier": "License :: OSI Approved :: MIT License", "License": "see file"},
            "MIT License",
            False,
        ),
        (
            {"Classifier": "License :: OSI Approved :: GNU Affero General Public License v3"},
            "GNU Affero General Public License v3",
            True,
        ),
        ({"Classifier": "License :: OSI Approved", "License": "BSD"}, "BSD", False),
        ({"License": "UNKNOWN"}, "unknown", True),
        ({}, "unknown", True),
    ],
)
def test_what_a_package_says_is_read(said, licence, wrong):
    found = licences.licence(saying(**said))

    assert found == licence
    assert bool(licences.Package("a", "1", found, "cachepoint").wrong) is wrong


def test_a_licence_that_only_lies_beside_a_package_is_read(tmp_path):
    folder = tmp_path / "a-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: a\nVersion: 1\n")
    (folder / "LICENSE").write_text(
        "Copyright A\n\nPermission is hereby granted, free of charge, to any person"
    )
    (folder / "RECORD").write_text("a-1.dist-info/LICENSE,,\n")

    assert licences.licence(Distribution.at(folder)) == "MIT, by its file"

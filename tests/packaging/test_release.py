"""The release workflow: by tag, with attested builds, and nothing that runs foreign code may sign."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
JOBS = yaml.safe_load(TEXT)["jobs"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def steps(job):
    return JOBS[job]["steps"]


def uses(job):
    return [step["uses"].partition("@")[0] for step in steps(job) if "uses" in step]


def test_it_runs_for_tags_alone():
    # YAML 1.1 reads `on` as true.
    assert yaml.safe_load(TEXT)[True] == {"push": {"tags": ["v*"]}}


def test_actions_are_pinned_by_their_major_version():
    pins = [step["uses"].partition("@")[2] for job in JOBS for step in steps(job) if "uses" in step]

    assert [pin for pin in pins if not re.fullmatch(r"(release/)?v\d+", pin)] == []


def test_it_names_no_registry():
    assert not re.search(
        r"https?:|\.org\b|\.com\b|\.io\b|token:|password:|secrets\.", TEXT.replace("id-token:", "")
    )


def test_what_is_published_was_tested_built_and_attested():
    assert JOBS["build"]["needs"] == "test"
    assert JOBS["publish"]["needs"] == "build"
    build = uses("build")
    assert build.index("actions/attest-build-provenance") < build.index("actions/upload-artifact")
    attested, kept = (
        next(
            step["with"][field]
            for step in steps("build")
            if step.get("uses", "").startswith(f"actions/{name}")
        )
        for name, field in (("attest-build-provenance", "subject-path"), ("upload-artifact", "path"))
    )
    assert attested == kept


def test_only_jobs_that_run_no_tests_may_sign():
    signing = {job for job in JOBS if JOBS[job]["permissions"].get("id-token") == "write"}

    assert signing == {"build", "publish"}
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert JOBS["publish"]["environment"] == "release"
    assert [step for step in steps("publish") if "run" in step] == []


@pytest.mark.parametrize(("tag", "passes"), [("v{version}", True), ("{version}", False), ("v9.9.9", False)])
def test_a_tag_that_is_not_the_version_builds_nothing(tag, passes):
    script = next(step["run"] for step in steps("build") if step.get("name") == "The tag is the version")
    named = tag.format(version=PROJECT["project"]["version"])

    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=ROOT, env={"PATH": _path(), "TAG": named}, check=False
    )
    assert (done.returncode == 0) is passes


def _path():
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_the_backend_that_builds_is_the_one_that_is_asked_for():
    (backend,) = PROJECT["build-system"]["requires"]

    assert f'"{backend.replace("uv_build", "uv")}"' in TEXT

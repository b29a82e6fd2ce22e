import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cachepoint.cli import build

LIMITS = {"agent": 0.25, "chat": 0.25, "documents": 0.999}


def cachepoint(*args, **env):
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CACHEPOINT_"))}
    command = [sys.executable, "-m", "cachepoint.cli", *args]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=clean | env,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def figures():
    done = cachepoint("demo", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {job["name"]: job for job in json.loads(done.stdout)["jobs"]}


@pytest.fixture(scope="module")
def tables():
    done = cachepoint("demo", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_json_has_the_three_jobs(figures):
    assert list(figures) == ["agent", "chat", "documents"]
    keys = {
        "name",
        "framework",
        "calls",
        "input_tokens",
        "read_tokens",
        "write_tokens",
        "uncached_tokens",
        "ratio",
    }
    assert all(set(job) == keys for job in figures.values())
    assert {job["framework"] for job in figures.values()} == {"langchain"}


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_a_job_costs_at_most(figures, name, limit):
    assert 0 < figures[name]["ratio"] <= limit


@pytest.mark.parametrize("name", LIMITS)
def test_the_figures_add_up(figures, name):
    job = figures[name]
    parts = job["read_tokens"], job["write_tokens"], job["uncached_tokens"]
    assert sum(parts) == job["input_tokens"]
    # Sonnet 4.6 on the 5m TTL, by hand: reads at 0.1, writes at 1.25 (AWS price list, 2026-11).
    cost = 0.1 * parts[0] + 1.25 * parts[1] + parts[2]
    assert job["ratio"] == pytest.approx(cost / job["input_tokens"], abs=1e-4)


def test_tables_show_what_json_says(tables, figures):
    for job in figures.values():
        assert f"{job['name']}: " in tables
        assert f"{job['calls']:>7}  {job['input_tokens']:,}" in tables.replace("with   ", "with")
        assert f"{job['read_tokens']:,}" in tables
        assert f"{job['ratio']:.2f}" in tables


def test_tables_show_a_bar_per_call(tables, figures):
    bars = [line for line in tables.splitlines() if line.lstrip()[:1].isdigit()]
    assert len(bars) == sum(job["calls"] for job in figures.values())
    assert all(set(line) & set("█▓░") for line in bars)
    assert max(map(len, tables.splitlines())) <= 80


def test_without_unicode_the_bars_are_ascii():
    done = cachepoint("demo", PYTHONIOENCODING="ascii", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "## read  == written  .. fresh" in done.stdout


def test_the_two_runs_were_the_same_work(tables):
    assert "Note:" not in tables


def demo(*args, typed=None, **env):
    clean = dict.fromkeys(key for key in os.environ if key.startswith(("AWS_", "CACHEPOINT_")))
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    env = clean | nowhere | {"AWS_EC2_METADATA_DISABLED": "true"} | env
    return CliRunner().invoke(build(), ["demo", *args], env=env, input=typed)


ACCOUNT = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}


def test_an_unknown_model_is_told_without_a_traceback():
    done = demo("--model", "anthropic.claude-none-9")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("cachepoint: ")
    assert "Traceback" not in done.stderr


def test_a_model_without_caching_is_told():
    done = demo("--model", "meta.llama3-1-70b-instruct-v1:0")
    assert done.exit_code == 0
    assert "takes no checkpoints" in done.stdout


def test_aws_needs_a_region():
    done = demo("--aws", "--yes")
    assert done.exit_code == 1
    assert "AWS_REGION" in done.stderr


def test_aws_needs_credentials():
    done = demo("--aws", "--yes", AWS_REGION="us-east-1")
    assert done.exit_code == 1
    assert "credentials" in done.stderr


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_aws_says_the_price_and_asks_before_it_calls(answer, monkeypatch):
    # What it would cost is counted in full elsewhere.
    monkeypatch.setattr("cachepoint.cli.demo._price", lambda *_: "about $1")
    monkeypatch.setattr(
        "cachepoint.cli.demo._run", lambda place, _: pytest.fail("sent") if is_aws(place) else []
    )
    done = demo("--aws", "--json", typed=answer, **ACCOUNT)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "about $1" in done.stderr
    assert "Run them on AWS?" in done.stderr
    assert "nothing was sent to AWS" in done.stderr


def is_aws(place):
    from cachepoint.cli.demo.places import Aws

    return isinstance(place, Aws)


def test_aws_counts_by_what_the_service_answers():
    from cachepoint.cli.demo.script import agent_script
    from cachepoint.emulator import BedrockEmulator

    with BedrockEmulator(responder=agent_script) as bedrock:
        done = demo("--aws", "--json", typed="y\n", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url, **ACCOUNT)
        assert done.exit_code == 0, done.stderr
        total = sum(call.usage["totalTokens"] - call.usage["outputTokens"] for call in bedrock.calls)
    assert "about $" in done.stderr
    jobs = json.loads(done.stdout)["jobs"]
    # Both runs of each job, and the same tokens in both.
    assert sum(job["input_tokens"] for job in jobs) * 2 == total
    assert jobs[0]["ratio"] < 0.25


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cachepoint.cli.demo.langchain_jobs", None)
    done = CliRunner().invoke(build(), ["demo"])
    assert done.exit_code == 1
    assert 'pip install "cachepoint[demo]"' in done.stderr

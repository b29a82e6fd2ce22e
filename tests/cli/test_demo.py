import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cachepoint.cli import build

LIMITS = {"agent": 0.25, "chat": 0.25, "documents": 0.6, "pairs": 0.2, "examples": 0.2}
FRAMEWORKS = ("langchain", "llama_index")
JOBS = [(framework, name) for framework in FRAMEWORKS for name in LIMITS]


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
def figures_whole():
    done = demo("--json")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def figures(figures_whole):
    return {(job["framework"], job["name"]): job for job in figures_whole["jobs"]}


@pytest.fixture(scope="module")
def tables():
    done = cachepoint("demo", COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_json_has_the_jobs_of_each_framework(figures):
    assert list(figures) == JOBS
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


@pytest.mark.parametrize("job", JOBS, ids=" ".join)
def test_a_job_costs_at_most(figures, job):
    assert 0 < figures[job]["ratio"] <= LIMITS[job[1]]


def test_the_frameworks_do_the_same_work(figures):
    for name in LIMITS:
        one, other = (figures[framework, name] for framework in FRAMEWORKS)
        assert one["calls"] == other["calls"] >= 8
        assert other["input_tokens"] == pytest.approx(one["input_tokens"], rel=0.03)
        # What the first jobs taught of a kind of call holds for the later ones of the process's models alike.
        assert other["ratio"] == pytest.approx(one["ratio"], abs=0.02)


@pytest.mark.parametrize("job", JOBS, ids=" ".join)
def test_the_figures_add_up(figures, job):
    job = figures[job]
    parts = job["read_tokens"], job["write_tokens"], job["uncached_tokens"]
    assert sum(parts) == job["input_tokens"]
    # Sonnet 4.6 on the 5m TTL, by hand: reads at 0.1, writes at 1.25 (AWS price list, 2026-11).
    cost = 0.1 * parts[0] + 1.25 * parts[1] + parts[2]
    assert job["ratio"] == pytest.approx(cost / job["input_tokens"], abs=1e-4)


def test_tables_show_what_json_says(tables, figures):
    for job in figures.values():
        assert re.search(rf"^{job['name']}: .*\({job['framework']}\)", tables, re.MULTILINE)
        assert f"{job['calls']:>7}  {job['input_tokens']:,}" in tables.replace("with   ", "with")
        assert f"{job['read_tokens']:,}" in tables
        assert f"{job['ratio']:.2f}" in tables


def test_when_the_agents_streams_began_is_told(tables, figures_whole):
    """The emulator takes its time; how much sooner they begin is a figure of benchmarks/latency.py."""
    began = figures_whole["first_token_seconds"]
    assert began.keys() == {"with", "without"}
    assert min(began.values()) > 0.5
    assert re.search(r"First token of the agent's streams after \d\.\d\d s without, \d\.\d\d s with", tables)


def test_through_invoke_model_the_same_work_costs_the_same(tables, figures, figures_whole):
    invoked = {job["name"]: job for job in figures_whole["invoke_model"]}
    assert list(invoked) == ["agent", "chat", "documents"]
    for name, job in invoked.items():
        converse = figures["langchain", name]
        assert job["calls"] == converse["calls"]
        assert job["input_tokens"] == pytest.approx(converse["input_tokens"], rel=0.02)
        assert job["ratio"] == pytest.approx(converse["ratio"], rel=0.02)
        assert f"{name} {job['ratio']:.2f}" in tables.partition("Through InvokeModel")[2]


def test_tables_show_a_bar_per_call(tables, figures):
    bars = [line for line in tables.splitlines() if line.lstrip()[:1].isdigit()]
    assert len(bars) == sum(job["calls"] for job in figures.values())
    assert all(set(line) & set("█▓░") for line in bars)
    assert max(map(len, tables.splitlines())) <= 80


@pytest.mark.usefixtures("few_letters")
def test_without_unicode_the_bars_are_ascii():
    done = demo(charset="ascii", COLUMNS="80")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.isascii()
    assert "## read  == written  .. fresh" in done.stdout


def test_the_two_runs_were_the_same_work(tables):
    assert "Note:" not in tables


@pytest.fixture
def few_letters(monkeypatch):
    """What is not about their figures is told by a dozen."""
    monkeypatch.setattr("cachepoint.cli.demo.letters.ITEMS", 12)


def demo(*args, typed=None, charset="utf-8", **env):
    clean = dict.fromkeys(key for key in os.environ if key.startswith(("AWS_", "CACHEPOINT_")))
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    env = clean | nowhere | {"AWS_EC2_METADATA_DISABLED": "true"} | env
    return CliRunner(charset=charset).invoke(build(), ["demo", *args], env=env, input=typed)


ACCOUNT = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}


def test_an_unknown_model_is_told_without_a_traceback():
    done = demo("--model", "anthropic.claude-none-9")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("cachepoint: ")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("few_letters")
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
        "cachepoint.cli.demo._run", lambda place, *_: pytest.fail("sent") if is_aws(place) else []
    )
    done = demo("--aws", "--json", typed=answer, **ACCOUNT)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "about $1" in done.stderr
    assert "Run them on AWS?" in done.stderr
    assert "nothing was sent to AWS" in done.stderr


def is_aws(place):
    from cachepoint.cli.demo.places import Aws

    return isinstance(place, Aws)


@pytest.mark.usefixtures("few_letters")
def test_aws_counts_by_what_the_service_answers():
    from cachepoint.cli.demo.script import agent_script
    from cachepoint.emulator import BedrockEmulator, TextResponder

    def model(request):
        return agent_script(request) if request.tools else TextResponder()(request)

    with BedrockEmulator(responder=model) as bedrock:
        done = demo("--aws", "--json", typed="y\n", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=bedrock.url, **ACCOUNT)
        assert done.exit_code == 0, done.stderr
        total = sum(call.usage["totalTokens"] - call.usage["outputTokens"] for call in bedrock.calls)
    assert "about $" in done.stderr
    jobs = json.loads(done.stdout)["jobs"]
    # Both runs of each job, and the same tokens in both. A text in two blocks may round to a token more.
    assert sum(job["input_tokens"] for job in jobs) * 2 == pytest.approx(total, abs=len(jobs))
    agents = [job for job in jobs if job["name"] == "agent"]
    assert [agent["calls"] for agent in agents] == [14, 14]
    assert max(agent["ratio"] for agent in agents) < 0.25
    # Both chats say the same; the one does not read what the other wrote: about 3,000 tokens of reference.
    assert all(job["write_tokens"] > 3_000 for job in jobs)


def lacking(monkeypatch, *frameworks):
    for framework in frameworks:
        monkeypatch.setitem(sys.modules, f"cachepoint.cli.demo.{framework}_jobs", None)


def test_a_missing_extra_is_named(monkeypatch):
    lacking(monkeypatch, *FRAMEWORKS)
    done = CliRunner().invoke(build(), ["demo"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert 'pip install "cachepoint[demo]"' in done.stderr


@pytest.mark.parametrize("missing", ["boto3", "langchain_aws", "langgraph"])
def test_e2_without_its_extra_the_demo_says_one_line(missing):
    """E2: it said `No module named 'boto3'`; a bare `cachepoint[cli]` has none of them."""
    gone = (missing, "botocore", "langchain_aws", "llama_index")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({gone!r})); "
        "from cachepoint.cli import main; sys.argv[1:] = ['demo']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cachepoint: the demo lacks ")
    assert done.stderr.endswith(': pip install "cachepoint[demo]"\n')


@pytest.mark.parametrize("model", ["claude-sonet-4-6", "anthropic.claude-sonnet-4-66"])
def test_c7_the_demo_asks_do_you_mean(model):
    """C7: it said that the provided model identifier is invalid."""
    done = demo("--model", model)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "do you mean 'anthropic.claude-sonnet-4-6'" in done.stderr


@pytest.mark.usefixtures("few_letters")
@pytest.mark.parametrize(("missing", "there"), [FRAMEWORKS, FRAMEWORKS[::-1]])
def test_a_framework_that_is_not_installed_is_left_out(missing, there, monkeypatch):
    lacking(monkeypatch, missing)
    done = demo("--json")
    assert done.exit_code == 0
    jobs = json.loads(done.stdout)["jobs"]
    assert [(job["framework"], job["name"]) for job in jobs] == [(there, name) for name in LIMITS]
    assert done.stderr.startswith(f"cachepoint: the jobs of {missing} are left out: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("few_letters")
def test_a_framework_that_does_not_know_the_model_is_left_out():
    done = demo("--json", "--model", "deepseek.r1-v1:0")
    assert done.exit_code == 0
    assert {job["framework"] for job in json.loads(done.stdout)["jobs"]} == {"langchain"}
    assert "deepseek.r1-v1:0" in done.stderr


def test_a_model_that_no_installed_framework_knows_is_told(monkeypatch):
    lacking(monkeypatch, "langchain")
    done = demo("--model", "deepseek.r1-v1:0")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("cachepoint: LlamaIndex's list has no model deepseek.r1-v1:0")


@pytest.mark.usefixtures("few_letters")
def test_a_model_that_is_not_on_llama_index_s_list_runs_on_both():
    done = demo("--json", "--model", "us.anthropic.claude-fable-5-1")
    assert (done.exit_code, done.stderr) == (0, "")
    jobs = json.loads(done.stdout)["jobs"]
    assert [(job["framework"], job["name"]) for job in jobs] == JOBS
    assert max(job["ratio"] for job in jobs) < 0.5

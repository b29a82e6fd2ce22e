import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import fields

import boto3
import pytest
from botocore.config import Config
from typer.testing import CliRunner

import cachepoint.emulator
from cachepoint.cli import build
from cachepoint.cli.emulator import _is_loopback, _summary
from cachepoint.emulator import Options

URL = re.compile(r"http://127\.0\.0\.1:\d+")
LONG = "A sentence of a long manual that says how the machine is cleaned. " * 120
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
SONNET = "us.anthropic.claude-sonnet-4-6"


def start(*args):
    command = [sys.executable, "-u", "-m", "cachepoint.cli", "emulator", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def running(*args):
    """A process, its introduction and its address."""
    with start(*args) as process:
        try:
            # The whole introduction: what is read ahead here would be lost to communicate().
            head = "".join(process.stdout.readline() for _ in range(9))
            yield process, head, URL.search(head)[0]
        finally:
            process.kill()


def ended(process, by=signal.SIGTERM):
    process.send_signal(by)
    return process.communicate(timeout=20)


def call(url, *, key="local", role="user", **more):
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        return client.converse(
            modelId=SONNET,
            system=[{"text": LONG}, {"cachePoint": {"type": "default"}}],
            messages=[{"role": role, "content": [{"text": "How?"}]}],
            **more,
        )["usage"]
    finally:
        client.close()


posix = pytest.mark.skipif(sys.platform == "win32", reason="a console has no SIGTERM there")


@posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(stop):
    with running() as (process, head, url):
        call(url)
        call(url)
        rest, err = ended(process, stop)
    assert process.returncode == 0, err
    out = head + rest
    assert f"export AWS_ENDPOINT_URL_BEDROCK_RUNTIME={url}" in out
    assert f"export ANTHROPIC_BEDROCK_BASE_URL={url}" in out
    assert "2 calls answered, 0 refused" in out
    assert re.search(r"\n2 calls.* [\d,]{4,} tokens read", out)
    assert err == ""


@posix
def test_it_prints_a_line_for_each_request():
    with running() as (process, _, url):
        usage = call(url)
        with pytest.raises(Exception, match="ValidationException"):
            call(url, role="a secret role")
        out, err = ended(process)
    written, fresh = usage["cacheWriteInputTokens"], usage["inputTokens"]
    first, second, *_ = out.splitlines()
    counts = f"0 read, {written:,} written, {fresh:,} uncached, {usage['outputTokens']:,} output"
    assert re.fullmatch(rf"{MOMENT} Converse {SONNET}: {counts}", first)
    assert re.fullmatch(rf"{MOMENT} Converse {SONNET}: refused, 400 ValidationException: .+", second)
    assert "'messages.1.member.role'" in second
    assert "secret" not in out
    assert err == ""


@posix
def test_quiet_leaves_the_lines_out():
    with running("--quiet") as (process, _, url):
        call(url)
        out, _ = ended(process)
    assert out.splitlines()[0].startswith("1 call answered")


@posix
def test_a_reader_who_goes_stops_no_request():
    with running() as (process, _, url):
        process.stdout.close()
        assert call(url)["inputTokens"] > 0
        assert call(url)["cacheReadInputTokens"] > 0


@posix
def test_its_clock_is_moved_from_outside():
    with running() as (process, _, url):
        call(url)
        with urllib.request.urlopen(f"{url}/_emulator/health", timeout=10) as answer:
            assert answer.status == 200
        body = json.dumps({"advance": 301}).encode()
        with urllib.request.urlopen(f"{url}/_emulator/clock", body, timeout=10) as answer:
            assert json.load(answer)["now"] > 0
        assert call(url)["cacheReadInputTokens"] == 0
        out, _ = ended(process)
    assert "2 calls answered, 0 refused" in out


@posix
def test_keys_guardrails_and_options_by_model():
    arguments = [
        "--access-key=mine",
        "--guardrail=abc123=bomb,poison",
        f"--model-option={SONNET}:min-tokens=5000",
    ]
    with running(*arguments) as (process, head, url):
        assert "mine" not in head
        with pytest.raises(Exception, match="UnrecognizedClientException"):
            call(url)
        assert call(url, key="mine")["cacheWriteInputTokens"] == 0
        guarded = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
        assert call(url, key="mine", guardrailConfig=guarded)["inputTokens"] > 0
        _, err = ended(process)
    assert process.returncode == 0, err


class Stopped(Exception):
    pass


@pytest.fixture
def built(monkeypatch):
    """What the emulator is built with; it is not started."""
    seen = {}

    def build(**options):
        seen.update(options)
        raise Stopped

    monkeypatch.setattr(cachepoint.emulator, "BedrockEmulator", build)
    return seen


OPTIONS = {
    "min_tokens": 2_048,
    "lookback": 5,
    "lifetime_5m": 10.5,
    "lifetime_1h": 20.0,
    "refresh": False,
    "over_5m": "1h",
    "implicit": 0.5,
    "eviction": 0.1,
    "reroute": 0.2,
    "tokens_per_minute": 10_000,
    "requests_per_minute": 5,
    "cut_streams": 0.3,
    "latency_base": 0.5,
    "latency_uncached": 0.1,
    "latency_write": 0.2,
    "latency_read": 0.05,
}


def invoke(*args):
    return CliRunner().invoke(build(), ["emulator", *args])


def test_every_option_is_one_of_the_command_line(built):
    assert OPTIONS.keys() == {field.name for field in fields(Options)}
    given = [
        "--no-refresh" if value is False else f"--{name.replace('_', '-')}={value}"
        for name, value in OPTIONS.items()
    ]
    invoke(*given, "--seed=7")
    assert {name: built[name] for name in OPTIONS} == OPTIONS
    assert built["seed"] == 7


def test_what_is_not_given_is_left_to_the_emulator(built):
    invoke()
    assert not built.keys() & OPTIONS.keys()
    assert (built["host"], built["port"], built["access_keys"]) == ("127.0.0.1", 0, None)
    assert built["models"] == built["guardrails"] == built["profiles"] == {}


def test_options_of_models_whose_ids_have_colons(built):
    haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    invoke(
        f"--model-option={haiku}:min-tokens=100",
        f"--model-option={haiku}:refresh=false",
        f"--model-option={arn}:over_5m=1h",
        f"--profile={arn}={haiku}",
    )
    assert built["models"] == {haiku: {"min_tokens": 100, "refresh": False}, arn: {"over_5m": "1h"}}
    assert built["profiles"] == {arn: haiku}


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("--reroute=2", 2, "--reroute"),
        ("--lookback=-1", 2, "--lookback"),
        ("--over-5m=2h", 1, "over_5m is '2h'"),
        ("--latency-base=nan", 2, "--latency-base"),
        ("--model-option=x", 2, "'x' is not MODEL:OPTION=VALUE"),
        ("--model-option=nobody.model:lookback=1", 1, "'nobody.model', which is no model's id"),
        (f"--model-option={SONNET}:minimum=1", 1, "there is no option 'minimum'"),
        (f"--model-option={SONNET}:lookback=-1", 1, "lookback is -1"),
        ("--guardrail=abc", 2, "'abc' is not ID=WORD,WORD"),
        ("--profile=abc", 2, "'abc' is not ARN=MODEL"),
        ("--host=::1", 1, "host is '::1'"),
    ],
)
def test_what_is_not_valid_is_told_and_named(given, code, said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = invoke(given)
    assert done.exit_code == code
    assert said in done.stderr


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.2", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False)],
)
def test_which_hosts_only_this_machine_reaches(host, loopback):
    assert _is_loopback(host) is loopback


def test_another_host_than_loopback_is_warned_of(monkeypatch):
    """Without listening at it: tests stay on this machine."""
    monkeypatch.setattr("cachepoint.cli.emulator._is_loopback", lambda host: False)
    done = invoke("--for=0.01")
    assert done.exit_code == 0
    assert "whoever reaches 127.0.0.1 can call it and move its clock" in done.stderr
    monkeypatch.undo()
    assert invoke("--for=0.01").stderr == ""


def test_it_stops_by_itself():
    with start("--for", "0.1", "--reroute", "0.5", "--seed", "3") as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "0 calls answered" in out


def test_a_busy_port_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        start("--port", str(port := taken.getsockname()[1])) as process,
    ):
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.startswith(f"cachepoint: it can't listen on 127.0.0.1:{port} (")
    assert "--port 0 takes a free port" in err


def test_the_summary_says_what_it_does_not_count():
    assert _summary((), 0) == "0 calls answered, 0 refused: 0 tokens read, 0 written, 0 uncached"
    assert _summary((), 1_200).endswith("(without the 1,200 calls before these)")

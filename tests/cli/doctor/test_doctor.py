"""`cachepoint doctor` on set-ups that are well and on those that are broken."""

import json
import logging
import os
import socket
import subprocess
import sys
from errno import ECONNREFUSED
from importlib import metadata

import pytest
from typer.testing import CliRunner

import cachepoint.memory
from cachepoint.cli import build
from tests.aws.stubs import APP_PROFILE, MODEL, without_points, without_ttl

SONNET = "us.anthropic.claude-sonnet-4-6"
CANARY = "kanarienvogel-8c1f"
PROVISIONED = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123"


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def doctor(*args):
    result = CliRunner().invoke(build(), ["doctor", *args, "--json"])
    assert result.exit_code in {0, 1}, result.output
    told = json.loads(result.stdout)
    faults = [one for one in told["findings"] if one["level"] == "fault"]
    assert (result.exit_code, told["faults"]) == (int(bool(faults)), len(faults))
    return told["findings"]


def of(check, findings):
    return [one for one in findings if one["check"] == check]


def the_fault(*args, check):
    (fault,) = (one for one in doctor(*args) if one["level"] == "fault")
    assert fault["check"] == check
    return fault


def test_a_good_set_up_has_no_fault_and_says_what_is_there():
    findings = doctor("--model", SONNET)
    assert {one["level"] for one in findings} == {"ok"}
    said = "\n".join(one["what"] for one in findings)
    assert f"cachepoint {metadata.version('cachepoint')}" in said
    assert f"boto3 {metadata.version('boto3')} knows checkpoints, TTLs of checkpoints, writes by TTL" in said
    assert "mode auto, ttl auto" in said
    assert "Claude Sonnet 4.6: from 1,024 tokens on, 5m and 1h; medium confidence, checked 2026-11-22" in said
    assert "system[0] (5m)" in said


def test_as_text_with_the_exit_code(monkeypatch):
    good = CliRunner().invoke(build(), ["doctor", "--model", SONNET])
    assert good.exit_code == 0
    assert good.stdout.splitlines()[-1] == "no fault was found"
    monkeypatch.setenv("CACHEPOINT_TTL", "2h")
    bad = CliRunner().invoke(build(), ["doctor", "--model", SONNET])
    assert bad.exit_code == 1
    assert bad.stdout.splitlines()[-1] == "1 fault"
    assert max(map(len, bad.stdout.splitlines())) <= 80
    words = " ".join(bad.stdout.split())
    assert "FAULT CACHEPOINT_TTL is '2h', and is passed over -> set it to one of auto, 5m, 1h" in words


# Six broken set-ups.


def old_botocore(tmp_path, monkeypatch, forget):
    """botocore's own model of the service, less what an older release did not have."""
    import gzip
    from pathlib import Path

    import botocore

    model = json.loads(gzip.decompress((Path(botocore.__file__).parent / f"data/{MODEL}.gz").read_bytes()))
    forget(model["shapes"])
    place = tmp_path / MODEL
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(model))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))


def test_broken_old_boto3(tmp_path, monkeypatch):
    old_botocore(tmp_path, monkeypatch, without_points)
    fault = the_fault("--model", SONNET, check="boto3")
    assert "knows no prompt caching: Converse calls go out without checkpoints" in fault["what"]
    assert fault["remedy"] == 'pip install -U "boto3>=1.40"'


def test_a_boto3_without_ttl_is_worth_a_word(tmp_path, monkeypatch):
    old_botocore(tmp_path, monkeypatch, without_ttl)
    (found,) = of("boto3", doctor())
    assert found["level"] == "note"
    assert "not TTLs of checkpoints (1h is put past its check all the same)" in found["what"]


def test_broken_unknown_model():
    fault = the_fault("--model", "us.anthropic.claude-sonet-4-6", check="model")
    assert fault["what"].startswith("no model 'us.anthropic.claude-sonet-4-6' is known")
    assert f"do you mean {SONNET!r}" in fault["remedy"]


def test_broken_arn_without_a_base_model():
    fault = the_fault("--model", APP_PROFILE, check="model")
    assert f"{APP_PROFILE} hides its model" in fault["what"]
    assert "base_model_id=" in fault["remedy"]
    assert "bedrock:GetInferenceProfile" in fault["remedy"]
    (found,) = of("model", doctor("--model", APP_PROFILE, "--base-model", "anthropic.claude-sonnet-4-6"))
    assert found["level"] == "ok"
    assert found["what"].startswith("Claude Sonnet 4.6")


@pytest.mark.parametrize(
    ("name", "value", "what", "remedy"),
    [
        ("CACHEPOINT_MOED", "off", "CACHEPOINT_MOED is no variable of cachepoint", "set CACHEPOINT_MODE"),
        ("CACHEPOINT_TTL", "2h", "CACHEPOINT_TTL is '2h'", "set it to one of auto, 5m, 1h, or unset it"),
        ("CACHEPOINT_KEYS", CANARY, "CACHEPOINT_KEYS is no variable", "set CACHEPOINT_KEY"),
        ("CACHEPOINT_MODE", f"{CANARY}{CANARY}", "CACHEPOINT_MODE is no word", "set it to one of auto, off"),
    ],
)
def test_broken_wrong_variable(name, value, what, remedy, monkeypatch):
    monkeypatch.setenv(name, value)
    fault = the_fault(check="environment")
    assert fault["what"].startswith(what)
    assert fault["remedy"].startswith(remedy)
    assert CANARY not in str(fault)


def without(monkeypatch, *gone):
    """As where these distributions are not installed."""
    real = metadata.version

    def version(name):
        if name in gone:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    for name in gone:
        monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)


@pytest.mark.parametrize(
    ("gone", "what", "extra"),
    [
        (
            ("boto3", "langchain-aws", "llama-index-core"),
            "langchain-core is installed, and what cachepoint.langchain needs is not",
            "langchain",
        ),
        (
            ("boto3", "langchain-core", "langchain-aws", "llama-index-llms-bedrock-converse"),
            "llama-index-core is installed, and what cachepoint.llama_index needs is not",
            "llama-index",
        ),
        (
            ("boto3", "langchain-core", "langchain-aws", "llama-index-core"),
            "boto3 is not installed: nothing can be sent to Bedrock",
            "aws",
        ),
    ],
)
def test_broken_missing_extra(gone, what, extra, monkeypatch):
    without(monkeypatch, *gone)
    fault = the_fault("--model", SONNET, check="installed")
    assert fault["what"] == what
    assert fault["remedy"].startswith(f'pip install "cachepoint[{extra}]"')


def test_a_framework_beside_which_boto3_is_used_alone_is_no_fault(monkeypatch):
    without(monkeypatch, "langchain-aws")
    notes = [one for one in of("installed", doctor()) if one["level"] == "note"]
    assert [one["remedy"] for one in notes] == ['pip install "cachepoint[langchain]"']


def test_an_integration_that_is_too_old_is_a_fault(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.2.0" if name == "langchain-aws" else real(name))
    fault = the_fault(check="installed")
    assert fault["what"] == "langchain-aws is 1.2.0; cachepoint[langchain] needs >=1.9.1, <2"
    assert fault["remedy"] == 'pip install -U "cachepoint[langchain]"'


def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Store:
    """A shared memory as `connect` gives it, on a port that answers or does not."""

    def __init__(self, port):
        self.port, self.closed = port, False

    def open(self, timeout):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout).close()
        except OSError as error:
            logging.getLogger("cachepoint").warning(
                "%r is not used for now (%s); it is back later", self, error
            )
            return False
        return True

    def close(self):
        self.closed = True


@pytest.fixture
def stores(monkeypatch):
    """`cachepoint.memory.connect`, and what it made."""
    made = []

    def connect(url):
        made.append(Store(int(url.rpartition(":")[2].partition("/")[0])))
        return made[-1]

    monkeypatch.setattr(cachepoint.memory, "connect", connect, raising=False)
    return made


def test_broken_memory_that_is_gone(stores, monkeypatch, caplog):
    port = closed_port()
    monkeypatch.setenv("CACHEPOINT_MEMORY", f"redis://me:{CANARY}@127.0.0.1:{port}/0")
    fault = the_fault(check="memory")
    assert fault["what"] == (
        f"the memory at redis://127.0.0.1:{port}/0 does not answer ([Errno {ECONNREFUSED}] Connection refused): "
        "each process remembers for itself"
    )
    assert caplog.records == []
    assert fault["remedy"].startswith("start it, and see that host, port, user and password")
    assert CANARY not in str(fault)
    assert [one.closed for one in stores] == [True]


def test_a_memory_that_answers(stores, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("CACHEPOINT_MEMORY", f"redis://127.0.0.1:{port}")
        (found,) = of("memory", doctor())
    assert found["what"].startswith(f"the memory at redis://127.0.0.1:{port} answers in ")
    assert [one.closed for one in stores] == [True]


@pytest.mark.skipif(hasattr(cachepoint.memory, "connect"), reason="this version has a shared memory")
def test_a_version_without_shared_memory_says_so(monkeypatch):
    monkeypatch.setenv("CACHEPOINT_MEMORY", "redis://127.0.0.1:6379/0")
    fault = the_fault(check="memory")
    assert "this version has no shared memory" in fault["what"]
    assert fault["remedy"] == "pip install -U cachepoint, or unset CACHEPOINT_MEMORY"


@pytest.mark.skipif(not hasattr(cachepoint.memory, "connect"), reason="this version has no shared memory")
@pytest.mark.parametrize(
    ("key", "words"), [("k" * 32, "does not answer"), ("", "CACHEPOINT_KEY")], ids=["gone", "no key"]
)
def test_broken_memory_through_the_real_connect(key, words, monkeypatch):
    monkeypatch.setenv("CACHEPOINT_MEMORY", f"redis://me:{CANARY}@127.0.0.1:{closed_port()}/0")
    monkeypatch.setenv("CACHEPOINT_KEY", key)
    fault = the_fault(check="memory")
    assert words in fault["what"]
    assert CANARY not in str(fault)


def test_what_connect_refuses_is_said_with_its_remedy(monkeypatch):
    def connect(url):
        raise ImportError('no redis; pip install "cachepoint[redis]"')

    monkeypatch.setattr(cachepoint.memory, "connect", connect, raising=False)
    monkeypatch.setenv("CACHEPOINT_MEMORY", "redis://127.0.0.1:6379/0")
    fault = the_fault(check="memory")
    assert fault["what"] == 'CACHEPOINT_MEMORY is not used: no redis; pip install "cachepoint[redis]"'


# The environment, and what results.


def test_the_policy_that_results(monkeypatch):
    monkeypatch.setenv("CACHEPOINT_TTL", "1h")
    findings = doctor("--model", SONNET)
    assert of("policy", findings)[0]["what"].startswith("policy: ttl 1h by the environment, else mode auto")
    assert "system[0] (1h)" in of("model", findings)[0]["what"]
    assert "CACHEPOINT_TTL=1h" in of("environment", findings)[-1]["what"]


def test_off_is_said_where_it_matters(monkeypatch):
    monkeypatch.setenv("CACHEPOINT_MODE", "off")
    findings = doctor("--model", SONNET)
    (policy,), (model,) = of("policy", findings), of("model", findings)
    assert (policy["level"], policy["remedy"]) == ("note", "unset CACHEPOINT_MODE")
    assert model["what"].endswith("A long new prompt would get no checkpoint: mode is off")


def test_what_kubernetes_puts_there_is_no_fault(monkeypatch):
    monkeypatch.setenv("CACHEPOINT_SERVICE_HOST", "10.0.0.1")
    (found, _) = of("environment", doctor())
    assert found["level"] == "note"
    assert "10.0.0.1" not in str(found)


def test_another_endpoint_is_said(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://me:{CANARY}@127.0.0.1:4000")
    found = of("environment", doctor())[-1]
    assert found["what"] == "calls go to http://127.0.0.1:4000, not to AWS"


# Models.


@pytest.mark.parametrize(
    ("model", "level", "what"),
    [
        ("us.meta.llama3-3-70b-instruct-v1:0", "note", "takes no checkpoints: its calls go out as they come"),
        ("bedrock_converse:us.amazon.nova-lite-v1:0", "ok", "Nova Lite: from 1,024 tokens on, 5m"),
        (PROVISIONED, "fault", "tells no model: no checkpoint is placed"),
        ("Claude Haiku 4.5", "fault", "'Claude Haiku 4.5' is no id of Bedrock's"),
    ],
)
def test_models(model, level, what):
    found = of("model", doctor("--model", model))[0]
    assert found["level"] == level
    assert what in found["what"]


def test_the_sample_that_is_planned_is_what_a_client_would_send(client):
    """The doctor says `ok` of a model exactly where a call to it gets a checkpoint."""
    from cachepoint import PromptCache
    from cachepoint.aws import CachingClient

    for model in (SONNET, "us.amazon.nova-lite-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"):
        request = {
            "modelId": model,
            "system": [{"text": "sample " * 8_000}],
            "messages": [{"role": "user", "content": [{"text": "Hello."}]}],
        }
        answer = CachingClient(client, cache=PromptCache()).converse(**request)
        placed = bool(answer["ResponseMetadata"]["cachepoint"].plan.checkpoints)
        assert placed is (of("model", doctor("--model", model))[0]["level"] == "ok")


# Instrumentation.


def test_nothing_wraps_the_client_here():
    (found,) = of("instrumentation", doctor())
    assert found["what"] == "no instrumentation wraps the client"


def test_a_wrapper_of_wrapt_is_seen(monkeypatch):
    """As OpenTelemetry's instrumentation of botocore and ddtrace do it."""
    from botocore.client import BaseClient
    from wrapt import FunctionWrapper

    def tracing(wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs)

    monkeypatch.setattr(BaseClient, "_make_api_call", FunctionWrapper(BaseClient._make_api_call, tracing))
    (found,) = of("instrumentation", doctor())
    assert found["what"].startswith(f"{__name__} wraps the client of boto3")
    assert "cachepoint.observers.otel()" in found["remedy"]


def test_a_plain_wrapper_of_a_made_client_is_seen(monkeypatch):
    """As OpenInference and OpenLLMetry do it: what makes clients is wrapped, and then the client."""
    from functools import wraps

    from botocore.client import ClientCreator

    real = ClientCreator.create_client

    @wraps(real)
    def create_client(self, *args, **kwargs):
        made = real(self, *args, **kwargs)
        inner = made.converse

        @wraps(inner)
        def converse(**request):
            return inner(**request)

        made.converse = converse
        return made

    monkeypatch.setattr(ClientCreator, "create_client", create_client)
    (found,) = of("instrumentation", doctor())
    assert found["what"].startswith(f"{__name__} wraps the client of boto3")


# Secrets.

SECRETS = {
    "AWS_ACCESS_KEY_ID": f"AKIA{CANARY}",
    "AWS_SECRET_ACCESS_KEY": f"secret-{CANARY}",
    "AWS_SESSION_TOKEN": f"token-{CANARY}",
    "AWS_BEARER_TOKEN_BEDROCK": f"bearer-{CANARY}",
    "CACHEPOINT_KEY": f"key-{CANARY},older-{CANARY}",
    "CACHEPOINT_MEMORY": f"redis://user:{CANARY}%21@127.0.0.1:1/0?password={CANARY}",
    "CACHEPOINT_KEYY": CANARY,
    "CACHEPOINT_TTL": f"{CANARY}!",
}


@pytest.mark.parametrize("form", ["--json", None])
@pytest.mark.parametrize("fails", [None, ValueError, RuntimeError, ConnectionError])
def test_no_secret_is_printed(form, fails, bedrock, monkeypatch):
    """Also not where an error quotes it."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)

    def connect(url):
        raise fails(f"cannot use {url} with {os.environ['CACHEPOINT_KEY']} or {CANARY}!")

    if fails is not None:
        monkeypatch.setattr(cachepoint.memory, "connect", connect, raising=False)
    asked = ["--aws", "--endpoint-url", bedrock.url, "--model", SONNET, *([form] if form else [])]
    result = CliRunner().invoke(build(), ["doctor", *asked])
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert CANARY not in result.output
    assert "CACHEPOINT_KEY" in result.output


# In a process of its own.


def test_without_boto3_it_goes_on_and_names_the_extra():
    code = (
        "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None\n"
        "sys.argv[1:] = ['doctor', '--aws', '--model', 'us.anthropic.claude-sonnet-4-6', '--json']\n"
        "from cachepoint.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1
    assert "there are no credentials for AWS" in done.stdout

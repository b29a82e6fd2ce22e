"""What every test stands on: no credentials but dummies, no metadata service, a Bedrock on 127.0.0.1."""

import gc
import os

import boto3
import pytest
from botocore.config import Config

from cachepoint.core import policy
from cachepoint.core.guard import guard
from cachepoint.core.prompt import documents
from cachepoint.core.prompt.announced import Announced
from cachepoint.emulator import AutoResponder, BedrockEmulator

REGION = "us-east-1"
DUMMIES = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_SESSION_TOKEN": "example",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
# `make record AWS=1`: the cassettes are recorded against AWS, with the caller's credentials.
ON_AWS = os.environ.get("AWS") == "1"
LEAKS = (
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "LANGCHAIN_",
    "LANGSMITH_",
    "CACHEPOINT_",
)


@pytest.fixture(autouse=True, scope="module")
def _imports_stay():
    """No collection looks through them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    if ON_AWS:
        return
    for name in [n for n in os.environ if n.startswith(LEAKS)]:
        monkeypatch.delenv(name)
    for name, value in DUMMIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(policy._Default, "policy", None)
    # The next fault is the first, and said.
    monkeypatch.setattr(guard, "faults", 0)


@pytest.fixture(autouse=True, scope="module")
def _nothing_announced():
    """What one file announced to this process is no document in the next."""
    for known in (documents.retrieved, documents.changing):
        known.__dict__.update(Announced(least=known._least).__dict__)


class Voice:
    """What the shared emulator's model says; a test puts another responder in its place."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.responder = AutoResponder()

    def __call__(self, request, /):
        return self.responder(request)


class Bedrock:
    """The emulator that the tests share, with `responder` to set and a client that is built once."""

    def __init__(self):
        self.voice = Voice()
        self.emulator = BedrockEmulator(responder=self.voice)
        self._clients = {}

    def __getattr__(self, name):
        return getattr(self.emulator, name)

    def reset(self):
        self.voice.reset()
        self.emulator.reset()

    def say(self, responder):
        self.voice.responder = responder

    @property
    def answered(self):
        return [call for call in self.emulator.calls if call.status == 200]

    def client(self, service="bedrock-runtime"):
        if service not in self._clients:
            self._clients[service] = boto_client(self.emulator.url, service)
        return self._clients[service]


def boto_client(url, service="bedrock-runtime"):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=DUMMIES["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=DUMMIES["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=DUMMIES["AWS_SESSION_TOKEN"],
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50),
    )


@pytest.fixture(scope="session")
def _bedrock():
    shared = Bedrock()
    with shared.emulator:
        yield shared
        for client in shared._clients.values():
            client.close()


@pytest.fixture
def bedrock(_bedrock, monkeypatch):
    """An emulator that remembers nothing of other tests."""
    # It leads Anthropic's SDK there.
    monkeypatch.setenv("ANTHROPIC_BEDROCK_BASE_URL", _bedrock.url)
    _bedrock.reset()
    return _bedrock


@pytest.fixture
def client(bedrock):
    return bedrock.client()

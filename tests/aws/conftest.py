import pytest

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import ttl
from cachepoint.core.guard import guard
from cachepoint.emulator import BedrockEmulator
from tests.aws.stubs import APP_PROFILE


@pytest.fixture
def bedrock():
    with BedrockEmulator(profiles={APP_PROFILE: "anthropic.claude-sonnet-4-6"}) as bedrock:
        yield bedrock


@pytest.fixture
def cache(bedrock):
    return PromptCache(policy=CachePolicy(), clock=bedrock.now)


@pytest.fixture
def faults(monkeypatch):
    """How many faults the guard of the clients has counted since the test began."""
    monkeypatch.setattr(guard, "faults", 0)
    return lambda: guard.faults


@pytest.fixture(autouse=True)
def _nothing_said():
    ttl.say_old.cache_clear()

import pytest

from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire


@pytest.fixture
def bedrock():
    with BedrockEmulator() as emulator:
        yield emulator


@pytest.fixture
def client(bedrock):
    runtime = wire.client(bedrock)
    yield runtime
    runtime.close()

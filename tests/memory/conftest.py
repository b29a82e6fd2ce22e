"""A server for a file, empty for each test, and memories on it that are closed behind it."""

import pytest

from cachepoint.memory import connect
from tests.memory.servers import KEY, PROGRAM, Server


@pytest.fixture(scope="module")
def a_server(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    running = Server(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture
def server(a_server):
    with a_server.client() as client:
        client.flushall()
    return a_server


@pytest.fixture
def own_server(tmp_path):
    """One that the test may do anything to."""
    if PROGRAM is None:
        pytest.skip(reason="neither redis-server nor valkey-server is installed")
    running = Server(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def connected():
    """Makes memories."""
    made = []

    def make(server, **options):
        memory = connect(server.url, **{"key": KEY, **options})
        made.append(memory)
        return memory

    yield make
    for memory in made:
        memory.close()


@pytest.fixture
def memory(server, connected):
    return connected(server)

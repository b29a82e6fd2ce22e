"""What is tested of the memory of one process, on a store: a memory of its own for each that would be made."""

import pytest
import test_memory as contract

from cachepoint.memory import connect
from tests.memory.servers import KEY, PATIENT


class Stored:
    """It lets its cache have a key of its own, and takes its time."""

    def __init__(self, memory):
        self.memory = memory

    def recall(self, question, timeout):
        return self.memory.recall(question, PATIENT)

    def record(self, changes, timeout):
        return self.memory.record(changes, PATIENT)


@pytest.fixture
def clock():
    return [contract.NOW]


@pytest.fixture(autouse=True)
def _on_the_store(server, monkeypatch):
    made = []

    def local(limits=None):
        memory = connect(server.url, key=KEY, namespace=f"{len(made)}", limits=limits)
        made.append(memory)
        return Stored(memory)

    monkeypatch.setattr(contract, "LocalMemory", local)
    monkeypatch.setattr("cachepoint.core.options.LocalMemory", local)
    yield
    assert all(memory.is_shared for memory in made)
    for memory in made:
        memory.close()


class TestWorkersOnAStore(contract.TestWorkers):
    # It makes a class of the memory.
    test_the_loser_of_a_cut_decides_once_more = None


class TestClaimsOnAStore(contract.TestClaims):
    pass


class TestUnknownOnAStore(contract.TestUnknown):
    pass

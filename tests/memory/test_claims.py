"""What is told of a claim while the store does not answer: its end once more, its beginning never late."""

import time

import pytest

from cachepoint.core.memory.deeds import Claim, Release, Seen
from cachepoint.core.memory.records import CLAIM_SECONDS, Change, Changes, Table
from cachepoint.memory import LocalMemory
from cachepoint.memory.wire.links import LateError
from cachepoint.memory.wire.servers import UnsentError
from tests.memory.changes import Everything
from tests.memory.servers import PATIENT

PLACE, OTHER, HOLDER = b"p" * 16, b"q" * 16, b"h" * 12


def changes(*deeds, key=PLACE):
    return Changes(time.time(), tuple(Change(Table.PLACES, key, deed) for deed in deeds))


class Asked(Everything):
    def __init__(self):
        self.now, self.keys = time.time(), {Table.PLACES: [PLACE, OTHER]}


def held(memory):
    return _held(memory.recall(Asked(), PATIENT))


def _held(recollection):
    found = recollection[Table.PLACES]
    return {key for key, place in found.items() if place.held(time.time())}


@pytest.fixture
def other(server, connected):
    """Another worker."""
    return connected(server)


class Failing:
    """A store whose next answers are lost: nobody knows whether what was sent arrived."""

    def __init__(self, servers, error, *, arrives):
        self.servers, self.error, self.arrives, self.failed = servers, error, arrives, 0

    def ask(self, trip, timeout):
        if self.failed:
            return self.servers.ask(trip, timeout)
        self.failed += 1
        if self.arrives:
            self.servers.ask(trip, timeout)
        raise self.error

    def __getattr__(self, name):
        return getattr(self.servers, name)


@pytest.mark.parametrize("arrives", [True, False])
def test_the_end_of_a_claim_is_told_again_where_it_may_not_have_been_heard(memory, other, arrives):
    memory.record(changes(Claim(HOLDER, time.time())), PATIENT)
    assert held(other) == {PLACE}
    memory._servers = Failing(memory._servers, LateError("no answer"), arrives=arrives)
    memory.record(changes(Release(HOLDER)), PATIENT)
    assert memory._servers.failed == 1
    memory.recall(Everything(time.time()), PATIENT)
    assert held(other) == set()


def test_a_claim_that_was_not_sent_is_not_sent_later(memory, other):
    """It would come after its end, where another thread's trip took that along first."""
    memory._servers = Failing(memory._servers, UnsentError("no connection"), arrives=False)
    memory.record(changes(Seen(time.time()), Claim(HOLDER, time.time())), PATIENT)
    assert _held(memory._local.recall(Asked())) == {PLACE}
    memory.record(changes(Release(HOLDER), key=OTHER), PATIENT)
    assert held(other) == set()
    found = other.recall(Everything(time.time()), PATIENT)
    assert PLACE not in found[Table.PLACES] or not found[Table.PLACES][PLACE].holder


def test_what_was_not_sent_of_other_changes_is_sent_later(memory, other):
    memory._servers = Failing(memory._servers, UnsentError("no connection"), arrives=False)
    memory.record(changes(Seen(5.0)), PATIENT)
    memory.record(changes(Release(HOLDER), key=OTHER), PATIENT)

    class Asked(Everything):
        def __init__(self):
            self.now, self.keys = time.time(), {Table.PLACES: [PLACE]}

    assert other.recall(Asked(), PATIENT)[Table.PLACES][PLACE].seen == 5.0


def test_no_claim_outlives_its_bound(memory):
    now = time.time()
    memory.record(changes(Claim(HOLDER, now - CLAIM_SECONDS - 1)), PATIENT)
    assert held(memory) == set()
    local = LocalMemory()
    local.record(changes(Claim(HOLDER, now - CLAIM_SECONDS - 1)), PATIENT)
    assert held(local) == set()

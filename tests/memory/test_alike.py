"""What the store remembers is what the memory of one process does, whatever is done and by whom."""

import secrets

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cachepoint.memory import LocalMemory, connect
from tests.memory.changes import NOW, Everything, all_changes, step
from tests.memory.servers import KEY, PATIENT


class Alike(RuleBasedStateMachine):
    """Each step is done by one of two workers, and to a memory of one process, which tells what is right."""

    url: str

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.right = LocalMemory()
        space = secrets.token_hex(8)
        self.workers = [connect(self.url, key=KEY, namespace=space) for _ in range(2)]

    @rule(all_of=all_changes, who=st.integers(0, 1))
    def record(self, all_of, who):
        changes = step(all_of, self.now)
        assert self.workers[who].record(changes, PATIENT) == self.right.record(changes, PATIENT)
        self.settle(who)

    @rule(who=st.integers(0, 1))
    def recall(self, who):
        question = Everything(self.now)
        assert self.workers[who].recall(question, PATIENT) == self.right.recall(question, PATIENT)

    @rule(seconds=st.sampled_from([0.25, 3.0, 300.0, 4_000.0, 90_000.0]))
    def wait(self, seconds):
        self.now += seconds

    def settle(self, who):
        """What one owes travels with its next trip; the other does not see it before."""
        self.workers[who].recall(Everything(self.now), PATIENT)

    def teardown(self):
        for worker in self.workers:
            assert worker.is_shared
            worker.close()


@pytest.mark.parametrize("examples", [25])
def test_two_workers_remember_as_one_process_does(server, examples):
    machine = type("Alike", (Alike,), {"url": server.url})
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine, settings=machine.TestCase.settings)

"""What was foreseen of the demo's calls, beside what then happened."""

import pytest
from looking import Looking, known, states, wrong

from cachepoint.cli import demo
from cachepoint.cli.demo import langchain_jobs, llama_index_jobs, work
from cachepoint.cli.demo.places import Local

JOBS = [(f, name) for f in (langchain_jobs, langchain_jobs.INVOKE, llama_index_jobs) for name in f.JOBS]


@pytest.mark.parametrize(("framework", "job"), JOBS, ids=lambda part: getattr(part, "NAME", part))
def test_it_is_right_over_the_jobs_of_the_demo(framework, job, monkeypatch):
    """Warm or cold right in all calls of known streams, what is read within 5 %."""
    made = []
    for module in (langchain_jobs, llama_index_jobs):
        monkeypatch.setattr(module, "PromptCache", lambda: made.append(Looking()) or made[-1])
    with demo._undisturbed(), Local().open(job) as stage:
        framework.JOBS[job](framework.cached(stage, demo.DEFAULT_MODEL, work.POLICIES.get(job)))
    (cache,) = made
    assert wrong(cache.seen) == []
    assert states(cache.seen).keys() <= {("unknown", False), ("cold", False), ("warm", True)}
    assert len(known(cache.seen)) >= 0.5 * len(cache.seen) > 5
    assert cache.faults == 0

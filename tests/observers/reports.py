"""Reports in few words."""

from cachepoint.core.accounting.diagnosis import Miss
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import rules_for
from cachepoint.core.placement.planner import Checkpoint, Plan

SONNET = "us.anthropic.claude-sonnet-4-6"
START = 1_795_392_000.0


def report(
    read=0,
    write=0,
    fresh=10,
    output=5,
    *,
    one_hour=0,
    miss=None,
    model=SONNET,
    at=START,
    conversation="c0ffee",
    ttls=("5m",),
    usage=...,
    **timing,
):
    if usage is ...:
        usage = Usage(fresh, output, read, write, write - one_hour, one_hour)
    if isinstance(miss, str):
        miss = Miss(miss)
    marks = tuple(Checkpoint(n, f"messages[{n}]", ttl, "end", 2_000) for n, ttl in enumerate(ttls))
    rules = rules_for(model)
    return CallReport(model, model, rules, at, usage, Plan(marks), miss, conversation, **timing)


def talk(calls, *, conversation="c0ffee", at=START, breaks=()):
    """A conversation that grows by 500 tokens a call; `breaks` are calls that read nothing."""
    for n in range(calls):
        held = 0 if not n or n in breaks else 2_000 + 500 * (n - 1)
        miss = "first_write" if not n else "expired" if n in breaks else None
        yield report(held, 2_000 + 500 * n - held, 20, miss=miss, conversation=conversation, at=at + 30 * n)

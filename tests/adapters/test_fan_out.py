"""The contract for calls at once and for warming, on every adapter."""

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from cachepoint import PromptCache
from cachepoint.emulator import Reply, ScriptedResponder
from tests.adapters.contract import MANUAL, Tool

PREFIX = MANUAL * 3
THINKING = {
    "langchain": {
        "additional_model_request_fields": {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
        "temperature": 1.0,
    },
    "langchain_anthropic": {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "temperature": 1.0},
    "langchain_invoke": {
        "model_kwargs": {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
        "temperature": 1.0,
    },
    "llama_index": {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "temperature": 1.0},
}


def slowly(seconds):
    return lambda _: replace(Reply.text("ok"), delay=seconds)


def together(calls):
    """No answer begins before so many calls are there, however busy the machine is."""
    barrier = Barrier(calls)

    def answer(_):
        barrier.wait(60)
        return Reply.text("ok")

    return answer


def at_once(adapter, model, calls, mode=""):
    """What so many calls at once, each in its thread, say of their usage."""

    def ask(number):
        messages = [adapter.system(PREFIX), adapter.user(f"Question {number}: where is the valve?")]
        return adapter.ask(model, messages, mode=mode).report["usage"]

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(ask, range(calls)))


def paid(usage, size):
    """For the prefix, in units of its price."""
    read = min(usage["read_tokens"], size)
    written = min(usage["write_tokens"], size - read)
    return (0.1 * read + 1.25 * written + size - read - written) / size


@pytest.mark.parametrize(
    ("fan_out", "bound", "writers"), [("warm_first", 3.3, 1), ("single_flight", 20.3, 1), ("off", 25.1, 20)]
)
def test_twenty_at_once(adapter, bedrock, cache, fan_out, bound, writers):
    bedrock.say(slowly(1.0) if fan_out == "warm_first" else together(20))
    model = adapter.cached(bedrock, cache=cache, policy={"fan_out": fan_out})
    usages = at_once(adapter, model, 20)
    bedrock.say(slowly(0.0))
    (last,) = at_once(adapter, model, 1)
    size = last["read_tokens"]

    assert size > 8_000
    assert sum(usage["write_tokens"] > size / 2 for usage in usages) == writers
    assert bound - 0.3 < sum(paid(usage, size) for usage in usages) <= bound


def test_all_ways_wait_for_one_another(adapter, mode, bedrock, cache):
    bedrock.say(slowly(0.4))
    model = adapter.cached(bedrock, cache=cache, policy={"fan_out": "warm_first"})
    usages = at_once(adapter, model, 4, mode)

    assert sum(usage["write_tokens"] > 8_000 for usage in usages) == 1
    assert sum(usage["read_tokens"] > 8_000 for usage in usages) == 3


@pytest.mark.parametrize("awaited", [False, True])
def test_what_was_warmed_is_read_by_the_first_call(adapter, awaited, bedrock, cache):
    told = []
    cache.observers.append(told.append)
    model = adapter.cached(bedrock, cache=cache)
    report = adapter.warm(model, [adapter.system(PREFIX)], awaited=awaited)
    (sent,) = bedrock.answered
    usage = adapter.ask(model, [adapter.system(PREFIX), adapter.user("Where?")]).report["usage"]

    assert told[0] is report
    assert report.usage.write_tokens > 8_000
    assert report.usage.output_tokens == 1
    assert adapter.most(sent.request) == (1, None)
    assert usage["read_tokens"] >= report.usage.write_tokens - 10


def test_what_the_messages_say_is_warmed_whatever_is_expected(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache, policy={"tail": "never"})
    messages = [adapter.system(MANUAL), adapter.user(PREFIX)]
    before = copy.deepcopy(messages)
    report = adapter.warm(model, messages)
    assert messages == before
    assert report.usage.write_tokens > 10_000
    assert adapter.ask(model, messages).report["usage"]["read_tokens"] == report.usage.write_tokens


def test_tools_are_warmed(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    tools = [adapter.tool(Tool(name, MANUAL)) for name in ("alpha", "beta")]
    report = adapter.warm(model, [adapter.system(MANUAL)], tools=tools)
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    usage = adapter.ask(model, messages, tools=tools).report["usage"]
    assert usage["read_tokens"] >= report.usage.write_tokens - 10 > 8_000


def test_a_warm_call_is_metered(adapter, bedrock, cache):
    with adapter.meter() as usage:
        report = adapter.warm(adapter.cached(bedrock, cache=cache), [adapter.system(PREFIX)])
    assert usage.calls == 1
    assert usage.total.write_tokens == report.usage.write_tokens


@pytest.mark.parametrize(
    ("text", "policy", "note"), [(PREFIX, "off", "mode is off"), ("Be brief.", None, "below the minimum")]
)
def test_nothing_is_sent_where_nothing_would_be_written(adapter, bedrock, cache, text, policy, note):
    told = []
    cache.observers.append(told.append)
    report = adapter.warm(adapter.cached(bedrock, cache=cache, policy=policy), [adapter.system(text)])
    assert not bedrock.calls
    assert not told
    assert report.usage is None
    assert note in report.plan.note


def test_of_many_that_warm_one_is_sent(adapter, bedrock, cache):
    bedrock.say(slowly(0.5))
    model = adapter.cached(bedrock, cache=cache)
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: adapter.warm(model, [adapter.system(PREFIX)]), range(8)))
    assert len(bedrock.answered) == 1
    assert sum(report.usage is not None for report in reports) == 1


def test_what_is_warm_already_is_kept_warm(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    for _ in range(3):
        report = adapter.warm(model, [adapter.system(PREFIX)])
        bedrock.advance(200)
    assert report.usage.read_tokens > 8_000
    assert report.usage.write_tokens == 0


def test_thinking_keeps_its_budget(adapter, bedrock, cache):
    """Without it the prefix would be another one; its budget must be less than maxTokens."""
    model = adapter.cached(bedrock, cache=cache, max_tokens=4_096, **THINKING[adapter.name])
    report = adapter.warm(model, [adapter.system(PREFIX)])
    (sent,) = bedrock.answered
    assert adapter.most(sent.request) == (1_025, 1_024)
    usage = adapter.ask(model, [adapter.system(PREFIX), adapter.user("Where?")]).report["usage"]
    assert usage["read_tokens"] >= report.usage.write_tokens - 10 > 8_000


def test_a_fault_of_ours_sends_nothing_that_would_write_nothing(adapter, bedrock, cache, monkeypatch):
    monkeypatch.setattr("cachepoint.core.steps.decided", lambda *_: 1 / 0)
    report = adapter.warm(adapter.cached(bedrock, cache=cache), [adapter.system(PREFIX)])
    assert not bedrock.calls
    assert report.usage is None


def test_what_bedrock_refuses_is_raised(adapter, bedrock, cache):
    from cachepoint.emulator import EmulatedError

    error = EmulatedError("No access.", code="AccessDeniedException", status=403)
    bedrock.say(ScriptedResponder([error] * 4))
    with pytest.raises(Exception, match=r"No access|AccessDenied"):
        adapter.warm(adapter.cached(bedrock, cache=cache), [adapter.system(PREFIX)])
    # And it holds nobody up.
    bedrock.say(slowly(0.0))
    assert adapter.warm(adapter.cached(bedrock, cache=cache), [adapter.system(PREFIX)]).usage.write_tokens


def test_warming_teaches_nothing_of_other_calls(adapter, bedrock, cache):
    """Heads kept warm all night say nothing of what the day brings."""
    fresh = PromptCache(clock=bedrock.now)
    model = adapter.cached(bedrock, cache=cache)
    for _ in range(60):
        adapter.warm(model, [adapter.system(PREFIX)])
        bedrock.advance(290)
    messages = [adapter.system("Another " + PREFIX), adapter.user("Where?")]
    asked = [adapter.ask(adapter.cached(bedrock, cache=c), messages).report for c in (cache, fresh)]
    taught, untaught = ([(c["where"], c["ttl"], c["reason"]) for c in r["checkpoints"]] for r in asked)
    assert taught == untaught

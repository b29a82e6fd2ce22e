"""What every adapter foresees of a call, beside the call that is then made."""

import asyncio
import copy
import json

import pytest

from cachepoint import Outlook, PromptCache
from cachepoint.emulator import ToolResponder
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.test_contract import TOOLS, cached, read
from tests.faults import CLIENTS, check

OTHER = "us.anthropic.claude-sonnet-4-20250514-v1:0"


def near(one, other, share=0.05):
    return abs(one - other) <= share * other


def grown(adapter, model, bedrock, *, steps, look=lambda *_: None, mode=""):
    """The answers of an agent; `look(messages, tools)` before each call."""
    bedrock.say(ToolResponder(steps=steps - 1))
    tools = [adapter.tool(t) for t in TOOLS]
    messages, answers = [adapter.system(MANUAL), adapter.user("Check all parts.")], []
    for _ in range(steps):
        look(messages, tools)
        answer = adapter.ask(model, messages, tools=tools, mode=mode)
        answers.append(answer)
        results = [adapter.result(c, f"part {n}: in stock") for n, c in enumerate(answer.tool_calls)]
        messages += [answer.message, *results]
    return answers


def test_what_is_foreseen_is_what_comes(adapter, mode, bedrock, cache):
    """Sync and awaited, with the tools that the call carries; a call that streams asks the same."""
    model, seen = adapter.cached(bedrock, cache=cache), []

    def look(messages, tools):
        sent = len(bedrock.calls)
        asked = ({"tools": tools, "awaited": awaited, "also": OTHER} for awaited in (False, True))
        seen.extend([adapter.outlook(model, messages, **options) for options in asked])
        assert len(bedrock.calls) == sent

    answers = grown(adapter, model, bedrock, steps=4, look=look, mode=mode)
    assert [o.state for o in seen] == ["unknown"] * 2 + ["warm"] * 6
    for outlook, answer in zip(seen[2:], [a for a in answers[1:] for _ in range(2)], strict=True):
        usage = answer.report["usage"]
        assert outlook.read_tokens == read(answer)
        assert near(outlook.input_tokens, usage["uncached_tokens"] + cached(answer))
        assert near(float(outlook.price_now), answer.report["cost_usd"], 0.3)
        assert outlook.price_also > 0
    assert cache.faults == 0


def test_what_has_expired_is_cold(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    adapter.ask(model, messages)
    warm = adapter.outlook(model, messages)
    bedrock.advance(warm.seconds_left + 1)
    seen = adapter.outlook(model, messages)
    assert (seen.state, seen.read_tokens) == ("cold", 0)
    assert read(adapter.ask(model, messages)) == 0
    assert near(float(warm.price_cold), float(seen.price_now))


def bodies(adapter, bedrock, look):
    bedrock.reset()
    cache = PromptCache(clock=bedrock.now, key=b"the same")
    model = adapter.cached(bedrock, cache=cache)
    grown(adapter, model, bedrock, steps=4, look=lambda *asked: look(model, *asked))
    assert cache.faults == 0
    return [json.loads(call.body) for call in bedrock.calls]


def test_what_is_sent_is_the_same_with_and_without(adapter, bedrock):
    def look(model, messages, tools):
        for said in (messages, messages[:-1], [adapter.system(MANUAL), adapter.user("Another?")]):
            adapter.outlook(model, said, tools=tools)

    assert bodies(adapter, bedrock, look) == bodies(adapter, bedrock, lambda *_: None)


def test_the_callers_objects_stay_as_they_are(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    tools = [adapter.tool(t) for t in TOOLS]
    messages = [adapter.system(MANUAL), adapter.user(MANUAL, point=True)]
    before = copy.deepcopy((messages, tools))
    for awaited in (False, True):
        adapter.outlook(model, messages, tools=tools, awaited=awaited)
    assert (messages, tools) == before


def test_nobody_is_told_of_it(adapter, bedrock, cache):
    told = []
    cache.observers.append(told.append)
    model = adapter.cached(bedrock, cache=cache)
    with adapter.meter() as usage:
        for awaited in (False, True):
            adapter.outlook(model, [adapter.system(MANUAL), adapter.user("Where?")], awaited=awaited)
    assert (usage.calls, told, bedrock.calls) == (0, [], ())


def test_a_head_alone_may_be_looked_at(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    adapter.ask(model, [adapter.system(MANUAL), adapter.user("Where?")], policy={"tail": "never"})
    seen = adapter.outlook(model, [adapter.system(MANUAL)])
    assert seen.state == "warm"
    assert seen.read_tokens > 1_024


def test_the_policy_of_the_call_holds(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    adapter.ask(model, messages)
    assert adapter.outlook(model, messages, cache_policy="off").note == "mode is off"
    assert adapter.outlook(model, messages).state == "warm"


@pytest.mark.parametrize(
    "wrongly",
    [{"cache_polcy": "off"}, {"cache_policy": {"tll": "1h"}}, {"ttl": "1h"}, {"also": 7}],
    ids=str,
)
def test_misspelt_options_are_refused(adapter, wrongly, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    for awaited in (False, True):
        with pytest.raises((ValueError, TypeError), match=r"cache_pol|tll|ttl|also"):
            adapter.outlook(model, [adapter.user("Where?")], awaited=awaited, **wrongly)


@pytest.mark.parametrize(
    "place",
    ["cachepoint.core.steps.foreseen", "cachepoint.core.steps.question", "cachepoint.core.cache.resolved"],
)
def test_a_fault_of_ours_is_unknown_and_counted(adapter, place, bedrock, cache, monkeypatch, caplog):
    model = adapter.cached(bedrock, cache=cache)
    monkeypatch.setattr(place, lambda *_, **__: 1 / 0)
    for awaited in (False, True):
        seen = adapter.outlook(model, [adapter.system(MANUAL), adapter.user("Where?")], awaited=awaited)
        assert isinstance(seen, Outlook)
        assert (seen.state, seen.model_id) == ("unknown", CLAUDE)
    assert cache.faults == 2
    assert MANUAL[:20] not in caplog.text


def test_a_model_that_takes_no_checkpoints(adapter, bedrock, cache):
    model = adapter.cached(bedrock, adapter.uncached, cache=cache)
    seen = adapter.outlook(model, [adapter.user(MANUAL)])
    assert (seen.state, seen.read_tokens) == ("unknown", None)
    assert "takes no checkpoints" in seen.note or "that takes checkpoints" in seen.note
    assert asyncio.iscoroutinefunction(type(model).acache_outlook)


NAMES = ("Foresees.cache_outlook", "Foresees.acache_outlook", "_asked", "_chat")
# They hold a guard, do what upstream's own does, or keep what they are given.
ENTRIES = (
    *CLIENTS,
    "cachepoint.aws.client:CachingClient.cache_outlook",
    "cachepoint.aws.carrier:Carrier.acache_outlook",
    "cachepoint.langchain.cached:Cached.bind",
    "cachepoint.langchain.binding:BoundModel.cache_outlook",
    "cachepoint.langchain.binding:BoundModel.acache_outlook",
    "cachepoint.langchain.anthropic.chat_model:CachedChatAnthropicBedrock._create",
    "cachepoint.langchain.anthropic.chat_model:CachedChatAnthropicBedrock.model_id",
    "cachepoint.langchain.anthropic.payloads:Payloads.through",
    "cachepoint.llama_index.llms:CachedBedrockConverse._prepare_chat_with_tools",
    "cachepoint.aws.warming:Catching.__init__",
    "cachepoint.aws.warming:Catching.__getattr__",
    "cachepoint.aws.warming:Catching.caught",
    "cachepoint.aws.warming:Catching.converse",
    "cachepoint.aws.warming:Catching.invoke_model",
    *(f"cachepoint.{room}.foreseeing:{name}" for room in ("langchain", "llama_index") for name in NAMES),
)


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "awaited"])
def test_whatever_of_ours_raises_there_is_an_outlook(adapter, awaited, bedrock):
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    tools = [adapter.tool(TOOLS[0])]

    def look(model):
        return isinstance(adapter.outlook(model, messages, tools=tools, awaited=awaited), Outlook)

    tried = check(
        look,
        True,
        make=lambda: adapter.cached(bedrock, cache=PromptCache()),
        modules=("cachepoint.langchain", "cachepoint.llama_index", "cachepoint.aws"),
        entries=ENTRIES,
    )
    assert len(tried) > 10
    assert not bedrock.calls

"""The middleware sends what the swapped class sends, beside any other and in any order."""

import asyncio
import importlib
import json
import logging
import re
import sys

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelResponse,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain.chat_models import init_chat_model
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_aws.middleware import BedrockPromptCachingMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

import cachepoint.langchain
from cachepoint import CachePolicy, PromptCache, configure
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import ScriptedResponder, ToolResponder
from cachepoint.langchain import (
    CachedChatBedrock,
    CachedChatBedrockConverse,
    CachepointMiddleware,
    cached,
    get_cache_usage_callback,
)
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL
from tests.adapters.langchain_shapes import Verdict, look_up

TURNS = ("Check the valve.", "And the pump?", "What else is there?")


@pytest.fixture(autouse=True)
def _says_it_anew():
    cached._say_that_it_takes_over.cache_clear()


@pytest.fixture
def build(bedrock):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    return lambda cls=ChatBedrockConverse, model=CLAUDE, **options: cls(
        **{**clients, "model": model, **options}
    )


def invoke(agent, turn, config):
    agent.invoke(turn, config)


def ainvoke(agent, turn, config):
    asyncio.run(agent.ainvoke(turn, config))


def stream(agent, turn, config):
    list(agent.stream(turn, config, stream_mode="messages"))


def astream(agent, turn, config):
    async def run():
        return [chunk async for chunk in agent.astream(turn, config, stream_mode="messages")]

    asyncio.run(run())


WAYS = [invoke, ainvoke, stream, astream]


def talk(bedrock, way, model, stack, turns=TURNS, **options):
    """What several turns of an agent send."""
    bedrock.reset()
    bedrock.say(ToolResponder(steps=2, parallel=2))
    agent = create_agent(
        model, [look_up], system_prompt=MANUAL, middleware=stack, checkpointer=InMemorySaver(), **options
    )
    for turn in turns:
        way(agent, {"messages": [HumanMessage(turn)]}, {"configurable": {"thread_id": "1"}})
    assert all(call.status == 200 for call in bedrock.calls)
    return [call.body for call in bedrock.calls], agent


def sent(*args, **options):
    return talk(*args, **options)[0]


class Plain(AgentMiddleware):
    """Some other middleware, which has settings of its own."""

    def wrap_model_call(self, request, handler):
        return handler(request.override(model_settings={**request.model_settings, "max_tokens": 222}))

    async def awrap_model_call(self, request, handler):
        return await handler(request.override(model_settings={**request.model_settings, "max_tokens": 222}))


STACKS = {
    "alone": lambda ours: [ours],
    "theirs first": lambda ours: [BedrockPromptCachingMiddleware(), ours],
    "theirs last": lambda ours: [ours, BedrockPromptCachingMiddleware()],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_it_sends_the_bytes_of_the_swapped_class(stack, way, build, bedrock):
    swapped = build(CachedChatBedrockConverse, prompt_cache=PromptCache(clock=bedrock.now))
    theirs = sent(bedrock, way, swapped, [])
    ours = CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))
    assert sent(bedrock, way, build(), stack(ours)) == theirs
    # Nine calls: three turns, whose first has two rounds of tools.
    assert len(theirs) >= 5
    assert all(b"cachePoint" in body for body in theirs)
    assert sum(c.usage["cacheReadInputTokens"] for c in bedrock.calls) > 1_024 * (len(theirs) - 1)


@pytest.mark.parametrize("place", [0, 1])
def test_beside_others_in_any_order(place, build, bedrock):
    stack = [Plain()]
    stack.insert(place, CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now)))
    swapped = build(CachedChatBedrockConverse, prompt_cache=PromptCache(clock=bedrock.now))
    assert sent(bedrock, invoke, build(), stack) == sent(bedrock, invoke, swapped, [Plain()])


BOUND = {
    "bind": lambda m: m.bind(stop=["END"]),
    "config": lambda m: m.with_config(tags=["mine"]),
    "bind-config": lambda m: m.bind(stop=["END"]).with_config(tags=["mine"]),
    "cache_control by hand": lambda m: m.bind(cache_control={"type": "ephemeral", "ttl": "1h"}),
    "policy": lambda m: m.bind(cache_policy={"ttl": "1h"}),
}


@pytest.mark.parametrize("bind", BOUND.values(), ids=BOUND)
@pytest.mark.parametrize("tools", [[look_up], []], ids=["tools", "bare"])
def test_a_bound_model(bind, tools, build, bedrock):
    def bodies(model, stack):
        bedrock.reset()
        agent = create_agent(model, tools, system_prompt=MANUAL, middleware=stack)
        for turn in TURNS:
            agent.invoke({"messages": [HumanMessage(turn)]})
        return [call.body for call in bedrock.calls]

    swapped = bodies(bind(build(CachedChatBedrockConverse, prompt_cache=PromptCache(clock=bedrock.now))), [])
    ours = bodies(bind(build()), [CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))])
    assert ours == swapped
    assert all(b"cachePoint" in body for body in ours)


def test_a_cached_model_keeps_its_own_options(build, bedrock, cache):
    model = build(CachedChatBedrockConverse, cache_policy={"ttl": "1h"}, prompt_cache=cache)
    bodies, _ = talk(bedrock, invoke, model, [CachepointMiddleware()], TURNS[:1])
    assert b'"ttl": "1h"' in bodies[0]
    assert b'"ttl"' not in sent(bedrock, invoke, model, [CachepointMiddleware(cache_policy={"ttl": "5m"})])[0]
    assert model.cache_policy == CachePolicy(ttl="1h")


def test_a_class_derived_from_the_cached_one_stays_itself(build, bedrock, cache):
    class Loud(CachedChatBedrockConverse):
        def _generate(self, *args, **kwargs):
            heard.append(self.prompt_cache)
            return super()._generate(*args, **kwargs)

    heard = []
    bodies = sent(bedrock, invoke, build(Loud), [CachepointMiddleware(prompt_cache=cache)])
    assert heard == [cache] * len(bodies)
    assert b"cachePoint" in bodies[0]


def test_a_change_to_the_callers_model_holds(build, bedrock):
    model = build(temperature=0.1)
    agent = create_agent(model, [], middleware=[CachepointMiddleware()])
    for temperature in (0.1, 0.7):
        model.temperature = temperature
        agent.invoke({"messages": [HumanMessage("hi")]})
        assert bedrock.calls[-1].request["inferenceConfig"]["temperature"] == temperature


def request(model, **options):
    return ModelRequest(model=model, messages=[HumanMessage("hi")], **options)


def test_the_request_is_not_changed(build):
    given = request(build(), model_settings={"cache_control": {"type": "ephemeral"}})
    before = dict(vars(given))
    seen = []
    CachepointMiddleware().wrap_model_call(given, lambda r: seen.append(r) or ModelResponse([]))
    assert dict(vars(given)) == before
    assert vars(seen[0]) | {"model": given.model} == before
    assert isinstance(seen[0].model, CachedChatBedrockConverse)


def test_the_state_is_that_of_the_swapped_class(build, bedrock):
    def state(model, stack):
        _, agent = talk(bedrock, invoke, model, stack, TURNS[:1])
        values = agent.get_state({"configurable": {"thread_id": "1"}}).values
        return set(values), [(type(m), m.content, sorted(m.response_metadata)) for m in values["messages"]]

    swapped = build(CachedChatBedrockConverse, prompt_cache=PromptCache(clock=bedrock.now))
    assert state(build(), [CachepointMiddleware()]) == state(swapped, [])


def test_it_says_once_that_it_takes_over(build, bedrock, caplog):
    sent(bedrock, invoke, build(), [BedrockPromptCachingMiddleware(), CachepointMiddleware()])
    said = [r for r in caplog.records if r.name == "cachepoint" and r.levelno == logging.WARNING]
    assert len(said) == 1
    assert "BedrockPromptCachingMiddleware" in said[0].message


def ttls(body):
    blocks = [b for m in json.loads(body)["messages"] for b in m["content"]] + json.loads(body)["system"]
    return {b["cachePoint"].get("ttl", "5m") for b in blocks if "cachePoint" in b}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("policy", "asked", "holds"),
    [
        (None, "1h", "1h"),
        (None, "5m", "5m"),
        ({"ttl": "5m"}, "1h", "5m"),
        ({"ttl": "1h"}, "5m", "1h"),
    ],
)
def test_whose_ttl_holds(policy, asked, holds, first, build, bedrock):
    stack = [CachepointMiddleware(cache_policy=policy)]
    stack.insert(0 if first else 1, BedrockPromptCachingMiddleware(ttl=asked))
    assert {ttl for body in sent(bedrock, invoke, build(), stack) for ttl in ttls(body)} == {holds}


def test_the_process_default_lies_under_the_ttl_they_ask_for(build, bedrock):
    configure(tail="never")
    stack = [
        BedrockPromptCachingMiddleware(ttl="1h"),
        CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now)),
    ]
    swapped = build(
        CachedChatBedrockConverse,
        prompt_cache=PromptCache(clock=bedrock.now),
        cache_policy={"tail": "never", "ttl": "1h"},
    )
    assert sent(bedrock, invoke, build(), stack) == sent(bedrock, invoke, swapped, [])


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_off_means_off(stack, build, bedrock):
    off = stack(CachepointMiddleware(cache_policy="off"))
    without = [m for m in off if not isinstance(m, CachepointMiddleware)]
    assert sent(bedrock, invoke, build(), off) == sent(bedrock, invoke, build(), without)


class Derived(ChatBedrockConverse):
    pass


UNSUPPORTED = {
    "another": (lambda _: FakeListChatModel(responses=["ok"]), "not FakeListChatModel"),
    "retry": (lambda build: build().with_retry(), "not RunnableRetry"),
    "derived": (lambda build: build(Derived), "Derived would lose what it overrides"),
    "llama": (lambda build: build(model=LLAMA), "no explicit prompt caching is known of us.meta.llama3"),
}


@pytest.mark.parametrize(("make", "says"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_models(make, says, build):
    given = request(make(build))
    same = []

    def handler(got):
        same.append(got is given)
        return ModelResponse([AIMessage("ok")])

    CachepointMiddleware(unsupported_model_behavior="ignore").wrap_model_call(given, handler)
    with pytest.warns(UserWarning, match=says):
        CachepointMiddleware().wrap_model_call(given, handler)
    with pytest.raises(ValueError, match=says):
        CachepointMiddleware(unsupported_model_behavior="raise").wrap_model_call(given, handler)
    assert same == [True, True]


def test_an_unsupported_model_answers_all_the_same(build, bedrock):
    plain = sent(bedrock, invoke, build(model=LLAMA), [])
    assert (
        sent(bedrock, invoke, build(model=LLAMA), [CachepointMiddleware(unsupported_model_behavior="ignore")])
        == plain
    )


@pytest.mark.parametrize(
    "options",
    [{"cache_policy": "of"}, {"cache_policy": {"tll": "1h"}}, {"unsupported_model_behavior": "warning"}],
)
def test_misspelt_options_are_refused(options):
    with pytest.raises(ValueError, match=r"of|tll|warning"):
        CachepointMiddleware(**options)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("ttl", "'ttl' is no option here: write cache_policy={'ttl': ...}"),
        ("cache_polcy", "'cache_polcy' is no option here: did you mean cache_policy=?"),
        ("cache", "there are cache_policy, prompt_cache, unsupported_model_behavior"),
        ("min_messages_to_cache", "there are cache_policy, prompt_cache, unsupported_model_behavior"),
    ],
)
def test_a11_an_option_that_there_is_not_is_refused(option, says):
    """A11: it was a bare TypeError, and `ttl` is what the middleware of langchain-aws takes."""
    with pytest.raises(InvalidOptionError, match=re.escape(says)):
        CachepointMiddleware(**{option: "1h"})


def test_a11_what_is_no_cache_is_refused_when_it_is_built():
    with pytest.raises(InvalidOptionError, match="prompt_cache is a PromptCache or None"):
        CachepointMiddleware(prompt_cache="redis://here")


def test_a_model_named_by_a_string(bedrock, monkeypatch):
    for service in ("BEDROCK_RUNTIME", "BEDROCK"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", bedrock.url)
    agent = create_agent(
        f"bedrock_converse:{CLAUDE}",
        [look_up],
        system_prompt=MANUAL,
        middleware=[CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))],
    )
    with get_cache_usage_callback() as usage:
        for turn in TURNS[:2]:
            agent.invoke({"messages": [HumanMessage(turn)]})
    assert usage.total.read_tokens > 1_024
    assert bedrock.calls[-1].usage["cacheReadInputTokens"] > 1_024


@pytest.mark.parametrize("way", WAYS)
def test_e11_a_configurable_model_is_the_one_of_its_config(way, build, bedrock, monkeypatch):
    """E11: `init_chat_model(…, configurable_fields=…)` was not cached."""
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    fields = ("model", "model_provider")
    model = init_chat_model(
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        model_provider="bedrock_converse",
        configurable_fields=fields,
        **clients,
    )
    ours = CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))
    bedrock.reset()
    bedrock.say(ToolResponder(steps=1))
    agent = create_agent(model, [look_up], system_prompt=MANUAL, middleware=[ours])
    way(agent, {"messages": [HumanMessage(TURNS[0])]}, {"configurable": {"model": CLAUDE}})
    assert [call.model_id for call in bedrock.answered] == [CLAUDE, CLAUDE]
    assert all("cachePoint" in str(call.request) for call in bedrock.answered)
    assert bedrock.answered[1].usage["cacheReadInputTokens"] > 1_024


@pytest.mark.parametrize("way", WAYS)
def test_a_model_of_invoke_model(way, build, bedrock):
    swapped = build(CachedChatBedrock, prompt_cache=PromptCache(clock=bedrock.now))
    theirs = sent(bedrock, way, swapped, [])
    ours = CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))
    assert sent(bedrock, way, build(ChatBedrock), [ours]) == theirs
    assert all(b"cache_control" in body for body in theirs)


def test_with_structured_output(build, bedrock):
    bodies = sent(bedrock, invoke, build(), [CachepointMiddleware()], response_format=ToolStrategy(Verdict))
    assert all(b"cachePoint" in body for body in bodies)


def test_models_that_others_choose(build, bedrock):
    """It comes last, so that it gets the fallback as well."""
    bedrock.say(ScriptedResponder([]))
    broken = build(model="us.anthropic.claude-opus-4-5-20251101-v1:0", client=Broken())
    agent = create_agent(
        broken,
        [],
        system_prompt=MANUAL,
        middleware=[ModelFallbackMiddleware(build()), CachepointMiddleware()],
    )
    agent.invoke({"messages": [HumanMessage("hi")]})
    assert b"cachePoint" in bedrock.calls[-1].body


class Broken:
    def converse(self, **_):
        raise RuntimeError("it is down")


def test_beside_summarising(build, bedrock):
    model = build()
    stack = [
        SummarizationMiddleware(model, trigger=("messages", 6), keep=("messages", 2)),
        CachepointMiddleware(),
    ]
    agent = create_agent(model, [], system_prompt=MANUAL, middleware=stack, checkpointer=InMemorySaver())
    for turn in range(6):
        agent.invoke({"messages": [HumanMessage(f"Question {turn}?")]}, {"configurable": {"thread_id": "1"}})
    ours = [c for c in bedrock.calls if c.request.get("system")]
    assert len(bedrock.answered) > len(ours) == 6
    assert all(c.usage["cacheReadInputTokens"] > 1_024 for c in ours[1:])


def test_it_is_traced_as_the_public_class(build):
    names = []

    class Ear(BaseCallbackHandler):
        raise_error = True

        def on_chat_model_start(self, serialized, messages, *, name=None, **_):
            names.append((serialized["name"], serialized["id"][-1]))

    agent = create_agent(build(), [], middleware=[CachepointMiddleware()])
    agent.invoke({"messages": [HumanMessage("hi")]}, config={"callbacks": [Ear()]})
    assert names == [("CachedChatBedrockConverse", "CachedChatBedrockConverse")]
    assert CachepointMiddleware.trace_policy is not None


@pytest.mark.parametrize(
    "name",
    ["CachepointMiddleware", "ClearToolUsesInBatches", "StableToolsMiddleware", "StableResultsMiddleware"],
)
def test_without_langchain(name, monkeypatch):
    for module in [n for n in sys.modules if n.startswith("langchain.") or n == "langchain"]:
        monkeypatch.delitem(sys.modules, module)
    ours = ("cachepoint.langchain.middleware", "cachepoint.langchain.shaping")
    for module in [n for n in sys.modules if n.startswith(ours)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "langchain", None)
    with pytest.raises(ImportError, match="pip install langchain"):
        getattr(cachepoint.langchain, name)()


def test_a16_it_loads_where_requests_have_no_parameters(monkeypatch):
    """A16: in langchain 1.0 to 1.3 `ModelRequest` is no generic class, and `AgentMiddleware` has two parameters."""
    types = importlib.import_module("langchain.agents.middleware.types")

    class Old(AgentMiddleware):
        def __class_getitem__(cls, parameters):
            raise TypeError("Too many arguments")

    for name in ("ModelRequest", "ModelResponse"):
        monkeypatch.setattr(types, name, type(name, (), {}))
    monkeypatch.setattr(types, "AgentMiddleware", Old)
    for name in ("TracePolicy", "omit_payload"):
        monkeypatch.delattr(types, name)
    monkeypatch.delitem(sys.modules, "cachepoint.langchain.middleware", raising=False)
    old = importlib.import_module("cachepoint.langchain.middleware")
    assert issubclass(old.CachepointMiddleware, Old)
    assert old.CachepointMiddleware.trace_policy is None
    assert old.CachepointMiddleware(cache_policy="off").cache_policy == CachePolicy("off")


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="'CachpointMiddleware'"):
        _ = cachepoint.langchain.CachpointMiddleware

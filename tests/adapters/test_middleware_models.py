"""The middleware takes every model of Bedrock that it meets."""

import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField

from cachepoint import PromptCache
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import CachedChatBedrock, CachedChatBedrockConverse, CachepointMiddleware
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL
from tests.adapters.langchain_shapes import look_up
from tests.adapters.test_contract import points
from tests.adapters.test_middleware import STACKS, WAYS, invoke, sent, stream

LIMIT = {"configurable": {"max_tokens": 77}}


@pytest.fixture
def clients(bedrock):
    return {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}


@pytest.fixture
def ours(bedrock):
    return CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_chat_bedrock_sends_the_bytes_of_the_swapped_class(stack, way, clients, ours, bedrock):
    swapped = CachedChatBedrock(model=CLAUDE, prompt_cache=PromptCache(clock=bedrock.now), **clients)
    theirs = sent(bedrock, way, swapped, [])
    assert sent(bedrock, way, ChatBedrock(model=CLAUDE, **clients), stack(ours)) == theirs
    assert len(theirs) >= 5
    assert all(b"cache_control" in body for body in theirs)
    assert sum(c.usage["cacheReadInputTokens"] for c in bedrock.calls) > 1_024 * (len(theirs) - 1)


def test_a_chat_bedrock_on_its_way_to_converse(clients, ours, bedrock):
    model = ChatBedrock(model=CLAUDE, beta_use_converse_api=True, **clients)
    swapped = CachedChatBedrockConverse(model=CLAUDE, prompt_cache=PromptCache(clock=bedrock.now), **clients)
    assert sent(bedrock, invoke, model, [ours]) == sent(bedrock, invoke, swapped, [])


def test_a_class_of_ones_own_stays(clients, ours, bedrock):
    class Own(ChatBedrock):
        pass

    with pytest.warns(UserWarning, match=r"Own would lose .* cachepoint\.langchain\.CachedChatBedrock"):
        bodies = sent(bedrock, invoke, Own(model=CLAUDE, **clients), [ours], turns=["hi"])
    assert not any(b"cache_control" in body for body in bodies)


def test_a_class_derived_from_ours_is_cached(clients, bedrock):
    class Own(CachedChatBedrock):
        pass

    sent(bedrock, invoke, Own(model=CLAUDE, **clients), [CachepointMiddleware(cache_policy={"ttl": "1h"})])
    assert {p["ttl"] for c in bedrock.calls for p in points(c.request)} == {"1h"}


def bind(model):
    return model.bind(stop=["END"])


CONFIGURED = {
    "converse": ({"model_provider": "bedrock_converse"}, lambda m: m),
    "invoke": ({"model_provider": "bedrock"}, lambda m: m),
    "named by the config": ({"model_provider": "bedrock_converse", "model": None}, lambda m: m),
    "bound": ({"model_provider": "bedrock_converse"}, bind),
    "bound invoke": ({"model_provider": "bedrock"}, bind),
    "with a config": (
        {"model_provider": "bedrock_converse"},
        lambda m: m.with_config(configurable={"max_tokens": 77}),
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("options", "made"), CONFIGURED.values(), ids=CONFIGURED)
def test_e11_a_configurable_model_is_cached(options, made, way, clients, ours, bedrock):
    """E11: `init_chat_model(..., configurable_fields=...)` was called as it is, with a warning."""
    named = {"model": CLAUDE, **options, "configurable_fields": ("model", "max_tokens"), **clients}
    model = made(init_chat_model(**named))
    bedrock.say(ToolResponder(steps=2))
    agent = create_agent(model, [look_up], system_prompt=MANUAL, middleware=[ours])
    config = {"configurable": {"max_tokens": 77, "model": CLAUDE}}
    way(agent, {"messages": [HumanMessage("Check the valve.")]}, config)
    assert len(bedrock.answered) == 3
    for call in bedrock.answered:
        assert list(points(call.request))
        assert call.request.get("max_tokens", call.request.get("inferenceConfig", {}).get("maxTokens")) == 77
        assert (b"END" in call.body) is (made is bind)
    assert all(c.usage["cacheReadInputTokens"] > 1_024 for c in bedrock.answered[1:])


def test_e11_the_config_of_the_run_says_which_model(clients, ours, bedrock):
    model = ChatBedrock(model=CLAUDE, **clients).configurable_alternatives(
        ConfigurableField("api"), default_key="invoke", converse=ChatBedrockConverse(model=CLAUDE, **clients)
    )
    agent = create_agent(model, [], system_prompt=MANUAL, middleware=[ours])
    turn = {"messages": [HumanMessage("hi")]}
    invoke(agent, turn, {})
    invoke(agent, turn, {"configurable": {"api": "converse"}})
    assert [c.operation for c in bedrock.calls] == ["InvokeModel", "Converse"]
    assert all(list(points(c.request)) for c in bedrock.calls)


def test_e11_configurable_fields_of_a_cached_model(clients, bedrock):
    model = CachedChatBedrock(model=CLAUDE, **clients).configurable_fields(
        max_tokens=ConfigurableField("max_tokens")
    )
    cached = CachepointMiddleware(prompt_cache=PromptCache(clock=bedrock.now), cache_policy={"ttl": "1h"})
    agent = create_agent(model, [], system_prompt=MANUAL, middleware=[cached])
    stream(agent, {"messages": [HumanMessage("hi")]}, LIMIT)
    assert bedrock.calls[-1].request["max_tokens"] == 77
    assert {p["ttl"] for p in points(bedrock.calls[-1].request)} == {"1h"}


def test_e11_one_that_takes_no_checkpoints_is_called_as_it_is(clients, ours, bedrock):
    named = {"model": LLAMA, "model_provider": "bedrock_converse", "configurable_fields": ("model",)}
    agent = create_agent(init_chat_model(**named, **clients), [], system_prompt=MANUAL, middleware=[ours])
    with pytest.warns(UserWarning, match="no explicit prompt caching is known of us.meta.llama3"):
        agent.invoke({"messages": [HumanMessage("hi")]})
    agent.invoke({"messages": [HumanMessage("hi")]}, {"configurable": {"model": CLAUDE}})
    assert [bool(list(points(c.request))) for c in bedrock.calls] == [False, True]

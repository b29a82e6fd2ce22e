"""An alarm that raises ends an agent's run: nothing on the way swallows it."""

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import FunctionTool

from cachepoint import observers
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, CachepointMiddleware
from cachepoint.llama_index import CachedBedrockConverse
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.langchain_shapes import look_up
from tests.adapters.llama_index_adapter import where

CONFIG = RunnableConfig(recursion_limit=40)
WAYS = {
    "invoke": lambda agent, asked: agent.invoke(asked, CONFIG),
    "ainvoke": lambda agent, asked: asyncio.run(agent.ainvoke(asked, CONFIG)),
    "stream": lambda agent, asked: list(agent.stream(asked, CONFIG, stream_mode="messages")),
}


@pytest.fixture
def cache(cache):
    cache.observers.append(observers.alarm("raise", written_share=0.0, calls=3))
    return cache


@pytest.fixture
def agents(bedrock, cache):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock"), "model": CLAUDE}
    ours = CachedChatBedrockConverse(**clients, prompt_cache=cache)
    bedrock.say(ToolResponder(steps=9))
    return {
        "model": lambda: create_agent(ours, [look_up], system_prompt=MANUAL),
        "middleware": lambda: create_agent(
            ChatBedrockConverse(**clients),
            [look_up],
            system_prompt=MANUAL,
            middleware=[CachepointMiddleware(prompt_cache=cache)],
        ),
    }


@pytest.mark.parametrize("made", ["model", "middleware"])
@pytest.mark.parametrize("way", WAYS)
def test_it_ends_a_run_of_langchain(way, made, agents, bedrock, cache):
    with pytest.raises(observers.CacheAlarm):
        WAYS[way](agents[made](), {"messages": [HumanMessage("Check the valve.")]})
    assert len(bedrock.calls) == 3
    assert cache.faults == 0


def test_a_retry_of_langchain_is_the_next_call_and_goes_out(bedrock, cache, caplog):
    """As docs/alarms.md says: `with_retry` retries whatever is raised; the log keeps it."""
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock"), "model": CLAUDE}
    model = CachedChatBedrockConverse(**clients, prompt_cache=cache)
    retried = model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    messages = [SystemMessage(MANUAL)]
    for n in range(4):
        messages.append(HumanMessage(f"Question {n}: where is the valve? {MANUAL}"))
        messages.append(retried.invoke(messages))
    assert len(bedrock.calls) == 4
    assert sum("written to the cache" in message for message in caplog.messages) == 1


@pytest.mark.filterwarnings(
    "ignore:The `(__fields__|__fields_set__|model_fields|model_computed_fields)`",
    "ignore:Accessing the '(model_fields|model_computed_fields)' attribute",
)
async def test_it_ends_a_run_of_llama_index(bedrock, cache):
    bedrock.say(ToolResponder(steps=9))
    llm = CachedBedrockConverse(**where(bedrock), model=CLAUDE, prompt_cache=cache)
    tool = FunctionTool.from_defaults(lambda part: f"{part} is in stock", name="look_up", description=MANUAL)
    agent = FunctionAgent(tools=[tool], llm=llm, system_prompt=MANUAL, streaming=False)
    with pytest.raises(observers.CacheAlarm):
        await agent.run("Check the valve.")
    assert len(bedrock.calls) == 3

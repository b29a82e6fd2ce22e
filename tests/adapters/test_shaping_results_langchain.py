"""The results of parallel tool calls in the order of the calls, in LangChain."""

import asyncio
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from cachepoint import PromptCache
from cachepoint.core.accounting.usage import Usage
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, StableResultsMiddleware, order_tool_results
from tests.adapters.contract import MANUAL

BUILT = CachedChatBedrockConverse


@tool
def read_page(page: str) -> str:
    """Read a page."""
    return f"page {page}: " + "turn the rotor slowly and note what it says on the dial. " * 30


class Later(AgentMiddleware):
    """Gives the results of each step back in another order on each call, as they might come in."""

    def __init__(self, rng):
        self.rng = rng

    def shuffled(self, request):
        told, run = [], []
        for message in [*request.messages, HumanMessage("the end")]:
            if isinstance(message, ToolMessage):
                run.append(message)
                continue
            told += [*self.rng.sample(run, len(run)), message]
            run = []
        return request.override(messages=told[:-1])

    def wrap_model_call(self, request, handler):
        return handler(self.shuffled(request))

    async def awrap_model_call(self, request, handler):
        return await handler(self.shuffled(request))


def run(bedrock, build, *stack, way="invoke"):
    """The usage of the calls of an agent that reads four pages in each of ten steps."""
    bedrock.reset()
    bedrock.say(ToolResponder(steps=10, parallel=4))
    model = build(prompt_cache=PromptCache(clock=bedrock.now))
    agent = create_agent(model, [read_page], system_prompt=MANUAL[:6_000], middleware=stack)
    turn, config = {"messages": [HumanMessage("Read all pages.")]}, {"recursion_limit": 99}
    state = agent.invoke(turn, config) if way == "invoke" else asyncio.run(agent.ainvoke(turn, config))
    assert sum(isinstance(m, ToolMessage) for m in state["messages"]) == 40
    return [Usage.from_converse({"usage": call.usage}) for call in bedrock.answered]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_results_that_come_in_another_order_read_the_same_prefix(bedrock, build, way):
    in_order = run(bedrock, build, way=way)
    ours = run(bedrock, build, Later(random.Random(5)), StableResultsMiddleware(), way=way)
    assert len(in_order) == 11
    assert [u.read_tokens for u in ours] == [u.read_tokens for u in in_order]
    theirs = run(bedrock, build, Later(random.Random(5)), way=way)
    assert sum(u.read_tokens for u in theirs) < 0.7 * sum(u.read_tokens for u in in_order)


def test_one_agent_alone_is_byte_for_byte_what_it_was(bedrock, build):
    run(bedrock, build)
    plain = [call.body for call in bedrock.answered]
    run(bedrock, build, StableResultsMiddleware())
    assert [call.body for call in bedrock.answered] == plain


def history(*results):
    calls = [{"name": "read_page", "args": {"page": str(i)}, "id": f"t{i}"} for i in range(3)]
    told = [SystemMessage("Be brief."), HumanMessage("Read."), AIMessage("", tool_calls=calls)]
    return [*told, *(ToolMessage(f"page {i}", tool_call_id=f"t{i}") for i in results)]


@given(st.permutations(range(3)), st.integers(0, 3))
def test_nothing_is_lost_and_twice_is_once(order, many):
    messages = history(*order[:many])
    before = [m.model_copy(deep=True) for m in messages]
    told = order_tool_results(messages)
    assert told == history(*sorted(order[:many]))
    assert order_tool_results(told) == told
    assert messages == before


def test_in_a_chain():
    messages = history(2, 0, 1)
    chain = order_tool_results()
    assert chain.invoke(messages) == asyncio.run(chain.ainvoke(messages)) == history(0, 1, 2)
    prompt = ChatPromptTemplate.from_messages([("placeholder", "{history}")]) | chain
    assert prompt.invoke({"history": messages}) == history(0, 1, 2)
    assert [m.type for m in order_tool_results([("user", "Read."), ("ai", "Yes.")])] == ["human", "ai"]


WITHOUT = """
import sys
sys.modules["langchain"] = None
from cachepoint.langchain import StableResultsMiddleware, StableTools, StableToolsMiddleware, order_tool_results
assert order_tool_results([("user", "Read.")])[0].content == "Read."
assert StableTools()([{"name": "read"}]) == [{"name": "read"}]
for kind in (StableResultsMiddleware, StableToolsMiddleware):
    try:
        kind()
    except ImportError as error:
        assert str(error) == f"{kind.__name__} needs langchain: pip install langchain"
    else:
        raise AssertionError(kind)
"""


def test_chains_need_no_langchain():
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

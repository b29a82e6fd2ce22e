"""A list of tools that stands still, in LangChain: what it reads, and that every kind of tool goes through it."""

import asyncio
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, create_model

from cachepoint import PromptCache
from cachepoint.core.accounting.usage import Usage
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import (
    CachedChatBedrockConverse,
    StableTools,
    StableToolsMiddleware,
)
from tests.adapters.contract import MANUAL

BUILT = CachedChatBedrockConverse
WORDS = "Looks into the drawer of that number and says what lies there, with its weight and price. " * 6


def schema(rng=None):
    """What a server says of its tool's arguments, with its keys in another order each time."""
    names = ["drawer", "depth", "unit"]
    properties = {n: {"type": "string", "description": f"the {n}", "title": n.title()} for n in names}
    plain = {"type": "object", "properties": properties, "required": names}
    return plain if rng is None else _shuffled(plain, rng)


def _shuffled(value, rng):
    if isinstance(value, dict):
        return {k: _shuffled(value[k], rng) for k in rng.sample(list(value), len(value))}
    return rng.sample(value, len(value)) if isinstance(value, list) else value


def drawer(n, rng=None):
    """A tool as `langchain-mcp-adapters` makes one: its `args_schema` is the server's own dict."""
    return StructuredTool(
        name=f"drawer_{n:02}", description=WORDS, args_schema=schema(rng), func=lambda **_: "a bolt " * 60
    )


class Listed(AgentMiddleware):
    """Gives the model the first so many of its tools, as a server or a selector lists them this time."""

    def __init__(self, many, rng=None):
        self.many, self.rng, self.calls = many, rng, 0
        self.tools = [drawer(n) for n in range(20)]

    def listed(self, request):
        tools = [drawer(n, self.rng) for n in range(self.many(self.calls))]
        self.calls += 1
        return request.override(tools=tools if self.rng is None else self.rng.sample(tools, len(tools)))

    def wrap_model_call(self, request, handler):
        return handler(self.listed(request))

    async def awrap_model_call(self, request, handler):
        return await handler(self.listed(request))


def run(bedrock, build, *stack, way="invoke", steps=24):
    """The usage of the calls of an agent of 25 steps."""
    bedrock.reset()
    bedrock.say(ToolResponder(["drawer_00"], steps=steps))
    agent = create_agent(
        build(prompt_cache=PromptCache(clock=bedrock.now)), [], system_prompt=MANUAL, middleware=stack
    )
    turn, config = {"messages": [HumanMessage("Look into the drawers.")]}, {"recursion_limit": 99}
    state = agent.invoke(turn, config) if way == "invoke" else asyncio.run(agent.ainvoke(turn, config))
    assert sum(isinstance(m, ToolMessage) and m.status == "success" for m in state["messages"]) == steps
    usage = [Usage.from_converse({"usage": call.usage}) for call in bedrock.answered]
    assert len(usage) == steps + 1
    return usage


def read(usage):
    return sum(u.read_tokens for u in usage)


SETS = {"the same set": lambda _: 8, "a new one every fifth turn": lambda call: 8 + call // 5}


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("many", SETS)
def test_shuffled_tools_read_all_that_a_fixed_list_reads(bedrock, build, many, way):
    """Also where each listing writes the schemas with their keys in another order."""
    fixed = run(bedrock, build, Listed(SETS[many]), way=way)
    rng = random.Random(7)
    stable = run(bedrock, build, Listed(SETS[many], rng), StableToolsMiddleware(), way=way)
    assert read(fixed) > 60_000
    assert [u.read_tokens for u in stable] == [u.read_tokens for u in fixed]
    shuffled = run(bedrock, build, Listed(SETS[many], random.Random(7)), way=way)
    assert read(shuffled) < 0.2 * read(fixed)


def test_it_remembers_across_agents_that_are_made_anew(bedrock, build):
    stable, rng = StableToolsMiddleware(), random.Random(7)
    run(bedrock, build, Listed(SETS["the same set"], rng), stable, steps=1)
    first = bedrock.answered[0].request["toolConfig"]
    run(bedrock, build, Listed(SETS["the same set"], rng), stable, steps=1)
    assert [json.dumps(call.request["toolConfig"]) for call in bedrock.answered] == [json.dumps(first)] * 2


# Every kind of tool that `bind_tools` takes


@tool
def weigh(part: str) -> str:
    """Weigh a part."""
    return f"{part}: 4 kg"


class Count(BaseModel):
    """Count parts."""

    part: str = Field(description="its number")


def sort_parts(parts: list[str]) -> str:
    """Sort parts.

    Args:
        parts: their numbers
    """
    return " ".join(sorted(parts))


SPEC = {"toolSpec": {"name": "pack", "description": "Pack it.", "inputSchema": {"json": schema()}}}
FUNCTION = {
    "type": "function",
    "function": {"name": "ship", "description": "Ship it.", "parameters": schema()},
}
ANTHROPIC = {"name": "stow", "description": "Stow it.", "input_schema": schema()}
TITLED = {"title": "label", "description": "Label it.", **schema()}
KINDS = [weigh, Count, sort_parts, SPEC, FUNCTION, ANTHROPIC, TITLED, drawer(1)]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_chain_binds_every_kind_of_tool(bedrock, llm, way):
    stable, rng = StableTools(), random.Random(1)
    ask = [SystemMessage(MANUAL), HumanMessage("What is there?")]
    for _ in range(4):
        bound = llm.bind_tools(stable(rng.sample(KINDS, len(KINDS))))
        bound.invoke(ask) if way == "invoke" else asyncio.run(bound.ainvoke(ask))
    sent = [call.request["toolConfig"]["tools"] for call in bedrock.answered]
    assert len({t["toolSpec"]["name"] for t in sent[0] if "toolSpec" in t}) == len(KINDS)
    assert [json.dumps(tools) for tools in sent] == [json.dumps(sent[0])] * 4
    assert all(call.usage["cacheReadInputTokens"] > 3_000 for call in bedrock.answered[1:])


@given(st.permutations(range(len(KINDS))), st.integers(0, len(KINDS)), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_each_tool_once_and_twice_is_once(order, many, rng):
    stable = StableTools()
    assert stable(KINDS) == KINDS
    tools = [_shuffled(KINDS[i], rng) for i in order[:many]]
    told = stable(tools)
    assert sent(told) == sent([KINDS[i] for i in sorted(order[:many])])
    assert sent(stable(told)) == sent(told)


def sent(tools):
    return [json.dumps(convert_to_openai_tool(t)) for t in tools]


def _twice(kind, *others):
    stable = StableTools()
    [first] = stable([kind])
    assert first is kind
    return [stable([other])[0] for other in others]


def test_a_dict_is_written_as_it_first_was():
    rng = random.Random(2)
    for kind in (SPEC, FUNCTION, ANTHROPIC, TITLED):
        mine = _shuffled(kind, rng)
        before = json.dumps(mine)
        [again] = _twice(kind, mine)
        assert json.dumps(again) == json.dumps(kind)
        assert json.dumps(mine) == before


def test_a_tool_of_a_server_is_sent_as_it_first_was_and_still_runs():
    other = drawer(1, random.Random(3))
    before = json.dumps(other.args_schema)
    [again] = _twice(drawer(1), other)
    assert json.dumps(convert_to_openai_tool(again)) == json.dumps(convert_to_openai_tool(drawer(1)))
    assert again.invoke({"drawer": "1", "depth": "2", "unit": "m"}).startswith("a bolt")
    assert json.dumps(other.args_schema) == before


def _made(*names):
    model = create_model("Args", **{n: (str, Field(description=n)) for n in names})
    return StructuredTool.from_function(
        lambda **_: "", name="made", description="Made on the way.", args_schema=model
    )


def test_a_tool_of_a_class_is_sent_as_it_first_was():
    kind = _made("a", "b")
    [again] = _twice(kind, _made("b", "a"))
    assert json.dumps(convert_to_openai_tool(again)) == json.dumps(convert_to_openai_tool(kind))


def test_a_tool_that_changed_is_sent_as_it_is():
    changed = _made("a", "b", "c")
    assert _twice(_made("a", "b"), changed) == [changed]


POINT = CachedChatBedrockConverse.create_cache_point()


@pytest.mark.parametrize(
    "mark",
    [POINT, {**ANTHROPIC, "cache_control": {"type": "ephemeral"}}],
    ids=["a point", "a tool with one on it"],
)
def test_a_checkpoint_stays_where_the_user_put_it(mark):
    """Law 7: what stands in front of it stays in front of it."""
    stable = StableTools()
    stable([weigh, Count, sort_parts])
    assert stable([Count, weigh, mark, SPEC, sort_parts]) == [weigh, Count, mark, sort_parts, SPEC]


def test_a_tool_that_says_in_its_extras_that_it_carries_a_checkpoint_stays():
    marked = weigh.model_copy(update={"extras": {"cache_control": {"type": "ephemeral"}}})
    stable = StableTools()
    stable([weigh, Count, sort_parts])
    assert stable([sort_parts, Count, marked, sort_parts]) == [Count, sort_parts, marked, sort_parts]


def test_the_first_call_is_byte_for_byte_what_it_was(bedrock, build):
    ask = [SystemMessage(MANUAL), HumanMessage("What is there?")]
    for tools in (KINDS, StableTools()(KINDS)):
        build(prompt_cache=PromptCache(clock=bedrock.now)).bind_tools(tools).invoke(ask)
    one, other = bedrock.answered
    assert one.body == other.body

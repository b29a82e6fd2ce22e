"""What shapes the steps of LlamaIndex' agents: tools, the order of results, and results that are cleared."""

import asyncio
import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.tools.types import BaseToolAsyncAdapter
from llama_index.core.workflow import Context
from pydantic import Field, create_model

from cachepoint import PromptCache
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.guard import guard
from cachepoint.emulator import Reply, ScriptedResponder, ToolResponder
from cachepoint.llama_index import (
    CachedBedrockConverse,
    ShapedFunctionAgent,
    ShapedReActAgent,
    StableClear,
    StableResults,
    StableTools,
    Step,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import SchemaTool, where

# llama-index-workflows looks at all attributes of a workflow, the deprecated ones of pydantic among them.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

WORDS = "Looks into the drawer of that number and says what lies there, with its weight and price. " * 6
NAMES = ("drawer", "depth", "unit")


def look(**_: str) -> str:
    return "a bolt " * 60


def drawer(n, rng=None):
    """A tool; its schema has its properties in another order each time."""
    names = NAMES if rng is None else rng.sample(NAMES, len(NAMES))
    schema = create_model("Drawer", **{name: (str, Field(description=name)) for name in names})
    return FunctionTool.from_defaults(look, name=f"drawer_{n:02}", description=WORDS, fn_schema=schema)


class Listing:
    """An agent whose tools are listed anew at each step: as many as there are, in whatever order they come."""

    def __init__(self, *args, listed, **options):
        super().__init__(*args, **options)
        object.__setattr__(self, "listed", listed)

    async def get_tools(self, input_str=None):
        return self._ensure_tools_are_async(self.listed())


class ListingPlain(Listing, FunctionAgent):
    pass


class ListingShaped(Listing, ShapedFunctionAgent):
    def __init__(self, *args, listed, **options):
        ShapedFunctionAgent.__init__(self, *args, **options)
        object.__setattr__(self, "listed", listed)


class ListingReAct(Listing, ShapedReActAgent):
    def __init__(self, *args, listed, **options):
        ShapedReActAgent.__init__(self, *args, **options)
        object.__setattr__(self, "listed", listed)


def model(bedrock, **options):
    return CachedBedrockConverse(
        CLAUDE, **where(bedrock), prompt_cache=PromptCache(clock=bedrock.now), **options
    )


async def run(agent, question="Look into the drawers.", **options):
    return await agent.run(user_msg=question, max_iterations=99, **options)


def usage(bedrock):
    return [Usage.from_converse({"usage": call.usage}) for call in bedrock.answered]


def read(told):
    return sum(u.read_tokens for u in told)


# Tools


async def listing(bedrock, many, rng=None, cls=ListingPlain, **options):
    """The usage of an agent of 25 steps whose tools are listed as `rng` shuffles them."""
    bedrock.reset()
    bedrock.say(ToolResponder(["drawer_00"], steps=24))

    def listed():
        tools = [drawer(n, rng) for n in range(many(len(bedrock.answered)))]
        return tools if rng is None else rng.sample(tools, len(tools))

    await run(cls(llm=model(bedrock), system_prompt=MANUAL, listed=listed, **options))
    assert len(bedrock.answered) == 25
    return usage(bedrock)


SETS = {"the same set": lambda _: 8, "a new one every fifth turn": lambda call: 8 + call // 5}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("many", SETS)
async def test_shuffled_tools_read_all_that_a_fixed_list_reads(bedrock, many, streaming):
    """Also where each listing writes the schemas with their keys in another order."""
    stable = {"cls": ListingShaped, "shapers": [StableTools()], "streaming": streaming}
    fixed = await listing(bedrock, SETS[many], streaming=streaming)
    ours = await listing(bedrock, SETS[many], random.Random(7), **stable)
    assert read(fixed) > 60_000
    assert [u.read_tokens for u in ours] == [u.read_tokens for u in fixed]
    shuffled = await listing(bedrock, SETS[many], random.Random(7), streaming=streaming)
    assert read(shuffled) < 0.2 * read(fixed)


# Of the base class, which asks whether a run is running while it is.
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
async def test_a_react_agent_tells_of_its_tools_in_the_stable_order(bedrock):
    """They stand in its system prompt."""
    bedrock.say(ToolResponder(["drawer_00"], steps=6))
    rng = random.Random(7)

    def listed():
        return rng.sample([drawer(n, rng) for n in range(8)], 8)

    agent = ListingReAct(llm=model(bedrock), listed=listed, shapers=[StableTools(), StableClear(trigger=0)])
    await run(agent)
    assert len(bedrock.answered) == 7
    assert len({json.dumps(c.request["system"][0]) for c in bedrock.answered}) == 1
    assert read(usage(bedrock)) > 6_000


def shown(tools):
    return [
        json.dumps([t.metadata.name, t.metadata.description, t.metadata.get_parameters_dict()]) for t in tools
    ]


@given(st.permutations(range(6)), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_outside_of_agents_a_list_for_a_list(order, rng):
    stable, first = StableTools(), [drawer(n) for n in range(4)]
    assert stable(first) == first
    given_ = [drawer(n, rng) for n in order]
    before = shown(given_)
    told = stable(given_)
    assert shown(told)[:4] == shown(first)
    assert sorted(t.metadata.name for t in told) == sorted(t.metadata.name for t in given_)
    assert shown(given_) == before
    assert shown(stable(told)) == shown(told)


@pytest.mark.parametrize("wrap", [lambda t: t, BaseToolAsyncAdapter], ids=["plain", "made async"])
async def test_a_copy_runs_as_the_tool_does(wrap):
    stable = StableTools()
    stable([drawer(1)])
    mine = drawer(1, random.Random(1))
    [copy] = stable([wrap(mine)])
    assert shown([copy]) == shown([drawer(1)])
    assert copy.metadata.fn_schema is mine.metadata.fn_schema
    assert str(mine(drawer="1")) == str(copy.call(drawer="1") if wrap is not BaseToolAsyncAdapter else mine())
    assert stable([mine])[0].metadata.fn_schema_str == drawer(1).metadata.fn_schema_str


def test_functions_and_tools_of_ones_own_are_ordered_too():
    def weigh(part: str) -> str:
        """Weigh a part."""
        return part

    def own(*names):
        schema = create_model("Own", **dict.fromkeys(names, (str, ...)))
        return SchemaTool(ToolMetadata(description="Mine.", name="own", fn_schema=schema))

    stable, mine = StableTools(), own("b", "a")
    stable([own("a", "b"), weigh])
    assert stable([weigh, mine]) == [mine, weigh]


# Results


def page(number: str) -> str:
    """Read a page."""
    return f"page {number}: " + "turn the rotor slowly and note what it says on the dial. " * 30


def told(*results, text="found it"):
    calls = [ToolCallBlock(tool_call_id=f"t{i}", tool_name="page", tool_kwargs={}) for i in range(4)]
    return (
        ChatMessage(role="system", content="be brief"),
        ChatMessage(role="user", content="read"),
        ChatMessage(role="assistant", blocks=[TextBlock(text="so"), *calls]),
        *(
            ChatMessage(role="tool", content=f"{i} {text}", additional_kwargs={"tool_call_id": f"t{i}"})
            for i in results
        ),
    )


def shaped(shaper, messages):
    given_ = Step(ctx=None, messages=tuple(messages), tools=(), memory=None)
    before = [m.model_copy(deep=True) for m in messages]
    step = asyncio.run(shaper.shape(given_))
    assert list(messages) == before
    assert asyncio.run(shaper.shape(step)) is step
    assert step is given_ or step.messages != given_.messages
    return step.messages


@given(st.permutations(range(4)), st.integers(0, 4))
@settings(deadline=None)
def test_results_stand_in_the_order_of_their_calls(order, many):
    assert shaped(StableResults(), told(*order[:many])) == told(*sorted(order[:many]))


async def parallel(bedrock, rng, **options):
    """An agent that reads four pages in each of ten steps; the results come in as `rng` has it."""
    bedrock.say(ToolResponder(steps=10, parallel=4))

    async def page(number: str) -> str:
        """Read a page."""
        await asyncio.sleep(rng.random() / 100)
        return "turn the rotor slowly and note what it says on the dial. " * 30

    memory = ChatMemoryBuffer.from_defaults(token_limit=10**6)
    agent = ShapedFunctionAgent(tools=[page], llm=model(bedrock), system_prompt=MANUAL[:6_000], **options)
    await run(agent, memory=memory)
    return bedrock.answered[-11:], memory


def without_points(call):
    return call.body.replace(b', {"cachePoint": {"type": "default"}}', b"")


async def test_results_that_come_in_another_order_read_the_same_prefix(bedrock):
    """A second run, whose results come in otherwise, sends what the first sent, and reads nearly all of it."""
    runs = [await parallel(bedrock, random.Random(n), shapers=[StableResults()]) for n in (1, 2)]
    (first, memory), (second, other) = runs
    assert len(bedrock.answered) == 22
    assert [without_points(c) for c in first] == [without_points(c) for c in second]
    again = [Usage.from_converse({"usage": call.usage}) for call in second]
    assert read(again) > 0.95 * sum(u.input_tokens for u in again)
    # What the memory keeps is what came in.
    came = [
        [m.additional_kwargs["tool_call_id"] for m in of.get_all() if m.role == "tool"]
        for of in (memory, other)
    ]
    assert came[0] != came[1]
    assert sorted(came[0]) == sorted(came[1])


async def test_as_they_come_in_less_of_it_is_read(bedrock):
    for n in (1, 2):
        calls, _ = await parallel(bedrock, random.Random(n))
    again = [Usage.from_converse({"usage": call.usage}) for call in calls]
    assert read(again) < 0.9 * sum(u.input_tokens for u in again)


# Results that are cleared

CLEARED = "[cleared]"


def history(sizes, names=("page",)):
    """A question, and rounds of one call and one result of these sizes in tokens."""
    messages = [ChatMessage(role="system", content="word" * 5_000), ChatMessage(role="user", content="read")]
    for i, size in enumerate(sizes):
        call = ToolCallBlock(tool_call_id=f"t{i}", tool_name=names[i % len(names)], tool_kwargs={})
        messages += [
            ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", content="word" * size, additional_kwargs={"tool_call_id": f"t{i}"}),
        ]
    return messages


def cleared(messages):
    return [m.additional_kwargs["tool_call_id"] for m in messages if m.content == CLEARED]


def test_below_the_trigger_nothing_is_cleared_whatever_the_system_prompt():
    messages = history([100] * 5)
    assert shaped(StableClear(trigger=1_000), messages) == tuple(messages)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=20), st.integers(200, 2_000), st.integers(0, 5))
def test_what_was_cleared_stays_cleared_and_results_stay_with_their_calls(sizes, trigger, keep):
    before, messages = [], history(sizes)
    for n in range(2, len(messages) + 1, 2):
        now = shaped(StableClear(trigger=trigger, keep=keep), messages[:n])
        assert cleared(now)[: len(before)] == before
        assert len(cleared(now)) <= max(0, n // 2 - 1 - keep)
        before = cleared(now)
        assert [m.role for m in now] == [m.role for m in messages[:n]]
        assert [m.additional_kwargs for m in now] == [m.additional_kwargs for m in messages[:n]]


def test_many_are_cleared_at_once_and_then_none_for_a_while():
    steps = [cleared(shaped(StableClear(trigger=1_000), history([100] * n))) for n in range(1, 30)]
    sizes = sorted({len(ids) for ids in steps})
    assert len(sizes) > 3
    assert all(b - a >= 3 for a, b in pairwise(sizes))


def test_results_of_tools_that_are_excluded_and_of_no_call_stay():
    messages = history([100] * 14, names=("page", "weigh"))
    lost = ChatMessage(role="tool", content="word" * 900, additional_kwargs={"tool_call_id": "t99"})
    clear = StableClear(trigger=1_000, keep=2, clear_at_least=0, exclude_tools=["weigh"], placeholder=CLEARED)
    now = shaped(clear, [lost, *messages])
    assert now[0] is lost
    assert cleared(now) == [f"t{i}" for i in range(0, 12, 2)]


def test_results_of_older_integrations_are_cleared_too():
    messages = history([100] * 14)
    older = [
        ChatMessage(
            role="assistant",
            content="",
            additional_kwargs={"tool_calls": [{"toolUseId": b.tool_call_id, "name": "page", "input": {}}]},
        )
        if isinstance(b := m.blocks[0], ToolCallBlock)
        else m
        for m in messages
    ]
    assert len(cleared(shaped(StableClear(trigger=1_000), older))) > 3


@pytest.mark.parametrize(
    "options",
    [
        {"trigger": -1},
        {"keep": -1},
        {"clear_at_least": 1.5},
        {"trigger": "60k"},
        {"keep": None},
        {"exclude_tools": "a"},
    ],
)
def test_options_that_are_none_are_refused(options):
    [(name, value)] = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        StableClear(**options)


async def test_an_agent_that_clears_keeps_all_and_reads_most(bedrock):
    bedrock.say(ToolResponder(steps=30))
    memory = ChatMemoryBuffer.from_defaults(token_limit=10**6)
    clear = StableClear(trigger=6_000)
    agent = ShapedFunctionAgent(
        tools=[page], llm=model(bedrock), system_prompt=MANUAL[:6_000], shapers=[clear]
    )
    result = await run(agent, memory=memory)
    counts = [call.body.count(CLEARED.encode()) for call in bedrock.answered]
    assert counts == sorted(counts)
    assert len(set(counts)) < 8 < counts[-1]
    assert len(result.tool_calls) == 30
    kept = [m.content for m in memory.get_all() if m.role == "tool"]
    assert len(kept) == 30
    assert all(text.startswith("page ") for text in kept)
    assert max(u.input_tokens for u in usage(bedrock)) < 6_000 + 2_500
    assert read(usage(bedrock)) > 0.6 * sum(u.input_tokens for u in usage(bedrock))


# Agents


@pytest.mark.parametrize("streaming", [True, False])
async def test_without_shapers_it_is_byte_for_byte_what_it_was(bedrock, streaming):
    sent = []
    for cls in (FunctionAgent, ShapedFunctionAgent):
        bedrock.reset()
        bedrock.say(ToolResponder(steps=3))
        memory = ChatMemoryBuffer.from_defaults()
        agent = cls(tools=[page], llm=model(bedrock), system_prompt=MANUAL, streaming=streaming)
        await run(agent, memory=memory)
        await run(agent, "And now?", memory=memory)
        sent.append([call.body for call in bedrock.answered])
    assert len(sent[0]) == 8
    assert sent[0] == sent[1]


async def test_shapers_with_nothing_to_do_change_nothing(bedrock):
    sent = []
    for shapers in ([], [StableTools(), StableResults(), StableClear()]):
        bedrock.reset()
        bedrock.say(ToolResponder(steps=3))
        await run(
            ShapedFunctionAgent(tools=[page], llm=model(bedrock), system_prompt=MANUAL, shapers=shapers)
        )
        sent.append([call.body for call in bedrock.answered])
    assert sent[0] == sent[1]


def handoff(to):
    use = {"toolUseId": f"h_{to}", "name": "handoff", "input": {"to_agent": to, "reason": "he knows"}}
    return Reply(({"toolUse": use},), stop_reason="tool_use")


def call(n, *names):
    uses = tuple(
        {"toolUse": {"toolUseId": f"c{n}_{i}", "name": name, "input": {"number": "1"}}}
        for i, name in enumerate(names)
    )
    return Reply(uses, stop_reason="tool_use")


async def test_several_agents_hand_off_to_one_another(bedrock):
    def other(number: str) -> str:
        """Read the other page."""
        return page(number)

    said = [
        call(1, "page", "page"),
        handoff("second"),
        call(2, "other"),
        handoff("first"),
        call(3, "page"),
        "Done.",
    ]
    bedrock.say(ScriptedResponder(said))
    llm = model(bedrock)
    # One shaper may serve several agents.
    stable = StableTools()

    def agent(name, tool):
        shapers = [stable, StableResults(), StableClear(trigger=500, keep=1)]
        return ShapedFunctionAgent(
            name=name, description=name, tools=[tool], llm=llm, system_prompt=MANUAL, shapers=shapers
        )

    agents = [agent("first", page), agent("second", other)]
    result = await AgentWorkflow(agents=agents, root_agent="first").run(user_msg="Read both.")
    assert str(result) == "Done."
    requests = [c.request for c in bedrock.answered]
    assert len(requests) == 6
    names = [[t["toolSpec"]["name"] for t in r["toolConfig"]["tools"] if "toolSpec" in t] for r in requests]
    assert names == [["page", "handoff"]] * 2 + [["handoff", "other"]] * 2 + [["page", "handoff"]] * 2
    uses = [
        b["toolUse"]["toolUseId"] for m in requests[-1]["messages"] for b in m["content"] if "toolUse" in b
    ]
    results = [
        b["toolResult"]["toolUseId"]
        for m in requests[-1]["messages"]
        for b in m["content"]
        if "toolResult" in b
    ]
    assert uses == results == ["c1_0", "c1_1", "h_second", "c2_0", "h_first", "c3_0"]
    assert not guard.faults


class Noted:
    """A shaper that reads and writes the memory, as one does that keeps what it moved."""

    async def shape(self, step):
        kept = await step.memory.aget_all()
        at = max(i for i, m in enumerate(kept) if m.role == "user")
        if "(noted)" in kept[at].content:
            return step
        noted = kept[at].model_copy(update={"blocks": [TextBlock(text=f"{kept[at].content} (noted)")]})
        await step.memory.aset([*kept[:at], noted, *kept[at + 1 :]])
        return replace(step, messages=tuple(noted if m == kept[at] else m for m in step.messages))


async def test_a_shaper_of_ones_own_may_change_the_memory(bedrock):
    bedrock.say(ToolResponder(steps=2))
    memory = ChatMemoryBuffer.from_defaults()
    agent = ShapedFunctionAgent(tools=[page], llm=model(bedrock), shapers=[Noted(), StableResults()])
    await run(agent, "Read it.", memory=memory)
    await run(agent, "And now?", memory=memory)
    assert [m.content for m in memory.get_all() if m.role == "user"] == [
        "Read it. (noted)",
        "And now? (noted)",
    ]
    asked = [json.dumps(c.request["messages"][0]["content"][0]) for c in bedrock.answered]
    assert set(asked) == {'{"text": "Read it. (noted)"}'}


async def test_a_context_that_is_saved_in_the_middle_of_a_step_loses_nothing(bedrock):
    """While the model answers, the run's tool calls and results stand in the context, whatever was shaped."""
    during, sent = [], []

    class Watched(CachedBedrockConverse):
        async def achat_with_tools(self, *args, chat_history, **kwargs):
            during.append([m.content for m in await ctx.store.get("scratchpad", default=[])])
            sent.append([m.content for m in chat_history])
            return await super().achat_with_tools(*args, chat_history=chat_history, **kwargs)

    bedrock.say(ToolResponder(steps=2))
    llm = Watched(CLAUDE, **where(bedrock), prompt_cache=PromptCache(clock=bedrock.now))
    clear = StableClear(trigger=0, keep=0, clear_at_least=0)
    agent = ShapedFunctionAgent(tools=[page], llm=llm, streaming=False, shapers=[clear])
    ctx = Context(agent)
    await agent.run(user_msg="Read.", ctx=ctx)
    assert [len(pad) for pad in during] == [0, 2, 4]
    assert [messages.count(CLEARED) for messages in sent] == [0, 1, 2]
    assert all(text is None or not text.startswith(CLEARED) for pad in during for text in pad)


async def test_a_shaper_that_raises_is_left_out(bedrock, caplog):
    class Broken:
        async def shape(self, step):
            raise RuntimeError("broken")

    guard.faults = 0
    bedrock.say(ToolResponder(steps=14))
    clear = StableClear(trigger=2_000)
    agent = ShapedFunctionAgent(tools=[page], llm=model(bedrock), shapers=[Broken(), clear])
    await run(agent)
    assert len(bedrock.answered) == 15
    assert CLEARED.encode() in bedrock.answered[-1].body
    assert [r.getMessage() for r in caplog.records if r.name == "cachepoint"] == [
        "cachepoint failed at shaping by Broken; the call goes on without it"
    ]
    guard.faults = 0


@pytest.mark.parametrize("cls", [ShapedFunctionAgent, ShapedReActAgent])
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"shaper": [StableTools()]}, "shaper"),
        ({"shapers": [StableTools]}, "StableTools'"),
        ({"shapers": ["tools"]}, "'tools' is no shaper"),
        ({"shapers": [None]}, "None is no shaper"),
    ],
)
def test_what_is_no_option_or_no_shaper_is_refused(bedrock, cls, options, word):
    with pytest.raises(ValueError, match=word):
        cls(llm=model(bedrock), tools=[page], **options)


def test_an_agents_own_arguments_are_as_they_were(bedrock):
    agent = ShapedReActAgent("reader", "Reads.", tools=[page], llm=model(bedrock), timeout=9, verbose=False)
    plain = ReActAgent("reader", "Reads.", tools=[page], llm=model(bedrock), timeout=9, verbose=False)
    assert (agent.name, agent.description, agent._timeout) == (plain.name, plain.description, plain._timeout)
    assert agent.shapers == []

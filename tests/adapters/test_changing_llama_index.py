"""What changes by the call, behind the newest message: LlamaIndex's memories and engines."""

import asyncio
import json
import subprocess
import sys
from itertools import count, pairwise

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    MessageRole,
    TextBlock,
)
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer, Memory

from cachepoint import volatile
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import ToolResponder
from cachepoint.llama_index import (
    CachedBedrockConverse,
    Relocate,
    RelocateMemory,
    ShapedFunctionAgent,
    StableTrimMemory,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import AGENTS, where
from tests.adapters.test_llama_engines import SYSTEM, ByWord, Model, question

pytestmark = AGENTS
LABEL = "[What holds now]"


@pytest.fixture
def llm(bedrock, cache):
    bedrock.say(Model())
    return CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache)


def clock():
    ticks = count(1)
    return lambda: f"It is 10:{next(ticks):02}."


def reads_all_before(bedrock):
    rows = [(c.usage["cacheReadInputTokens"], c.usage["cacheWriteInputTokens"]) for c in bedrock.answered]
    assert rows[0][1] > 1_024
    for (read, wrote), (now, _) in pairwise(rows):
        assert now == read + wrote


INNER = {
    "ours": lambda: None,
    "buffer": lambda: ChatMemoryBuffer.from_defaults(token_limit=100_000),
    "memory": lambda: Memory.from_defaults(token_limit=100_000),
}


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("awaited", [False, True])
def test_a_simple_chat_keeps_it_where_it_was_said(awaited, inner, llm, bedrock):
    memory = RelocateMemory.from_defaults(changing=clock(), memory=INNER[inner]())
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=SYSTEM)
    for n in range(3):
        asyncio.run(engine.achat(question(n))) if awaited else engine.chat(question(n))
    reads_all_before(bedrock)
    told = [m.blocks[-1].text for m in memory.get_all() if m.role == MessageRole.USER]
    assert told == [f"{LABEL}\nIt is 10:0{n}." for n in (1, 2, 3)]


@pytest.mark.parametrize("awaited", [False, True])
def test_an_engine_that_stores_the_message_after_the_answer(awaited, llm, bedrock):
    """The condensing call aside, what was sent is what is stored, and stands in front of the question."""
    memory = RelocateMemory.from_defaults(changing=clock())
    engine = SimpleContext.build(llm, memory)
    for n in range(3):
        asyncio.run(engine.achat(question(n))) if awaited else engine.chat(question(n))
    sent = [c.request["messages"] for c in bedrock.answered]
    texts = [[[b["text"] for b in m["content"] if "text" in b] for m in messages] for messages in sent]
    assert texts[0][-1] == [f"{LABEL}\nIt is 10:01.", question(0)]
    for before, now in pairwise(texts):
        assert now[: len(before)] == before
    told = [[b.text for b in m.blocks] for m in memory.get_all() if m.role == MessageRole.USER]
    assert told == [[f"{LABEL}\nIt is 10:0{n + 1}.", question(n)] for n in range(3)]


class SimpleContext:
    @staticmethod
    def build(llm, memory):
        return ContextChatEngine.from_defaults(
            retriever=ByWord(), llm=llm, memory=memory, system_prompt=SYSTEM
        )


@pytest.mark.parametrize("engine", [ContextChatEngine, CondensePlusContextChatEngine])
def test_retrieved_text_of_context_engines_goes_behind_the_question(engine, bedrock, cache):
    """What stands in front of a context engine's system prompt is new with each question."""
    bedrock.say(Model())
    reads = {}
    for relocate in ("off", "learned"):
        bedrock.reset()
        bedrock.say(Model())
        llm = CachedBedrockConverse(
            CLAUDE,
            **where(bedrock),
            cache_policy={"relocate": relocate},
            prompt_cache=type(cache)(clock=bedrock.now),
        )
        made = engine.from_defaults(
            retriever=ByWord(),
            llm=llm,
            memory=Memory.from_defaults(token_limit=100_000),
            system_prompt=SYSTEM,
        )
        for n in range(6):
            made.chat(question(n))
        asked = [c for c in bedrock.answered if c.request.get("system")]
        reads[relocate] = [c.usage["cacheReadInputTokens"] for c in asked]
    assert max(reads["off"]) == 0
    assert min(reads["learned"][3:]) > 1_024
    assert "About the" not in json.dumps(asked[-1].request["system"])
    assert "About the" in json.dumps(asked[-1].request["messages"][-1])


def test_an_agent_has_one_value_in_a_turn(llm, bedrock):
    bedrock.say(ToolResponder(steps=2))
    memory = RelocateMemory.from_defaults(changing=clock())
    agent = FunctionAgent(llm=llm, tools=[look], system_prompt=MANUAL)

    async def turns():
        for n in range(2):
            await agent.run(question(n), memory=memory)

    asyncio.run(turns())
    reads_all_before(bedrock)
    assert json.dumps(bedrock.answered[-1].request["messages"]).count('"text": "[What holds now]') == 2


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("learned", [False, True])
def test_an_agent_whose_system_prompt_changes(learned, inner, llm, bedrock):
    """Each step has another time; the turn has the first, and so has the memory."""
    bedrock.say(ToolResponder(steps=2))
    memory = INNER[inner]() or StableTrimMemory.from_defaults()
    ticks = clock()

    class Dated(ShapedFunctionAgent):
        async def take_step(self, ctx, llm_input, tools, memory):
            text = ticks() if learned else volatile(ticks())
            system = ChatMessage(f"{text}\n\n{MANUAL}", role="system")
            return await super().take_step(ctx, [system, *llm_input], tools, memory)

    shaper = Relocate(learned=learned)
    agent = Dated(llm=llm, tools=[look], shapers=[shaper])

    async def turns():
        if learned:
            for n in range(3):
                shaper._finder.of(f"q{n}")(f"It is 09:0{n}.\n\n{MANUAL}")
        for n in range(2):
            await agent.run(question(n), memory=memory)

    asyncio.run(turns())
    reads_all_before(bedrock)
    told = [m.blocks[-1].text for m in memory.get_all() if m.role == MessageRole.USER]
    assert told == [f"{LABEL}\nIt is 10:01.", f"{LABEL}\nIt is 10:04."]
    texts = [m.blocks[0].text for m in memory.get_all() if m.role == MessageRole.USER]
    assert texts == [question(0), question(1)]


def test_nothing_moves_across_a_checkpoint_of_the_users_in_an_agent(llm, bedrock):
    point = CachePoint(cache_control=CacheControl(type="default"))
    agent = ShapedFunctionAgent(
        llm=llm, tools=[look], system_prompt=f"{volatile('It is 10:09.')}\n\n{MANUAL}", shapers=[Relocate()]
    )
    asked = ChatMessage(role="user", blocks=[TextBlock(text="Where?"), point])

    async def turn():
        await agent.run(asked)

    asyncio.run(turn())
    assert "It is 10:09." in json.dumps(bedrock.answered[-1].request["system"])


def look(part: str) -> str:
    """Look a part up."""
    return f"{part} is in stock"


OTHER = """
import sys
from llama_index.core.chat_engine import SimpleChatEngine
from cachepoint.llama_index import CachedBedrockConverse, RelocateMemory
import boto3

url, path, system = sys.argv[1:]
memory = RelocateMemory.from_string(open(path).read(), changing="It is 18:30.")
client = boto3.client("bedrock-runtime", endpoint_url=url)
llm = CachedBedrockConverse("us.anthropic.claude-sonnet-4-6", client=client)
SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=system).chat("And the pump?")
for m in memory.get_all():
    if m.role == "user":
        print(" ".join(b.text for b in m.blocks).replace("\\n", " "))
"""


@pytest.mark.parametrize("inner", ["ours", "buffer"])
def test_a_saved_memory_in_another_process(inner, llm, bedrock, tmp_path):
    memory = RelocateMemory.from_defaults(changing=clock(), memory=INNER[inner]())
    SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=SYSTEM).chat("Where is the valve?")
    path = tmp_path / "memory.json"
    path.write_text(memory.to_string())
    other = subprocess.run(
        [sys.executable, "-c", OTHER, bedrock.url, str(path), SYSTEM],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.splitlines() == [
        f"Where is the valve? {LABEL} It is 10:01.",
        f"And the pump? {LABEL} It is 18:30.",
    ]
    reads_all_before(bedrock)


def test_the_callers_objects_stay_as_they_are_and_nothing_is_put_in_twice():
    memory = RelocateMemory.from_defaults(changing=["It is late."].copy)
    asked = ChatMessage("Where?")
    memory.put(asked)
    assert asked == ChatMessage("Where?")
    (kept,) = memory.get_all()
    memory.put(kept)
    assert memory.get_all() == [kept, kept]
    memory.put(ChatMessage("Here.", role="assistant"))
    assert memory.get_all()[-1] == ChatMessage("Here.", role="assistant")


@pytest.mark.parametrize("nothing", ["", list, str])
def test_nothing_to_put_in_is_a_plain_memory(nothing):
    memory = RelocateMemory.from_defaults(changing=nothing)
    memory.put(ChatMessage("Where?"))
    assert memory.get_all() == memory.get("Why?") == [ChatMessage("Where?")]
    memory.set([ChatMessage("a", role="assistant")])
    assert memory.get("Why?") == [ChatMessage("a", role="assistant")]
    memory.reset()
    assert memory.get() == []


def test_what_is_wrong_is_refused_when_it_is_given():
    for options, says in (
        ({"changing": 7}, "int"),
        ({"label": "Now:"}, "'Now:'"),
        ({"chnging": "x"}, "'chnging'"),
    ):
        with pytest.raises(InvalidOptionError, match=says):
            RelocateMemory.from_defaults(**options)
    data = RelocateMemory.from_defaults().to_dict()
    with pytest.raises(InvalidOptionError, match="'Memory'"):
        RelocateMemory.from_dict({**data, "memory": {"class_name": "Memory"}})


def test_upstreams_flag_is_no_checkpoint_of_the_users(bedrock, cache):
    options = {"system_prompt_caching": True, "cache_policy": {"relocate": "marked"}}
    llm = CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, **options)
    system = ChatMessage(f"{volatile('It is 10:05.')}\n\n{MANUAL}", role=MessageRole.SYSTEM)
    llm.chat([system, ChatMessage("Where is the valve?")])
    sent = bedrock.answered[-1].request
    assert "10:05" not in json.dumps(sent["system"])
    assert "10:05" in json.dumps(sent["messages"][-1])

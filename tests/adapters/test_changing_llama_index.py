"""What changes by the call, behind the newest message: LlamaIndex's memories and engines."""

import asyncio
import json
import subprocess
import sys
from itertools import count, pairwise

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer, Memory

from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import ToolResponder
from cachepoint.llama_index import CachedBedrockConverse, RelocateMemory
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

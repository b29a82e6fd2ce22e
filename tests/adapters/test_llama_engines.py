"""LlamaIndex's agents and engines, two turns and more, and how much of the second turn is read."""

import asyncio
import logging
import re
from itertools import pairwise

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.memory import Memory, StaticMemoryBlock
from llama_index.core.memory.memory import BaseMemoryBlock, InsertMethod
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import Document, NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool

from cachepoint import CachePolicy, documents
from cachepoint.core.prompt.documents import retrieved
from cachepoint.emulator import AutoResponder, Reply, ScriptedResponder
from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback
from cachepoint.llama_index.engines import SystemTexts
from tests.adapters.contract import CLAUDE
from tests.adapters.llama_index_adapter import AGENTS, where
from tests.adapters.llama_index_shapes import message
from tests.adapters.test_contract import points
from tests.adapters.test_llama_events import agrees

pytestmark = AGENTS

PARTS = ("pump", "valve", "cover", "filter", "motor", "hose")
SYSTEM = "You are the service desk of a pump maker.\n" + "\n".join(
    f"Rule {n}: answer in full sentences and name the page that you rely on, case {n}." for n in range(80)
)
PASSAGES = [TextNode(id_=p, text=f"About the {p}. " + f"The {p} is cleaned with oil. " * 12) for p in PARTS]
LONG = [TextNode(id_=p, text=f"About the {p}. " + f"The {p} is cleaned with oil. " * 400) for p in PARTS]


class ByWord(BaseRetriever):
    """The passages on the parts that a question names, and the one after it."""

    def __init__(self, nodes=PASSAGES):
        super().__init__()
        self.nodes = nodes

    def _retrieve(self, query_bundle):
        named = [n for n, part in enumerate(PARTS) if part in query_bundle.query_str]
        return [
            NodeWithScore(node=self.nodes[(n + i) % len(PARTS)], score=1.0) for n in named[:1] for i in (0, 1)
        ]


class Model(AutoResponder):
    """Condenses a conversation to its last question, where it is asked to."""

    def __call__(self, request):
        text = request.last_user_text
        if "follow up question" in text:
            return Reply.text(re.findall(r"How is the \w+ serviced\?", text)[-1])
        return super().__call__(request)


@pytest.fixture
def build(bedrock, cache):
    bedrock.say(Model())
    return lambda **options: CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, **options)


def question(n):
    return f"How is the {PARTS[n]} serviced?"


def memory(**options):
    return Memory.from_defaults(token_limit=100_000, **options)


def turns(bedrock, say, count=4, wanted=lambda call: call.request.get("system")):
    """By turn: tokens read by its first call, and what its last call had in the cache and in all."""
    rows = []
    for n in range(count):
        before = len(bedrock.answered)
        say(question(n))
        made = [c.usage for c in bedrock.answered[before:] if wanted(c)]
        last = made[-1]
        cached = last["cacheReadInputTokens"] + last["cacheWriteInputTokens"]
        rows.append((made[0]["cacheReadInputTokens"], cached, cached + last["inputTokens"]))
    return rows


def shares(rows, of=1):
    """What each turn read of what the turn before had in the cache (1) or in all (2)."""
    return [now[0] / before[of] if before[of] else None for before, now in pairwise(rows)]


def test_simple_chat_engine_reads_all_of_the_turn_before(build, bedrock):
    engine = SimpleChatEngine.from_defaults(llm=build(), system_prompt=SYSTEM, memory=memory())
    assert min(shares(turns(bedrock, engine.chat), of=2)) > 0.99


def test_simple_chat_engine_streamed(build, bedrock):
    engine = SimpleChatEngine.from_defaults(llm=build(), system_prompt=SYSTEM, memory=memory())
    rows = turns(bedrock, lambda q: list(engine.stream_chat(q).response_gen))
    assert min(shares(rows, of=2)) > 0.99


def search(part: str) -> str:
    """Search the stock for a part."""
    return f"There are 3 of {part} in stock."


def run(agent, kept):
    """A loop of its own for every turn, as in a script."""

    async def ask(text):
        return await agent.run(f"{text} Search the stock, too.", memory=kept)

    loop = asyncio.new_event_loop()
    return loop, lambda text: loop.run_until_complete(ask(text))


@pytest.mark.parametrize("streaming", [True, False])
def test_function_agent_reads_all_of_the_turn_before(streaming, build, bedrock):
    agent = FunctionAgent(
        llm=build(), system_prompt=SYSTEM, tools=[FunctionTool.from_defaults(search)], streaming=streaming
    )
    loop, say = run(agent, memory())
    rows = turns(bedrock, say)
    loop.close()
    assert len(bedrock.answered) == 8
    assert min(shares(rows, of=2)) > 0.99


def test_react_agent_reads_most_of_the_turn_before(build, bedrock):
    steps = [
        'Thought: I need to use a tool.\nAction: search\nAction Input: {"part": "valve"}',
        "Thought: I can answer without using any more tools.\nAnswer: There are 3.",
    ]
    bedrock.say(ScriptedResponder(steps * 3))
    agent = ReActAgent(llm=build(), system_prompt=SYSTEM, tools=[FunctionTool.from_defaults(search)])
    loop, say = run(agent, memory())
    rows = turns(bedrock, say, 3)
    loop.close()
    assert len(bedrock.answered) == 6
    # The reasoning of a turn is left out of the next one's history: all up to the question is read.
    assert min(shares(rows, of=2)) > 0.9


def test_workflow_of_two_agents(build, bedrock):
    llm = build()
    tool = FunctionTool.from_defaults(search)
    asks = FunctionAgent(
        name="desk",
        description="asks",
        llm=llm,
        system_prompt="Desk. " + SYSTEM,
        tools=[tool],
        can_handoff_to=["store"],
    )
    answers = FunctionAgent(
        name="store", description="answers", llm=llm, system_prompt="Store. " + SYSTEM, tools=[tool]
    )
    workflow = AgentWorkflow(agents=[asks, answers], root_agent="desk")
    handoff = Reply(
        ({"toolUse": {"toolUseId": "t", "name": "handoff", "input": {"to_agent": "store", "reason": "r"}}},),
        stop_reason="tool_use",
    )

    async def both():
        for n in range(3):
            bedrock.say(ScriptedResponder([handoff], then=Model()))
            await workflow.run(question(n) + " Search the stock, too.", memory=kept)

    kept = memory()
    with get_cache_usage_callback() as usage:
        asyncio.run(both())
    assert agrees(usage, bedrock)
    by_agent = {}
    for call in bedrock.answered:
        by_agent.setdefault(call.request["system"][0]["text"][:4], []).append(call.usage)
    assert set(by_agent) == {"Desk", "Stor"}
    for calls in by_agent.values():
        # From an agent's second call on its own tools and system prompt are read, and more.
        head = calls[0]["cacheWriteInputTokens"] + calls[0]["cacheReadInputTokens"]
        assert min(c["cacheReadInputTokens"] for c in calls[1:]) > 0.9 * 1_500
        assert head > 1_500


ENGINES = (ContextChatEngine, CondensePlusContextChatEngine)


def context_engine(cls, llm, **options):
    return cls.from_defaults(retriever=ByWord(), llm=llm, system_prompt=SYSTEM, memory=memory(), **options)


@pytest.mark.parametrize("cls", ENGINES)
def test_retrieved_text_in_front_is_not_paid_for_and_the_remedy_is_said_once(cls, build, bedrock, caplog):
    engine = context_engine(cls, build())
    with caplog.at_level(logging.WARNING, "cachepoint"):
        rows = turns(bedrock, engine.chat, 6)
    assert [row[:2] for row in rows] == [(0, 0)] * 6
    said = [r.getMessage() for r in caplog.records if "stable_first" in r.getMessage()]
    assert len(said) == 1
    tokens = int(re.search(r"the (\d+) tokens", said[0]).group(1))
    assert 1_500 < tokens < 2_500
    assert "90 %" in said[0]
    assert "US dollars" in said[0]
    assert "Rule" not in caplog.text


@pytest.mark.parametrize("mode", ["chat", "stream_chat", "achat"])
@pytest.mark.parametrize("cls", ENGINES)
def test_stable_first_reads_the_system_prompt_from_the_second_turn_on(cls, mode, build, bedrock):
    engine = context_engine(cls, build(cache_policy={"reorder": "stable_first"}))
    ways = {
        "chat": engine.chat,
        "stream_chat": lambda q: list(engine.stream_chat(q).response_gen),
        "achat": lambda q: asyncio.run(engine.achat(q)),
    }
    rows = turns(bedrock, ways[mode], 6)
    assert shares(rows) == [1.0] * 5
    last = [c.request for c in bedrock.answered if c.request.get("system")][-1]
    stable, mark, *front = last["system"]
    assert stable["text"] == SYSTEM
    assert "cachePoint" in mark
    assert "About the hose" in front[0]["text"]
    assert len(list(points(last))) == 1


def test_stable_first_takes_the_hour_of_the_policy(build, bedrock):
    engine = context_engine(ContextChatEngine, build(cache_policy={"reorder": "stable_first", "ttl": "1h"}))
    turns(bedrock, engine.chat, 3)
    assert [p.get("ttl") for p in points(bedrock.answered[-1].request)] == ["1h"]


def test_the_flag_pays_for_nothing_in_front_of_which_text_changes(build, bedrock):
    engine = context_engine(ContextChatEngine, build(system_prompt_caching=True))
    assert [row[1] for row in turns(bedrock, engine.chat, 4)][1:] == [0, 0, 0]


def test_passages_that_keep_coming_back_are_cached_after_all(build, bedrock):
    engine = context_engine(ContextChatEngine, build())
    for n in (0, 1, 0, 0, 0):
        engine.chat(question(n))
    assert bedrock.answered[-1].usage["cacheReadInputTokens"] > 1_024


class Diary(BaseMemoryBlock[str]):
    """Remembers something new at every turn."""

    name: str = "diary"
    days: int = 0

    async def _aget(self, messages=None, **_):
        self.days += 1
        return f"Day {self.days}: " + "the visitor asked about a part and was content. " * 6

    async def _aput(self, messages):
        return None


@pytest.mark.parametrize(
    ("method", "least"), [(InsertMethod.SYSTEM, 0.99), (InsertMethod.USER, 0.85)], ids=str
)
def test_memory_blocks_of_an_agent(method, least, build, bedrock):
    kept = memory(memory_blocks=[Diary()], insert_method=method)
    agent = FunctionAgent(llm=build(), system_prompt=SYSTEM, tools=[FunctionTool.from_defaults(search)])
    loop, say = run(agent, kept)
    rows = turns(bedrock, say, 6)
    loop.close()
    # What is remembered stands behind the system prompt, or in the last message: the prompt itself is read.
    assert rows[-1][0] > least * rows[-1][1]
    assert min(row[0] for row in rows[1:]) > 1_600


def test_memory_blocks_that_stay_cost_nothing(build, bedrock):
    kept = memory(memory_blocks=[StaticMemoryBlock(name="who", static_content="The visitor is Ann.")])
    engine = SimpleChatEngine.from_defaults(llm=build(), system_prompt=SYSTEM, memory=kept)
    assert min(shares(turns(bedrock, engine.chat), of=2)) > 0.99


def test_memory_in_front_of_the_system_prompt(build, bedrock):
    """Where the system prompt is a message of the memory's own, what is remembered goes in front of it."""

    def say(llm):
        kept = memory(memory_blocks=[Diary()])
        asyncio.run(kept.aput(message("system", SYSTEM)))
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=kept)
        return turns(bedrock, engine.chat, 5)

    # Nothing announces it, so it takes three texts to be known.
    assert [row[1] for row in say(build())][2:] == [0] * 3
    assert shares(say(build(cache_policy={"reorder": "stable_first"})))[2:] == [1.0] * 2


@pytest.mark.parametrize("mode", [ResponseMode.REFINE, ResponseMode.COMPACT, ResponseMode.TREE_SUMMARIZE])
@pytest.mark.parametrize("llm_options", [{}, {"system_prompt": SYSTEM}], ids=["bare", "system"])
def test_query_engines(mode, llm_options, build, bedrock):
    llm = build(**llm_options)
    engine = RetrieverQueryEngine.from_args(
        ByWord(LONG), llm=llm, response_synthesizer=get_response_synthesizer(response_mode=mode, llm=llm)
    )
    with get_cache_usage_callback() as usage:
        for _ in range(3):
            engine.query(question(1))
    assert agrees(usage, bedrock)
    assert {c.status for c in bedrock.calls} == {200}
    third = bedrock.answered[-len(bedrock.answered) // 3 :]
    share = sum(c.usage["cacheReadInputTokens"] for c in third) / usage.total.input_tokens * 3
    # The same question over the same passages: read in full, from the second or the third time on.
    assert share > 0.9


def test_usage_of_a_chat_engine_to_the_token(build, bedrock):
    with get_cache_usage_callback() as usage:
        turns(bedrock, context_engine(CondensePlusContextChatEngine, build()).chat, 3)
    assert len(bedrock.answered) == 5
    assert agrees(usage, bedrock)


# What is learned of system texts.


def see(texts, *fronts, ending="The rules.\n" * 30):
    return [
        None if (e := texts.see(front + ending, 100)) is None else (e.start - len(front), e.changing)
        for front in fronts
    ]


def test_texts_that_share_nothing_teach_nothing():
    assert SystemTexts().see("a\n" * 200, 100) is None
    assert SystemTexts().see("", 100) is None
    texts = SystemTexts()
    assert [texts.see(f"{n} other\n" * 50, 100) for n in range(4)] == [None] * 4


def test_the_ending_is_known_from_the_third_text_on():
    assert see(SystemTexts(), "one\n---\n", "two\n---\n", "three\n---\n", "four\n---\n") == [
        None,
        None,
        (0, True),
        (0, True),
    ]


def test_the_ending_is_known_at_once_where_retrieved_texts_are():
    ending = SystemTexts().see("Docs.\none\n---\n" + "The rules.\n" * 30, 100, retrieved_to=9)
    assert (ending.start, ending.changing, ending.first) == (14, True, True)


def test_a_passage_that_comes_last_twice_is_no_part_of_the_ending():
    assert see(SystemTexts(), "one\nlast\n", "two\nlast\n", "three\nother\n", "four\nlast\n")[2:] == [
        (0, True),
        (0, True),
    ]


def test_prompts_that_take_turns_are_not_said_to_change():
    assert see(SystemTexts(), *("desk\n", "store\n") * 4) == [None] * 8
    assert see(SystemTexts(), *("desk\n", "store\n", "yard\n") * 4)[3:] == [(0, False)] * 9


def test_texts_of_other_tools_are_not_compared():
    texts = SystemTexts()
    prompts = [f"{n}\n" + "The rules.\n" * 30 for n in range(5)]
    assert [texts.see(p, 100, scope=str(n)) for n, p in enumerate(prompts)] == [None] * 5


def test_a_text_that_stays_is_left_alone():
    assert see(SystemTexts(), *("same\n",) * 5) == [None] * 5


def test_what_is_kept_is_bounded():
    texts = SystemTexts(capacity=50)
    for n in range(40):
        texts.see(f"{n}\n" * 200, 100)
    assert len(texts._seen) == 50


def test_policy_knows_reorder():
    assert CachePolicy.of({"reorder": "stable_first"}).reorder == "stable_first"
    with pytest.raises(ValueError, match="reorder"):
        CachePolicy(reorder="first")


def test_c16_nodes_and_documents_of_llama_index_are_announced():
    """C16: `documents(Document(...))`, `documents([node, node])`, as the prompt will show them."""
    nodes = [Document(text=f"{part}: " + "it is cleaned with oil. " * 4) for part in ("bolt", "ring")]
    scored = NodeWithScore(node=TextNode(text="gear: " + "it is cleaned with oil. " * 4), score=1.0)
    assert documents(nodes) is nodes
    assert documents(scored) is scored
    prompt = "\n\n".join([*(n.get_content() for n in nodes), scored.get_content(), "How?"])
    assert len(retrieved.spans(prompt)) == 3

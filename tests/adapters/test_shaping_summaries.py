"""Summaries that are made inside the prefix of the conversation, in both frameworks."""

import asyncio
import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, dynamic_prompt
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from cachepoint import volatile
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import EmulatedError, Reply
from cachepoint.langchain import CachedChatBedrockConverse, RelocateMiddleware, StableSummaryMiddleware
from cachepoint.llama_index import CachedBedrockConverse, ShapedFunctionAgent, StableSummaryMemory
from cachepoint.shaping.summaries import INSTRUCTION
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import AGENTS, where

pytestmark = [*AGENTS, pytest.mark.filterwarnings("ignore:Call to deprecated")]
BUILT = CachedChatBedrockConverse
# langchain counts what Bedrock reported, the system prompt with it; a memory counts its messages.
TRIGGER, LIMIT, KEEP = 6_000, 3_000, 700
SUMMARY = "The person asks for valves."


def look(part: str) -> str:
    """Look a part up."""
    return f"{part} is in stock. " * 20


class Model:
    """Calls a tool once a turn, answers, and does what it is told to where a summary is asked."""

    def __init__(self, summary=SUMMARY):
        self.summary = summary
        self.asked = 0

    def __call__(self, request):
        last = request.messages[-1]["content"]
        if any(INSTRUCTION[:30] in b.get("text", "") for b in last):
            self.asked += 1
            return self.summary(last) if callable(self.summary) else Reply.text(self.summary)
        if "MESSAGES TO SUMMARIZE" in str(last).upper() or "transcript so far" in str(last).lower():
            return Reply.text("The stock way.")
        if request.tools and "toolResult" not in last[0]:
            use = {
                "toolUseId": f"use_{len(request.messages)}_{self.asked}",
                "name": "look",
                "input": {"part": "valve"},
            }
            return Reply(({"toolUse": use},))
        return Reply.text("It is on the left. " * 30)


def agent_of(build, cache, *first, saver=None, trigger=TRIGGER, **options):
    options = {"keep": ("tokens", KEEP), **options}
    return create_agent(
        build(prompt_cache=cache),
        [look],
        system_prompt=None if first else MANUAL,
        middleware=[*first, StableSummaryMiddleware(("tokens", trigger), **options)],
        checkpointer=saver or InMemorySaver(),
    )


CONFIG = {"configurable": {"thread_id": "1"}}


def talk(agent, turns, awaited=False, bedrock=None, first=0):
    for n in range(first, first + turns):
        if bedrock is not None:
            bedrock.advance(30)
        asked = {"messages": [HumanMessage(f"Question {n}: " + "where is the valve? " * 30)]}
        state = asyncio.run(agent.ainvoke(asked, CONFIG)) if awaited else agent.invoke(asked, CONFIG)
    return state["messages"]


def summaries(bedrock):
    return [c for c in bedrock.answered if INSTRUCTION[:30] in json.dumps(c.request["messages"][-1])]


def alternate(messages):
    """Roles as Bedrock asks for them, and each result behind its call."""
    open_calls = set()
    for message in messages:
        if isinstance(message, AIMessage):
            assert not open_calls
            open_calls = {c["id"] for c in message.tool_calls}
        elif isinstance(message, ToolMessage):
            open_calls.remove(message.tool_call_id)
    assert not open_calls


@pytest.mark.parametrize("awaited", [False, True])
def test_the_call_of_a_summary_is_the_agents_own(awaited, build, bedrock, cache):
    model = Model()
    bedrock.say(model)
    messages = talk(agent_of(build, cache), 20, awaited, bedrock)
    made = summaries(bedrock)
    assert len(made) == model.asked >= 2
    for call in made:
        before = bedrock.answered[bedrock.answered.index(call) - 1]
        assert call.request["system"] == before.request["system"]
        assert call.request["toolConfig"] == before.request["toolConfig"]
        usage = call.usage
        whole = usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"] + usage["inputTokens"]
        assert usage["cacheReadInputTokens"] >= 0.8 * whole
        # Nobody goes on from the instruction.
        assert usage["cacheWriteInputTokens"] == 0
        after = bedrock.answered[bedrock.answered.index(call) + 1]
        # The system prompt and the tools are read, what is left is written, and read from then on.
        assert after.usage["cacheReadInputTokens"] > 1_024
        assert SUMMARY in json.dumps(after.request["messages"][0])
    later = [c.usage for c in bedrock.answered[bedrock.answered.index(made[0]) + 1 :]]
    assert later[1]["cacheReadInputTokens"] == (
        later[0]["cacheReadInputTokens"] + later[0]["cacheWriteInputTokens"]
    )
    alternate(messages)
    assert len({m.id for m in messages}) == len(messages)
    assert INSTRUCTION[:30] not in str(messages)
    assert str(messages).count(SUMMARY) == 1
    # The last of what was said is there, in order, the newest at the end.
    assert [m.type for m in messages[-4:]] == ["human", "ai", "tool", "ai"]
    assert messages[-4].text.startswith("Question 19:")


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: Reply(({"toolUse": {"toolUseId": "x", "name": "look", "input": {"part": "pump"}}},)),
        lambda _: Reply(
            (
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "x", "name": "look", "input": {"part": "pump"}}},
            )
        ),
        lambda _: Reply.text(" "),
        EmulatedError("Input is too long for requested model.", code="ValidationException", status=400),
    ],
    ids=["a call of a tool", "a text with a call", "no text", "too long"],
)
@pytest.mark.parametrize("awaited", [False, True])
def test_the_stock_way_where_there_is_no_summary(awaited, answer, build, bedrock, cache):
    bedrock.say(Model(raising(answer)))
    messages = talk(agent_of(build, cache), 12, awaited, bedrock)
    assert "The stock way." in messages[0].text
    alternate(messages)


def raising(answer):
    """What a responder does: an error is raised."""
    if not isinstance(answer, Exception):
        return answer

    def raised(_):
        raise answer

    return raised


@pytest.mark.parametrize("awaited", [False, True])
def test_other_errors_are_the_users(awaited, build, bedrock, cache):
    bedrock.say(Model(raising(EmulatedError("Not for you.", code="AccessDeniedException", status=403))))
    with pytest.raises(Exception, match="Not for you"):
        talk(agent_of(build, cache), 12, awaited, bedrock)


def test_it_goes_on_from_a_checkpoint(build, bedrock, cache):
    bedrock.say(Model())
    saver = InMemorySaver()
    talk(agent_of(build, cache, saver=saver), 10, bedrock=bedrock)
    count = len(summaries(bedrock))
    messages = talk(agent_of(build, cache, saver=saver), 10, bedrock=bedrock, first=10)
    assert len(summaries(bedrock)) > count >= 1
    assert SUMMARY in messages[0].text
    alternate(messages)


@pytest.mark.parametrize("first", [True, False], ids=["in front of it", "behind it"])
def test_beside_what_moves_changing_text(first, build, bedrock, cache):
    bedrock.say(Model())
    clock = iter(range(10, 99))
    prompt = dynamic_prompt(lambda _: f"{volatile(f'It is {next(clock)}:05.')}\n\n{MANUAL}")
    summary = StableSummaryMiddleware(("tokens", TRIGGER), keep=("tokens", KEEP))
    stack = [RelocateMiddleware(), summary] if first else [summary, RelocateMiddleware()]
    agent = create_agent(
        build(prompt_cache=cache), [look], middleware=[prompt, *stack], checkpointer=InMemorySaver()
    )
    messages = talk(agent, 12, bedrock=bedrock)
    assert len(summaries(bedrock)) >= 1
    assert all(":05." not in json.dumps(c.request["system"]) for c in bedrock.answered)
    humans = [m for m in messages if isinstance(m, HumanMessage) and m.text.startswith("Question")]
    assert all(m.text.count(":05.") == 1 for m in humans)
    made = summaries(bedrock)[-1].usage
    assert made["cacheReadInputTokens"] > 4 * made["cacheWriteInputTokens"]
    alternate(messages)


@pytest.mark.parametrize("bound", [False, True])
def test_its_tokens_are_not_streamed_as_an_answer(bound, build, bedrock, cache):
    bedrock.say(Model())
    model = build(prompt_cache=cache).bind(stop=["END"]) if bound else build(prompt_cache=cache)
    summary = StableSummaryMiddleware(("tokens", TRIGGER), keep=("tokens", KEEP))
    agent = create_agent(
        model, [look], system_prompt=MANUAL, middleware=[summary], checkpointer=InMemorySaver()
    )
    seen = ""
    for n in range(12):
        turn = {"messages": [HumanMessage(f"Question {n}: " + "where is the valve? " * 30)]}
        seen += "".join(chunk.text for chunk, _ in agent.stream(turn, CONFIG, stream_mode="messages"))
    assert summaries(bedrock)
    assert SUMMARY not in seen
    assert "on the left" in seen


def test_an_agent_with_a_response_format_has_the_stock_way(build, bedrock, cache):
    bedrock.say(Model())
    agent = create_agent(
        build(prompt_cache=cache),
        [look],
        system_prompt=MANUAL,
        response_format=ToolStrategy(Found),
        middleware=[StableSummaryMiddleware(("tokens", TRIGGER), keep=("tokens", KEEP))],
        checkpointer=InMemorySaver(),
    )
    bedrock.say(Structured())
    messages = talk(agent, 14, bedrock=bedrock)
    assert not summaries(bedrock)
    assert "The stock way." in messages[0].text


class Found(BaseModel):
    """What was found."""

    place: str


class Structured(Model):
    """As `Model`; answers with the structure that is asked for."""

    def __call__(self, request):
        reply = super().__call__(request)
        if "text" not in reply.content[0] or not request.tools:
            return reply
        use = {"toolUseId": f"f_{len(request.messages)}", "name": "Found", "input": {"place": "left " * 90}}
        return Reply(({"toolUse": use},))


@pytest.mark.parametrize("when", ["always", "cold"])
def test_at_a_pause_it_is_made_before_it_has_to_be(when, build, bedrock, cache):
    bedrock.say(Model())
    options, saver = {"when": when, "ttl": 300, "clock": bedrock.now}, InMemorySaver()
    messages = talk(agent_of(build, cache, saver=saver, **options), 4, bedrock=bedrock)
    nearly = int(messages[-1].usage_metadata["total_tokens"] / 0.95)
    later = agent_of(build, cache, saver=saver, trigger=nearly, **options)
    bedrock.advance(4_000)
    talk(later, 1, bedrock=bedrock, first=4)
    assert len(summaries(bedrock)) == (when == "cold")


def test_nothing_due_is_nothing_changed(build, bedrock, cache):
    bedrock.say(Model())
    messages = talk(agent_of(build, cache), 2, bedrock=bedrock)
    assert not summaries(bedrock)
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"] * 2


def test_what_is_wrong_is_refused_when_it_is_given():
    for options in ({"keep": ("pages", 3)}, {"instruction": " "}, {"when": "later"}):
        with pytest.raises(ValueError, match=r"pages|instruction|later"):
            StableSummaryMiddleware(("tokens", 9), **options)
    with pytest.raises(TypeError, match="keeep"):
        StableSummaryMiddleware(("tokens", 9), keeep=3)
    for options in ({"keep": -1}, {"instruction": ""}, {"when": "later"}, {"trigger": 3}):
        with pytest.raises(InvalidOptionError):
            StableSummaryMemory.from_defaults(**options)


def memory_of(llm, **options):
    return StableSummaryMemory.from_defaults(llm=llm, token_limit=LIMIT, keep=KEEP, **options)


@pytest.fixture
def llm(bedrock, cache):
    bedrock.say(Model())
    return CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache)


def chat(llm, memory, turns, awaited=False, first=0):
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=MANUAL)
    for n in range(first, first + turns):
        text = f"Question {n}: " + "where is the valve? " * 30
        asyncio.run(engine.achat(text)) if awaited else engine.chat(text)


@pytest.mark.parametrize("awaited", [False, True])
def test_a_chat_reads_its_history_for_a_summary(awaited, llm, bedrock):
    memory = memory_of(llm, system_prompt=MANUAL)
    chat(llm, memory, 24, awaited)
    made = summaries(bedrock)
    assert len(made) >= 2
    for call in made:
        usage = call.usage
        whole = usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"] + usage["inputTokens"]
        assert usage["cacheReadInputTokens"] >= 0.85 * whole
        assert usage["cacheWriteInputTokens"] == 0
    history = memory.get_all()
    assert SUMMARY in history[0].content
    assert history[0].role == MessageRole.USER
    assert INSTRUCTION[:30] not in str(history)
    roles = [m.role for m in history[1:]]
    assert roles == [MessageRole.USER, MessageRole.ASSISTANT] * (len(roles) // 2)
    assert history[-2].content.startswith("Question 23:")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    "answer", [Reply.text(" "), EmulatedError("prompt is too long", code="ValidationException", status=400)]
)
def test_a_chats_stock_way(awaited, answer, llm, bedrock):
    bedrock.say(Model(raising(answer) if isinstance(answer, Exception) else lambda _: answer))
    memory = memory_of(llm, system_prompt=MANUAL)
    chat(llm, memory, 12, awaited)
    assert "The stock way." in memory.get_all()[0].content


def test_an_agents_summary_has_its_tools(llm, bedrock):
    memory = memory_of(llm, system_prompt=MANUAL, tools=[FunctionTool.from_defaults(look)])
    agent = ShapedFunctionAgent(llm=llm, tools=[look], system_prompt=MANUAL)

    async def turns():
        for n in range(8):
            await agent.run(f"Question {n}: " + "where is the valve? " * 30, memory=memory)

    asyncio.run(turns())
    made = summaries(bedrock)
    assert made
    for call in made:
        before = bedrock.answered[bedrock.answered.index(call) - 1]
        assert names(call.request) == names(before.request)
        usage = call.usage
        assert usage["cacheReadInputTokens"] > 4 * usage["cacheWriteInputTokens"]


def test_an_agents_summary_without_its_tools_is_made_the_stock_way(llm):
    """Bedrock refuses a history with calls of tools where no tools are given."""
    memory = memory_of(llm, system_prompt=MANUAL)
    agent = ShapedFunctionAgent(llm=llm, tools=[look], system_prompt=MANUAL)

    async def turns():
        for n in range(8):
            await agent.run(f"Question {n}: " + "where is the valve? " * 30, memory=memory)

    asyncio.run(turns())
    assert "The stock way." in memory.get_all()[0].content


def names(request):
    return [t["toolSpec"]["name"] for t in request["toolConfig"]["tools"] if "toolSpec" in t]


def test_a_saved_memory_goes_on(llm, bedrock):
    memory = memory_of(llm, system_prompt=MANUAL)
    chat(llm, memory, 12)
    again = StableSummaryMemory.from_string(memory.to_string(), llm=llm)
    assert again.get_all() == memory.get_all()
    count = len(summaries(bedrock))
    chat(llm, again, 12, first=12)
    assert len(summaries(bedrock)) > count >= 1
    assert isinstance(again.get_all()[0].content, str)


class Stock:
    """Upstream's memory that makes no summary."""

    def get(self):
        return []


@pytest.mark.parametrize(
    "stock", [lambda *_: Stock(), lambda *_: 1 / 0], ids=["none made", "a fault of ours"]
)
def test_nothing_is_left_out_without_a_summary(stock, llm, bedrock, monkeypatch):
    bedrock.say(Model(lambda _: Reply.text(" ")))
    monkeypatch.setattr(StableSummaryMemory, "_stock", stock)
    memory = memory_of(llm, system_prompt=MANUAL)
    chat(llm, memory, 12)
    history = memory.get_all()
    assert [m.role for m in history] == [MessageRole.USER, MessageRole.ASSISTANT] * 12
    assert history[0].content.startswith("Question 0:")


def test_a_summary_by_itself_is_not_summarised_again(llm, bedrock):
    memory = memory_of(llm, system_prompt=MANUAL)
    for n, role in enumerate(["user", "assistant", "user"]):
        memory.put(ChatMessage(f"{n} " + "word " * 3_000, role=role))
    kept = [memory.get() for _ in range(3)]
    assert len(summaries(bedrock)) == 1
    assert kept[0] == kept[1] == kept[2]
    assert len(kept[0]) == 2


def test_what_is_stored_while_a_summary_is_made_stays(llm, bedrock):
    memory = memory_of(llm, system_prompt=MANUAL)
    chat(llm, memory, 6)
    late = ChatMessage("Late.", role="user")

    def answer(_):
        memory.put(late)
        return Reply.text(SUMMARY)

    bedrock.say(Model(answer))
    for n in range(6):
        memory.put(ChatMessage(f"{n} " + "word " * 600, role="user"))
        memory.put(ChatMessage("So.", role="assistant"))
    assert late not in memory.get()
    assert memory.get_all()[-1] == late


def test_what_others_put_into_a_request_alone_is_in_no_state(build, bedrock, cache):
    class Hint(AgentMiddleware):
        def wrap_model_call(self, request, handler):
            return handler(request.override(messages=[HumanMessage("Hint.", id="hint"), *request.messages]))

    bedrock.say(Model())
    messages = talk(agent_of(build, cache, dynamic_prompt(lambda _: MANUAL), Hint()), 24, bedrock=bedrock)
    assert len(summaries(bedrock)) >= 2
    assert SUMMARY in messages[0].text
    assert str(messages).count(SUMMARY) == 1
    assert "Hint." not in str([m.text for m in messages])
    alternate(messages)


def test_a_share_of_the_models_window_is_a_trigger():
    StableSummaryMiddleware(("fraction", 0.8), keep=("fraction", 0.2))


def test_without_a_model_nothing_is_summarised():
    memory = StableSummaryMemory.from_defaults(token_limit=10)
    memory.put(ChatMessage("word " * 100))
    assert memory.get() == [ChatMessage("word " * 100)]

"""What changes by the call, behind the newest message: LangChain's agents and chains."""

import asyncio
import json
import pickle
import subprocess
import sys
from itertools import pairwise

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import dynamic_prompt
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from cachepoint import volatile
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import ToolResponder
from cachepoint.langchain import (
    CachedChatBedrock,
    CachedChatBedrockConverse,
    RelocateMiddleware,
    relocate_changing,
)
from tests.adapters.contract import MANUAL

BUILT = CachedChatBedrockConverse
MARK = "cachepoint_relocated"
BODIES = "us.anthropic.claude-sonnet-4-6"


def look(part: str) -> str:
    """Look a part up."""
    return f"{part} is in stock"


class Clock:
    """What a system prompt says of the time: another time at each call."""

    def __init__(self, mark=volatile):
        self.calls = 0
        self.mark = mark

    def prompt(self):
        self.calls += 1
        return f"{self.mark(f'It is 10:{self.calls:02}.')}\n\n{MANUAL}"

    def middleware(self):
        return dynamic_prompt(lambda _: self.prompt())


def run(agent, turns, config, awaited):
    states = []
    for turn in turns:
        asked = {"messages": [HumanMessage(turn)]}
        states.append(asyncio.run(agent.ainvoke(asked, config)) if awaited else agent.invoke(asked, config))
    return states


def reads(bedrock):
    return [(c.usage["cacheReadInputTokens"], c.usage["cacheWriteInputTokens"]) for c in bedrock.answered]


def reads_all_before(bedrock):
    rows = reads(bedrock)
    assert rows[0][1] > 1_024
    for (read, wrote), (now, _) in pairwise(rows):
        assert now == read + wrote


TURNS = ("Check the valve.", "And the pump?", "What else is there?")


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("cls", [CachedChatBedrockConverse, CachedChatBedrock])
def test_an_agent_keeps_it_where_it_was_said(awaited, cls, build, bedrock, cache):
    bedrock.say(ToolResponder(steps=2))
    model = build(cls, prompt_cache=cache)
    agent = create_agent(
        model, [look], middleware=[Clock().middleware(), RelocateMiddleware()], checkpointer=InMemorySaver()
    )
    states = run(agent, TURNS, {"configurable": {"thread_id": "1"}}, awaited)
    reads_all_before(bedrock)
    humans = [m for m in states[-1]["messages"] if isinstance(m, HumanMessage)]
    assert [m.content.splitlines()[0] for m in humans] == list(TURNS)
    kept = [m.content.splitlines()[-1] for m in humans]
    assert kept[0] == "It is 10:01."
    assert len(set(kept)) == len(kept) == 3
    assert len({m.id for m in humans}) == 3
    assert all("It is 10" not in json.dumps(c.request["system"]) for c in bedrock.answered)
    # The order of the transcript is what it was.
    kinds = [m.type for m in states[-1]["messages"]]
    assert kinds[:4] == ["human", "ai", "tool", "ai"]


def test_each_value_stands_behind_the_results_where_the_user_wants_it(build, bedrock, cache):
    bedrock.say(ToolResponder(steps=2))
    agent = create_agent(
        build(prompt_cache=cache), [look], middleware=[Clock().middleware(), RelocateMiddleware(each=True)]
    )
    state = run(agent, TURNS[:1], None, False)[0]
    told = [m.additional_kwargs.get(MARK) for m in state["messages"] if not isinstance(m, AIMessage)]
    assert [t.splitlines()[-1] for t in told] == ["It is 10:01.", "It is 10:02.", "It is 10:03."]
    assert isinstance(state["messages"][2], ToolMessage)
    reads_all_before(bedrock)


def test_what_was_seen_to_change(build, bedrock, cache):
    bedrock.say(ToolResponder(steps=1))
    agent = create_agent(
        build(prompt_cache=cache),
        [look],
        middleware=[Clock(str).middleware(), RelocateMiddleware(learned=True, label="<now>{text}</now>")],
        checkpointer=InMemorySaver(),
    )
    for thread in range(2):
        run(agent, TURNS[:1], {"configurable": {"thread_id": str(thread)}}, False)
    count = len(bedrock.answered)
    state = run(agent, TURNS, {"configurable": {"thread_id": "x"}}, False)[-1]
    assert state["messages"][0].content.endswith("<now>It is 10:05.</now>")
    rows = reads(bedrock)[count:]
    assert all(now[0] == before[0] + before[1] for before, now in pairwise(rows))


def test_a_plain_request_is_what_it_was(build, bedrock, cache):
    for middleware in ([], [RelocateMiddleware(learned=True)]):
        agent = create_agent(build(prompt_cache=cache), [look], system_prompt=MANUAL, middleware=middleware)
        state = run(agent, TURNS[:1], None, False)[0]
        assert state["messages"][0].additional_kwargs == {}
    first, second = bedrock.answered
    assert first.request["system"] == second.request["system"]
    assert first.request["messages"] == second.request["messages"]


def test_the_callers_objects_stay_as_they_are(build, cache):
    asked = HumanMessage("Check the valve.", id="1")
    agent = create_agent(
        build(prompt_cache=cache), [look], middleware=[Clock().middleware(), RelocateMiddleware()]
    )
    state = agent.invoke({"messages": [asked]})
    assert asked == HumanMessage("Check the valve.", id="1")
    assert state["messages"][0].id == "1"
    assert state["messages"][0] is not asked


def test_nothing_moves_across_a_checkpoint_of_the_users(build, bedrock, cache):
    point = CachedChatBedrockConverse.create_cache_point()
    blocks = [{"type": "text", "text": "Check."}, point]
    agent = create_agent(
        build(prompt_cache=cache), [look], middleware=[Clock().middleware(), RelocateMiddleware()]
    )
    agent.invoke({"messages": [HumanMessage(blocks)]})
    assert "It is 10:01." in json.dumps(bedrock.answered[-1].request["system"])


OTHER = """
import json, pickle, sys
import boto3
from langchain.agents import create_agent
from langchain.agents.middleware import dynamic_prompt
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from cachepoint import volatile
from cachepoint.langchain import CachedChatBedrockConverse, RelocateMiddleware

url, path, manual = sys.argv[1:]
saver = InMemorySaver()
with open(path, "rb") as file:
    for name, held in pickle.load(file).items():
        getattr(saver, name).update(held)
prompt = dynamic_prompt(lambda _: f"{volatile('It is 18:30.')}\\n\\n{manual}")
client = boto3.client("bedrock-runtime", endpoint_url=url)
model = CachedChatBedrockConverse(model="us.anthropic.claude-sonnet-4-6", client=client, bedrock_client=client)
agent = create_agent(model, [], middleware=[prompt, RelocateMiddleware()], checkpointer=saver)
state = agent.invoke({"messages": [HumanMessage("And the pump?")]}, {"configurable": {"thread_id": "1"}})
print(json.dumps([m.content for m in state["messages"] if m.type == "human"]))
"""


def test_through_a_checkpointer_in_another_process(build, bedrock, cache, tmp_path):
    saver = InMemorySaver()
    agent = create_agent(
        build(prompt_cache=cache),
        [],
        middleware=[Clock().middleware(), RelocateMiddleware()],
        checkpointer=saver,
    )
    run(agent, TURNS[:1], {"configurable": {"thread_id": "1"}}, False)
    held = {
        "storage": {k: {n: dict(c) for n, c in v.items()} for k, v in saver.storage.items()},
        "writes": dict(saver.writes),
        "blobs": dict(saver.blobs),
    }
    assert isinstance(saver.serde, JsonPlusSerializer)
    path = tmp_path / "saved"
    path.write_bytes(pickle.dumps(held))
    other = subprocess.run(
        [sys.executable, "-c", OTHER, bedrock.url, str(path), MANUAL],
        capture_output=True,
        text=True,
        check=True,
    )
    label = "[What holds now]"
    assert json.loads(other.stdout) == [
        f"Check the valve.\n\n{label}\nIt is 10:01.",
        f"And the pump?\n\n{label}\nIt is 18:30.",
    ]
    (_, wrote), (read, _) = reads(bedrock)
    assert read == wrote > 1_024


def chain(model, **options):
    prompt = ChatPromptTemplate.from_messages(
        [("system", "{clock}\n\n{manual}"), MessagesPlaceholder("chat")]
    )
    return prompt | relocate_changing(**options) | model


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("cls", [CachedChatBedrockConverse, CachedChatBedrock])
def test_in_a_chain_it_stands_in_the_newest_message_alone(awaited, cls, build, bedrock, cache):
    made, chat = chain(build(cls, prompt_cache=cache)), []
    for n in range(4):
        chat.append(HumanMessage(f"Question {n}: where is the valve?"))
        values = {"clock": volatile(f"It is 1{n}:05."), "manual": MANUAL, "chat": chat}
        chat.append(asyncio.run(made.ainvoke(values)) if awaited else made.invoke(values))
        assert str(bedrock.answered[-1].request["messages"]).count(":05.") == 1
    reads_all_before(bedrock)
    assert all(m.additional_kwargs.get(MARK) is None for m in chat)


def test_messages_given_at_once():
    told = [SystemMessage(f"It is {volatile('12:34')}.\nBe kind."), HumanMessage("Where?")]
    moved = relocate_changing(told, label="({text})")
    assert [m.content for m in moved] == [
        "Be kind.",
        [{"type": "text", "text": "Where?"}, {"type": "text", "text": "(It is 12:34.)"}],
    ]
    assert relocate_changing(moved) == moved
    assert told[1].content == "Where?"
    for stays in ([told[0]], [told[1]], [*told, AIMessage("Here")]):
        assert relocate_changing(stays) == stays


def test_behind_the_results_of_tools_in_a_loop_written_by_hand():
    call = {"name": "look", "args": {}, "id": "1"}
    told = [
        SystemMessage("Be kind."),
        SystemMessage(f"It is {volatile('12:34')}.\nBe brief."),
        HumanMessage("Where?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("Left", tool_call_id="1"),
    ]
    moved = relocate_changing(told, label="({text})")
    assert [m.content for m in moved[:2]] == ["Be kind.", "Be brief."]
    assert moved[2:-1] == told[2:]
    assert moved[-1].content == [{"type": "text", "text": "(It is 12:34.)"}]


def test_nothing_moves_across_a_checkpoint_in_a_later_system_message():
    point = CachedChatBedrockConverse.create_cache_point()
    told = [
        SystemMessage(f"It is {volatile('12:34')}.\nBe kind."),
        SystemMessage([{"type": "text", "text": "Be brief."}, point]),
        HumanMessage("Where?"),
    ]
    assert relocate_changing(told) == told
    turned = [told[1], told[0], told[2]]
    assert relocate_changing(turned)[1].content == "Be kind."


def test_a_body_without_a_checkpoint_is_sent_as_it_was_arranged(bedrock, cache):
    """A prompt below the minimum gets no checkpoint, and what is marked stands behind the question all the same."""
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    model = CachedChatBedrock(
        **clients, model=BODIES, prompt_cache=cache, cache_policy={"relocate": "marked"}
    )
    model.invoke([SystemMessage(f"It is {volatile('12:34')}.\nBe kind."), HumanMessage("Where?")])
    sent = bedrock.answered[-1].request
    assert "12:34" not in json.dumps(sent["system"])
    assert "12:34" in json.dumps(sent["messages"][-1])
    assert "cache_control" not in json.dumps(sent)


def test_a_label_without_a_place_is_refused_when_it_is_given():
    for made in (lambda: RelocateMiddleware(label="Now:"), lambda: relocate_changing(label="Now:")):
        with pytest.raises(InvalidOptionError, match="'Now:'"):
            made()

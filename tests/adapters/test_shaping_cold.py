"""What is shortened after a pause, when all is written anew anyway: never dearer, cheaper where there are pauses."""

import asyncio
import random
from functools import partial
from types import SimpleNamespace

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.workflow import Context

from cachepoint import PromptCache, Usage, rules_for
from cachepoint.core.accounting.report import input_units
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import Reply, ToolResponder
from cachepoint.langchain import CachedChatBedrockConverse, StableClearMiddleware, StableTrimMiddleware
from cachepoint.langchain.shaping.agents import Past
from cachepoint.llama_index import (
    CachedBedrockConverse,
    ShapedFunctionAgent,
    StableClear,
    StableMemory,
    StableNodeOrder,
    StableTrimMemory,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import AGENTS, where

pytestmark = AGENTS
LIMIT, TRIGGER = 6_000, 16_000
TURNS = 40


def gaps(seed, share):
    """Seconds between turns; a share of them are pauses beyond the TTL."""
    rng = random.Random(seed)
    return [rng.uniform(400, 1_500) if rng.random() < share else rng.uniform(10, 60) for _ in range(TURNS)]


def asked(n):
    return f"Question {n}: " + "where is the valve of the pump? " * 40


def look(part: str) -> str:
    """Look a part up."""
    return f"{part[:9]} is in stock. " * 200


def model_of(bedrock, cache):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    return CachedChatBedrockConverse(**clients, model=CLAUDE, prompt_cache=cache)


def langchain_chat(bedrock, cache, when, *, awaited=False):
    agent = create_agent(
        model_of(bedrock, cache),
        [],
        system_prompt=MANUAL,
        middleware=[StableTrimMiddleware(LIMIT, when=when, clock=bedrock.now)],
        checkpointer=InMemorySaver(),
    )
    return spoken(agent, awaited)


def langchain_clearing(bedrock, cache, when, *, awaited=False):
    bedrock.say(ToolResponder(steps=2))
    agent = create_agent(
        model_of(bedrock, cache),
        [look],
        system_prompt=MANUAL,
        middleware=[StableClearMiddleware(trigger=TRIGGER, keep=2, when=when, clock=bedrock.now)],
        checkpointer=InMemorySaver(),
    )
    return spoken(agent, awaited)


def spoken(agent, awaited):
    config = {"configurable": {"thread_id": "1"}}

    def say(text):
        turn = {"messages": [HumanMessage(text)]}
        asyncio.run(agent.ainvoke(turn, config)) if awaited else agent.invoke(turn, config)

    return say


def llama_index_chat(bedrock, cache, when, *, awaited=False, saves=True):
    """A chat whose memory is saved and loaded between turns."""
    llm = CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, cache_policy={"ttl": "5m"})
    held = [StableTrimMemory.from_defaults(token_limit=LIMIT, when=when, ttl=300, clock=bedrock.now)]

    def say(text):
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=held[0], system_prompt=MANUAL)
        asyncio.run(engine.achat(text)) if awaited else engine.chat(text)
        if saves:
            held[0] = StableTrimMemory.from_dict({**held[0].to_dict(), "clock": bedrock.now})

    return say


def llama_index_clearing(bedrock, cache, when):
    bedrock.say(ToolResponder(steps=2))
    llm = CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache, cache_policy={"ttl": "5m"})
    clear = StableClear(trigger=TRIGGER, keep=2, when=when, ttl=300, clock=bedrock.now)
    agent = ShapedFunctionAgent(llm=llm, tools=[look], system_prompt=MANUAL, shapers=[clear])
    ctx, memory = Context(agent), StableTrimMemory.from_defaults(token_limit=1_000_000)

    def say(text):
        async def turn():
            await agent.run(text, ctx=ctx, memory=memory)

        asyncio.run(turn())

    return say


KINDS = {
    "langchain": langchain_chat,
    "langchain, awaited": partial(langchain_chat, awaited=True),
    "langchain, clearing": langchain_clearing,
    "langchain, clearing, awaited": partial(langchain_clearing, awaited=True),
    "llama_index": llama_index_chat,
    "llama_index, awaited": partial(llama_index_chat, awaited=True, saves=False),
    "llama_index, clearing": llama_index_clearing,
}


def cost(bedrock, kind, when, pauses):
    """Input cost in uncached tokens, and the most that was sent at once."""
    bedrock.reset()
    bedrock.say(lambda _: Reply.text("It is on the left of the pump. " * 20))
    say = KINDS[kind](bedrock, PromptCache(clock=bedrock.now), when)
    for n, gap in enumerate(pauses):
        bedrock.advance(gap)
        say(f"Check part {n}." if "clearing" in kind else asked(n))
    rules = rules_for(CLAUDE).multipliers
    usages = [Usage.from_converse({"usage": call.usage}) for call in bedrock.answered]
    return sum(input_units(u, rules) for u in usages), max(u.input_tokens for u in usages)


@pytest.mark.parametrize("kind", KINDS)
def test_never_dearer_and_cheaper_where_there_are_pauses(kind, bedrock):
    found = []
    for seed, share in ((1, 0.25), (7, 0.1)):
        plain, most = cost(bedrock, kind, "always", gaps(seed, share))
        cold, at_once = cost(bedrock, kind, "cold", gaps(seed, share))
        found.append(cold / plain)
        # A trigger is where results are cleared, at the latest; what a turn adds may go beyond it.
        assert at_once <= most * (1.03 if "clearing" in kind else 1.0)
    assert max(found) <= 1.0
    assert min(found) < 0.97


@pytest.mark.parametrize("kind", ["langchain", "langchain, clearing", "llama_index", "llama_index, clearing"])
def test_without_a_pause_it_is_what_it_is_without(kind, bedrock):
    assert cost(bedrock, kind, "cold", gaps(3, 0)) == cost(bedrock, kind, "always", gaps(3, 0))


def test_without_a_checkpointer_it_is_as_always(bedrock, cache):
    """One call has the whole history from the caller: nothing is known of the call before."""
    agent = create_agent(
        model_of(bedrock, cache),
        [],
        middleware=[StableTrimMiddleware(LIMIT, when="cold", clock=bedrock.now)],
    )
    messages = []
    for n in range(6):
        bedrock.advance(1_000)
        messages = agent.invoke({"messages": [*messages, HumanMessage(asked(n))]})["messages"]
    assert len(bedrock.answered[-1].request["messages"]) == 11
    assert "cachepoint_trimmed" not in agent.invoke({"messages": messages[:1]})


def test_what_is_wrong_is_refused_when_it_is_given():
    for made in (
        lambda: StableTrimMiddleware(LIMIT, when="later"),
        lambda: StableClearMiddleware(when="later"),
        lambda: StableClear(when="later"),
        lambda: StableTrimMemory.from_defaults(when="later"),
    ):
        with pytest.raises(InvalidOptionError, match="'later'"):
            made()
    with pytest.raises(InvalidOptionError, match="ttl is 0"):
        StableTrimMiddleware(LIMIT, when="cold", ttl=0)


def test_the_old_names_go_on_for_one_release():
    with pytest.warns(DeprecationWarning, match="StableTrimMemory"):
        memory = StableMemory.from_defaults(token_limit=9)
    assert isinstance(memory, StableTrimMemory)
    with pytest.warns(DeprecationWarning, match="StableDocumentOrder"):
        StableNodeOrder()
    saved = {**StableTrimMemory.from_defaults(token_limit=9).to_dict(), "class_name": "StableMemory"}
    assert StableTrimMemory.from_dict(saved).token_limit == 9


def test_the_steps_of_an_agent_begin_no_turn():
    past = Past("history", "cold", 300.0, lambda: 7.0)
    asked, answered = HumanMessage("Where?"), ToolMessage("Left", tool_call_id="1")
    requests = [SimpleNamespace(messages=messages, state={}) for messages in ([asked], [asked, answered])]
    assert [past.of(request) for request in requests] == [(7.0, 300.0, True, None), (7.0, 300.0, False, None)]

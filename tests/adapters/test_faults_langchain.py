"""Law 5 on the LangChain side: whatever of ours raises, the caller gets what the base class would have given."""

import asyncio
import json
from io import BytesIO

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ContextEditingMiddleware, dynamic_prompt
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever

from cachepoint import PromptCache, volatile
from cachepoint.langchain import (
    CachedChatBedrock,
    CachedChatBedrockConverse,
    CachepointMiddleware,
    CacheUsageCallbackHandler,
    ClearToolUsesInBatches,
    RelocateMiddleware,
    StableClearMiddleware,
    StableDocumentOrder,
    StableResultsMiddleware,
    StableSummaryMiddleware,
    StableTools,
    StableToolsMiddleware,
    StableTrimMiddleware,
    order_tool_results,
    relocate_changing,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.langchain_shapes import look_up
from tests.faults import CLIENTS, MODULES, are_short, check

MODEL = "cachepoint.langchain.chat_models:CachedChatBedrockConverse"
INVOKE = "cachepoint.langchain.chat_models:CachedChatBedrock"
CACHED = "cachepoint.langchain.cached:Cached"
INVOKING = "cachepoint.langchain.invoking"
BOUND = "cachepoint.langchain.binding:BoundModel"
ORDER = "cachepoint.langchain.shaping.documents:StableDocumentOrder"
SUMMARY = "cachepoint.langchain.shaping.summaries:StableSummaryMiddleware"
# What LangChain itself calls: each holds a guard, or does nothing that could raise.
ENTRIES = (
    *CLIENTS,
    f"{CACHED}._generate",
    f"{CACHED}._stream",
    f"{INVOKE}._as_converse",
    f"{INVOKING}:InvokingClient.invoke_model",
    f"{INVOKING}:InvokingClient.invoke_model_with_response_stream",
    "cachepoint.langchain.cached:Untold.__init__",
    "cachepoint.langchain.cached:Untold.__getattr__",
    "cachepoint.langchain.cached:Untold.on_llm_new_token",
    f"{CACHED}._each",
    f"{CACHED}.bind",
    f"{CACHED}.with_config",
    f"{CACHED}.get_lc_namespace",
    f"{CACHED}.lc_attributes",
    f"{BOUND}.bind",
    f"{BOUND}.bind_tools",
    f"{BOUND}.with_config",
    f"{BOUND}.with_structured_output",
    f"{BOUND}.lc_id",
    f"{ORDER}.transform_documents",
    f"{ORDER}.compress_documents",
    "cachepoint.langchain.callbacks:CacheUsageCallbackHandler.on_llm_end",
    "cachepoint.langchain.shaping.tool_results:ClearToolUsesInBatches.apply",
    "cachepoint.langchain.shaping.agents:ShapingMiddleware.wrap_model_call",
    "cachepoint.langchain.shaping.agents:ShapingMiddleware.awrap_model_call",
    "cachepoint.langchain.shaping.tools:StableTools.__call__",
    "cachepoint.langchain.shaping.tool_results:_in_order",
    "cachepoint.langchain.shaping.changing:_relocated",
    *(f"{SUMMARY}.{name}" for name in ("wrap_model_call", "_summarised", "_asked")),
    *(f"{SUMMARY}.a{name}" for name in ("wrap_model_call",)),
    *(f"{SUMMARY}._a{name}" for name in ("summarised", "asked")),
    "cachepoint.langchain.middleware:CachepointMiddleware.wrap_model_call",
    "cachepoint.langchain.middleware:CachepointMiddleware.awrap_model_call",
    "cachepoint.langchain.retrieval:RetrievalHandler.on_retriever_end",
)
SAYS = "It is on the left."
ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
USAGE = {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10, "cacheReadInputTokens": 0}
TOLD = {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
EVENTS = (
    {"type": "message_start", "message": {"role": "assistant", "content": [], "usage": TOLD}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SAYS}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
)
USE = {"toolUse": {"toolUseId": "t1", "name": "look_up", "input": {"part": "A7"}}}


class Client:
    """Uses the tool where there is one and no result of it, and answers all else alike and at once."""

    def converse(self, *, messages, **request):
        used = "toolConfig" not in request or any("toolResult" in b for b in messages[-1]["content"])
        content = [{"text": SAYS}] if used else [USE]
        reason = "end_turn" if used else "tool_use"
        message = {"role": "assistant", "content": content}
        return {"output": {"message": message}, "stopReason": reason, "usage": USAGE}

    def converse_stream(self, **_):
        return {"stream": self._events()}

    def invoke_model(self, *, body, **_):
        assert json.loads(body)["messages"]
        content = [{"type": "text", "text": SAYS}]
        said = {"role": "assistant", "content": content, "stop_reason": "end_turn", "usage": TOLD}
        return {"body": BytesIO(json.dumps(said).encode())}

    def invoke_model_with_response_stream(self, **_):
        return {"body": [{"chunk": {"bytes": json.dumps(event).encode()}} for event in EVENTS]}

    def _events(self):
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": SAYS}}}
        yield {"contentBlockStop": {"contentBlockIndex": 0}}
        yield {"messageStop": {"stopReason": "end_turn"}}
        yield {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}}


def model(cls=CachedChatBedrockConverse, **options):
    return cls(model=CLAUDE, client=Client(), bedrock_client=Client(), **options)


def cached():
    usage = CacheUsageCallbackHandler()
    return model(prompt_cache=PromptCache(), cache_policy={"ttl": "1h"}, callbacks=[usage])


async def listed(chunks):
    return [chunk.text async for chunk in chunks]


WAYS = {
    "invoke": lambda m: [m.invoke(ASK).text],
    "ainvoke": lambda m: [asyncio.run(m.ainvoke(ASK)).text],
    "stream": lambda m: [chunk.text for chunk in m.stream(ASK)],
    "astream": lambda m: asyncio.run(listed(m.astream(ASK))),
    "twice": lambda m: [m.invoke([*ASK, AIMessage(m.invoke(ASK).text), HumanMessage("And?")]).text],
    "bound": lambda m: [
        m.bind(stop=["END"]).bind_tools([look_up]).with_config(tags=["a"]).invoke(ASK).tool_calls[0]["name"]
    ],
    "config": lambda m: [m.with_config(tags=["a"]).bind(max_tokens=9).invoke(ASK).text],
    "structured": lambda m: [
        m.bind(stop=["END"]).with_structured_output(look_up.args_schema).invoke(ASK).model_dump()
    ],
}


# All of ours, the core included; what else a call may be made of reaches no more of the core than these.
WHOLE = ("invoke", "stream", "ainvoke", "astream")
HERE = ("cachepoint.langchain", "cachepoint.shaping")
HOUR = {"type": "text", "text": MANUAL, "cache_control": {"type": "ephemeral", "ttl": "1h"}}


@pytest.mark.parametrize("way", WAYS)
def test_a5_a_fault_of_ours_never_fails_a_call(way):
    run, modules = WAYS[way], MODULES if way in WHOLE else HERE
    check(run, run(model(ChatBedrockConverse)), make=cached, modules=modules, entries=ENTRIES)


INVOKED = {
    "invoke": (WAYS["invoke"], {}),
    "stream": (WAYS["stream"], {}),
    "astream": (WAYS["astream"], {}),
    "streaming": (WAYS["invoke"], {"streaming": True}),
    "converse": (WAYS["invoke"], {"beta_use_converse_api": True}),
    "points": (lambda m: [m.invoke([HumanMessage([HOUR])]).text], {}),
}


@pytest.mark.parametrize("way", INVOKED)
def test_a5_a_fault_of_ours_never_fails_a_call_of_invoke_model(way):
    run, options = INVOKED[way]

    def plain():
        clients = {"client": Client(), "bedrock_client": Client()}
        return ChatBedrock(model=CLAUDE, region_name="us-east-1", **clients, **options)

    def make():
        return CachedChatBedrock.from_model(plain(), prompt_cache=PromptCache(), cache_policy={"ttl": "1h"})

    check(run, run(plain()), make=make, modules=(*HERE, "cachepoint.aws"), entries=ENTRIES)


AGENTS = {"invoke": lambda: model(ChatBedrockConverse).bind(stop=["END"]), "ainvoke": cached}


@pytest.mark.parametrize("mode", AGENTS)
def test_a5_a_fault_of_ours_never_fails_an_agent(mode):
    def agent(llm, *stack):
        return create_agent(llm, [look_up], system_prompt=MANUAL, middleware=stack)

    def run(agent):
        turn = {"messages": [HumanMessage("Where is the valve?")]}
        state = agent.invoke(turn) if mode == "invoke" else asyncio.run(agent.ainvoke(turn))
        return [(m.type, m.text) for m in state["messages"]]

    def make():
        edit = ClearToolUsesInBatches(trigger=1, keep=0, clear_at_least=0, placeholder="A7")
        editing = ContextEditingMiddleware(edits=[edit])
        trim = StableTrimMiddleware(max_tokens=50_000)
        stable = (StableToolsMiddleware(), StableResultsMiddleware())
        return agent(AGENTS[mode](), editing, trim, *stable, CachepointMiddleware())

    plain = run(agent(model(ChatBedrockConverse)))
    assert len(plain) == 4
    check(run, plain, make=make, modules=HERE, entries=ENTRIES)


@pytest.mark.parametrize("mode", AGENTS)
@pytest.mark.parametrize("summarises", [True, False])
def test_a5_a_fault_of_ours_never_fails_an_agent_whose_history_is_shaped(summarises, mode):
    """The answers are those of the agent without us; an answer that calls a tool is no summary."""

    def agent(llm, *stack):
        return create_agent(
            llm,
            [look_up],
            middleware=[dynamic_prompt(lambda _: f"{volatile('It rains.')}\nBe kind."), *stack],
        )

    def run(agent):
        turns = [HumanMessage("Where?", id="1"), AIMessage("Here", id="2"), HumanMessage("Why?", id="3")]
        turn = {"messages": turns}
        state = agent.invoke(turn) if mode == "invoke" else asyncio.run(agent.ainvoke(turn))
        return [m.text for m in state["messages"][-1:]]

    def make():
        summary = StableSummaryMiddleware(
            ("messages", 3),
            keep=("messages", 2),
            when="cold",
            instruction="Sum up." if summarises else "Where?",
        )
        trim = StableTrimMiddleware(max_tokens=50_000, when="cold")
        clear = StableClearMiddleware(trigger=1, keep=0, clear_at_least=0, when="cold")
        return agent(AGENTS[mode](), RelocateMiddleware(learned=True), trim, clear, summary)

    check(run, run(agent(model(ChatBedrockConverse))), make=make, modules=HERE, entries=ENTRIES)


def test_a5_a_fault_of_ours_never_fails_a_chain_that_moves_what_changes():
    history = [SystemMessage(f"{volatile('It is 10:05.')}\n{MANUAL}"), HumanMessage("Where?")]

    def run(chain):
        return [m.type for m in chain.invoke(history)]

    check(
        run, ["system", "human"], make=lambda: relocate_changing(learned=True), modules=HERE, entries=ENTRIES
    )


def test_a5_a_fault_of_ours_never_fails_a_list_of_tools():
    spec = {"name": "weigh", "input_schema": {"type": "object", "properties": {}}}
    again = {key: spec[key] for key in reversed(spec)}

    def run(stable):
        return [[t["name"] for t in stable(tools)] for tools in ([spec], [again], [])]

    check(run, [["weigh"], ["weigh"], []], make=StableTools, modules=HERE, entries=ENTRIES)


def test_a5_a_fault_of_ours_never_fails_a_chain_that_orders_results():
    calls = [{"name": "look_up", "args": {}, "id": ident} for ident in "ab"]
    results = [ToolMessage("A7", tool_call_id=ident) for ident in "ba"]
    history = [*ASK, AIMessage("", tool_calls=calls), *results]

    def run(chain):
        return [m.text for m in chain.invoke(history)]

    check(run, [m.text for m in history], make=order_tool_results, modules=HERE, entries=ENTRIES)


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"{n} {MANUAL}") for n in range(3)]


def test_a5_a_fault_of_ours_never_fails_a_retrieval():
    def run(order):
        return len(order.compress_documents(Shelf().invoke("the valve"), "the valve"))

    check(run, 3, make=lambda: StableDocumentOrder(ranks=True), entries=ENTRIES)


def test_entry_points_are_short():
    are_short(ENTRIES)

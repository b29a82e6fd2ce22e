"""Every function of ours that a LlamaIndex call reaches is made to raise, one by one: no call fails."""

import asyncio

import pytest
from botocore.session import get_session
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse
from pydantic import create_model

from cachepoint import PromptCache
from cachepoint.emulator import BedrockEmulator, ToolResponder
from cachepoint.llama_index import (
    CachedBedrockConverse,
    CacheUsageEventHandler,
    CacheUsageLegacyHandler,
    RelocateMemory,
    ShapedFunctionAgent,
    StableClear,
    StableDocumentOrder,
    StableResults,
    StableSummaryMemory,
    StableTools,
    StableTrimMemory,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import where
from tests.adapters.llama_index_shapes import TOOLS, message, point
from tests.conftest import boto_client
from tests.faults import CLIENTS, MODULES, are_short, check

LLM = "cachepoint.llama_index.llms:CachedBedrockConverse"
SEAM = "cachepoint.llama_index.seam"
AGENTS = "cachepoint.llama_index.shaping.agents"
LEGACY = "cachepoint.llama_index.events:CacheUsageLegacyHandler"
# They hold a guard, or no more than what LlamaIndex or Python asks for.
SUMMARY = "cachepoint.llama_index.shaping.summaries:StableSummaryMemory"
RELOCATES = "cachepoint.llama_index.shaping.changing:RelocateMemory"
ENTRIES = (
    *CLIENTS,
    f"{LLM}.chat",
    f"{LLM}.stream_chat",
    f"{LLM}.achat",
    f"{LLM}.astream_chat",
    f"{LLM}.metadata",
    f"{LLM}.class_name",
    f"{LLM}.__setattr__",
    f"{LLM}._prepare_chat_with_tools",
    f"{LLM}._get_response_token_counts",
    f"{SEAM}:CallClient.converse",
    f"{SEAM}:CallClient.converse_stream",
    *(f"cachepoint.llama_index.shaping.history:StableTrimMemory.{name}" for name in ("get", "set", "aset")),
    *(f"{SUMMARY}.{name}" for name in ("get", "aget", "_asked", "_aasked", "_new")),
    *(
        f"{RELOCATES}.{name}"
        for name in ("get", "aget", "get_all", "aget_all", "put", "aput", "aput_messages")
    ),
    "cachepoint.llama_index.shaping.history:four_characters",
    "cachepoint.llama_index.shaping.documents:StableDocumentOrder._postprocess_nodes",
    f"{AGENTS}:Shaped.take_step",
    f"{AGENTS}:_Behind.get",
    f"{AGENTS}:_Behind.set",
    f"{AGENTS}:_Ahead.__getattr__",
    "cachepoint.llama_index.shaping.tools:StableTools.__call__",
    f"{LEGACY}.on_event_start",
    f"{LEGACY}.on_event_end",
    "cachepoint.llama_index.events:ResponseTotals.count",
    "cachepoint.core.guard:Guard.__call__",
    "cachepoint.core.guard:Guard.awaited",
)
EMPTY = (f"{LEGACY}.start_trace", f"{LEGACY}.end_trace")
# Upstream makes one with every model, in 20 ms.
SESSION = get_session()
ASK = [message("system", MANUAL, point("1h")), message("user", "Where is the valve?")]


class Passages(BaseRetriever):
    """The same passages for every question."""

    def _retrieve(self, query_bundle):
        text = "The pump is cleaned with oil. " * 40
        return [NodeWithScore(node=TextNode(text=f"{n} {text}"), score=1.0) for n in range(3)]


class Called:
    """A model, what stands around it, and how many requests came of it."""

    def __init__(self, bedrock, client, cls, **options):
        self._bedrock, self._before = bedrock, len(bedrock.calls)
        place = {**where(bedrock), "client": client, "botocore_session": SESSION}
        self.order, self.memory = [StableDocumentOrder(ranks=True)], StableTrimMemory()
        manager = CallbackManager([CacheUsageLegacyHandler()])
        self.llm = cls(CLAUDE, **place, callback_manager=manager, system_prompt_caching=True, **options)

    @property
    def sent(self):
        return len(self._bedrock.calls) - self._before


class Bedrock(BedrockEmulator):
    """What `where` asks for."""

    def client(self):
        return None


@pytest.fixture(scope="module")
def bedrock():
    root = get_dispatcher()
    before = root.event_handlers
    root.event_handlers = [*before, CacheUsageEventHandler()]
    with Bedrock(responder=ToolResponder(["page"], steps=2, parallel=2)) as emulator:
        client = boto_client(emulator.url)
        yield emulator, client
        client.close()
    root.event_handlers = before


def shown(response):
    """What a caller sees of an answer, but for the report."""
    usage = response.additional_kwargs
    return (
        response.message.content,
        [b.block_type for b in response.message.blocks],
        usage["prompt_tokens"] > 0,
    )


def query(called):
    made = RetrieverQueryEngine.from_args(Passages(), llm=called.llm, node_postprocessors=called.order)
    return str(made.query("How?"))


def converse(called):
    engine = SimpleChatEngine.from_defaults(llm=called.llm, system_prompt=MANUAL, memory=called.memory)
    return [str(engine.chat(question)) for question in ("Where?", "And how?")]


async def astream(called):
    return [c.delta async for c in await called.llm.astream_chat(ASK)]


WAYS = {
    "chat": lambda called: shown(called.llm.chat(ASK)),
    "stream_chat": lambda called: [c.delta for c in called.llm.stream_chat(ASK)],
    "achat": lambda called: shown(asyncio.run(called.llm.achat(ASK))),
    "astream_chat": lambda called: asyncio.run(astream(called)),
    "complete": lambda called: called.llm.complete(MANUAL).text,
    "chat_with_tools": lambda called: shown(called.llm.chat_with_tools(TOOLS, "In stock?", [*ASK])),
    "query engine": query,
    "chat engine": converse,
}


# All of ours, the core included; the other calls reach no more of it than these.
WHOLE = {("chat", "stable_first"), ("stream_chat", "off"), ("achat", "off"), ("astream_chat", "off")}
HERE = ("cachepoint.llama_index", "cachepoint.shaping")


@pytest.mark.parametrize("reorder", ["off", "stable_first"])
@pytest.mark.parametrize("way", WAYS)
def test_a5_a_fault_of_ours_never_fails_a_llama_index_call(way, reorder, bedrock):
    """A5: the base class's answer comes back, and as many requests were sent."""

    def run(called):
        return WAYS[way](called), called.sent

    options = {"cache_policy": {"reorder": reorder}}
    tried = check(
        run,
        run(Called(*bedrock, BedrockConverse)),
        make=lambda: Called(*bedrock, CachedBedrockConverse, prompt_cache=PromptCache(), **options),
        modules=MODULES if (way, reorder) in WHOLE else HERE,
        entries=ENTRIES + EMPTY,
    )
    assert len(tried) > 20


def page(number: str) -> str:
    """Read a page."""
    return f"{number} is read. " * 40


def pages(*names):
    """A tool whose schema has its properties in this order."""
    schema = create_model("Page", **dict.fromkeys(names, (str, ...)))
    return FunctionTool.from_defaults(page, name="page", description="Read it.", fn_schema=schema)


def agent(cls, called, **options):
    made = cls(tools=[page], llm=called.llm, system_prompt=MANUAL, **options)
    return lambda: asyncio.run(_ran(made))


async def _ran(made):
    result = await made.run(user_msg="Read both.")
    return len(result.tool_calls), result.response.role


@pytest.mark.parametrize("awaited", [False, True])
def test_a5_a_fault_of_ours_never_fails_a_chat_whose_memory_is_shaped(awaited, bedrock):
    """The answers are there; what a memory of ours puts in or leaves out is another matter."""

    def run(called):
        engine = SimpleChatEngine.from_defaults(llm=called.llm, system_prompt=MANUAL, memory=called.memory)
        asked = ("Where?", "And how?", "Why?")
        return len([str(asyncio.run(engine.achat(a)) if awaited else engine.chat(a)) for a in asked])

    def make():
        called = Called(*bedrock, CachedBedrockConverse, prompt_cache=PromptCache())
        inner = StableSummaryMemory.from_defaults(
            llm=called.llm, system_prompt=MANUAL, token_limit=20, keep=5, when="cold"
        )
        called.memory = RelocateMemory.from_defaults(changing=lambda: "It is late.", memory=inner)
        return called

    check(run, 3, make=make, modules=HERE, entries=ENTRIES + EMPTY)


# llama-index-workflows looks at all attributes of a workflow, the deprecated ones of pydantic among them.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
def test_a5_a_fault_of_ours_never_fails_a_step_of_an_agent(bedrock):
    """A5: the tools are called and the answer comes as the base class's agent would have it."""
    plain, count = Called(*bedrock, BedrockConverse), 3
    assert agent(FunctionAgent, plain)()[0] == 4
    assert plain.sent == count

    def make():
        clear = StableClear(trigger=0, keep=0, clear_at_least=0)
        shapers = [StableTools(), StableResults(), clear]
        called = Called(*bedrock, CachedBedrockConverse, prompt_cache=PromptCache())
        return agent(ShapedFunctionAgent, called, shapers=shapers)

    tried = check(
        lambda run: run(), agent(FunctionAgent, plain)(), make=make, modules=HERE, entries=ENTRIES + EMPTY
    )
    names = {place.name.split(".")[0] for place in tried}
    assert {"Shaped", "StableTools", "StableResults", "StableClear", "ToolOrder", "in_call_order"} <= names


def test_a5_a_fault_of_ours_never_fails_a_list_of_tools():
    def run(stable):
        return [[t.metadata.name for t in stable(tools)] for tools in ([pages("a", "b")], [pages("b", "a")])]

    check(run, [["page"], ["page"]], make=StableTools, modules=HERE, entries=ENTRIES)


def test_the_entry_points_are_short():
    are_short(ENTRIES)

"""Every function of ours that a LlamaIndex call reaches is made to raise, one by one: no call fails."""

import asyncio

import pytest
from botocore.session import get_session
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import PromptCache
from cachepoint.emulator import BedrockEmulator, TextResponder
from cachepoint.llama_index import (
    CachedBedrockConverse,
    CacheUsageEventHandler,
    CacheUsageLegacyHandler,
    StableMemory,
    StableNodeOrder,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import where
from tests.adapters.llama_index_shapes import TOOLS, message, point
from tests.conftest import boto_client
from tests.faults import CLIENTS, MODULES, are_short, check

LLM = "cachepoint.llama_index.llms:CachedBedrockConverse"
SEAM = "cachepoint.llama_index.seam"
LEGACY = "cachepoint.llama_index.events:CacheUsageLegacyHandler"
# They hold a guard, or no more than what LlamaIndex or Python asks for.
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
    "cachepoint.llama_index.shaping.history:StableMemory.get",
    "cachepoint.llama_index.shaping.history:four_characters",
    "cachepoint.llama_index.shaping.documents:StableNodeOrder._postprocess_nodes",
    f"{LEGACY}.on_event_start",
    f"{LEGACY}.on_event_end",
    "cachepoint.llama_index.events:ResponseTotals.count",
    "cachepoint.core.guard:Guard.__call__",
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
        self.order, self.memory = [StableNodeOrder(ranks=True)], StableMemory()
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
    with Bedrock(responder=TextResponder()) as emulator:
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


def test_the_entry_points_are_short():
    are_short(ENTRIES)

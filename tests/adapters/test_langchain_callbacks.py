"""The usage handler: what it counts, what it does not, and where it hears it."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_aws import ChatBedrockConverse
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import context

from cachepoint import Usage, session
from cachepoint.langchain import (
    CachedChatBedrockConverse,
    CacheUsageCallbackHandler,
    get_cache_usage_callback,
)
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]


@pytest.fixture
def build(bedrock, cache):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    return lambda model=CLAUDE, **kw: CachedChatBedrockConverse(
        model=model, prompt_cache=cache, **clients, **kw
    )


def of_ledger(calls):
    """The same sum from the emulator's side."""
    total = Usage()
    for call in calls:
        total += Usage.from_converse({"usage": call.usage})
    return total


def test_totals_by_model(build, bedrock):
    usage = CacheUsageCallbackHandler()
    for model in (build(), build(), build(HAIKU), build(cache_policy={"ttl": "1h"}, model=HAIKU)):
        model.invoke(ASK, config={"callbacks": [usage]})
    assert usage.total == of_ledger(bedrock.calls)
    assert usage.calls == 4
    assert set(usage.usage_by_model) == {CLAUDE, HAIKU}
    assert usage.usage_by_model[CLAUDE] == of_ledger(bedrock.calls[:2])
    assert usage.hit_share == pytest.approx(usage.total.read_tokens / usage.total.input_tokens)
    assert usage.saved is not None
    assert CLAUDE in str(usage)
    assert "calls=4" in repr(usage)


async def test_the_time_to_the_first_token_is_told_of_streams(build, bedrock):
    """As the session has it: of streams that read and of those that did not, sync and async."""
    usage = CacheUsageCallbackHandler()
    with session() as counted:
        for _ in build().stream(ASK, config={"callbacks": [usage]}):
            pass
        assert usage.first_tokens.hits is None
        assert usage.first_tokens.misses >= 0
        async for _ in build().astream(ASK, config={"callbacks": [usage]}):
            pass
        await build().ainvoke(ASK, config={"callbacks": [usage]})
    assert usage.first_tokens == counted.first_tokens
    assert usage.first_tokens.hits >= 0
    assert "began after" in str(usage)


@pytest.mark.parametrize("policy", [{"ttl": "5m"}, {"ttl": "1h"}, {"ttl": "5m", "head_ttl": "1h"}])
def test_plain_models_are_counted_too(policy, build, bedrock):
    """Through usage_metadata alone, whose writes lie in three places."""
    usage, langchains = CacheUsageCallbackHandler(), UsageMetadataCallbackHandler()
    for _ in range(2):
        message = build(cache_policy=policy).invoke(ASK, config={"callbacks": [langchains]})
        del message.response_metadata["cachepoint"]
        usage.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]))
    assert usage.total == of_ledger(bedrock.calls)
    assert usage.total.input_tokens == langchains.usage_metadata[CLAUDE]["input_tokens"]
    assert usage.saved is None


def test_plain_class_in_the_block(build, bedrock):
    llm = build()
    plain = ChatBedrockConverse(model=CLAUDE, client=llm.client, bedrock_client=llm.bedrock_client)
    with get_cache_usage_callback() as usage:
        plain.invoke(ASK, cache_control={"type": "ephemeral"})
        plain.invoke(ASK, cache_control={"type": "ephemeral"})
    assert usage.total == of_ledger(bedrock.calls)
    assert usage.total.read_tokens > 1_024


def test_a_model_that_reports_no_caching(build):
    with get_cache_usage_callback() as usage:
        build(LLAMA).invoke("hi")
    assert usage.total.read_tokens is None
    assert usage.total.uncached_tokens > 0


def test_results_of_many_prompts_are_counted_whole():
    metadata = {"input_tokens": 10, "output_tokens": 1, "total_tokens": 11}
    message = AIMessage("x", usage_metadata=metadata, response_metadata={"model_name": "m"})
    usage = CacheUsageCallbackHandler()
    usage.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]] * 3))
    usage.on_llm_end(LLMResult(generations=[]))
    usage.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("nothing known"))]]))
    assert usage.calls == 3
    assert usage.usage_by_model["m"].uncached_tokens == 30


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_replays_of_the_response_cache_are_not_counted(mode, build, bedrock):
    llm = build(cache=InMemoryCache())
    with get_cache_usage_callback() as usage:
        for _ in range(3):
            answer = llm.invoke(ASK) if mode == "invoke" else asyncio.run(llm.ainvoke(ASK))
    assert answer.text
    assert len(bedrock.calls) == usage.calls == 1
    assert usage.total == of_ledger(bedrock.calls)


def test_chains_batches_and_tasks(build, bedrock):
    chain = ChatPromptTemplate([("system", MANUAL), ("human", "{q}")]) | build()

    async def tasks():
        await asyncio.gather(*(chain.ainvoke({"q": f"task {n}"}) for n in range(4)))
        return [c async for c in chain.astream({"q": "astream"})]

    with get_cache_usage_callback() as usage:
        chain.invoke({"q": "first"})
        chain.batch([{"q": f"batch {n}"} for n in range(8)])
        list(chain.stream({"q": "stream"}))
        asyncio.run(tasks())
        list(build().stream_events(ASK, version="v3"))
    chain.invoke({"q": "after"})
    assert usage.calls == 1 + 8 + 1 + 5 + 1
    assert usage.total == of_ledger(bedrock.calls[:-1])


def test_blocks_nest_and_threads_keep_apart(build):
    llm = build()
    with get_cache_usage_callback() as outer:
        llm.invoke(ASK)
        with get_cache_usage_callback() as inner:
            llm.invoke(ASK)
    assert (outer.calls, inner.calls) == (2, 1)

    def alone(n):
        with get_cache_usage_callback() as usage:
            for _ in range(n):
                llm.invoke(ASK)
        return usage.calls

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(alone, [1, 2, 3, 4])) == [1, 2, 3, 4]


def test_hooks_are_used_again():
    for _ in range(3):
        with get_cache_usage_callback("a"), get_cache_usage_callback("a"):
            pass
    before = len(context._configure_hooks)
    for _ in range(50):
        with get_cache_usage_callback("a"), get_cache_usage_callback("a"):
            pass
    assert len(context._configure_hooks) == before


def test_d7_names_made_anew_leave_no_hooks():
    """D7: LangChain keeps every hook for good, so blocks of any name share theirs."""
    with get_cache_usage_callback("a"), get_cache_usage_callback("b"):
        pass
    before = len(context._configure_hooks)
    for n in range(200):
        with get_cache_usage_callback(f"request {n}") as outer, get_cache_usage_callback(f"inner {n}"):
            assert outer.calls == 0
    assert len(context._configure_hooks) == before


def test_block_is_left_where_it_raises(build):
    with pytest.raises(KeyError), get_cache_usage_callback() as usage:
        raise KeyError
    build().invoke(ASK)
    assert usage.calls == 0


def test_many_threads_lose_nothing():
    metadata = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    message = AIMessage("x", usage_metadata=metadata, response_metadata={"model_name": "m"})
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    usage = CacheUsageCallbackHandler()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: usage.on_llm_end(result), range(2_000)))
    assert usage.calls == usage.total.uncached_tokens == 2_000


def test_survives_json(build):
    """Messages that came out of a checkpointer's store are counted like fresh ones."""
    answer = build().invoke(ASK)
    stored = AIMessage(**json.loads(answer.model_dump_json()))
    usage = CacheUsageCallbackHandler()
    usage.on_llm_end(LLMResult(generations=[[ChatGeneration(message=stored)]]))
    assert usage.total.write_tokens > 1_024

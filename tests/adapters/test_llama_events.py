"""What the usage handlers of LlamaIndex promise: they add up to what the emulator answered, to the token."""

import asyncio
import gc
import logging
import warnings
import weakref
from collections import Counter
from contextvars import copy_context
from threading import Thread

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import session
from cachepoint.aws.ttl import knows_ttl
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.guard import guard
from cachepoint.emulator import ToolResponder
from cachepoint.llama_index import (
    CachedBedrockConverse,
    CacheUsageEventHandler,
    CacheUsageLegacyHandler,
    get_cache_usage_callback,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import where
from tests.adapters.llama_index_shapes import TOOLS, Verdict, message, point

ASK = [message("system", MANUAL), message("user", "Where is the valve?")]


@pytest.fixture
def llm(bedrock, cache):
    return CachedBedrockConverse(CLAUDE, **where(bedrock), prompt_cache=cache)


@pytest.fixture
def attached():
    root = get_dispatcher()
    before, handler = root.event_handlers, CacheUsageEventHandler()
    root.event_handlers = list(before)
    root.add_event_handler(handler)
    yield handler
    root.event_handlers = before


def agrees(usage, bedrock, calls=None):
    """The handler's figures are the ledger's."""
    ledger = bedrock.answered if calls is None else calls
    total = sum(
        (Counter({k: v for k, v in c.usage.items() if isinstance(v, int)}) for c in ledger), Counter()
    )
    assert usage.errors == 0
    assert usage.calls == len(ledger)
    assert usage.total.uncached_tokens == total["inputTokens"]
    assert usage.total.output_tokens == total["outputTokens"]
    assert (usage.total.read_tokens or 0) == total["cacheReadInputTokens"]
    assert (usage.total.write_tokens or 0) == total["cacheWriteInputTokens"]
    return True


async def test_the_time_to_the_first_token_is_told_of_streams(llm, attached):
    """As the session has it: of streams that read and of those that did not, sync and async."""
    with session() as counted:
        list(llm.stream_chat(ASK))
        assert attached.first_tokens.hits is None
        assert attached.first_tokens.misses >= 0
        async for _ in await llm.astream_chat(ASK):
            pass
        llm.chat(ASK)
    assert attached.first_tokens == counted.first_tokens
    assert attached.first_tokens.hits >= 0


async def everything(llm):
    """Every way of a call: 9 of them."""
    llm.chat(ASK)
    llm.complete("hi")
    list(llm.stream_chat(ASK))
    list(llm.stream_complete("hi"))
    await llm.achat(ASK)
    await llm.acomplete("hi")
    async for _ in await llm.astream_chat(ASK):
        pass
    llm.chat_with_tools(TOOLS, user_msg="hi")
    llm.as_structured_llm(Verdict).chat(ASK)


@pytest.mark.parametrize("legacy", [False, True])
def test_everything_counts_once(legacy, llm, bedrock, attached):
    usage = attached
    if legacy:
        usage = CacheUsageLegacyHandler()
        llm.callback_manager = CallbackManager([usage])
    asyncio.run(everything(llm))
    assert len(bedrock.answered) == 9
    assert agrees(usage, bedrock)
    assert usage.hit_share == usage.total.hit_share > 0.5
    assert usage.saved > 0
    assert list(usage.usage_by_model) == [CLAUDE]
    assert str(usage).startswith("9 calls")


def test_the_split_by_ttl_is_kept(llm, bedrock, attached):
    if not knows_ttl(bedrock.client()):
        pytest.skip(reason="this botocore drops cacheDetails")
    llm.chat([message("system", MANUAL, point("1h")), message("user", "First: " + MANUAL, point())])
    assert attached.total.write_1h_tokens > 1_024
    assert attached.total.write_5m_tokens > 1_024
    assert attached.total.write_1h_tokens + attached.total.write_5m_tokens == attached.total.write_tokens


def test_plain_bedrock_converse_counts_as_well(bedrock, attached):
    plain = BedrockConverse(CLAUDE, **where(bedrock), system_prompt_caching=True)
    plain.chat(ASK)
    list(plain.stream_chat(ASK))
    assert agrees(attached, bedrock)
    assert attached.total.read_tokens > 1_024
    assert list(attached.usage_by_model) == [CLAUDE]
    assert attached.saved is None


def test_models_are_kept_apart(llm, bedrock, cache, attached):
    other = CachedBedrockConverse("us.amazon.nova-pro-v1:0", **where(bedrock), prompt_cache=cache)
    llm.chat(ASK)
    other.chat(ASK)
    assert set(attached.usage_by_model) == {CLAUDE, "us.amazon.nova-pro-v1:0"}
    assert attached.total == sum(attached.usage_by_model.values(), Usage())


def test_a_block_counts_what_is_called_in_it(llm, bedrock):
    root = get_dispatcher()
    before = list(root.event_handlers)
    llm.chat(ASK)
    with get_cache_usage_callback() as outer:
        llm.chat(ASK)
        with get_cache_usage_callback() as inner:
            asyncio.run(everything(llm))
        llm.chat(ASK)
    llm.chat(ASK)
    assert root.event_handlers == before
    assert agrees(outer, bedrock, bedrock.answered[1:-1])
    assert agrees(inner, bedrock, bedrock.answered[2:-2])


def test_blocks_of_two_tasks_do_not_mix(llm):
    async def one(times):
        with get_cache_usage_callback() as usage:
            for _ in range(times):
                await llm.achat(ASK)
        return usage.calls

    async def both():
        return await asyncio.gather(one(2), one(3))

    assert asyncio.run(both()) == [2, 3]


def test_d7_a_block_that_is_left_in_another_context_leaves_nothing(llm):
    """D7: its token belongs to the context that it was opened in."""
    before = list(get_dispatcher().event_handlers)
    here, there = copy_context(), copy_context()
    block = get_cache_usage_callback()
    usage = here.run(block.__enter__)
    here.run(llm.chat, ASK)
    there.run(block.__exit__, None, None, None)
    assert get_dispatcher().event_handlers == before
    here.run(llm.chat, ASK)
    assert usage.calls == 1
    kept = weakref.ref(usage)
    del usage, block
    other = get_cache_usage_callback()
    here.run(other.__enter__)
    gc.collect()
    assert kept() is None
    here.run(other.__exit__, None, None, None)


def test_a_block_that_fails_is_left_as_well():
    before = list(get_dispatcher().event_handlers)
    with pytest.raises(KeyError), get_cache_usage_callback():
        raise KeyError
    assert get_dispatcher().event_handlers == before


def test_threads(llm, bedrock, attached):
    threads = [Thread(target=llm.chat, args=(ASK,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert agrees(attached, bedrock)


def test_the_same_response_told_twice_counts_once(llm, attached):
    response = llm.chat(ASK)
    get_dispatcher().event(LLMChatEndEvent(messages=ASK, response=response))
    assert attached.calls == 1


def test_a_stream_that_is_left_early_is_not_counted(llm, attached):
    stream = llm.stream_chat(ASK)
    next(stream)
    stream.close()
    del stream
    with warnings.catch_warnings():
        # Upstream leaves the connection to the garbage collector.
        warnings.simplefilter("ignore")
        gc.collect()
    assert attached.calls == 0
    assert attached.errors == 0


BROKEN = {"cachepoint": {"saved_usd": "many"}}


@pytest.mark.parametrize("legacy", [False, True])
def test_what_cannot_be_counted_is_said_once_and_raises_nothing(legacy, caplog, monkeypatch):
    monkeypatch.setattr(guard, "faults", 0)
    raw = {"usage": {"inputTokens": 9}}
    responses = [
        ChatResponse(message=message("assistant", "x"), raw=raw, additional_kwargs=BROKEN) for _ in range(3)
    ]
    with caplog.at_level(logging.WARNING, "cachepoint"):
        if legacy:
            handler = CacheUsageLegacyHandler()
            for response in responses:
                handler.on_event_end("llm", {"response": response})
        else:
            handler = CacheUsageEventHandler()
            for response in responses:
                handler.handle(LLMChatEndEvent(messages=[], response=response))
    assert handler.errors == 3
    assert caplog.text.count("failed at counting a response") == 1
    assert handler.calls == 0


@pytest.mark.parametrize("raw", [None, {}, {"usage": None}, {"usage": {"prompt_tokens": 3}}, object()])
def test_other_models_are_passed_over(raw):
    handler = CacheUsageEventHandler()
    handler.handle(LLMChatEndEvent(messages=[], response=ChatResponse(message=message("user", "x"), raw=raw)))
    handler.handle(LLMChatEndEvent(messages=[], response=None))
    assert (handler.calls, handler.errors) == (0, 0)


def test_the_legacy_manager_of_settings(llm, bedrock, monkeypatch):
    usage = CacheUsageLegacyHandler()
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([usage]))
    Settings.llm = llm
    bedrock.say(ToolResponder(steps=1))
    Settings.llm.predict_and_call(TOOLS, user_msg="Is it in stock?")
    Settings.llm.complete("hi")
    assert agrees(usage, bedrock)

"""Type-checked, not run: what the public names look like to a type checker."""

from datetime import datetime
from decimal import Decimal
from typing import Literal, assert_type

from langchain_aws import ChatBedrockConverse
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding
from llama_index.core.base.llms.types import ChatMessage

import cachepoint
from cachepoint import CachePolicy, CallReport, Miss, Outlook, PromptCache, Usage
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core.policy import PolicyOptions
from cachepoint.emulator import BedrockEmulator, Calls, EmulatedCall
from cachepoint.langchain import (
    CachedChatAnthropicBedrock,
    CachedChatBedrock,
    CachedChatBedrockConverse,
    CachepointMiddleware,
    CacheUsageCallbackHandler,
    get_cache_usage_callback,
)
from cachepoint.llama_index import CachedBedrockConverse
from cachepoint.reporting.prompt import Picture
from cachepoint.testing import CacheCall, CacheCalls, local_bedrock

llm = CachedChatBedrockConverse(model="us.anthropic.claude-sonnet-4-6", cache_policy={"ttl": "1h"})
base: ChatBedrockConverse = llm
chat_model: BaseChatModel = llm

assert_type(llm.cache_policy, CachePolicy | None)
assert_type(llm.prompt_cache, PromptCache | None)
assert_type(llm.invoke("hi"), AIMessage)
assert_type(CachedChatBedrockConverse.from_model(base), CachedChatBedrockConverse)
CachedChatBedrockConverse.from_model(base, cache_policy="off", prompt_cache=PromptCache())
CachedChatBedrockConverse.from_model("us.anthropic.claude-sonnet-4-6")  # type: ignore[arg-type]

bound = llm.bind(cache_policy=CachePolicy(tail="never"))
binding: RunnableBinding[LanguageModelInput, AIMessage] = bound
tooled: Runnable[LanguageModelInput, AIMessage] = bound.bind_tools([])
assert_type(bound.invoke("hi"), AIMessage)
assert_type(llm.with_config(tags=["a"]).bind(stop=["x"]).invoke("hi"), AIMessage)

assert_type(llm.warm("hi"), CallReport)
assert_type(llm.bind(stop=["x"]).warm("hi"), CallReport)

handler = CacheUsageCallbackHandler()
assert_type(handler.total, Usage)
assert_type(handler.hit_share, float | None)
assert_type(handler.saved, Decimal | None)
assert_type(handler.calls, int)
assert_type(handler.usage_by_model["m"], Usage)

with get_cache_usage_callback() as usage:
    assert_type(usage, CacheUsageCallbackHandler)

outlook = llm.cache_outlook("hi", also="us.amazon.nova-lite-v1:0")
assert_type(outlook, Outlook)
assert_type(outlook.state, Literal["warm", "cold", "unknown"])
assert_type(outlook.until, float | None)
assert_type(outlook.expires, datetime | None)
assert_type(outlook.seconds_left, float | None)
assert_type(outlook.read_tokens, int | None)
assert_type(outlook.price_now, Decimal | None)
assert_type(outlook.price_also, Decimal | None)
assert_type(outlook.also, Outlook | None)
assert_type(llm.bind(stop=["x"]).cache_outlook("hi"), Outlook)
assert_type(PromptCache().outlook({"messages": []}, "us.amazon.nova-lite-v1:0"), Outlook)
assert_type(CachingClient(None).cache_outlook({}), Outlook)
chat_engine_model = CachedBedrockConverse(model="us.anthropic.claude-sonnet-4-6")
assert_type(chat_engine_model.cache_outlook([ChatMessage("hi")], tools=[], also=None), Outlook)


async def awaited() -> None:
    assert_type(await llm.acache_outlook("hi"), Outlook)
    assert_type(await llm.bind(stop=["x"]).acache_outlook("hi"), Outlook)
    assert_type(await PromptCache().aoutlook({"messages": []}), Outlook)
    assert_type(await AsyncCachingClient(None).cache_outlook({}), Outlook)
    assert_type(await chat_engine_model.acache_outlook([ChatMessage("hi")]), Outlook)


# What people write, in all its forms.
Anything = CachePolicy | PolicyOptions | Literal["auto", "off"] | None


def right(policy: Anything, memory: PromptCache | None, options: PolicyOptions) -> None:
    CachedChatBedrockConverse(model="m", region_name="us-east-1", temperature=0.5, max_tokens=100, stop=["x"])
    CachedChatBedrockConverse(model="m", cache_policy=policy, prompt_cache=memory)
    CachedChatBedrock(model="m", region="us-east-1", model_kwargs={"temperature": 0.5}, streaming=True)
    CachedChatBedrock(model="m", cache_policy={"tail": "always", "head_ttl": None}, prompt_cache=memory)
    CachedChatAnthropicBedrock(model="m", region_name="us-east-1", max_tokens=100, timeout=1.0, stop=["x"])
    CachedChatAnthropicBedrock(model="m", base_model_id="b", cache_policy="off", prompt_cache=memory)
    CachedBedrockConverse("m", 0.5, region_name="us-east-1", max_tokens=100, additional_kwargs={"a": 1})
    CachedBedrockConverse(model="m", cache_policy=CachePolicy(ttl="1h"), prompt_cache=memory)
    CachingClient(object(), policy={"fan_out": "warm_first"}, cache=memory, base_model_id="b", control=None)
    AsyncCachingClient(object(), policy=policy)
    CachepointMiddleware(cache_policy=policy, prompt_cache=memory, unsupported_model_behavior="raise")
    PromptCache(options, observers=[cachepoint.observers.log()], namespace="a").prepare(
        {"messages": []}, "m", policy="off"
    )
    CachePolicy(**options).but(**options)
    cachepoint.configure(policy, ttl="1h")
    llm.cache_policy = {"ttl": "1h"}
    llm.cache_policy = None
    chat_engine_model.cache_policy = "off"
    assert_type(chat_engine_model.cache_policy, CachePolicy | None)
    assert_type(cachepoint.show({"messages": []}, "m", policy=policy, cache=memory), Picture)
    with BedrockEmulator() as bedrock:
        assert_type(bedrock.calls, Calls)
        assert_type(bedrock.calls[0], EmulatedCall)
        assert_type(bedrock.calls[1:], Calls)


def test_it(cache_calls: CacheCalls) -> None:
    """As a user annotates the fixture."""
    assert_type(cache_calls[0], CacheCall)
    assert_type(cache_calls[1:].only(lambda call: call.usage.read_tokens is None), CacheCalls)
    assert_type(cache_calls[0].miss, Miss | None)
    assert_type(cache_calls[0].report, CallReport | None)
    assert_type(cache_calls.layout(), str)
    with local_bedrock(min_tokens=1) as bedrock:
        bedrock.advance(301)

"""Type-checked, not run: what the public names look like to a type checker."""

from datetime import datetime
from decimal import Decimal
from typing import Literal, assert_type

from langchain_aws import ChatBedrockConverse
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding
from llama_index.core.base.llms.types import ChatMessage

from cachepoint import CachePolicy, CallReport, Miss, Outlook, PromptCache, Usage
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.langchain import (
    CachedChatBedrockConverse,
    CacheUsageCallbackHandler,
    get_cache_usage_callback,
)
from cachepoint.llama_index import CachedBedrockConverse
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


def test_it(cache_calls: CacheCalls) -> None:
    """As a user annotates the fixture."""
    assert_type(cache_calls[0], CacheCall)
    assert_type(cache_calls[1:].only(lambda call: call.usage.read_tokens is None), CacheCalls)
    assert_type(cache_calls[0].miss, Miss | None)
    assert_type(cache_calls[0].report, CallReport | None)
    assert_type(cache_calls.layout(), str)
    with local_bedrock(min_tokens=1) as bedrock:
        bedrock.advance(301)

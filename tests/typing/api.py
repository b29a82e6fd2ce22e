"""Type-checked, not run: what the public names look like to a type checker."""

from decimal import Decimal
from typing import assert_type

from langchain_aws import ChatBedrockConverse
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding

from cachepoint import CachePolicy, CallReport, Miss, PromptCache, Usage
from cachepoint.langchain import (
    CachedChatBedrockConverse,
    CacheUsageCallbackHandler,
    get_cache_usage_callback,
)
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


def test_it(cache_calls: CacheCalls) -> None:
    """As a user annotates the fixture."""
    assert_type(cache_calls[0], CacheCall)
    assert_type(cache_calls[1:].only(lambda call: call.usage.read_tokens is None), CacheCalls)
    assert_type(cache_calls[0].miss, Miss | None)
    assert_type(cache_calls[0].report, CallReport | None)
    assert_type(cache_calls.layout(), str)
    with local_bedrock(min_tokens=1) as bedrock:
        bedrock.advance(301)

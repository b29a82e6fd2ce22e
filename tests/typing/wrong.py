"""Type-checked, not run: what mypy and pyright must flag. Each line that is wrong ignores what it is, for mypy.

An ignore that ignores nothing is an error of mypy's; `test_typing.py` holds pyright to the same lines.
"""

import cachepoint
from cachepoint import CachePolicy, PromptCache, configure, session
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.langchain import (
    CachedChatAnthropicBedrock,
    CachedChatBedrock,
    CachedChatBedrockConverse,
    CachepointMiddleware,
)
from cachepoint.llama_index import CachedBedrockConverse

MODEL = "us.anthropic.claude-sonnet-4-6"

# An argument of upstream's, misspelt.
CachedChatBedrockConverse(model=MODEL, temprature=1)  # type: ignore[call-arg]
CachedChatBedrock(model=MODEL, temprature=1)  # type: ignore[call-arg]
CachedChatAnthropicBedrock(model=MODEL, temprature=1)  # type: ignore[call-arg]
CachedBedrockConverse(model=MODEL, temprature=1)  # type: ignore[call-arg]
# One of another type.
CachedChatBedrockConverse(model=MODEL, temperature="hot")  # type: ignore[arg-type]
CachedBedrockConverse(model=MODEL, temperature="hot")  # type: ignore[arg-type]
CachedChatAnthropicBedrock(model=MODEL, max_tokens="many")  # type: ignore[arg-type]
# One that is left out.
CachedChatBedrockConverse()  # type: ignore[call-arg]
CachedChatAnthropicBedrock()  # type: ignore[call-arg]
CachedBedrockConverse()  # type: ignore[call-arg]
# An argument of ours, misspelt.
CachedChatBedrockConverse(model=MODEL, cache_polcy="off")  # type: ignore[call-arg]
CachedChatBedrock(model=MODEL, cachepolicy="off")  # type: ignore[call-arg]
CachedChatAnthropicBedrock(model=MODEL, promt_cache=None)  # type: ignore[call-arg]
CachedBedrockConverse(model=MODEL, cache_polcy="off")  # type: ignore[call-arg]
CachingClient(None, polcy="off")  # type: ignore[arg-type]
AsyncCachingClient(None, cach=None)  # type: ignore[arg-type]
PromptCache(polcy="off")  # type: ignore[call-overload]
CachepointMiddleware(cache_polcy="off")  # type: ignore[arg-type]
session("nightly", thread=False)  # type: ignore[call-arg]
# A value that there is not.
CachedChatBedrockConverse(model=MODEL, cache_policy="of")  # type: ignore[arg-type]
CachedBedrockConverse(model=MODEL, cache_policy=3)  # type: ignore[arg-type]
CachingClient(None, policy="on")  # type: ignore[arg-type]
CachePolicy(ttl="2h")  # type: ignore[arg-type]
CachepointMiddleware(unsupported_model_behavior="die")  # type: ignore[arg-type]
# An option that there is not.
CachePolicy(ttll="5m")  # type: ignore[call-arg]
CachePolicy().but(ttll="5m")  # type: ignore[call-arg]
configure(ttll="5m")  # type: ignore[call-arg]
CachedChatBedrockConverse(model=MODEL, cache_policy={"ttll": "5m"})  # type: ignore[arg-type]
CachedBedrockConverse(model=MODEL, cache_policy={"ttl": "2h"})  # type: ignore[arg-type]
PromptCache({"ttll": "5m"})  # type: ignore[call-overload]
CachedChatBedrockConverse(model=MODEL).cache_policy = "of"  # type: ignore[assignment]
# A name that there is not.
cachepoint.sesion("nightly")  # type: ignore[attr-defined]
CachedChatBedrockConverse(model=MODEL).cache_polcy  # type: ignore[attr-defined] # noqa: B018
CachedChatBedrockConverse(model=MODEL).outlook("hi")  # type: ignore[attr-defined]

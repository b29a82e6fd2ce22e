"""Prompt caching for LangChain's Bedrock models, and the account of what it saved."""

try:
    import langchain_aws as _langchain_aws  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint.langchain needs langchain-aws ({error.name} is missing): "
        'pip install "cachepoint[langchain]"'
    ) from error

from cachepoint.core.pricing import warm as _warm
from cachepoint.langchain.callbacks import CacheUsageCallbackHandler, get_cache_usage_callback
from cachepoint.langchain.chat_models import CachedChatBedrockConverse

_warm()

__all__ = [
    "CacheUsageCallbackHandler",
    "CachedChatBedrockConverse",
    "get_cache_usage_callback",
]

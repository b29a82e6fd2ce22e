"""Prompt caching for LlamaIndex's Bedrock model, and the account of what it saved."""

try:
    import llama_index.llms.bedrock_converse as _bedrock_converse  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint.llama_index needs llama-index-llms-bedrock-converse ({error.name} is missing): "
        'pip install "cachepoint[llama-index]"'
    ) from error

from cachepoint.core.accounting.pricing import warm as _warm
from cachepoint.llama_index.events import (
    CacheUsageEventHandler,
    CacheUsageLegacyHandler,
    get_cache_usage_callback,
)
from cachepoint.llama_index.llms import CachedBedrockConverse
from cachepoint.llama_index.retrieval import listen as _listen
from cachepoint.llama_index.shaping.agents import Shaped, ShapedFunctionAgent, ShapedReActAgent, Shaper, Step
from cachepoint.llama_index.shaping.changing import Relocate, RelocateMemory
from cachepoint.llama_index.shaping.documents import StableDocumentOrder, StableNodeOrder
from cachepoint.llama_index.shaping.history import StableMemory, StableTrimMemory
from cachepoint.llama_index.shaping.summaries import StableSummaryMemory
from cachepoint.llama_index.shaping.tool_results import StableClear, StableResults
from cachepoint.llama_index.shaping.tools import StableTools

_listen()
_warm()

__all__ = [
    "CacheUsageEventHandler",
    "CacheUsageLegacyHandler",
    "CachedBedrockConverse",
    "Relocate",
    "RelocateMemory",
    "Shaped",
    "ShapedFunctionAgent",
    "ShapedReActAgent",
    "Shaper",
    "StableClear",
    "StableDocumentOrder",
    "StableMemory",
    "StableNodeOrder",
    "StableResults",
    "StableSummaryMemory",
    "StableTools",
    "StableTrimMemory",
    "Step",
    "get_cache_usage_callback",
]

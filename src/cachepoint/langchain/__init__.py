"""Prompt caching for LangChain's Bedrock models, and the account of what it saved."""

from importlib import import_module as _import_module
from importlib.util import find_spec as _find_spec
from typing import TYPE_CHECKING

try:
    import langchain_aws as _langchain_aws  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint.langchain needs langchain-aws ({error.name} is missing): "
        'pip install "cachepoint[langchain]"'
    ) from error

from cachepoint.core.accounting.pricing import warm as _warm
from cachepoint.langchain import retrieval as _retrieval  # noqa: F401 -- registers itself
from cachepoint.langchain.callbacks import CacheUsageCallbackHandler, get_cache_usage_callback
from cachepoint.langchain.chat_models import LOAD_OPTIONS, CachedChatBedrock, CachedChatBedrockConverse

if TYPE_CHECKING:
    from cachepoint.langchain.anthropic import CachedChatAnthropicBedrock
    from cachepoint.langchain.middleware import CachepointMiddleware
    from cachepoint.langchain.shaping.changing import RelocateMiddleware, relocate_changing
    from cachepoint.langchain.shaping.documents import StableDocumentOrder
    from cachepoint.langchain.shaping.history import StableTrimMiddleware, trim_messages_stable
    from cachepoint.langchain.shaping.summaries import StableSummaryMiddleware
    from cachepoint.langchain.shaping.tool_results import (
        ClearToolUsesInBatches,
        StableClearMiddleware,
        StableResultsMiddleware,
        clear_tool_results_stable,
        order_tool_results,
    )
    from cachepoint.langchain.shaping.tools import StableTools, StableToolsMiddleware

# `langchain` and Anthropic's SDK are half a second each to import and may not be there: what is for agents,
# and what goes through the SDK, is loaded when asked for.
_LAZY = {
    "CachedChatAnthropicBedrock": "anthropic",
    "CachepointMiddleware": "middleware",
    "ClearToolUsesInBatches": "shaping.tool_results",
    "RelocateMiddleware": "shaping.changing",
    "StableDocumentOrder": "shaping.documents",
    "StableClearMiddleware": "shaping.tool_results",
    "StableResultsMiddleware": "shaping.tool_results",
    "StableSummaryMiddleware": "shaping.summaries",
    "clear_tool_results_stable": "shaping.tool_results",
    "StableTools": "shaping.tools",
    "StableToolsMiddleware": "shaping.tools",
    "StableTrimMiddleware": "shaping.history",
    "relocate_changing": "shaping.changing",
    "order_tool_results": "shaping.tool_results",
    "trim_messages_stable": "shaping.history",
}

__all__ = [
    "LOAD_OPTIONS",
    "CacheUsageCallbackHandler",
    "CachedChatAnthropicBedrock",
    "CachedChatBedrock",
    "CachedChatBedrockConverse",
    "CachepointMiddleware",
    "ClearToolUsesInBatches",
    "RelocateMiddleware",
    "StableClearMiddleware",
    "StableDocumentOrder",
    "StableResultsMiddleware",
    "StableSummaryMiddleware",
    "StableTools",
    "StableToolsMiddleware",
    "StableTrimMiddleware",
    "clear_tool_results_stable",
    "get_cache_usage_callback",
    "order_tool_results",
    "relocate_changing",
    "trim_messages_stable",
]
# `import *` asks for each of these, and what is not named can still be asked for.
_NEEDS = {
    "CachedChatAnthropicBedrock": "langchain_anthropic",
    "CachepointMiddleware": "langchain",
}
__all__ = [name for name in __all__ if name not in _NEEDS or _find_spec(_NEEDS[name]) is not None]

_warm()


if not TYPE_CHECKING:
    # Type checkers would take any name for one of ours.
    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})

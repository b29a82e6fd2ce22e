"""Prompt caching for the model of langchain-aws that goes through Anthropic's own SDK."""

try:
    import langchain_anthropic as _langchain_anthropic  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(
        f"CachedChatAnthropicBedrock needs langchain-anthropic ({error.name} is missing): "
        'pip install "cachepoint[anthropic]"'
    ) from error

from cachepoint.langchain.anthropic.chat_model import CachedChatAnthropicBedrock

__all__ = ["CachedChatAnthropicBedrock"]

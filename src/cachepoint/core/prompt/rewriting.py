"""What rewrote a history: the shapes that LangChain's context editing leaves behind."""

from typing import Any

from cachepoint.core.prompt.dialects.reading import fields_of
from cachepoint.core.prompt.prefix import RawBlock

# langchain 1.4.7: DEFAULT_TOOL_PLACEHOLDER, and SummarizationMiddleware._build_new_messages.
_CLEARED = frozenset({"[cleared]"})
SUMMARISED = "history summarised"
_SUMMARY = "Here is a summary of the conversation to date:"


# How frameworks ask for a summary in a request of its own: SummarizationMiddleware of langchain 1.4.7,
# ChatSummaryMemoryBuffer of llama-index-core 0.14.
_ASKED = (
    "<role>\nContext Extraction Assistant\n</role>",
    "The following is a conversation between the user and assistant. Write a concise summary",
)


def asks_for_summary(block: RawBlock) -> bool:
    """Whether a request that begins with this block asks for a summary of another conversation."""
    return isinstance(block.payload, str) and block.payload.lstrip().startswith(_ASKED)


def rewriting(block: RawBlock) -> str | None:
    """What rewrote the history at this block; None where it does not tell."""
    if block.layer != "messages":
        return None
    if block.kind == "text" and block.role != "assistant" and str(block.payload).startswith(_SUMMARY):
        return SUMMARISED
    if block.kind in {"toolResult", "tool_result"} and _only_text(block.payload) in _CLEARED:
        return "tool results cleared"
    return None


def _only_text(payload: Any) -> str | None:
    result = fields_of(payload)
    content = fields_of(result.get("toolResult", result)).get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or len(content) != 1:
        return None
    text = fields_of(content[0]).get("text")
    return text if isinstance(text, str) else None

"""An agent whose model was built elsewhere, cached by a middleware."""

import inspect
import textwrap

from _bedrock import MODEL, bedrock
from langchain.agents import create_agent
from langchain.agents.middleware import ContextEditingMiddleware
from langchain.chat_models import init_chat_model

from cachepoint.langchain import CachepointMiddleware, ClearToolUsesInBatches, get_cache_usage_callback


def read_source(function: str) -> str:
    """Read the source of a function or class of the module textwrap."""
    return inspect.getsource(getattr(textwrap, function, textwrap.wrap))


with bedrock() as where:
    agent = create_agent(
        # Or the name alone: create_agent("bedrock_converse:us.anthropic.claude-sonnet-4-6", ...)
        init_chat_model(f"bedrock_converse:{MODEL}", **where),
        [read_source],
        system_prompt="You review this module:\n" + inspect.getsource(textwrap),
        middleware=[
            # Clears old tool results many at a time, so that what is kept stays in the cache.
            ContextEditingMiddleware(edits=[ClearToolUsesInBatches(trigger=60_000)]),
            # Last, so that it also gets the models that other middleware choose.
            CachepointMiddleware(),
        ],
    )
    with get_cache_usage_callback() as usage:
        agent.invoke({"messages": [("user", "Read the source of the function shorten and explain it.")]})
    print(f"{usage.calls} calls: read {usage.total.read_tokens}, written {usage.total.write_tokens}")

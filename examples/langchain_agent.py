"""An agent of LangChain with a cached model. Every step reads what the steps before it wrote."""

import inspect
import textwrap

from _bedrock import MODEL, bedrock
from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from cachepoint.langchain import CachedChatBedrockConverse


def read_source(function: str) -> str:
    """Read the source of a function or class of the module textwrap."""
    return inspect.getsource(getattr(textwrap, function, textwrap.wrap))


def count_lines(function: str) -> int:
    """Count the lines of a function or class of the module textwrap."""
    return len(read_source(function).splitlines())


with bedrock() as where:
    agent = create_agent(
        CachedChatBedrockConverse(model=MODEL, **where),
        [read_source, count_lines],
        system_prompt="You review this module:\n"
        + inspect.getdoc(textwrap.TextWrapper)
        + inspect.getsource(textwrap),
    )
    state = agent.invoke({"messages": [("user", "Read the source of the function shorten and explain it.")]})
    for message in state["messages"]:
        if isinstance(message, AIMessage):
            usage = message.response_metadata["cachepoint"]["usage"]
            did = ", ".join(call["name"] for call in message.tool_calls) or "answer"
            print(f"{did}: read {usage['read_tokens']}, written {usage['write_tokens']}")

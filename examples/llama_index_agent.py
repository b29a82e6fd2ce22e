"""An agent on LlamaIndex: every step reads what the one before it sent."""

import asyncio
import inspect
import textwrap
import warnings

from _bedrock import MODEL, bedrock
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import Memory

from cachepoint.llama_index import CachedBedrockConverse, get_cache_usage_callback

# LlamaIndex's Memory leaves its in-memory database for Python to close, and its workflows look at members of
# pydantic that are deprecated.
warnings.simplefilter("ignore", ResourceWarning)
warnings.simplefilter("ignore", DeprecationWarning)

QUESTIONS = ("Search the stock for a pump.", "Search the stock for a valve.", "Search the stock for a hose.")


def search(part: str) -> str:
    """Search the stock for a part."""
    return f"There are 3 of {part} in stock."


async def main() -> None:
    with bedrock() as where:
        agent = FunctionAgent(
            llm=CachedBedrockConverse(model=MODEL, **where),
            system_prompt="Write all answers with this module in mind:\n" + inspect.getsource(textwrap),
            tools=[search],
        )
        memory = Memory.from_defaults(token_limit=100_000)
        with get_cache_usage_callback() as usage:
            for question in QUESTIONS:
                await agent.run(question, memory=memory)
        print(usage)


asyncio.run(main())

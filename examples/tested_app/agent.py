"""An agent on LlamaIndex: it searches the stock and looks up prices."""

from collections.abc import Sequence

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool

from cachepoint.llama_index import CachedBedrockConverse
from handbook import HANDBOOK


def search(part: str) -> str:
    """Search the stock for a part."""
    return f"There are 3 of {part} in stock."


def price(part: str) -> str:
    """Look up what a part costs."""
    return f"{part} costs 40 euros."


def tools() -> list[FunctionTool]:
    return [FunctionTool.from_defaults(search), FunctionTool.from_defaults(price)]


async def answer(questions: Sequence[str]) -> list[str]:
    agent = FunctionAgent(
        llm=CachedBedrockConverse(model="us.anthropic.claude-sonnet-4-6"),
        system_prompt=f"You sell pumps. You know this handbook:\n{HANDBOOK}",
        tools=tools(),
    )
    memory = Memory.from_defaults(token_limit=100_000)
    return [str(await agent.run(question, memory=memory)) for question in questions]

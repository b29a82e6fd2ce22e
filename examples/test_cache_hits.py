"""A test for CI, without an AWS account: the second turn of a chat reads what the first one wrote.

Run it with `pytest examples/test_cache_hits.py`.
"""

import inspect
import textwrap
from collections.abc import Iterator

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from cachepoint import PromptCache
from cachepoint.emulator import BedrockEmulator
from cachepoint.langchain import CachedChatBedrockConverse

LOCAL = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
MANUAL = SystemMessage(inspect.getsource(textwrap))


@pytest.fixture
def bedrock() -> Iterator[BedrockEmulator]:
    with BedrockEmulator() as emulator:
        yield emulator


@pytest.fixture
def llm(bedrock: BedrockEmulator) -> CachedChatBedrockConverse:
    return CachedChatBedrockConverse(
        model="us.anthropic.claude-sonnet-4-6",
        endpoint_url=bedrock.url,
        **LOCAL,
        # One clock: what the emulator's `advance` ends has ended for the cache too.
        prompt_cache=PromptCache(clock=bedrock.now),
    )


def test_the_second_turn_reads_the_first(llm: CachedChatBedrockConverse, bedrock: BedrockEmulator) -> None:
    history = [MANUAL, HumanMessage("What does wrap do?")]
    history += [llm.invoke(history), HumanMessage("And dedent?")]
    llm.invoke(history)
    first, second = (call.usage for call in bedrock.calls)
    assert second["cacheReadInputTokens"] == first["cacheWriteInputTokens"] > 0
    print("read", second["cacheReadInputTokens"])


def test_five_minutes_later_it_is_gone(llm: CachedChatBedrockConverse, bedrock: BedrockEmulator) -> None:
    llm.invoke([MANUAL, HumanMessage("What does wrap do?")])
    bedrock.advance(301)
    llm.invoke([MANUAL, HumanMessage("What does wrap do?")])
    assert bedrock.calls[1].usage["cacheReadInputTokens"] == 0

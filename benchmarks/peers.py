"""Where other libraries put checkpoints, as functions of a request; `make compare` holds each to its library.

Each is for what the streams of `compare.py` have: Claude, texts, tools and their results, and no checkpoint
of the user's own. What else a library does (documents in blocks, other models, TTLs) is not said here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from simulate import POINT, Request, langchain_aws, system_and_tail, system_only, uncached

# pydantic-ai's: so many blocks behind where the last request ended, that place gets a checkpoint of its own.
_SPAN = 18


class Peer(NamedTuple):
    """A library and its layout.

    Attributes:
        said: What a user turns on.
        package: Its name on PyPI; "" of what is no library.
        version: The one that was read and run.
        file: Where its placement is, in that version.
        place: A request without checkpoints to one with them.
    """

    said: str
    package: str
    version: str
    file: str
    place: Callable[[Request], Request]


def llama_index(request: Request) -> Request:
    """Both flags, called without aioboto3: `tool_caching` of the constructor is read by nothing."""
    return system_only(request)


def pydantic_ai(request: Request) -> Request:
    """Tools, system, the newest message, and where the last request ended once that is far."""
    messages = request["messages"]
    places = [len(messages) - 1]
    if len(messages) > 2:
        before = len(messages) - 3
        span = sum(len(message["content"]) for message in messages[before + 1 :])
        places += [before] if span >= _SPAN else []
    return marked(tools_too(system_only(request)), places)


def strands(request: Request) -> Request:
    """`strategy="auto"`: system and the last message of the user's side."""
    return system_and_tail(request)


def tools_too(request: Request) -> Request:
    tools = request.get("toolConfig")
    return {**request, "toolConfig": {**tools, "tools": [*tools["tools"], POINT]}} if tools else request


def marked(request: Request, places: Sequence[int]) -> Request:
    """A checkpoint at the end of these messages."""
    messages = [
        {**message, "content": [*message["content"], POINT]} if i in places else message
        for i, message in enumerate(request["messages"])
    ]
    return {**request, "messages": messages}


PEERS: Mapping[str, Peer] = {
    "nothing": Peer("no caching", "", "", "", uncached),
    "langchain-aws": Peer(
        "BedrockPromptCachingMiddleware()",
        "langchain-aws",
        "1.9.1",
        "langchain_aws/chat_models/bedrock_converse.py",
        langchain_aws,
    ),
    "LlamaIndex": Peer(
        "system_prompt_caching=True, tool_caching=True",
        "llama-index-llms-bedrock-converse",
        "0.15.5",
        "llama_index/llms/bedrock_converse/base.py",
        llama_index,
    ),
    "LiteLLM": Peer(
        "enable_anthropic_prompt_caching",
        "litellm",
        "1.109.1",
        "litellm/integrations/anthropic_cache_control_hook.py",
        system_and_tail,
    ),
    "pydantic-ai": Peer(
        "bedrock_cache_instructions, _tool_definitions, _messages",
        "pydantic-ai-slim",
        "2.68.0",
        "pydantic_ai/models/bedrock.py",
        pydantic_ai,
    ),
    "Strands": Peer(
        'CacheConfig(strategy="auto")',
        "strands-agents",
        "1.62.0",
        "strands/models/bedrock.py",
        strands,
    ),
}

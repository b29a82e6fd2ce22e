"""Requests of any size, and the answers of a Bedrock that wrote all that was marked."""

from collections.abc import Mapping
from typing import Any

from cachepoint import Call, PromptCache

MODEL = "us.anthropic.claude-sonnet-4-6"
WORDS = "every request is read as ordered blocks and each block has a digest of all up to it "

Request = dict[str, Any]


def text(tag: object, size: int) -> str:
    """A text of `size` characters that begins with its tag; a new object each time."""
    return (f"{tag}: " + WORDS * (size // len(WORDS) + 1))[:size]


def message(role: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def request(system: str, *asked: str) -> Request:
    """A system prompt and one user message, a block for each text."""
    return {"system": [{"text": system}], "messages": [message("user", *({"text": t} for t in asked))]}


def tool_pair(number: int, size: int) -> list[dict[str, Any]]:
    """A call of a tool and its result, both in new dicts."""
    use = {"path": f"src/module_{number}.py", "lines": [number, number + 80], "options": {"numbered": True}}
    result = {"toolUseId": f"use-{number}", "content": [{"text": text(number, size)}], "status": "success"}
    return [
        message("assistant", {"toolUse": {"toolUseId": f"use-{number}", "name": "read_file", "input": use}}),
        message("user", {"toolResult": result}),
    ]


def turn(cache: PromptCache, asked: Mapping[str, Any], model: str = MODEL) -> Call:
    """One call: prepared, answered, settled."""
    call = cache.prepare(asked, model)
    cache.settle(call, answer(call))
    return call


def answer(call: Call) -> dict[str, Any]:
    """What Bedrock says where all that was expected was read, and the rest up to the last mark written."""
    read = call.plan.expected_read_tokens or 0
    marked = max((c.tokens for c in call.plan.checkpoints), default=0)
    usage = {
        "inputTokens": 20,
        "outputTokens": 10,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": max(0, marked - read),
    }
    return {"usage": usage | {"totalTokens": sum(usage.values())}}

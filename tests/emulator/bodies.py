"""InvokeModel bodies, and ways to send them."""

import json
from contextlib import closing
from typing import Any

MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
HOUR: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
TOOL: dict[str, Any] = {
    "name": "get_weather",
    "description": "Get the weather at a location.",
    "input_schema": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    base = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 200}
    return {**base, "messages": list(messages) or [user("What now?")], **more}


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": _content(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": _content(content)}


def _content(content: tuple[Any, ...]) -> Any:
    alone = len(content) == 1 and isinstance(content[0], str)
    return content[0] if alone else [text(one) if isinstance(one, str) else one for one in content]


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def words(count: int, mark: str = "word") -> str:
    """About `count` tokens on a Claude of 4 bytes per token."""
    return f"{mark:<3.3} " * count


def use(call: str = "c1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": "get_weather", "input": {"location": "Rome"}, **more}


def result(call: str = "c1", content: Any = "sunny", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": content, **more}


def invoke(client, model: str, request: dict[str, Any], **more: Any) -> dict[str, Any]:
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(request), **more)["body"].read())


def stream(client, model: str, request: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.invoke_model_with_response_stream(modelId=model, body=json.dumps(request), **more)
    with closing(answer["body"]) as events:
        return [json.loads(event["chunk"]["bytes"]) for event in events]


def usage_of(client, model: str, request: dict[str, Any]) -> dict[str, Any]:
    return invoke(client, model, request)["usage"]


def cached(usage: dict[str, Any]) -> tuple[int, int]:
    return usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]

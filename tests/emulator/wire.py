"""Ways to speak to an emulator, shared by these tests."""

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import quote

import boto3
from botocore.config import Config

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "us.anthropic.claude-sonnet-4-6"
OPUS_48 = "global.anthropic.claude-opus-4-8"
SONNET_4 = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "us.amazon.nova-lite-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"

POINT: dict[str, Any] = {"cachePoint": {"type": "default"}}
HOUR: dict[str, Any] = {"cachePoint": {"type": "default", "ttl": "1h"}}
TOOL: dict[str, Any] = {
    "toolSpec": {
        "name": "get_weather",
        "description": "Get the weather at a location.",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"location": {"type": "string"}},
                "required": ["location"],
            }
        },
    }
}


def client(bedrock, service="bedrock-runtime", *, region="us-east-1", connections=10, validated=True):
    return boto3.client(
        service,
        endpoint_url=bedrock.url,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            retries={"total_max_attempts": 1},
            max_pool_connections=connections,
            read_timeout=20,
            parameter_validation=validated,
        ),
    )


def text(words: int, mark: str = "word") -> dict[str, Any]:
    """A block of about `words` tokens on a Claude of 4 bytes per token."""
    return {"text": f"{mark:<3.3} " * words}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(call: str = "c1", **arguments: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": call, "name": "get_weather", "input": arguments}}


def result(call: str = "c1", *content: dict[str, Any]) -> dict[str, Any]:
    return {"toolResult": {"toolUseId": call, "content": list(content) or [{"text": "sunny"}]}}


def post(bedrock, body: Any, model: str = SONNET, operation: str = "converse", **headers: str):
    """Raw HTTP, past boto3's own validation: status, headers, parsed body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = f"/model/{quote(model, safe='')}/{operation}"
    with closing(http.client.HTTPConnection("127.0.0.1", bedrock.port, timeout=10)) as connection:
        connection.request("POST", path, raw, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), json.loads(response.read())


def cached(usage: dict[str, Any]) -> tuple[int, int]:
    return usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]

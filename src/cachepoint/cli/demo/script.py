"""What the emulated model does as an agent: a plan that a careful model would follow, step by step."""

import copy
import json
from typing import Any

from cachepoint.emulator import ParsedRequest, Reply

_LOOKUP = {
    "toolSpec": {
        "name": "look_up_customer",
        "description": "The customer with this number.",
        "inputSchema": {"json": {"type": "object", "properties": {"number": {"type": "string"}}}},
    }
}
_REQUEST: dict[str, Any] = {
    "modelId": "MODEL_OR_PROFILE",
    "system": [{"text": "INSTRUCTIONS"}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "document": {
                        "format": "pdf",
                        "name": "contract",
                        "source": {"s3Location": {"uri": "s3://BUCKET/CONTRACT.pdf"}},
                    }
                },
                {"text": "QUESTION"},
            ],
        }
    ],
    "toolConfig": {"tools": [_LOOKUP]},
}

_HANDED_OVER = f"""\
The request below was found valid.

{json.dumps(_REQUEST, indent=2)}

- The cachePoint behind the instructions keeps them for an hour (ttl 1h).
- The document stands in front of the question, in the same message.
- Try again, with growing pauses, after ThrottlingException, ModelNotReadyException,
  ServiceUnavailableException and InternalServerException; correct the request after ValidationException;
  ask for rights after AccessDeniedException.
- usage.cacheReadInputTokens and usage.cacheWriteInputTokens say what was read and written; cacheDetails
  splits the writes by ttl."""


def _without(*path: Any) -> dict[str, Any]:
    request = copy.deepcopy(_REQUEST)
    inner: Any = request
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return request


def _check(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "validate_request", {"operation": "Converse", "request": request}


def _shapes(*names: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    return tuple(("describe_shape", {"name": name}) for name in names)


_DOCUMENT = ("messages", 0, "content", 0, "document")
_Step = tuple[str, tuple[tuple[str, dict[str, Any]], ...]]
STEPS: tuple[_Step, ...] = (
    ("I first look which operations there are.", (("list_operations", {}),)),
    ("Converse serves it. I read its description.", (("describe_operation", {"operation": "Converse"}),)),
    ("Next, what a message may hold.", _shapes("Message", "ContentBlock")),
    (
        "A PDF goes into a document block; where its bytes come from.",
        _shapes("DocumentBlock", "DocumentSource"),
    ),
    ("The document lies in S3.", _shapes("S3Location")),
    ("Now the cache: which fields speak of it.", (("find_fields", {"word": "cache"}),)),
    ("A checkpoint may stand in system.", _shapes("SystemContentBlock", "CachePointBlock", "CacheTTL")),
    (
        "The tool for looking up a customer.",
        _shapes("ToolConfiguration", "ToolSpecification", "ToolInputSchema"),
    ),
    ("I check a first version.", (_check(_without(*_DOCUMENT, "source")),)),
    ("The source was missing. I add it and check again.", (_check(_without(*_DOCUMENT, "name")),)),
    ("The name is required too.", (_check(_REQUEST),)),
    ("It is valid. What the caller has to handle.", (("list_errors", {"operation": "Converse"}),)),
    ("Last, where the response reports the cache.", _shapes("TokenUsage", "CacheDetail")),
)


def agent_script(request: ParsedRequest, /) -> Reply:
    """The step that follows what the conversation holds so far."""
    done = sum(message["role"] == "assistant" for message in request.messages)
    if done >= len(STEPS):
        return Reply.text(_HANDED_OVER)
    thought, calls = STEPS[done]
    uses = (
        {"toolUse": {"toolUseId": f"tooluse_{done:02}_{number}", "name": name, "input": arguments}}
        for number, (name, arguments) in enumerate(calls)
    )
    return Reply(({"text": thought}, *uses), stop_reason="tool_use")

"""Requests of Converse, as the rows need them."""

from typing import Any

from tests.emulator.wire import TOOL, assistant, result, use, user

SAY = {"text": "say"}
TOOLS: dict[str, Any] = {"toolConfig": {"tools": [TOOL]}}
THINKING: dict[str, Any] = {
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}
}
OUTPUT: dict[str, Any] = {
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": '{"type": "object"}', "name": "s"}},
        }
    }
}
STRICT: dict[str, Any] = {"toolConfig": {"tools": [{"toolSpec": {**TOOL["toolSpec"], "strict": True}}]}}
IMAGE = {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}


def turns(*history: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(history), **more}


def said(*blocks: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One message."""
    return turns(user(*blocks or (SAY,)), **more)


def prefilled(text: str = "say", **more: Any) -> dict[str, Any]:
    return turns(user(SAY), assistant({"text": text}), **more)


def document(name: str = "notes", kind: str = "txt", **more: Any) -> dict[str, Any]:
    return {"document": {"name": name, "format": kind, "source": {"bytes": b"notes"}, **more}}


def called(call: str = "c1", name: str = "get_weather") -> dict[str, Any]:
    block = {"toolUse": {"toolUseId": call, "name": name, "input": {}}}
    return turns(user(SAY), assistant(block), user(result(call)), **TOOLS)


def named(name: str) -> dict[str, Any]:
    spec = {**TOOL["toolSpec"], "name": name}
    return said(toolConfig={"tools": [{"toolSpec": spec}]})


def choosing(choice: dict[str, Any], **more: Any) -> dict[str, Any]:
    return said(toolConfig={"tools": [TOOL], "toolChoice": choice}, **more)


def gave(*parts: dict[str, Any]) -> dict[str, Any]:
    """A tool gave these."""
    return turns(user(SAY), assistant(use()), user(result("c1", *parts)), **TOOLS)


def thought(**reasoning: Any) -> dict[str, Any]:
    block = {"reasoningContent": {"reasoningText": {"text": "hm", **reasoning}}}
    return turns(user(SAY), assistant({"text": "so"}, block), user(SAY))


def additional(**fields: Any) -> dict[str, Any]:
    return said(additionalModelRequestFields=fields)


def guarded(text: str, identifier: str = "g1", **more: Any) -> dict[str, Any]:
    config = {"guardrailIdentifier": identifier, "guardrailVersion": "1", **more}
    return said({"text": text}, guardrailConfig=config)

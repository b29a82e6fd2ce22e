"""Agents whose tools stand in the prompt and whose calls are text: LlamaIndex's ReActAgent.

After `agent/react/templates/system_header_template.md` of llama-index-core 0.14.25, 2026.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from cachepoint.emulator.responders.reply import Reply
from cachepoint.emulator.responders.request import ParsedRequest
from cachepoint.emulator.responders.schema_form import is_schema
from cachepoint.emulator.responders.strict_json import read_json

__all__ = ["in_its_words"]

_TOOL, _ARGUMENTS, _FORM = "> Tool Name: ", "Tool Args: ", "\nAction Input: "
_ACTION, _SEEN = "Action: ", "Observation: "
_NEEDS = "Thought: I need to use a tool to help me answer the question."
_KNOWS = "Thought: I can answer without using any more tools. I'll use the user's language to answer"


def in_its_words(request: ParsedRequest, answer: Callable[[ParsedRequest], Reply]) -> Reply:
    """The answer; where the prompt asks for thoughts and actions, `answer` sees tools and calls instead."""
    system = "".join(block.get("text", "") for block in request.body.get("system") or ())
    if _TOOL not in system or _FORM not in system:
        return answer(request)
    body = {
        **request.body,
        "system": [{"text": system.partition(_FORM)[0]}],
        "messages": list(_messages(request)),
        "toolConfig": {"tools": list(_tools(system))},
    }
    reply = answer(replace(request, body=body))
    return replace(reply, content=({"text": _written(reply)},), stop_reason="end_turn")


def _tools(system: str) -> Iterator[dict[str, Any]]:
    for told in system.split(_TOOL)[1:]:
        name, _, rest = told.partition("\n")
        described, _, arguments = rest.partition(_ARGUMENTS)
        schema = _schema(arguments.partition("\n")[0])
        yield {"toolSpec": {"name": name.strip(), "description": described, "inputSchema": {"json": schema}}}


def _schema(text: str) -> dict[str, Any]:
    try:
        schema = read_json(text)
    except ValueError:
        return {}
    return schema if isinstance(schema, dict) and is_schema(schema) else {}


def _messages(request: ParsedRequest) -> Iterator[dict[str, Any]]:
    for message in request.messages:
        text = "".join(block.get("text", "") for block in message["content"])
        block = _block(message["role"], text)
        yield message if block is None else {**message, "content": [block]}


def _block(role: str, text: str) -> dict[str, Any] | None:
    """The call or the result that a text tells of; None where it tells of none."""
    if role == "assistant" and _FORM in text:
        name = text.partition(_ACTION)[2].partition("\n")[0]
        return {"toolUse": {"toolUseId": name, "name": name, "input": {}}}
    if role == "user" and text.startswith(_SEEN):
        return {"toolResult": {"toolUseId": "", "content": [{"text": text.removeprefix(_SEEN)}]}}
    return None


def _written(reply: Reply) -> str:
    use = next((block["toolUse"] for block in reply.content if "toolUse" in block), None)
    if use:
        arguments = json.dumps(use["input"], ensure_ascii=False)
        return f"{_NEEDS}\n{_ACTION}{use['name']}{_FORM}{arguments}"
    text = "".join(block.get("text", "") for block in reply.content)
    return f"{_KNOWS}\nAnswer: {text}"

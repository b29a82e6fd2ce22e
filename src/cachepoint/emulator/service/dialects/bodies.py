"""An Anthropic body of InvokeModel, as Converse would have it: checkpoints as blocks of their own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["plain"]

_CONTROL = "cache_control"
_Block = dict[str, Any]


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """The Converse request that says the same as a body that passed its checks."""
    messages = [
        {"role": message["role"], "content": list(_blocks(message["content"]))}
        for message in body["messages"]
    ]
    request = {
        "messages": _with_automatic(messages, body.get(_CONTROL)),
        "system": list(_blocks(body.get("system") or ())),
        "toolConfig": _tool_config(body),
        "inferenceConfig": _renamed(body, _INFERENCE),
        "additionalModelRequestFields": {key: body[key] for key in _ADDITIONAL if body.get(key) is not None},
        "outputConfig": _output(body),
    }
    return {key: value for key, value in request.items() if value or key == "messages"}


_INFERENCE = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
_ADDITIONAL = ("thinking", "output_config", "top_k", "anthropic_beta")


def _renamed(body: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: body[key] for key, name in names.items() if key in body}


def _output(body: dict[str, Any]) -> dict[str, Any]:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if "schema" not in wanted:
        return {}
    schema = json.dumps(wanted["schema"], ensure_ascii=False)
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema}}}}


def _tool_config(body: dict[str, Any]) -> dict[str, Any]:
    config = {"tools": list(_tools(body.get("tools") or ())), "toolChoice": _choice(body)}
    return {key: value for key, value in config.items() if value}


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    choice = body.get("tool_choice") or {}
    kind = choice.get("type")
    return {kind: {"name": choice["name"]} if kind == "tool" else {}} if kind else {}


def _tools(tools: Any) -> Iterator[_Block]:
    for tool in tools:
        yield _tool(_bare(tool))
        yield from _points(tool)


def _tool(tool: _Block) -> _Block:
    if tool.get("type", "custom") != "custom":
        return {"systemTool": tool}
    own = {key: value for key, value in tool.items() if key not in ("type", "input_schema")}
    return {"toolSpec": {**own, "inputSchema": {"json": tool["input_schema"]}}}


def _blocks(content: Any) -> Iterator[_Block]:
    if isinstance(content, str):
        yield {"text": content}
        return
    for block in content:
        yield _block(block)
        yield from _points(block)


def _points(block: _Block) -> Iterator[_Block]:
    """The checkpoints of a block, those in a tool's result first.

    They count, and their ttl is held to the order (Portkey gateway#1762, 2026). Where in a result the prefix
    of such a one ends is not known: here it ends with the result.
    """
    inner = block.get("content") if block.get("type") == "tool_result" else None
    for held in (*(inner if isinstance(inner, list) else ()), block):
        if control := held.get(_CONTROL):
            yield _point(control)


def _point(control: dict[str, Any]) -> _Block:
    ttl = control.get("ttl")
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}}


def _bare(block: _Block) -> _Block:
    return {key: value for key, value in block.items() if key != _CONTROL} if _CONTROL in block else block


def _block(block: _Block) -> _Block:
    bare = _bare(block)
    write = _WRITERS.get(bare["type"])
    return write(bare) if write else {bare["type"]: {k: v for k, v in bare.items() if k != "type"}}


def _text(block: _Block) -> _Block:
    cited = {"citations": block["citations"]} if block.get("citations") else {}
    return {"text": block["text"], **cited}


def _image(block: _Block) -> _Block:
    source = block["source"]
    kind = source["media_type"].rpartition("/")[2]
    return {"image": {"format": kind, "source": {"bytes": source["data"]}}}


_FORMATS = {"application/pdf": "pdf", "text/plain": "txt"}


def _document(block: _Block) -> _Block:
    source = block["source"]
    name = block.get("title") or ""
    kind = _FORMATS.get(source.get("media_type", "text/plain"), "txt")
    more = {key: block[key] for key in ("context", "citations") if block.get(key)}
    return {"document": {"name": name, "format": kind, "source": _document_source(source), **more}}


def _document_source(source: _Block) -> _Block:
    if source["type"] == "base64":
        return {"bytes": source["data"]}
    return {"text": source["data"] if source["type"] == "text" else json.dumps(source["content"])}


def _tool_use(block: _Block) -> _Block:
    return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}


def _tool_result(block: _Block) -> _Block:
    content = block.get("content") or []
    parts = [{"text": content}] if isinstance(content, str) else [_block(part) for part in content]
    status = {"status": "error"} if block.get("is_error") else {}
    return {"toolResult": {"toolUseId": block["tool_use_id"], "content": parts, **status}}


def _thinking(block: _Block) -> _Block:
    said = {"text": block["thinking"], "signature": block["signature"]}
    return {"reasoningContent": {"reasoningText": said}}


def _redacted(block: _Block) -> _Block:
    return {"reasoningContent": {"redactedContent": block["data"]}}


_WRITERS: dict[str, Callable[[_Block], _Block]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}


def _with_automatic(messages: list[_Block], control: dict[str, Any] | None) -> list[_Block]:
    # Automatic caching: one more point behind the last block that may carry one (Anthropic docs, 2026-10).
    if not control or not messages:
        return messages
    content = messages[-1]["content"]
    end = len(content)
    while end and "reasoningContent" in content[end - 1]:
        end -= 1
    point = _point(control)
    if not end or content[end - 1] == point:
        return messages
    return [*messages[:-1], {**messages[-1], "content": [*content[:end], point, *content[end:]]}]

"""The same conversations as InvokeModel bodies, with `cache_control` strewn over whatever can hold a key."""

import copy
from typing import Any

from converse_requests import bare as without_points
from converse_requests import conversations
from hypothesis import strategies as st

CONTROL = "cache_control"
_CONTROLS = st.sampled_from(
    [
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "5m"},
        {"type": "ephemeral", "ttl": "1h"},
        None,
    ]
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A Claude and the growing bodies of one conversation."""
    model, requests = draw(conversations().filter(lambda drawn: "claude" in drawn[0]))
    plain = [_body(without_points(request)) for request in requests]
    # Older models have no automatic caching.
    if "opus-4-8" in model and (automatic := draw(_CONTROLS)) is not None:
        plain = [{**body, CONTROL: automatic} for body in plain]
    if draw(st.booleans()):
        return model, plain
    marks = draw(st.lists(st.tuples(st.integers(0, 40), _CONTROLS), min_size=1, max_size=6))
    return model, [_marked(body, marks) for body in plain]


def bare(value: Any) -> Any:
    """The same without any checkpoint."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != CONTROL}
    return [bare(item) for item in value] if isinstance(value, list) else value


def joined(value: Any) -> Any:
    """The same with texts that stand beside each other as one, and a text as what it is short for."""
    if isinstance(value, dict):
        return {key: joined(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    out: list[Any] = []
    for item in map(joined, value):
        if out and isinstance(item, dict) and item.keys() == out[-1].keys() == {"type", "text"}:
            out[-1] = {**item, "text": out[-1]["text"] + item["text"]}
        else:
            out.append(item)
    return out


def _marked(body: dict[str, Any], marks: list[tuple[int, Any]]) -> dict[str, Any]:
    body = copy.deepcopy(body)
    holders = list(_holders(body))
    for place, control in marks:
        holder = holders[place % len(holders)]
        # null on a thinking block is a field too many, whoever sends it.
        if control or holder.get("type") != "thinking":
            holder[CONTROL] = copy.deepcopy(control)
    return body


def _holders(body: dict[str, Any]) -> Any:
    """Every block, in a tool's result too, oldest first, so that a place is the same in the grown body."""
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        for block in message["content"]:
            if isinstance(block.get("content"), list):
                yield from block["content"]
            yield block


def _body(request: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["toolSpec"] for tool in (request.get("toolConfig") or {}).get("tools", ())]
    choice = (request.get("toolConfig") or {}).get("toolChoice")
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "system": [_block(block) for block in request.get("system", ())],
        "tools": [
            {key: spec[key] for key in ("name", "description")}
            | {"input_schema": spec["inputSchema"]["json"]}
            for spec in tools
        ],
        "tool_choice": {"type": next(iter(choice))} if choice else None,
        "messages": [
            {"role": message["role"], "content": [_block(block) for block in message["content"]]}
            for message in request["messages"]
        ],
    }
    return {key: value for key, value in body.items() if value}


def _block(block: dict[str, Any]) -> dict[str, Any]:
    ((kind, held),) = block.items()
    return _KINDS[kind](held)


def _image(image: dict[str, Any]) -> dict[str, Any]:
    source = {"type": "base64", "media_type": f"image/{image['format']}", "data": "iVBORw=="}
    return {"type": "image", "source": source}


def _document(document: dict[str, Any]) -> dict[str, Any]:
    plain = {"type": "text", "media_type": "text/plain", "data": "a,b"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    return {
        "type": "document",
        "title": document["name"],
        "source": pdf if document["format"] == "pdf" else plain,
    }


_KINDS = {
    "text": lambda text: {"type": "text", "text": text},
    "image": _image,
    "document": _document,
    "toolUse": lambda use: {
        "type": "tool_use",
        "id": use["toolUseId"],
        "name": use["name"],
        "input": use["input"],
    },
    "toolResult": lambda result: {
        "type": "tool_result",
        "tool_use_id": result["toolUseId"],
        "content": [_block(part) for part in result["content"]],
    },
    "reasoningContent": lambda held: {
        "type": "thinking",
        "thinking": held["reasoningText"]["text"],
        "signature": held["reasoningText"]["signature"],
    },
}

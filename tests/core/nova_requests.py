"""The same conversations as Nova's InvokeModel bodies, with `cachePoint` as a key of any block that is a text."""

from typing import Any

from converse_requests import bare as without_points
from converse_requests import conversations
from converse_requests import joined as joined_texts
from hypothesis import strategies as st

POINT = "cachePoint"


@st.composite
def nova_bodies(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A Nova and the growing bodies of one conversation."""
    model, requests = draw(conversations().filter(lambda drawn: "nova" in drawn[0]))
    return model, [_body(request) for request in requests]


def bare(value: Any) -> Any:
    """The same without any checkpoint."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != POINT}
    return [bare(item) for item in value] if isinstance(value, list) else value


def joined(value: Any) -> Any:
    """The same with texts that stand beside each other as one."""
    return joined_texts(value)


def _body(request: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{**m, "content": _keyed(m["content"])} for m in request["messages"]],
        "inferenceConfig": {"maxTokens": 64},
    }
    if "system" in request:
        body["system"] = _keyed(request["system"])
    if "toolConfig" in request:
        body["toolConfig"] = without_points(request["toolConfig"])
    return body


def _keyed(blocks: list[Any]) -> list[Any]:
    """The blocks, each point as a key of the text before it; behind what is no text there is none."""
    out: list[Any] = []
    for block in blocks:
        if POINT not in block:
            out.append(block)
        elif out and "text" in out[-1]:
            out[-1] = {**out[-1], **block}
    return out

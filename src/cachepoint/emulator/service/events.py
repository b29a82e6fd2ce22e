"""A reply as the events of a ConverseStream answer."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cachepoint.emulator.responders import Reply

__all__ = ["Event", "StreamFault", "stream_events"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of an answer's stream; `kind` is a member of the operation's output."""

    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamFault:
    """An error after the stream began; `code` as for an answer that is refused."""

    code: str
    message: str


def stream_events(reply: Reply, metadata: dict[str, Any]) -> Iterator[Event | StreamFault]:
    """From messageStart to metadata, as 71 recorded streams: usage last, no contentBlockStart for text.

    Raises:
        ValueError: The reply holds what a stream cannot; before the first event, so that no stream is cut.
    """
    unknown = next((key for block in reply.content for key in block if key not in _DELTAS), None)
    if unknown is not None:
        raise ValueError(f"A streamed reply holds {', '.join(_DELTAS)}, not {unknown!r}.")
    return _events(reply, metadata)


def _events(reply: Reply, metadata: dict[str, Any]) -> Iterator[Event | StreamFault]:
    yield Event("messageStart", {"role": "assistant"})
    for index, block in enumerate(reply.content):
        yield from _block_events(block, index, reply.chunk_chars)
    if reply.fault:
        yield StreamFault(reply.fault.code, reply.fault.message)
        return
    yield Event("messageStop", {"stopReason": reply.stop_reason})
    yield Event("metadata", metadata)


def _block_events(block: dict[str, Any], index: int, size: int) -> Iterator[Event]:
    if "toolUse" in block:
        start = {key: block["toolUse"][key] for key in ("toolUseId", "name")}
        yield Event("contentBlockStart", {"start": {"toolUse": start}, "contentBlockIndex": index})
    for delta in _deltas(block, size):
        yield Event("contentBlockDelta", {"delta": delta, "contentBlockIndex": index})
    yield Event("contentBlockStop", {"contentBlockIndex": index})


def _deltas(block: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    key = next(iter(block))
    return _DELTAS[key](block[key], size)


def _text_deltas(text: str, size: int) -> Iterator[dict[str, Any]]:
    return ({"text": piece} for piece in _pieces(text, size))


def _tool_deltas(use: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    arguments = json.dumps(use["input"], ensure_ascii=False) if use["input"] else ""
    return ({"toolUse": {"input": piece}} for piece in _pieces(arguments, size))


def _reasoning_deltas(reasoning: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    if "redactedContent" in reasoning:
        yield {"reasoningContent": {"redactedContent": reasoning["redactedContent"]}}
        return
    text = reasoning["reasoningText"]
    yield from ({"reasoningContent": {"text": piece}} for piece in _pieces(text["text"], size))
    if text.get("signature"):
        yield {"reasoningContent": {"signature": text["signature"]}}


def _citation_deltas(cited: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    # Members of ContentBlockDelta in botocore 1.44.5: the text, then what it is cited from.
    text = "".join(part.get("text", "") for part in cited.get("content", ()))
    yield from _text_deltas(text, size)
    yield from ({"citation": citation} for citation in cited.get("citations", ()))


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size)) if text else iter([""])


_DELTAS: dict[str, Callable[[Any, int], Iterator[dict[str, Any]]]] = {
    "text": _text_deltas,
    "toolUse": _tool_deltas,
    "reasoningContent": _reasoning_deltas,
    "citationsContent": _citation_deltas,
}

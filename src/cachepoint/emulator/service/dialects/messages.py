"""Anthropic's Messages API through InvokeModel: the answer as body, headers and stream.

After the recordings of pydantic-ai on Haiku 4.5, 2026-08, and Anthropic's "Streaming messages", 2026.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

from cachepoint.emulator.cache.rules import bare_model, base_model
from cachepoint.emulator.service.dialects.bodies import plain
from cachepoint.emulator.service.dialects.dialect import (
    Dialect,
    Said,
    chunk,
    guarded,
    metrics,
    token_headers,
)
from cachepoint.emulator.service.events import Event, StreamFault, stream_events
from cachepoint.emulator.service.refusals import table

__all__ = ["MESSAGES"]

_Block = dict[str, Any]


def _answer(said: Said) -> dict[str, Any]:
    content = [_block(block) for block in said.reply.content]
    return {**_head(said), "content": content, **_stop(said), "usage": _usage(said), **guarded(said)}


def _head(said: Said) -> dict[str, Any]:
    bare = bare_model(base_model(said.model_id, {})).removeprefix("anthropic.").partition("-v1:")[0]
    return {
        "model": bare,
        "id": f"msg_bdrk_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
    }


def _stop(said: Said) -> dict[str, Any]:
    # A guardrail that blocks leaves it at end_turn: hermes-agent#107815, 2026-09.
    reason = said.reply.stop_reason
    stopped = "end_turn" if reason == "guardrail_intervened" else reason
    return {"stop_reason": stopped, "stop_sequence": said.reply.stop_sequence}


def _usage(said: Said, *, output: int | None = None) -> dict[str, Any]:
    return {
        "input_tokens": said.outcome.uncached,
        **(_cached(said) if said.rules.explicit else {}),
        "output_tokens": said.output if output is None else output,
    }


def _cached(said: Said) -> dict[str, Any]:
    by_ttl = dict(said.outcome.details)
    split = {f"ephemeral_{ttl}_input_tokens": by_ttl.get(ttl, 0) for ttl in ("5m", "1h")}
    return {
        "cache_creation_input_tokens": said.outcome.write,
        "cache_read_input_tokens": said.outcome.read,
        **({"cache_creation": split} if said.rules.cache_details else {}),
    }


def _block(block: _Block) -> _Block:
    key = next(iter(block))
    if key not in _BLOCKS:
        raise ValueError(f"A reply in Anthropic's form holds {', '.join(_BLOCKS)}, not {key!r}.")
    return _BLOCKS[key](block[key])


def _text(text: str) -> _Block:
    return {"type": "text", "text": text}


def _tool_use(use: _Block) -> _Block:
    return {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": use["input"]}


def _thinking(reasoning: _Block) -> _Block:
    if "redactedContent" in reasoning:
        return {"type": "redacted_thinking", "data": reasoning["redactedContent"]}
    said = reasoning["reasoningText"]
    return {"type": "thinking", "thinking": said["text"], "signature": said.get("signature", "")}


def _cited(cited: _Block) -> _Block:
    text = "".join(part.get("text", "") for part in cited.get("content", ()))
    return {"type": "text", "text": text, "citations": list(cited.get("citations", ()))}


_BLOCKS: dict[str, Callable[[Any], _Block]] = {
    "text": _text,
    "toolUse": _tool_use,
    "reasoningContent": _thinking,
    "citationsContent": _cited,
}


def _events(said: Said) -> Iterator[Event | StreamFault]:
    """The events of a ConverseStream answer, each in Anthropic's words and with what Converse leaves out."""
    blocks = [_opening(_block(block)) for block in said.reply.content]
    return _told(said, blocks, stream_events(said.reply, {}))


def _told(
    said: Said, blocks: list[_Block], events: Iterator[Event | StreamFault]
) -> Iterator[Event | StreamFault]:
    yield chunk({"type": "message_start", "message": _started(said)})
    opened = -1
    for event in events:
        if isinstance(event, StreamFault):
            yield event
            return
        index = event.payload.get("contentBlockIndex", -1)
        if index > opened:
            opened = index
            yield chunk({"type": "content_block_start", "index": index, "content_block": blocks[index]})
        if event.kind == "contentBlockDelta" and (delta := _delta(event.payload["delta"])):
            yield chunk({"type": "content_block_delta", "index": index, "delta": delta})
        if event.kind == "contentBlockStop":
            yield chunk({"type": "content_block_stop", "index": index})
    yield chunk({"type": "message_delta", "delta": _stop(said), "usage": _usage(said)})
    yield chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics(said), **guarded(said)})


def _started(said: Said) -> dict[str, Any]:
    empty: _Block = {"content": [], "stop_reason": None, "stop_sequence": None}
    return {**_head(said), **empty, "usage": _usage(said, output=1)}


_EMPTY: _Block = {"text": "", "input": {}, "thinking": "", "signature": "", "citations": []}


def _opening(block: _Block) -> _Block:
    """A block before anything of it was said."""
    return {key: _EMPTY.get(key, value) for key, value in block.items()}


def _delta(delta: _Block) -> _Block | None:
    (key,) = delta
    value = delta[key]
    if key == "reasoningContent":
        (key,) = value
        value = value[key]
        return _REASONING[key](value) if key in _REASONING else None
    return _DELTAS[key](value)


_DELTAS: dict[str, Callable[[Any], _Block]] = {
    "text": lambda text: {"type": "text_delta", "text": text},
    "toolUse": lambda use: {"type": "input_json_delta", "partial_json": use["input"]},
    "citation": lambda citation: {"type": "citations_delta", "citation": citation},
}
_REASONING: dict[str, Callable[[Any], _Block]] = {
    "text": lambda text: {"type": "thinking_delta", "thinking": text},
    "signature": lambda signature: {"type": "signature_delta", "signature": signature},
}

MESSAGES = Dialect(
    api="invoke",
    shape=table.body_shape,
    plain=plain,
    checks=table.MESSAGES,
    answer=_answer,
    headers=token_headers,
    events=_events,
)

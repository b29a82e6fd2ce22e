"""Nova's own body of InvokeModel: Converse's words, with `cachePoint` as a key of the block that it marks.

AWS user guide "Complete request schema" of Nova, 2026; LiteLLM 1.109.1 on where the key may be.
"""

from collections.abc import Iterator
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.dialects.dialect import Dialect, Said, chunk, guarded, metrics, token_headers
from cachepoint.emulator.service.events import Event, StreamFault, stream_events
from cachepoint.emulator.service.refusals import table
from cachepoint.emulator.service.refusals.fields import nova_fault, without_nulls_of_nova
from cachepoint.emulator.service.refusals.request import Refusal, invalid

__all__ = ["NOVA"]

_INFERENCE = {"max_new_tokens": "maxTokens", "top_p": "topP"}
# Settings of the model, which Converse has elsewhere and nothing here depends on.
_ELSEWHERE = frozenset({"topK", "reasoningConfig"})


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """The Converse request that says the same as a body that passed its checks."""
    body = without_nulls_of_nova(body)
    messages = [{**message, "content": list(_split(message["content"]))} for message in body["messages"]]
    config = body.get("toolConfig") or {}
    inference = body.get("inferenceConfig") or {}
    request = {
        "messages": messages,
        "system": list(_split(body.get("system") or ())),
        "toolConfig": {**config, "tools": list(_split(config.get("tools") or ()))} if config else {},
        "inferenceConfig": {_INFERENCE.get(k, k): v for k, v in inference.items() if k not in _ELSEWHERE},
    }
    return {key: value for key, value in request.items() if value or key == "messages"}


def _split(blocks: Any) -> Iterator[dict[str, Any]]:
    for block in blocks:
        yield {key: value for key, value in block.items() if key != "cachePoint"}
        if block.get("cachePoint"):
            yield {"cachePoint": block["cachePoint"]}


def _answer(said: Said) -> dict[str, Any]:
    return {
        "output": {"message": {"content": list(said.reply.content), "role": "assistant"}},
        "stopReason": said.reply.stop_reason,
        "usage": _usage(said),
        **guarded(said),
    }


def _usage(said: Said) -> dict[str, int]:
    return {
        "inputTokens": said.outcome.uncached,
        "outputTokens": said.output,
        "totalTokens": said.usage["totalTokens"],
        "cacheReadInputTokenCount": said.outcome.read,
        "cacheWriteInputTokenCount": said.outcome.write,
    }


def _events(said: Said) -> Iterator[Event | StreamFault]:
    events = stream_events(said.reply, {"usage": _usage(said), "metrics": {}, "trace": {}})
    return (_told(event, said) for event in events)


def _told(event: Event | StreamFault, said: Said) -> Event | StreamFault:
    if isinstance(event, StreamFault):
        return event
    last = {"amazon-bedrock-invocationMetrics": metrics(said), **guarded(said)}
    return chunk({event.kind: event.payload, **(last if event.kind == "metadata" else {})})


def _shape(body: Any, rules: ModelRules) -> Refusal | None:
    body = without_nulls_of_nova(body)
    if fault := nova_fault(body) or _lone_point(body):
        return invalid(fault)
    return table.converse_shape(plain(body), rules)


def _lone_point(body: dict[str, Any]) -> str | None:
    """A checkpoint that is a block of its own, as Converse has them."""
    for index, message in enumerate(body["messages"]):
        for number, block in enumerate(message["content"]):
            if block.keys() == {"cachePoint"}:
                at = f"#/messages/{index}/content/{number}"
                text = f"{at}: extraneous key [cachePoint] is not permitted"
                return f"Malformed input request: {text}, please reformat your input and try again."
    return None


NOVA = Dialect(
    api="invoke",
    shape=_shape,
    plain=plain,
    checks=table.NOVA,
    answer=_answer,
    headers=token_headers,
    events=_events,
)

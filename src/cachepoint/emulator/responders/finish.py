"""A reply as the model would have sent it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.cache.tokens import count_text
from cachepoint.emulator.responders.reply import Reply
from cachepoint.emulator.responders.request import ParsedRequest
from cachepoint.emulator.responders.signature import sign

__all__ = ["finish"]

_Cutter = Callable[[str], str]


def finish(reply: Reply, request: ParsedRequest, rules: ModelRules) -> Reply:
    """Thinking first, cut at stop sequences and at maxTokens."""
    reply = _stopped(reply, request)
    reply = _cut(reply, _length_cutter(request, rules), "max_tokens")
    return replace(reply, content=(*_thinking(request, reply), *reply.content))


def _cut(reply: Reply, cutter: _Cutter, stop_reason: str) -> Reply:
    content: list[dict[str, Any]] = []
    for block in reply.content:
        short = cutter(block["text"]) if "text" in block else None
        content.append(block if short is None else {"text": short})
        if short is not None and short != block["text"]:
            return replace(reply, content=tuple(content), stop_reason=stop_reason)
    return reply


def _stopped(reply: Reply, request: ParsedRequest) -> Reply:
    stops = [stop for stop in request.inference.get("stopSequences") or () if stop]
    found: list[str] = []

    def cut(text: str) -> str:
        at, stop = min(((at, stop) for stop in stops if (at := text.find(stop)) >= 0), default=(-1, ""))
        if at < 0:
            return text
        found.append(stop)
        return text[:at]

    reply = _cut(reply, cut, "stop_sequence")
    return replace(reply, stop_sequence=found[0]) if found else reply


def _length_cutter(request: ParsedRequest, rules: ModelRules) -> _Cutter:
    left = request.inference.get("maxTokens") or 4096

    def cut(text: str) -> str:
        nonlocal left
        text = _shortened(text, left, rules)
        left = max(1, left - count_text(text, rules))
        return text

    return cut


def _shortened(text: str, tokens: int, rules: ModelRules) -> str:
    while (size := count_text(text, rules)) > tokens and len(text) > 1:
        text = text[: max(1, min(len(text) - 1, len(text) * tokens // size))]
    return text


def _thinking(request: ParsedRequest, reply: Reply) -> tuple[dict[str, Any], ...]:
    if not request.thinks or any("reasoningContent" in block for block in reply.content):
        return ()
    text = f"The question is: {request.question.strip()[:200]}"
    return ({"reasoningContent": {"reasoningText": {"text": text, "signature": sign(text)}}},)

"""What the emulated model says. A responder gets a request and gives a reply; none of them is random."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from threading import Lock
from typing import Any, Protocol

from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.cache.tokens import count_text
from cachepoint.emulator.service.reading import ParsedRequest, keywords
from cachepoint.emulator.service.schema import Hints, valid_value

__all__ = [
    "AutoResponder",
    "EmulatedError",
    "ReplayResponder",
    "Reply",
    "Responder",
    "ScriptedResponder",
    "TextResponder",
    "ToolResponder",
    "finish",
]

_SENTENCES = 2
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Reply:
    """An assistant message in Converse form.

    `delay` is seconds before it begins, `pause` seconds between the events of a stream, `chunk_chars`
    the length of its deltas. With a `fault` a stream breaks off before messageStop; Converse is refused.
    """

    content: tuple[dict[str, Any], ...]
    stop_reason: str = "end_turn"
    delay: float = 0.0
    pause: float = 0.0
    chunk_chars: int = 24
    fault: EmulatedError | None = None

    @classmethod
    def text(cls, text: str) -> Reply:
        """A reply of one text block."""
        return cls(({"text": text},))


class EmulatedError(Exception):
    """Raised by a responder to have the call refused, such as with a throttle."""

    def __init__(self, message: str, *, code: str = "ThrottlingException", status: int = 429) -> None:
        super().__init__(message)
        self.message, self.code, self.status = message, code, status


class Responder(Protocol):
    """From a request to its reply. Called from many threads at once."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        ...


class TextResponder:
    """Answers with the sentences of the prompt that share most words with the question."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        return Reply.text(_structured(request) or _quote(request))


class ToolResponder:
    """Calls the tools it is given, with arguments that their schemas allow, then answers from the results.

    `tools` names those to call (all that are given if None), `steps` is how many rounds precede the answer,
    `parallel` how many calls one round makes.
    """

    def __init__(self, tools: Sequence[str] | None = None, *, steps: int = 1, parallel: int = 1) -> None:
        self._tools, self._steps, self._parallel = tools, steps, parallel

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        specs = [spec for spec in request.tools if self._tools is None or spec["name"] in self._tools]
        done = request.tool_rounds
        if not specs or done >= self._steps:
            return TextResponder()(request)
        first = done * self._parallel
        return _calls(request, [specs[(first + n) % len(specs)] for n in range(self._parallel)])


class ScriptedResponder:
    """Gives the replies in order: texts, replies, or errors to raise. After the last, `then` answers."""

    def __init__(
        self, replies: Iterable[Reply | str | EmulatedError], *, then: Responder | None = None
    ) -> None:
        self._replies: Iterator[Reply | str | EmulatedError] = iter(replies)
        self._then: Responder = then or TextResponder()
        self._lock = Lock()

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        with self._lock:
            reply = next(self._replies, None)
        if isinstance(reply, EmulatedError):
            raise reply
        if reply is None:
            return self._then(request)
        return Reply.text(reply) if isinstance(reply, str) else reply


class ReplayResponder:
    """Plays a recorded conversation: the assistant message that followed the same history, checkpoints aside.

    A history that was changed on the way gets the assistant message of the same turn.
    """

    def __init__(self, messages: Sequence[dict[str, Any]]) -> None:
        plain = [_plain_message(message) for message in messages]
        turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        self._answers = [_answer(messages[index]["content"]) for index in turns]
        self._by_history = {_fingerprint(plain[:index]): turn for turn, index in enumerate(turns)}

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        history = [_plain_message(message) for message in request.messages]
        same_turn = sum(message["role"] == "assistant" for message in history)
        turn: int = self._by_history.get(_fingerprint(history), same_turn)
        if turn >= len(self._answers):
            text = f"The recorded conversation ends after {len(self._answers)} answers."
            raise EmulatedError(text, code="ValidationException", status=400)
        return self._answers[turn]


class AutoResponder:
    """The default: calls a tool where it must or the user's words ask for one, else answers with text."""

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        spec = _forced(request) or _asked_for(request)
        return _calls(request, [spec]) if spec else TextResponder()(request)


def finish(reply: Reply, request: ParsedRequest, rules: ModelRules) -> Reply:
    """The reply as the model would have sent it: thinking first, cut at stop sequences and at maxTokens."""
    reply = _cut(reply, _stop_cutter(request), "stop_sequence")
    reply = _cut(reply, _length_cutter(request, rules), "max_tokens")
    return replace(reply, content=(*_thinking(request, reply), *reply.content))


def _quote(request: ParsedRequest) -> str:
    results = request.tool_results
    if results:
        return f"The tools answered: {'; '.join(results)}"[:2000]
    words = keywords(request.question)
    parts = (part.strip() for part in _SENTENCE_END.split(request.background()))
    sentences = list(dict.fromkeys(filter(None, parts)))
    ranked = sorted(
        range(len(sentences)), key=lambda index: (-len(words & keywords(sentences[index])), index)
    )
    best = [index for index in ranked[:_SENTENCES] if words & keywords(sentences[index])]
    found = " ".join(sentences[index] for index in sorted(best))
    return found[:2000] or f"You asked: {request.question.strip()[:500] or 'nothing'}"


def _structured(request: ParsedRequest) -> str:
    schema = request.output_schema
    return (
        json.dumps(valid_value(schema, Hints(request.last_user_text)), ensure_ascii=False) if schema else ""
    )


def _calls(request: ParsedRequest, specs: Sequence[dict[str, Any]]) -> Reply:
    hints = Hints(request.last_user_text)
    uses = [_call(request, spec, number, hints) for number, spec in enumerate(specs)]
    return Reply(tuple(uses), stop_reason="tool_use")


def _call(request: ParsedRequest, spec: dict[str, Any], number: int, hints: Hints) -> dict[str, Any]:
    schema = spec["inputSchema"].get("json", {})
    arguments = valid_value({"type": "object", **schema}, hints)
    seed = f"{len(request.messages)}/{number}/{spec['name']}/{json.dumps(arguments, sort_keys=True)}"
    return {"toolUse": {"toolUseId": _tool_use_id(seed), "name": spec["name"], "input": arguments}}


def _tool_use_id(seed: str) -> str:
    return f"tooluse_{blake2b(seed.encode('utf-8', 'surrogatepass'), digest_size=11).hexdigest()}"


def _forced(request: ParsedRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    wanted = (choice.get("tool") or {}).get("name")
    if "any" not in choice and wanted is None:
        return None
    named = next((spec for spec in request.tools if spec["name"] == wanted), None)
    return named or _asked_for(request) or next(iter(request.tools), None)


def _asked_for(request: ParsedRequest) -> dict[str, Any] | None:
    words = (
        keywords(request.last_user_text) if request.tools and not request.tool_results else frozenset[str]()
    )
    scored = [(len(words & _tool_words(spec)), -index) for index, spec in enumerate(request.tools)]
    score, index = max(scored, default=(0, 0))
    return request.tools[-index] if score else None


def _tool_words(spec: dict[str, Any]) -> frozenset[str]:
    return keywords(f"{spec['name']} {spec['name'].replace('_', ' ')} {spec.get('description', '')}")


_Cutter = Callable[[str], str]


def _cut(reply: Reply, cutter: _Cutter, stop_reason: str) -> Reply:
    content: list[dict[str, Any]] = []
    for block in reply.content:
        short = cutter(block["text"]) if "text" in block else None
        content.append(block if short is None else {"text": short})
        if short is not None and short != block["text"]:
            return replace(reply, content=tuple(content), stop_reason=stop_reason)
    return reply


def _stop_cutter(request: ParsedRequest) -> _Cutter:
    stops = [stop for stop in request.inference.get("stopSequences") or () if stop]

    def cut(text: str) -> str:
        return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]

    return cut


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
    signature = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
    return ({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}},)


def _answer(content: Sequence[dict[str, Any]]) -> Reply:
    kept = tuple(block for block in content if "cachePoint" not in block)
    calls = any("toolUse" in block for block in kept)
    return Reply(kept, stop_reason="tool_use" if calls else "end_turn")


def _plain_message(message: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in message["content"] if "cachePoint" not in block]
    text = "".join(block.get("text", "") for block in blocks)
    return {"role": message["role"], "text": text, "rest": [block for block in blocks if "text" not in block]}


def _fingerprint(history: Sequence[dict[str, Any]]) -> bytes:
    raw = json.dumps(history, sort_keys=True, default=repr).encode("utf-8", "surrogatepass")
    return blake2b(raw, digest_size=16).digest()

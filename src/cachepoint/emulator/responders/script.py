"""Answers that were written or recorded beforehand."""

import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from threading import Lock
from typing import Any

from cachepoint.emulator.responders.reply import EmulatedError, Reply, Responder
from cachepoint.emulator.responders.request import ParsedRequest
from cachepoint.emulator.responders.text import TextResponder

__all__ = ["ReplayResponder", "ScriptedResponder"]


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
        histories = [b"", *_fingerprints(messages)]
        turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        self._answers = [_answer(messages[index]["content"]) for index in turns]
        self._by_history = {histories[index]: turn for turn, index in enumerate(turns)}

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        *_, history = b"", *_fingerprints(request.messages)
        same_turn = sum(message["role"] == "assistant" for message in request.messages)
        turn: int = self._by_history.get(history, same_turn)
        if turn >= len(self._answers):
            text = f"The recorded conversation ends after {len(self._answers)} answers."
            raise EmulatedError(text, code="ValidationException", status=400)
        return self._answers[turn]


def _answer(content: Sequence[dict[str, Any]]) -> Reply:
    kept = tuple(block for block in content if "cachePoint" not in block)
    calls = any("toolUse" in block for block in kept)
    return Reply(kept, stop_reason="tool_use" if calls else "end_turn")


def _plain_message(message: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in message["content"] if "cachePoint" not in block]
    text = "".join(block.get("text", "") for block in blocks)
    return {"role": message["role"], "text": text, "rest": [block for block in blocks if "text" not in block]}


def _fingerprints(messages: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """For every message the digest of the history up to and with it."""
    digest = b""
    for message in messages:
        raw = json.dumps(_plain_message(message), sort_keys=True, default=repr)
        digest = blake2b(digest + raw.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        yield digest

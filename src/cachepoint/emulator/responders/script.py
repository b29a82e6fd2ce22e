"""Answers that were written or recorded beforehand."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from threading import Lock
from typing import Any, Self

from cachepoint.emulator.responders.reply import EmulatedError, Reply, Responder
from cachepoint.emulator.responders.request import ParsedRequest
from cachepoint.emulator.responders.text import TextResponder

__all__ = ["ReplayResponder", "Script", "ScriptedResponder", "Step"]

_Said = Reply | str | EmulatedError


class ScriptedResponder:
    """Gives the replies in order: texts, replies, or errors to raise. After the last, `then` answers."""

    def __init__(self, replies: Iterable[_Said], *, then: Responder | None = None) -> None:
        self._replies: Iterator[_Said] = iter(replies)
        self._then: Responder = then or TextResponder()
        self._lock = Lock()

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        with self._lock:
            reply = next(self._replies, None)
        return self._then(request) if reply is None else _given(reply)


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of a `Script`: a text, a reply, or an error to raise.

    `check` looks at the request that it answers. It fails by raising, as `assert` does, or by returning
    False; what else it returns does not matter.
    """

    reply: _Said
    check: Callable[[ParsedRequest], object] | None = None


class Script:
    """Gives its steps in order, holds each request to its step's check, and is told of no more and no fewer.

    A call whose check fails, and one behind the last step, is refused with a ValidationException that names
    the step. `done` raises what failed, and so does the end of a `with` block, whatever the program under
    test made of the refusal:

        def asks_again(request):
            assert len(request.tool_results) == 1

        with Script(Step(call), Step("It is sunny.", asks_again)) as script:
            with BedrockEmulator(responder=script) as bedrock:
                ...

    A step may be its answer alone. Calls that overlap take the steps in the order in which they arrive.
    """

    def __init__(self, *steps: Step | _Said) -> None:
        self._steps = [step if isinstance(step, Step) else Step(step) for step in steps]
        self._failed: list[tuple[str, Exception | None]] = []
        self._calls = 0
        self._lock = Lock()

    def __call__(self, request: ParsedRequest, /) -> Reply:
        """Answer one request."""
        with self._lock:
            number, self._calls = self._calls, self._calls + 1
        if number >= len(self._steps):
            raise self._refusal(
                f"Call {number + 1} is one too many: the script has {len(self._steps)} steps."
            )
        step = self._steps[number]
        try:
            right = step.check is None or step.check(request) is not False
        except Exception as error:
            raise self._refusal(f"{self._at(number)} failed: {_told(error)}", error) from error
        if not right:
            raise self._refusal(f"{self._at(number)} failed: it returned False.")
        return _given(step.reply)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # What the program under test raised stands behind what made it, and for itself where nothing did.
        if self._failed or error is None:
            self.done()

    def done(self) -> None:
        """Say what failed, or which steps are left.

        Raises:
            AssertionError: A check failed, or there were more or fewer calls than steps.
        """
        if self._failed:
            raise AssertionError("\n".join(said for said, _ in self._failed)) from self._failed[0][1]
        if self._calls < len(self._steps):
            raise AssertionError(f"{self._calls} of the script's {len(self._steps)} steps were called.")

    def _at(self, number: int) -> str:
        return f"The check of step {number + 1} of {len(self._steps)}"

    def _refusal(self, said: str, error: Exception | None = None) -> EmulatedError:
        with self._lock:
            self._failed.append((said, error))
        # The rest of an assertion, which pytest writes, may be long.
        return EmulatedError(said.partition("\n")[0], code="ValidationException", status=400)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _given(said: _Said) -> Reply:
    if isinstance(said, EmulatedError):
        raise said
    return Reply.text(said) if isinstance(said, str) else said


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

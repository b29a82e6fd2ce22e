"""What only the emulator has: whether it is there, and its clock, over HTTP."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from cachepoint.emulator.service.access import refuse_caller
from cachepoint.emulator.service.calls import Answer, Incoming, parsed
from cachepoint.emulator.service.dialects.dialect import dump
from cachepoint.emulator.service.refusals.request import Refusal, invalid

__all__ = ["PREFIX", "Control"]

PREFIX = "/_emulator/"
_UNKNOWN = Refusal(
    404,
    "UnknownOperationException",
    f"Here are GET {PREFIX}health, GET {PREFIX}clock and POST {PREFIX}clock.",
)
_ADVANCE = invalid('The clock takes {"advance": seconds}, a number that is 0 or more.')


class Control:
    """Answers the paths below `/_emulator/`; they are no calls, and nobody counts them.

    `advance` moves the clock. Whoever has none of the `access_keys` learns that the emulator is there, and no
    more.
    """

    def __init__(
        self,
        now: Callable[[], float],
        advance: Callable[[float], None],
        access_keys: Collection[str] | None = None,
    ) -> None:
        self._now = now
        self._advance = advance
        self._access_keys = access_keys

    def answer(self, incoming: Incoming) -> Answer | None:
        """The answer; None where the path is none of these."""
        path = incoming.path.partition("?")[0]
        if not path.startswith(PREFIX):
            return None
        method = "GET" if incoming.method == "HEAD" else incoming.method
        asked = (method, path.removeprefix(PREFIX))
        refusal = None if asked == ("GET", "health") else refuse_caller(incoming, self._access_keys)
        return _refused(refusal) if refusal else self._answers.get(asked, Control._unknown)(self, incoming)

    def _health(self, _: Incoming) -> Answer:
        return Answer(200, dump({"status": "ok"}))

    def _clock(self, _: Incoming) -> Answer:
        return Answer(200, dump({"now": self._now()}))

    def _move(self, incoming: Incoming) -> Answer:
        seconds = _advance(parsed(incoming.body))
        if seconds is None:
            return _refused(_ADVANCE)
        self._advance(seconds)
        return self._clock(incoming)

    def _unknown(self, _: Incoming) -> Answer:
        return _refused(_UNKNOWN)

    _answers: Mapping[tuple[str, str], Callable[["Control", Incoming], Answer]] = {
        ("GET", "health"): _health,
        ("GET", "clock"): _clock,
        ("POST", "clock"): _move,
    }


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.status, dump({"message": refusal.message}), error=refusal.code)


_MOST_SECONDS = 1e9


def _advance(body: Any) -> float | None:
    """The seconds that a body names; None where it is no such body."""
    seconds = body.get("advance") if isinstance(body, dict) and len(body) == 1 else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return seconds if 0 <= seconds <= _MOST_SECONDS else None

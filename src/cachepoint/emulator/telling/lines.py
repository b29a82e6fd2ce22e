"""A call as one line, without a word of its prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachepoint.emulator.service.calls import EmulatedCall

__all__ = ["line", "moment", "outcome", "printable"]

_MOST_CHARS = 300
_MOST_NAME = 120
_HIDDEN = "\N{HORIZONTAL ELLIPSIS}"
# What is no text that somebody wrote: a role, a format, an id, the name of a field.
_NAME = re.compile(r"[\w.:/@+-]{1,64}")
_QUOTED = re.compile(r"""(['"]).*\1""", re.DOTALL)
_COUNTS = (
    ("cacheReadInputTokens", "read"),
    ("cacheWriteInputTokens", "written"),
    ("inputTokens", "uncached"),
    ("outputTokens", "output"),
)


def line(call: EmulatedCall, said: Any) -> str:
    """When, what, of which model, and the tokens or why it was refused; `said` is what the request says."""
    what = " ".join(filter(None, (call.operation, call.model_id)))
    return f"{moment(call.at)} {printable(what)[:_MOST_NAME]}: {outcome(call, said)}"


def outcome(call: EmulatedCall, said: Any) -> str:
    """The tokens, or why it was refused, without what the request says."""
    if call.error:
        verb = "refused" if call.status >= 400 else "broken off"  # noqa: PLR2004 -- HTTP's
        reason = printable(_without(call.message or "", said))[:_MOST_CHARS]
        return f"{verb}, {call.status} {call.error}: {reason}"
    usage = call.usage or {}
    if usage.keys() == {"inputTokens"}:
        return f"{usage['inputTokens']:,} counted"
    return ", ".join(f"{usage[name]:,} {word}" for name, word in _COUNTS if name in usage) or "answered"


def _without(message: str, said: Any) -> str:
    """A refusal may repeat what it refuses: what the request says is left out of it, but for names."""
    if said is None:
        return _QUOTED.sub(_HIDDEN, message)
    repeated = {text for text in _texts(said) if len(text) <= len(message) and text in message}
    for text in sorted(repeated, key=len, reverse=True):
        message = message if _NAME.fullmatch(text) or not text.strip() else message.replace(text, _HIDDEN)
    return message


def _texts(said: Any) -> Iterator[str]:
    left = [said]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value


def printable(text: str) -> str:
    """A text on one line."""
    return "".join(char if char.isprintable() else "?" for char in text)


def moment(at: float) -> str:
    """A time in UTC."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{at:.0f}"

"""Summaries that are made inside the prefix of the conversation that they are of.

The stock way hands the history to a model as a text, behind another prompt: all of it is paid in full. Asked
behind the conversation itself, in the same call as any turn (system prompt, tools and messages unchanged, the
instruction at the end), it is read from the cache.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cachepoint.core.guard import InvalidOptionError

INSTRUCTION = (
    "The conversation above is about to be replaced by a summary of it. Write that summary now, for "
    "yourself: what the person wants, what was found and decided and why, names, numbers and identifiers "
    "that are still needed, what was tried without success, and what is to be done next. Leave out nothing "
    "that the rest of the work depends on. Answer with the summary alone, and call no tool."
)
"""What the model is asked behind the conversation."""

SUMMARY = "Here is a summary of the conversation to date:\n\n{text}"
"""How a summary stands in the place of what it is of."""

EARLY = 0.9
"""From which share of its trigger on a summary is made, at a pause: of less, there are more of them."""

# What Bedrock and others say of a prompt that has no room (bedrock-runtime, Claude and Nova, 2026).
_TOO_LONG = re.compile(
    r"too long|too large|context (window|length)|maximum (number of )?tokens", re.IGNORECASE
)


def due(size: float, trigger: float, *, cold: bool) -> bool:
    """Whether a history is to be summarised.

    Args:
        size: What it has: tokens, or messages.
        trigger: From how much on.
        cold: Whether all is written anew anyway.
    """
    return size >= (trigger * EARLY if cold else trigger)


def earlier(trigger: Any) -> Any:
    """A trigger as LangChain writes it, as it is at a pause.

    Args:
        trigger: A pair of a measure and a value, a mapping of such, or a list of either.
    """
    if isinstance(trigger, list):
        return [earlier(each) for each in trigger]
    if isinstance(trigger, Mapping):
        return {measure: _less(measure, value) for measure, value in trigger.items()}
    return (trigger[0], _less(*trigger))


def kept_from(sizes: Sequence[int], starts: Sequence[int], keep: int) -> int:
    """The first message that stays as it is beside a summary.

    Args:
        sizes: Tokens by message.
        starts: The messages with which a history may begin, in order (`shaping.history.legal_starts`).
        keep: Tokens of the newest messages to keep at least, where there are as many.

    Returns:
        An index; 0 where nothing can be summarised.
    """
    left, at = 0, len(sizes)
    while at and left < keep:
        at -= 1
        left += sizes[at]
    return max((i for i in starts if i <= at), default=0)


def usable(text: str, *, calls: bool) -> bool:
    """Whether an answer is a summary: a text, and no call of a tool."""
    return bool(text.strip()) and not calls


def too_long(message: str) -> bool:
    """Whether a model says that there is no room for a prompt.

    Args:
        message: What it says.
    """
    return _TOO_LONG.search(message) is not None


def check_summary(instruction: str, keep: int = 0) -> None:
    """Whether what is asked can be asked.

    Raises:
        ValueError: Where not; it names the value.
    """
    if not isinstance(instruction, str) or not instruction.strip():
        raise InvalidOptionError(f"instruction is {instruction!r}; it must be a text")
    if keep < 0:
        raise InvalidOptionError(f"keep is {keep!r}; it must not be negative")


def _less(measure: str, value: float) -> float:
    return value * EARLY if measure == "fraction" else max(1, int(value * EARLY))

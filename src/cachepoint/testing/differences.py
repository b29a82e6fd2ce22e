"""What one request changed of another's prefix, and where: the first of it, in cache order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachepoint.core.drawing.words import counted
from cachepoint.core.prompt.cuts import CLOCKS
from cachepoint.core.prompt.prefix import Layer
from cachepoint.testing.conversations import common, goes_on
from cachepoint.testing.prompts import Block, Prompt, same, written

# Beside what looks as if it changed: a date and a number may be part of the instructions, but here they did.
_KINDS = (
    *CLOCKS,
    (
        "a date",
        re.compile(r"\d{4}-\d\d-\d\d|\b\d\d?[./ ]+(?:\d\d?|[A-Z]\w+)[./ ,]+\d{4}|[A-Z]\w+ \d\d?, \d{4}"),
    ),
    ("a number", re.compile(r"\d+")),
)
_AROUND = 24
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One change.

    Attributes:
        layer: Which layer it is in.
        said: Where and what, without a word of the prompt; tools are named.
        before: The text around it before; None where it is no text that was edited.
        after: The same, as it is now.
    """

    layer: Layer
    said: str
    before: str | None = None
    after: str | None = None


def difference(before: Prompt, now: Prompt) -> Difference | None:
    """The first change; None where `now` only goes on from `before`, or asks something else behind it."""
    return _of_tools(before.tools, now.tools) or _of_system(before, now) or _of_history(before, now)


def _of_tools(before: Sequence[Block], now: Sequence[Block]) -> Difference | None:
    if same(before, now):
        return None
    old, new = [tool.name for tool in before], [tool.name for tool in now]
    if sorted(t.written for t in before) == sorted(t.written for t in now):
        moved = [i for i, (a, b) in enumerate(zip(before, now, strict=True)) if not a.same(b)]
        places = ", ".join(f"{now[i].where} is {new[i]!r} and was {old[i]!r}" for i in moved[:2])
        return Difference("tools", f"tools changed places: {places}")
    gone, come = [n for n in old if n not in new], [n for n in new if n not in old]
    if gone or come:
        said = [f"{_named(names)} {how}" for names, how in ((gone, "gone"), (come, "new")) if names]
        return Difference("tools", f"tools are not the same: {', '.join(said)}")
    pairs = zip(before, now, strict=False)
    edited = next(((a, b) for a, b in pairs if not a.same(b)), None)
    if edited is None:
        return Difference("tools", f"tools are not the same: {len(before)} became {len(now)}")
    return Difference("tools", f"tool {edited[1].name!r} was edited: {_field(*(t.payload for t in edited))}")


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _field(before: Any, now: Any, path: str = "") -> str:
    """Which field of two values differs first."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [k for k in [*before, *(k for k in now if k not in before)] if before.get(k) != now.get(k)]
        if keys:
            return _field(before.get(keys[0]), now.get(keys[0]), f"{path}.{keys[0]}".lstrip("."))
        if list(before) != list(now):
            return f"the order of keys in {path or 'it'}"
        # Equal as values: 1 and True, or keys further down.
        parts = [k for k in before if written(before[k]) != written(now[k])]
        return _field(before[parts[0]], now[parts[0]], f"{path}.{parts[0]}".lstrip(".")) if parts else path
    return path or "all of it"


def _of_system(before: Prompt, now: Prompt) -> Difference | None:
    if same(before.system, now.system):
        return None
    for old, new in zip(before.system, now.system, strict=False):
        if not old.same(new):
            return _edited("system", old, new)
    grown = len(now.system) - len(before.system)
    return Difference(
        "system", f"system has {counted(abs(grown), 'block')} {'more' if grown > 0 else 'less'}"
    )


def _of_history(before: Prompt, now: Prompt) -> Difference | None:
    """What was sent before is history now; the newest message is none yet, and may be another one."""
    old, new = before.messages, now.messages
    at = common(old, new)
    if not goes_on(before, now) or at == len(old) or at == len(new) or new[at].message == new[-1].message:
        return None
    gone = next((k for k in range(at + 1, len(old)) if old[k].same(new[at])), None)
    if gone is not None:
        said = f"{counted(gone - at, 'block')} of history gone from {old[at].where} on: it was trimmed"
        return Difference("messages", said)
    return _edited("messages", old[at], new[at])


def _edited(layer: Layer, old: Block, new: Block) -> Difference:
    if old.kind != new.kind or old.role != new.role:
        return Difference(layer, f"{new.where} is {_article(new)} and was {_article(old)}")
    at = _alike(old.written, new.written)
    where, offset = _place(new, at)
    kind = _kind(old.written, new.written, at)
    of = "" if isinstance(new.payload, str) else " of its JSON"
    said = f"{where} differs from character {offset:,}{of} on" + (f": {kind}" if kind else "")
    return Difference(layer, said, _around(old.written, at), _around(new.written, at))


def _alike(old: str, new: str) -> int:
    """How many characters two texts begin with alike."""
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    return min(len(old), len(new)) if at is None else at


def _article(block: Block) -> str:
    return f"a {block.kind} of the {block.role}" if block.role else f"a {block.kind}"


def _place(block: Block, at: int) -> tuple[str, int]:
    """Which piece of a text a character is in, and which character of it that is."""
    end = len(block.written)
    for piece in reversed(block.joins):
        end -= len(piece.written)
        if at >= end:
            return piece.where, at - end
    return block.where, at


def _kind(old: str, new: str, at: int) -> str | None:
    """What kind of text stands there in both."""
    if old.split() == new.split():
        return "white space"
    return next((name for name, pattern in _KINDS if _has(pattern, old, at) and _has(pattern, new, at)), None)


def _has(pattern: re.Pattern[str], text: str, at: int) -> bool:
    """Whether what a pattern finds is at a place, or its number or word is."""
    begins = at
    while begins and at - begins < _AROUND and not text[begins - 1].isspace():
        begins -= 1
    ends = next(
        (i for i in range(at, min(at + _AROUND, len(text))) if text[i].isspace()),
        min(at + _AROUND, len(text)),
    )
    return any(
        found.start() < ends and found.end() > begins
        for found in pattern.finditer(text, max(0, begins - _AROUND), ends + _AROUND)
    )


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - _AROUND) : at + _AROUND])

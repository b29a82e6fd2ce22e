"""What a diagnosis asks of the texts of a request: from the texts, or from what is kept in their place."""

import re
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple, Protocol

from cachepoint.core.once import once
from cachepoint.core.prompt.anatomy import (
    PIECE,
    Text,
    parting,
    pieces,
    tool_fields,
    tool_name,
    wholes,
    written,
)
from cachepoint.core.prompt.cuts import CLOCKS
from cachepoint.core.prompt.prefix import RawBlock
from cachepoint.core.prompt.rewriting import asks_for_summary, rewriting

# So far a line is looked at around the place where it changed.
_AROUND = 48
# What is looked for where a text changed, in this order.
KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    *CLOCKS,
    ("a date", re.compile(r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})\b")),
    ("a date", re.compile(r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.? \d{1,2}\b")),
    ("a date", re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b")),
)


def kind_in(text: str) -> int:
    """The first kind that a text holds: one more than its place in `KINDS`; 0: none."""
    return next((number for number, (_, pattern) in enumerate(KINDS, 1) if pattern.search(text)), 0)


def _around(text: str, at: int) -> str:
    """A piece of a text that begins at a character, and what stands beside it."""
    return text[max(0, at - _AROUND) : at + PIECE + _AROUND]


class Moved(NamedTuple):
    """Where a text parts from what it was: the character, and what kind of text stands there."""

    at: int
    kind: str | None


class Passage(Protocol):
    """A text of the head."""

    @property
    def is_json(self) -> bool:
        """Whether it looks like JSON."""

    def moved(self, before: Text, now: Text) -> Moved:
        """Where it parts from another, of which digests are known."""


class Said(Protocol):
    """The new request."""

    def tool(self, index: int) -> str:
        """The name of a tool, or what stands for it."""

    def field(self, index: int, name: str) -> Passage:
        """A field of a tool."""

    @property
    def system(self) -> Sequence[tuple[int, Passage]]:
        """The texts of the system prompt, each with its first block."""

    def role(self, index: int) -> str:
        """Whose a block is."""

    def kind(self, index: int) -> str:
        """Its kind."""

    def message(self, index: int) -> int:
        """The message that it is in."""

    def rewriting(self, index: int) -> str | None:
        """What rewrote the history at a block; None where it does not tell."""

    @property
    def asks_for_summary(self) -> bool:
        """Whether it asks for a summary of another conversation."""

    def __len__(self) -> int:
        """How many blocks it has."""


class Words(NamedTuple):
    """A passage whose text is at hand."""

    text: str

    @property
    def is_json(self) -> bool:
        """As of `Passage`."""
        return "{" in self.text

    def moved(self, before: Text, now: Text) -> Moved:
        """As of `Passage`."""
        at = now.parts(before, self.text)
        number = kind_in(_around(self.text, at))
        return Moved(at, KINDS[number - 1][0] if number else None)


class Hint(NamedTuple):
    """What is kept of a passage: of each of its pieces the length, and the kind of text in it or around it.

    `kinds` has a byte for each piece and one for the end: 0 for none, else 1 more than the place in `KINDS`.
    """

    lengths: bytes
    kinds: bytes
    is_json: bool

    @classmethod
    def of(cls, text: str, kind: Callable[[str], int] | None = None) -> "Hint":
        """That of a text.

        Args:
            text: The text.
            kind: As `kind_in`, for whoever has seen most of the text before.
        """
        lengths, find = array("H", map(len, pieces(text))), kind or kind_in
        starts = accumulate(lengths, initial=0)
        kinds = bytes([find(_around(text, at)) for at in starts])
        return cls(lengths.tobytes(), kinds, "{" in text)

    def moved(self, before: Text, now: Text) -> Moved:
        """As of `Passage`."""
        same = parting(now, before)
        kind = self.kinds[same]
        return Moved(sum(array("H", self.lengths)[:same]), KINDS[kind - 1][0] if kind else None)


class AtHand:
    """A request whose blocks are at hand."""

    def __init__(self, raw: Sequence[RawBlock]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    def tool(self, index: int) -> str:
        """As of `Said`."""
        return tool_name(self._raw[index].payload)

    def field(self, index: int, name: str) -> Passage:
        """As of `Said`."""
        return Words(written(tool_fields(self._raw[index].payload)[name]))

    @once
    def system(self) -> Sequence[tuple[int, Passage]]:
        """As of `Said`."""
        head = takewhile(lambda block: block.layer != "messages", self._raw)
        return [(first, Words(text)) for first, text in wholes(list(head))]

    def role(self, index: int) -> str:
        """As of `Said`."""
        return self._raw[index].role

    def kind(self, index: int) -> str:
        """As of `Said`."""
        return self._raw[index].kind

    def message(self, index: int) -> int:
        """As of `Said`."""
        return self._raw[index].path[0]

    def rewriting(self, index: int) -> str | None:
        """As of `Said`."""
        return rewriting(self._raw[index])

    @property
    def asks_for_summary(self) -> bool:
        """As of `Said`."""
        return bool(self._raw) and asks_for_summary(self._raw[0])

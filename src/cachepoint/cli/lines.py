"""JSON lines: of a file or of standard input, counted, with those that cannot be used."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")

STDIN = Path("-")
# What a count or a sum of a call may be: far above any, and every figure made of it can be printed.
MOST = 10**12
_SHOWN = 5
_UNUSABLE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


def opened(source: Path) -> IO[bytes]:
    """A file, or standard input for `-`.

    Raises:
        ValueError: Where standard input is closed, or a terminal.
    """
    if source != STDIN:
        return source.open("rb")
    if sys.stdin is None:
        raise ValueError("standard input is closed; name a file of JSON lines")
    if sys.stdin.isatty():
        raise ValueError("name a file of JSON lines, as calls.jsonl; standard input is a terminal")
    return sys.stdin.buffer


@dataclass(slots=True)
class Lines:
    """The lines of one source, as far as they were read. `str` says which could not be used.

    Attributes:
        source: Where they are from.
        read: How many were read.
        skipped: How many of them could not be used; blank ones do not count.
        first: The numbers of the first of those, from 1.
    """

    source: Path
    read: int = 0
    skipped: int = 0
    first: list[int] = field(default_factory=list)

    def parsed(self, lines: Iterable[bytes], parse: Callable[[Any], T]) -> Iterator[T]:
        """What `parse` makes of the JSON of each line; a line that it refuses is passed over and counted."""
        for line in lines:
            self.read += 1
            try:
                made = parse(_loaded(line))
            except _UNUSABLE:
                self._skip(line)
            else:
                yield made

    def _skip(self, line: bytes) -> None:
        if not line.strip():
            return
        self.skipped += 1
        if len(self.first) < _SHOWN:
            self.first.append(self.read)

    @property
    def where(self) -> str:
        """The source's name."""
        return "standard input" if self.source == STDIN else str(self.source)

    def __str__(self) -> str:
        if self.skipped == 1:
            return f"{self.where}: line {self.first[0]:,} is not a report of a call"
        more = self.skipped - len(self.first)
        numbers = ", ".join(f"{number:,}" for number in self.first) + (f" and {more:,} more" if more else "")
        return f"{self.where}: {self.skipped:,} lines are not reports of calls: {numbers}"


_decoded = json.JSONDecoder().decode


def _loaded(line: bytes) -> Any:
    """As `json.loads`, which looks at every line for its encoding."""
    try:
        return _decoded(line.decode("utf-8", "surrogatepass"))
    except ValueError:
        return json.loads(line)

"""What changes by the call, moved behind what stays: a clock, a name, an id, recalled or retrieved text.

A cache holds prefixes, so what changes in front of a prompt makes all of it new. Whole lines and sentences
are moved, word for word, and what stays is left as it was. The model sees another order: how that changes its
answers was not measured.
"""

import re
from bisect import bisect, bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import NamedTuple

from cachepoint.core.guard import InvalidOptionError

LABEL = "[What holds now]\n{text}"
"""How moved text is shown where nobody says otherwise."""

Span = tuple[int, int]

_TEXT = "{text}"
_BETWEEN = re.compile(r"\s*\n\s*|(?<=[.!?]) +(?=\S)|(?<=[.!?][\"')\]]) +(?=\S)")
# No sentence ends with these, nor with a letter by itself (an initial).
_SHORT = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|No|vs|etc|approx|e\.g|i\.e|cf)|\b[^\W\d_])\.$")
_LONGEST_SHORT = 8


class Parted(NamedTuple):
    """A text without what changes in it.

    Attributes:
        stays: What is left, as it was.
        moved: What was taken out, in order, without the white space around it.
    """

    stays: str
    moved: tuple[str, ...]


def sentences(text: str) -> list[Span]:
    """The lines of a text and the sentences in them: start and end, with the white space that follows.

    They cover all of it, one after the other.
    """
    ends = [m.end() for m in _BETWEEN.finditer(text) if not _is_short(text, m)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    return list(zip((0, *ends[:-1]), ends, strict=True))


def parted(text: str, spans: Iterable[Span]) -> Parted:
    """Take the sentences out of a text in which something changes.

    Args:
        text: The text.
        spans: Start and end, in characters, of what changes.
    """
    runs = list(_whole(sentences(text), spans))
    if not runs:
        return Parted(text, ())
    gaps = [_gap(text, *run) for run in runs]
    bounds = [0, *chain.from_iterable(gaps), len(text)]
    stays = "".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))
    moved = tuple(m for start, end in runs if (m := text[start:end].strip()))
    return Parted(stays if gaps[-1][1] < len(text) else stays.rstrip(), moved)


def labelled(moved: Sequence[str], label: str | None = None) -> str:
    """What was moved, as it is shown.

    Args:
        moved: Texts, in order.
        label: How; `{text}` in it stands for them. None: as `set_label` said.
    """
    return (label or _Process.label).replace(_TEXT, "\n".join(moved))


def set_label(label: str = LABEL) -> None:
    """Say how moved text is shown in this process where a call, a middleware or a memory says nothing.

    Args:
        label: `{text}` in it stands for what was moved.

    Raises:
        ValueError: Where it says not where the text goes.
    """
    _Process.label = check_label(label)


def check_label(label: str) -> str:
    """The label, where it is one.

    Raises:
        ValueError: Where it says not where the text goes.
    """
    if not isinstance(label, str) or _TEXT not in label:
        raise InvalidOptionError(f"the label is {label!r}; it must be a text with {_TEXT} in it")
    return label


class _Process:
    label = LABEL


def _gap(text: str, start: int, end: int) -> Span:
    """What goes with a run of sentences: the space behind it, or before it where a line ends with it."""
    words = start + len(text[start:end].rstrip())
    if not start or text[start - 1] == "\n" or "\n" not in text[words:end]:
        return start, end
    return len(text[:start].rstrip(" ")), words


def _is_short(text: str, gap: re.Match[str]) -> bool:
    """Whether what is before a gap is an abbreviation, and no end of a sentence."""
    before = text[max(0, gap.start() - _LONGEST_SHORT) : gap.start()]
    return "\n" not in gap.group() and _SHORT.search(before) is not None


def _whole(parts: Sequence[Span], spans: Iterable[Span]) -> Iterator[Span]:
    """The parts that a span touches; those side by side as one."""
    starts = [start for start, _ in parts]
    touched = sorted(
        {i for a, b in spans for i in range(max(bisect(starts, a) - 1, 0), bisect_left(starts, b))}
    )
    for _, run in groupby(enumerate(touched), lambda pair: pair[1] - pair[0]):
        indices = [i for _, i in run]
        yield parts[indices[0]][0], parts[indices[-1]][1]

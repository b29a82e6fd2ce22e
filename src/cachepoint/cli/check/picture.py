"""A prompt as the cache sees it: its parts, how large they are, and where checkpoints stand."""

from collections.abc import Iterator
from itertools import pairwise
from shutil import get_terminal_size

from cachepoint.cli.check.rules import Checked
from cachepoint.cli.helping import knows_unicode

_WIDTH = 20
_PART, _TOKENS, _BESIDE = 60, 10, 4
# The second is for a terminal or a pipe that knows no Unicode.
_GLYPHS = {True: ("█", "──"), False: ("#", "--")}


def picture(checked: Checked) -> Iterator[str]:
    """The lines of the picture: parts between checkpoints, as wide as their share of the tokens."""
    total = max(checked.tokens[-1], 1) if checked.tokens else 1
    marks = _marks(checked)
    full, rule = _GLYPHS[knows_unicode()]
    room, wide = _PART, _WIDTH
    if (columns := get_terminal_size().columns) < _PART + _TOKENS + _WIDTH + _BESIDE:
        wide = min(_WIDTH, max(1, columns // 4))
        room = max(1, columns - _TOKENS - wide - _BESIDE)
    for first, end in pairwise([0, *_ends(checked, set(marks))]):
        tokens = checked.tokens[end - 1] - (checked.tokens[first - 1] if first else 0)
        bar = full * max(1, round(wide * tokens / total))
        yield f"  {_part(checked, first, end - 1):<{room}}{tokens:>{_TOKENS},}  {bar}"
        if end - 1 in marks:
            yield f"  {rule} {marks[end - 1]} {rule}"


def _ends(checked: Checked, marks: set[int]) -> list[int]:
    """Where a part ends: at a checkpoint, and where a layer does."""
    raw = checked.raw
    layers = {i for i, (one, other) in enumerate(pairwise(raw)) if one.layer != other.layer}
    return [i + 1 for i in range(len(raw)) if i in marks or i in layers or i == len(raw) - 1]


def _marks(checked: Checked) -> dict[int, str]:
    """By block: whose checkpoint stands behind it."""
    hand = {i: f"checkpoint in the request, {mark.ttl or '5m'}" for i, mark in checked.marked}
    ours = {
        c.index: f"checkpoint that cachepoint places, {c.ttl} ({c.reason})"
        for c in checked.plan.checkpoints
        if c.reason != "hand"
    }
    return {**ours, **hand}


def _part(checked: Checked, first: int, last: int) -> str:
    one, other = checked.where(first), checked.where(last)
    blocks = last - first + 1
    return one if blocks == 1 else f"{one} to {other}, {blocks} blocks"

"""What two requests have in common, wherever it stands: a conversation whose beginning was cut goes on.

A request is looked up by the turns at its end. Those of the one before are still in it, whatever became of
the beginning: a window that slides, a summary in its place, results of tools that were cleared.
"""

from collections.abc import Iterator

from cachepoint.core.prompt.prefix import SHORT, Prefix

# The last byte of what stands for a block: it opens an answer, or none of its own.
ANSWERS, INSIDE = b"t", b"-"
# So many turns of either side are asked for: a turn adds two, parallel steps or a repeated question some.
_TURNS = 5
# A turn is known by its last blocks, as many as have these bytes: "go on" stands in every conversation.
_TELLING = 64


def turns(prefix: Prefix) -> list[bytes]:
    """By what the last turns of either side are known, the newest first."""
    blocks, sizes, own, head = prefix.blocks, prefix.sizes, prefix.own, prefix.head
    found: list[bytes] = []
    answered: bool | None = None
    for i in range(len(blocks) - 1 - prefix.fleeting, head - 1, -1):
        is_answer = blocks[i].role == "assistant"
        # Behind results of tools that ended a request a text may be put, in the same turn.
        added = len(found) == 1 and not is_answer and blocks[i].kind != blocks[i + 1].kind
        if is_answer is answered and not added:
            continue
        answered, first = is_answer, i
        while first > head and sizes[i] - sizes[first - 1] < _TELLING:
            first -= 1
        found.append(own[first * SHORT : (i + 1) * SHORT])
        if len(found) == _TURNS:
            break
    return found


def shared(before: bytes, now: bytes) -> float:
    """The share of the blocks of `now` that stood in `before`, wherever."""
    there = set(_each(before))
    blocks = list(_each(now))
    return sum(b in there for b in blocks) / len(blocks) if blocks else 0.0


def common(before: bytes, now: bytes) -> int:
    """How many blocks the two begin with alike."""
    if now.startswith(before):
        return len(before) // SHORT
    low, high = 0, min(len(before), len(now)) // SHORT
    while low < high:
        middle = (low + high + 1) // 2
        same = now[: middle * SHORT] == before[: middle * SHORT]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def place(needle: bytes, blocks: bytes) -> int | None:
    """The first block at which some blocks stand in others; None: nowhere."""
    at = blocks.find(needle)
    while at % SHORT and at >= 0:
        at = blocks.find(needle, at + 1)
    return None if at < 0 else at // SHORT


def newest(blocks: bytes) -> int:
    """The first block behind the last answer, of the messages of a request."""
    ends = blocks[SHORT - 1 :: SHORT]
    answer = ends.rfind(ANSWERS)
    return next((i for i in range(answer + 1, len(ends)) if ends[i : i + 1] != INSIDE), len(ends))


def _each(blocks: bytes) -> Iterator[bytes]:
    return (blocks[i : i + SHORT] for i in range(0, len(blocks), SHORT))

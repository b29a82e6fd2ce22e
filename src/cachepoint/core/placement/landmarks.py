"""Where the parts of a prompt end: the blocks behind which requests go on or part."""

from typing import NamedTuple

from cachepoint.core.prompt.prefix import Prefix

# Blocks of one message, and of the system prompt, that are watched as places where requests may part.
MAX_BRANCHES = 16


class Landmarks(NamedTuple):
    """Blocks of one request, by index; None: there is none at which a checkpoint may stand.

    Attributes:
        tools: The end of the tools.
        head: The end of what conversations share: of system, else of tools, which a checkpoint on system
            covers. Where the system prompt holds documents or changes by the call, the head ends in front
            of that.
        previous: Where the request before this one ended: in front of the last assistant message.
        history: The end of what was said before the newest message.
        end: The last block of what the user's side said and will have said. An assistant message at the very
            end is a prefill: it grows with the answer, so nothing ends there; what stands in this request
            alone is behind it.
        branches: Where requests may part: blocks of the system prompt, and of the newest message.
    """

    tools: int | None
    head: int | None
    previous: int | None
    history: int | None
    end: int | None
    branches: tuple[int, ...]

    @classmethod
    def of(cls, prefix: Prefix) -> "Landmarks":
        """Those of a request."""
        count, head = len(prefix.blocks), prefix.head
        system = _system(prefix)
        newest = opening(prefix, count - 1) if count > head else count
        return cls(
            tools=_markable(prefix, system - 1, 0),
            head=_head(prefix, system),
            previous=_previous(prefix),
            history=_markable(prefix, newest - 1, head),
            end=_end(prefix),
            branches=(
                *range(max(min(system, head - 1), head - MAX_BRANCHES, 0), head),
                *range(newest, min(newest + MAX_BRANCHES, count)),
            ),
        )


def _markable(prefix: Prefix, index: int, first: int) -> int | None:
    return index if index >= first and prefix.blocks[index].markable else None


def _system(prefix: Prefix) -> int:
    """The first block of the system prompt, or where it would be."""
    blocks, i = prefix.blocks, prefix.head
    while i and blocks[i - 1].layer == "system":
        i -= 1
    return i


def opening(prefix: Prefix, index: int) -> int:
    """The first block of the message that a block is in."""
    blocks, i = prefix.blocks, index
    while i > prefix.head and blocks[i - 1].path[0] == blocks[index].path[0]:
        i -= 1
    return i


def _head(prefix: Prefix, system: int) -> int | None:
    blocks = prefix.blocks
    doubtful = (i for i, what in prefix.ends.items() if i < prefix.head and what in _DOUBTFUL)
    stop = min(doubtful, default=prefix.head)
    i = stop - 1
    first = system if stop > system else 0
    while i >= first and not blocks[i].markable:
        i -= 1
    return i if i >= first else None


_DOUBTFUL = frozenset({"documents", "volatile"})


def _end(prefix: Prefix) -> int | None:
    blocks = prefix.blocks
    i = len(blocks) - 1 - prefix.fleeting
    while i >= prefix.head and (blocks[i].role == "assistant" or not blocks[i].markable):
        i -= 1
    return i if i >= prefix.head else None


def _previous(prefix: Prefix) -> int | None:
    blocks = prefix.blocks
    i = len(blocks) - 1
    while i >= prefix.head and blocks[i].role != "assistant":
        i -= 1
    while i >= prefix.head and blocks[i].role == "assistant":
        i -= 1
    return _markable(prefix, i, prefix.head)

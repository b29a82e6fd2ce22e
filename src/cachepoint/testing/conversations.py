"""Which earlier call a call goes on from: known by where their requests overlap, not by how they begin."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from cachepoint.testing.prompts import Block, Prompt, same

# Where a system prompt is another one, edited, so many of the words are the same, and of the tools' names.
_ALIKE = 0.8


def before(earlier: Sequence[Prompt], now: Prompt) -> int | None:
    """The index of the call that `now` goes on from, or else of the last that begins with the same prompt.

    Args:
        earlier: The requests to the same model that went before, in order.
        now: A request.

    Returns:
        None where it is the first of its kind.
    """
    going_on = [i for i, prompt in enumerate(earlier) if goes_on(prompt, now)]
    if going_on:
        # Of two branches the one that it extends, of two that are as near the later.
        return max(going_on, key=lambda i: (common(earlier[i].messages, now.messages), i))
    latest = list(reversed(range(len(earlier))))
    for begins in (_same_head, _edited_head):
        if (found := next((i for i in latest if begins(earlier[i], now)), None)) is not None:
            return found
    return None


def common(old: Sequence[Block], new: Sequence[Block]) -> int:
    """How many blocks two lists have in common at their beginning."""
    return next(
        (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if not a.same(b)), min(len(old), len(new))
    )


def goes_on(before: Prompt, now: Prompt) -> bool:
    """Whether it is of the other's conversation.

    It holds all of the other's messages and more, or two that follow one another there, or most of them: in
    two conversations that only get the same answers the questions differ.
    """
    old, new = before.messages, now.messages
    if not old:
        return False
    if len(new) > len(old) and common(old, new) == len(old):
        return True
    shared = Counter(block.written for block in old) & Counter(block.written for block in new)
    return shared.total() * 2 > len(old) > 1 or not _pairs(old).isdisjoint(_pairs(new))


def _pairs(blocks: Sequence[Block]) -> set[tuple[str, ...]]:
    return {(a.role, a.written, b.role, b.written) for a, b in pairwise(blocks) if a.message != b.message}


def _same_head(before: Prompt, now: Prompt) -> bool:
    return same(before.tools, now.tools) and same(before.system, now.system)


def _edited_head(before: Prompt, now: Prompt) -> bool:
    """Whether tools and system prompt are the other's but for an edit: another prompt has other words."""
    if not (now.tools or now.system):
        return False
    tools = [[tool.name for tool in prompt.tools] for prompt in (before, now)]
    system = [[word for block in prompt.system for word in block.written.split()] for prompt in (before, now)]
    return _alike(*tools) and _alike(*system)


def _alike(old: Sequence[str], new: Sequence[str]) -> bool:
    shared = Counter(old) & Counter(new)
    return shared.total() >= _ALIKE * max(len(old), len(new))

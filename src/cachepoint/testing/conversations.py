"""Which earlier call a call goes on from: known by where their requests overlap, not by how they begin."""

from collections import Counter
from collections.abc import Sequence

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
    shared = before.said & now.said
    return shared.total() * 2 > len(old) > 1 or not before.pairs.isdisjoint(now.pairs)


def _same_head(before: Prompt, now: Prompt) -> bool:
    return same(before.tools, now.tools) and same(before.system, now.system)


def _edited_head(before: Prompt, now: Prompt) -> bool:
    """Whether tools and system prompt are the other's but for an edit: another prompt has other words."""
    if not (now.tools or now.system):
        return False
    tools = [Counter(tool.name for tool in prompt.tools) for prompt in (before, now)]
    return _alike(*tools) and _alike(before.words, now.words)


def _alike(old: Counter[str], new: Counter[str]) -> bool:
    return (old & new).total() >= _ALIKE * max(old.total(), new.total())

"""Requests of the wire, with what changes moved to the end of the newest message.

What is moved stands in this one request, as nobody keeps it, and placement is told so. What can be kept, the
middleware of agents and memories keep.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary

from cachepoint.aws.carrier import Carrier, Operation
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import guard
from cachepoint.core.models.rules import rules_for
from cachepoint.core.policy import CachePolicy, PolicyLike, is_named, resolved
from cachepoint.core.prompt.documents import Fleeting, changing
from cachepoint.core.prompt.sketches import MIN_PIECE
from cachepoint.shaping.changing import Span, labelled, parted
from cachepoint.shaping.variants import SMALL, Variants

Spans = Callable[[str], Iterable[Span]]
Block = Mapping[str, Any]

# A checkpoint of the caller's, in either wire form, and what a guardrail looks at: nothing is moved across.
_BARS = frozenset({"cachePoint", "cache_control", "guardContent", "guard_content", "guardrail"})
_RESULTS = ("toolResult", "tool_result")

_learned: WeakKeyDictionary[PromptCache, Variants] = WeakKeyDictionary()


def variants_of(cache: PromptCache) -> Variants:
    """What was learned of the texts that went through a cache; it goes when the cache does."""
    found = _learned.get(cache)
    return _learned.setdefault(cache, Variants()) if found is None else found


def relocated(request: Mapping[str, Any], spans: Spans, label: str | None = None) -> Mapping[str, Any]:
    """The request with what changes in its system prompt at the end of its newest message.

    It stays where it is where a checkpoint of the caller's or a guard block stands in between, where the
    newest message is not the person's, and where nothing else would be left of the system prompt.

    Args:
        request: The keyword arguments of `client.converse`, or the body of an Anthropic InvokeModel request;
            it stays as it is, and so does every list inside it.
        spans: What changes in a text of the system prompt: start and end, in characters.
        label: How it is shown there.

    Returns:
        The request itself where nothing is moved.
    """
    messages, system = request.get("messages") or (), blocks_of(request.get("system"))
    if not messages or messages[-1].get("role") != "user" or not system:
        return request
    content = blocks_of(messages[-1].get("content"))
    end = _behind_text(content)
    if barred((*(m.get("content") for m in messages[:-1]), content[:end])):
        return request
    kept, moved = parted_blocks(system, spans)
    if not moved or not says(kept):
        return request
    aside = _like(content, Fleeting(labelled(moved, label)))
    newest = {**messages[-1], "content": [*content[:end], aside, *content[end:]]}
    stays: Any = kept[0]["text"] if isinstance(request.get("system"), str) else kept
    return {**request, "system": stays, "messages": [*messages[:-1], newest]}


def reordered(request: Mapping[str, Any], spans: Spans, label: str | None = None) -> Mapping[str, Any]:
    """The request with what changes in front of the persons' texts at the end of these texts.

    Args:
        request: As for `relocated`.
        spans: What changes in a text: start and end, in characters.
        label: How it is shown there.

    Returns:
        The request itself where nothing is moved.
    """
    messages = [
        _with_texts(message, partial(_reordered, spans, label)) for message in request.get("messages") or ()
    ]
    changed = any(new is not old for new, old in zip(messages, request.get("messages") or (), strict=True))
    return {**request, "messages": messages} if changed else request


def _with_texts(message: Mapping[str, Any], change: Callable[[str], str]) -> Mapping[str, Any]:
    content = message.get("content")
    if message.get("role") != "user" or not content:
        return message
    if isinstance(content, str):
        changed = change(content)
        return message if changed == content else {**message, "content": changed}
    blocks = [_with_text(block, change) for block in content]
    return message if all(map(is_, blocks, content)) else {**message, "content": blocks}


def _with_text(block: Mapping[str, Any], change: Callable[[str], str]) -> Mapping[str, Any]:
    text = _text(block)
    if text is None or type(text) is Fleeting or (changed := change(text)) == text:
        return block
    return {**block, "text": changed}


def _reordered(spans: Spans, label: str | None, text: str) -> str:
    """A text with its changing beginning at its end, where enough that stays is behind that."""
    if len(text) < MIN_PIECE:
        return text
    found = [span for span in spans(text) if span[1] + MIN_PIECE <= len(text)]
    # Documents change as well; where they part from a question is placement's to learn.
    stays, moved = parted(text, found if sum(end - start for start, end in found) <= SMALL else ())
    return "\n\n".join((stays, labelled(moved, label))) if moved else text


class Finder:
    """Finds what changes in texts: what was marked with `volatile` and, where asked, what was seen to change.

    Args:
        learned: Whether it learns.
        variants: What it learned so far; None: nothing.
    """

    def __init__(self, *, learned: bool, variants: Variants | None = None) -> None:
        self._variants = (Variants() if variants is None else variants) if learned else None

    def of(self, conversation: str, *, learn: bool = True) -> Spans:
        """What finds it in the texts of a conversation.

        Args:
            conversation: What tells it from others: the text or the id of its first message.
            learn: Whether it learns from them.
        """
        return partial(self._spans, conversation, learn)

    def _spans(self, conversation: str, learn: bool, text: str) -> Sequence[Span]:
        found = changing.spans(text)
        if self._variants is None:
            return found
        return [*found, *self._variants.changing(text, conversation, learn=learn)]


class Relocating(Carrier):
    """A client of one call of a framework, in which what changes is moved where the user asks for it."""

    _relocated = False

    def _question(
        self, request: dict[str, Any], policy: PolicyLike, base: str | None, operation: Operation
    ) -> dict[str, Any]:
        asked = super()._question(request, policy, base, operation)
        policies = (self._cache.policy, CachePolicy.of(asked["policy"]))
        if not is_named("relocate", *policies):
            return asked
        chosen = resolved(*policies)
        if chosen.relocate == "off" or chosen.mode == "off" or not rules_for(asked["model_id"]).caches:
            return asked
        given: Mapping[str, Any] = asked["request"]
        moving = partial(self._moved, given, learned=chosen.relocate == "learned")
        moved: Mapping[str, Any] = guard("moving what changes", moving, given)
        self._relocated = moved is not given
        return {**asked, "request": moved}

    def _anew(self) -> bool:
        return self._relocated or super()._anew()

    def _moved(self, request: Mapping[str, Any], *, learned: bool) -> Mapping[str, Any]:
        first = next((t for b in blocks_of(_opening(request)) if (t := _text(b)) is not None), "")
        finder = Finder(learned=learned, variants=variants_of(self._cache) if learned else None)
        spans = finder.of(first, learn=not self._looks)
        moved = relocated(request, spans)
        return reordered(moved, spans) if learned else moved


def _opening(request: Mapping[str, Any]) -> Any:
    messages = request.get("messages") or ()
    return messages[0].get("content") if messages else None


def blocks_of(content: Any) -> Sequence[Block]:
    """The blocks of a content, which may be one text, or have plain texts among them."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    if not isinstance(content, list | tuple):
        return ()
    return [{"type": "text", "text": b} if isinstance(b, str) else b for b in content]


def says(blocks: Iterable[Block]) -> bool:
    """Whether there is a text among the blocks."""
    return any(map(_text, blocks))


def barred(contents: Iterable[Any]) -> bool:
    """Whether a checkpoint of the caller's or a guard block stands in one of the contents."""
    return any(_bars(block) for content in contents for block in blocks_of(content))


def _text(block: Mapping[str, Any]) -> str | None:
    text = block.get("text")
    return text if isinstance(text, str) and not block.keys() - {"text", "type"} else None


def _bars(block: Mapping[str, Any]) -> bool:
    if not _BARS.isdisjoint((*block, block.get("type"))):
        return True
    results = (block.get(_RESULTS[0]) or block) if _RESULTS[0] in block else block
    return any(isinstance(part, Mapping) and _bars(part) for part in blocks_of(results.get("content")))


def _behind_text(content: Sequence[Mapping[str, Any]]) -> int:
    """Where a text goes: at the end, in front of the checkpoints that stand there."""
    end = len(content)
    while end and "cachePoint" in content[end - 1]:
        end -= 1
    return end


def parted_blocks(system: Sequence[Block], spans: Spans) -> tuple[list[Block], list[str]]:
    """What is left of a system prompt, and what is moved; nothing is, in front of what bars it.

    Its texts are looked at as one, a line after the other, as what changes may be a block of its own.
    """
    start = max((i for i, block in enumerate(system, 1) if _bars(block)), default=0)
    texts = [_text(block) or "" for block in system[start:]]
    found = list(spans("\n".join(texts)))
    kept, moved = list(system[:start]), list[str]()
    at = 0
    for block, text in zip(system[start:], texts, strict=True):
        stays, out = parted(text, [(a - at, b - at) for a, b in found if a < at + len(text) and b > at])
        at += len(text) + 1
        moved += out
        if not out:
            kept.append(block)
        elif stays:
            kept.append({**block, "text": stays})
    return kept, moved


def _like(content: Sequence[Mapping[str, Any]], text: str) -> Mapping[str, Any]:
    """A text block in the form of the others."""
    return {"type": "text", "text": text} if any("type" in block for block in content) else {"text": text}

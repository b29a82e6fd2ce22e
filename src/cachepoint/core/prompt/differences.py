"""What differs between two requests: the first place in cache order at which the second leaves the first.

No text of the prompt is told unless it is asked for: names of tools, of fields and of a tool's parameters are
the developer's own and are no prompt text; what is inside a tool's input or result is.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from cachepoint.core.prompt.moved import AN_ID, KEY_ORDER, WHITE_SPACE, kind_inside
from cachepoint.core.prompt.parts import SHOWN, parted, same
from cachepoint.core.prompt.prefix import Layer, RawBlock, place
from cachepoint.core.prompt.rewriting import rewriting

_REASONING = frozenset({"reasoningContent", "thinking", "redacted_thinking"})
_RESULTS = frozenset({"toolResult", "tool_result"})
BLOCKS = "where a block ends"
OPENING = "where a message begins"
# What a framework does to a message when it sends it once more.
_RENDERED = frozenset({WHITE_SPACE, KEY_ORDER, AN_ID, BLOCKS, OPENING})


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place at which a request leaves the one before it.

    Attributes:
        layer: Where it is in cache order: what comes behind is lost with it.
        where: The block, `tools[2]`, `system[0]`, `messages[3].content[1]`, with the field in it where it
            is no text: `tools[2].toolSpec.description`. An index counts the items of the request's list;
            of what was removed, of the earlier request's.
        change: `edited`, `added`, `removed`, `reordered`, of a tool, a block or, but for tools, what is in
            one; of a text whose end is gone and of a history
            whose beginning or middle is, `truncated`; of a history that something shorter stands for,
            `compacted`; of messages that say the same in other characters, `re-rendered`.
        kind: What kind of text moved, such as `a date`, `a UUID`, `the order of JSON keys`; None: not
            known.
        at: The character at which the two texts part, from 0, in the text or, of a field that is none,
            in its JSON; None where it is not about characters.
        before: What stood there, an excerpt; None unless asked for.
        after: What stands there now; None unless asked for.
        names: The tools that were reordered, added, removed or edited.
    """

    layer: Layer
    where: str
    change: str
    kind: str | None = None
    at: int | None = None
    before: str | None = None
    after: str | None = None
    names: tuple[str, ...] = ()


def difference(
    before: Sequence[RawBlock], after: Sequence[RawBlock], *, show: bool = False
) -> Difference | None:
    """The first difference in cache order: tools, system, messages.

    Args:
        before: The blocks of a request, as a dialect reads them.
        after: Those of a later one.
        show: Whether excerpts of the two texts are told: at most a hundred characters of each.

    Returns:
        None where one goes on from the other: its messages begin with all of the other's, behind the
        same tools and system prompt.
    """
    parts = (
        (_tools, "tools", False),
        (_blocks, "system", False),
        (_blocks, "messages", True),
    )
    for compare, layer, open_ended in parts:
        found = compare(_of(before, layer), _of(after, layer), open_ended)
        if found is not None:
            return found if show else replace(found, before=None, after=None)
    return None


def _of(raw: Sequence[RawBlock], layer: str) -> list[RawBlock]:
    return [block for block in raw if block.layer == layer]


# Tools.


def _tools(before: Sequence[RawBlock], after: Sequence[RawBlock], _: bool) -> Difference | None:
    """Tools are known by their names."""
    i = _first(before, after)
    if i is None:
        return None
    was, now = _by_name(before), _by_name(after)
    old, new = _at(list(was), i), _at(list(now), i)
    came, went = new is not None and new not in was, old is not None and old not in now
    if came and went:
        return replace(_edited(was[old], now[new]), change="edited", names=(old, new))
    if came:
        return _listed("added", now[new], [n for n in now if n not in was])
    if went:
        return _listed("removed", was[old], [n for n in was if n not in now])
    if old == new:
        changed = [n for n in was if n in now and not same(was[n].payload, now[n].payload)]
        return replace(_edited(was[old], now[new]), change="edited", names=tuple(changed))
    order = [n for n in was if n in now]
    places = {name: i for i, name in enumerate(order)}
    moved = _moved([places[n] for n in now if n in places])
    return _listed("reordered", now[new], [n for n in order if places[n] in moved])


def _listed(change: str, block: RawBlock, names: Sequence[str]) -> Difference:
    return Difference(block.layer, place(block.layer, block.path), change, names=tuple(names))


def _by_name(tools: Sequence[RawBlock]) -> dict[str, RawBlock]:
    """The tools by name; one that has none, or another's, by its number."""
    out: dict[str, RawBlock] = {}
    for tool in tools:
        name = _name(tool.payload)
        out[name if name and name not in out else f"{name or tool.kind}#{len(out)}"] = tool
    return out


def _name(payload: Any) -> str | None:
    """A tool's name, in it or in the one thing that it holds."""
    if not isinstance(payload, Mapping):
        return None
    held = (payload, *(v for v in payload.values() if isinstance(v, Mapping)))
    return next((h["name"] for h in held if isinstance(h.get("name"), str)), None)


def _moved(order: Sequence[int]) -> AbstractSet[int]:
    """Which of some numbers are out of order: those that not every longest rising row of them holds."""
    upto = [1] * len(order)
    for i, n in enumerate(order):
        upto[i] = 1 + max((upto[j] for j in range(i) if order[j] < n), default=0)
    beyond = [1] * len(order)
    for i in range(len(order) - 1, -1, -1):
        later = range(i + 1, len(order))
        beyond[i] = 1 + max((beyond[j] for j in later if order[j] > order[i]), default=0)
    longest = max(upto, default=0)
    steps = [upto[i] for i in range(len(order)) if upto[i] + beyond[i] - 1 == longest]
    return {n for i, n in enumerate(order) if upto[i] + beyond[i] - 1 < longest or steps.count(upto[i]) > 1}


# System prompt and messages.


def _blocks(before: Sequence[RawBlock], after: Sequence[RawBlock], open_ended: bool) -> Difference | None:
    i = _first(before, after)
    if i is None:
        return None
    old, new = _at(before, i), _at(after, i)
    if old is None or new is None:
        return None if open_ended else _ended(old, new)
    tests = (_opened, _parted, _shifted, _rewritten, _summarised)
    found = (test(before, after, i) for test in tests)
    return _rendered(next(filter(None, found), None) or _edited(old, new))


def _ended(old: RawBlock | None, new: RawBlock | None) -> Difference:
    block = new or old
    assert block is not None  # noqa: S101 -- one of the two goes on
    text = block.payload if isinstance(block.payload, str) else None
    shown = None if text is None else text[:SHOWN]
    return Difference(
        block.layer,
        place(block.layer, block.path),
        "removed" if new is None else "added",
        kind_inside(text) if text is not None else None,
        before=shown if new is None else None,
        after=shown if new is not None else None,
    )


def _opened(before: Sequence[RawBlock], after: Sequence[RawBlock], i: int) -> Difference | None:
    """The same block in another role, or in a message of its own."""
    old, new = before[i], after[i]
    if old.kind != new.kind or not same(old.payload, new.payload):
        return None
    kind = "a role" if old.role != new.role else OPENING
    return Difference(new.layer, place(new.layer, new.path), "edited", kind)


def _parted(before: Sequence[RawBlock], after: Sequence[RawBlock], i: int) -> Difference | None:
    """The same text in more blocks, or in fewer."""
    (count, old), (other, new) = _run(before, i), _run(after, i)
    if not (count and other) or count == other == 1 or not (old.startswith(new) or new.startswith(old)):
        return None
    block, at = after[i], min(len(before[i].payload), len(after[i].payload))
    if min(len(old), len(new)) == at:
        return None
    return Difference(block.layer, place(block.layer, block.path), "edited", BLOCKS, at)


def _run(blocks: Sequence[RawBlock], start: int) -> tuple[int, str]:
    """The texts from here to the end of the list that they are in, joined, and how many."""
    texts = []
    for block in blocks[start:]:
        same_list = block.path[:1] == blocks[start].path[:1] or block.layer == "system"
        if not isinstance(block.payload, str) or not same_list:
            break
        texts.append(block.payload)
    return len(texts), "".join(texts)


def _shifted(before: Sequence[RawBlock], after: Sequence[RawBlock], i: int) -> Difference | None:
    """Blocks that changed places, went or came; the others are what they were."""
    old, new = before[i], after[i]
    comes, went = _is_in(old, after[i + 1 :]), _is_in(new, before[i + 1 :])
    where = place(new.layer, new.path)
    if comes and went:
        kind = "the order of tool results" if new.kind in _RESULTS else "the order of blocks"
        return Difference(new.layer, where, "reordered", kind)
    if comes:
        return _ended(None, new)
    if not went:
        return None
    if old.kind in _REASONING:
        return Difference(old.layer, place(old.layer, old.path), "re-rendered", "reasoning")
    gone = _ended(old, None)
    return replace(gone, change="truncated", kind=None) if old.layer == "messages" else gone


def _rewritten(_: Sequence[RawBlock], after: Sequence[RawBlock], i: int) -> Difference | None:
    what = rewriting(after[i])
    where = place(after[i].layer, after[i].path)
    return None if what is None else Difference(after[i].layer, where, "compacted", what)


def _summarised(before: Sequence[RawBlock], after: Sequence[RawBlock], i: int) -> Difference | None:
    """Fewer blocks stand for more, and what follows is what followed."""
    if after[i].layer != "messages":
        return None
    for count, block in enumerate(after[i + 1 :], 1):
        at = next((n for n, b in enumerate(before[i + 1 :], 1) if _alike(b, block)), None)
        if at is not None:
            where = place(after[i].layer, after[i].path)
            shorter = at > count
            return Difference("messages", where, "compacted", "history summarised") if shorter else None
    return None


def _rendered(found: Difference) -> Difference:
    again = found.layer == "messages" and found.change == "edited" and found.kind in _RENDERED
    return replace(found, change="re-rendered") if again else found


def _edited(old: RawBlock, new: RawBlock) -> Difference:
    where = place(new.layer, new.path)
    if old.kind != new.kind:
        return Difference(new.layer, where, "edited")
    part = parted(old.payload, new.payload)
    return Difference(new.layer, where + part.way, part.change, part.kind, part.at, part.before, part.after)


def _first(before: Sequence[RawBlock], after: Sequence[RawBlock]) -> int | None:
    """The first block that is not the same; None: there is none."""
    pairs = enumerate(zip(before, after, strict=False))
    short = min(len(before), len(after))
    i = next((i for i, (old, new) in pairs if not _alike(old, new)), short)
    return None if i == len(before) == len(after) else i


def _alike(old: RawBlock, new: RawBlock) -> bool:
    same_place = old.opens == new.opens and (not new.opens or old.role == new.role)
    return same_place and old.kind == new.kind and same(old.payload, new.payload)


def _is_in(block: RawBlock, others: Sequence[RawBlock]) -> bool:
    return any(
        block.kind == o.kind and block.role == o.role and same(block.payload, o.payload) for o in others
    )


def _at(items: Sequence[Any], i: int) -> Any:
    return items[i] if i < len(items) else None

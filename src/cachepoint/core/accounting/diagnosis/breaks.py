"""What keeps a request from being read as far as the one it goes on from was cached: cause, place and kind.

It is told from digests. Of the old request only the place where it parts is known, to the piece; of the new
one what `Said` tells.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cachepoint.core.accounting.diagnosis.said import Passage, Said
from cachepoint.core.drawing.words import counted
from cachepoint.core.memory.records import Trace
from cachepoint.core.placement.question import API, CHOICE, MODEL, REGION, differing
from cachepoint.core.prompt.anatomy import Text, Tool
from cachepoint.core.prompt.overlap import common, newest, place
from cachepoint.core.prompt.prefix import SHORT

# Names of tools in a report: more are counted.
_NAMED = 3
# Blocks that may stand in the place of what was said, as a summary of it does.
_PUT_IN = 4


class Break(NamedTuple):
    """What differs first: the cause, the block, what moved there, and at which character of the block."""

    cause: str
    block: int | None
    kind: str
    detail: str | None = None
    at: int | None = None


def broken(before: Trace, now: Trace, said: Said) -> Break | None:
    """What keeps a request from going on where another ended; None where nothing does.

    Args:
        before: The other.
        now: The request.
        said: What is known of its texts.
    """
    if (elsewhere := _elsewhere(before, now)) and before.blocks == now.blocks:
        # The same request at two places is a first write at each.
        return None
    if elsewhere:
        return Break("model_changed", 0, elsewhere[0], f"another {elsewhere[0]}")
    tests = (_set_otherwise, _tools, _system, _forced, _history, _unlisted)
    return next(filter(None, (test(before, now, said) for test in tests)), None)


def other_settings(before: Trace, now: Trace) -> list[str]:
    """The names of the settings that differ, in order."""
    return differing(before.settings, now.settings)


def _elsewhere(before: Trace, now: Trace) -> list[str]:
    return [name for name in other_settings(before, now) if name in (MODEL, REGION, API)]


def _set_otherwise(before: Trace, now: Trace, _: Said) -> Break | None:
    if before.seed == now.seed:
        return None
    names = other_settings(before, now)
    return Break("settings_changed", 0, "all", f"{_listed(names)}: all of it is lost") if names else None


def _forced(before: Trace, now: Trace, _: Said) -> Break | None:
    if CHOICE not in other_settings(before, now):
        return None
    return Break("settings_changed", now.head, CHOICE, f"{CHOICE}: the messages are lost")


def _unlisted(before: Trace, now: Trace, _: Said) -> Break | None:
    names = other_settings(before, now)
    return Break("settings_changed", 0, "unlisted", _listed(names)) if names else None


def _tools(before: Trace, now: Trace, said: Said) -> Break | None:
    if before.parts[0] == now.parts[0]:
        return None
    index = common(before.blocks, now.blocks)
    old, new = before.anatomy.tools, now.anatomy.tools
    names = [said.tool(i) for i in range(len(new))]
    tests = (_edited_tool(old, new, names, said), _moved_tools(old, new, names), _counted(old, new, names))
    found = next(filter(None, tests), Break("tools_changed", None, "edited"))
    return found if found.block is not None else found._replace(block=index)


def _edited_tool(old: Sequence[Tool], new: Sequence[Tool], names: Sequence[str], said: Said) -> Break | None:
    known = {tool.name: dict(tool.fields) for tool in old}
    for i, tool in enumerate(new):
        fields = dict(tool.fields)
        if tool.name not in known or fields == known[tool.name]:
            continue
        was = known[tool.name]
        field = next(name for name in {**fields, **was} if fields.get(name) != was.get(name))
        kind, at = _in_field(was.get(field), fields.get(field), said, i, field)
        detail = f"edited: {names[i]}, {field}" + (f", {kind}" if kind else "")
        return Break("tools_changed", i, kind or "edited", detail, at)
    return None


def _in_field(
    was: Text | None, now: Text | None, said: Said, tool: int, field: str
) -> tuple[str | None, int | None]:
    return (None, None) if was is None or now is None else _moved(was, now, said.field(tool, field))


def _moved_tools(old: Sequence[Tool], new: Sequence[Tool], names: Sequence[str]) -> Break | None:
    if Counter(old) != Counter(new) or tuple(old) == tuple(new):
        return None
    moved = [i for i, tool in enumerate(new) if tool != old[i]]
    return Break("tools_changed", moved[0], "reordered", f"reordered: {_listed([names[i] for i in moved])}")


def _counted(old: Sequence[Tool], new: Sequence[Tool], names: Sequence[str]) -> Break | None:
    before, now = {tool.name for tool in old}, {tool.name for tool in new}
    added = [i for i, tool in enumerate(new) if tool.name not in before]
    gone = len(before - now)
    said = [f"added: {_listed([names[i] for i in added])}"] if added else []
    said += [f"removed: {gone} of {len(old)}"] if gone else []
    if not said:
        return None
    return Break("tools_changed", None, "added" if added else "removed", "; ".join(said))


def _system(before: Trace, now: Trace, said: Said) -> Break | None:
    old, new = before.anatomy.system, now.anatomy.system
    if old == new:
        return None
    texts = said.system
    i = next((i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    if i is None:
        # One has more blocks than the other.
        place = texts[len(old)][0] if len(new) > len(old) else now.head
        kind = "added" if len(new) > len(old) else "removed"
        return Break("system_changed", place, kind, kind)
    first, passage = texts[i]
    if not new[i].like(old[i]):
        return Break("system_changed", first, "another", "another system prompt")
    kind_of, at = _moved(old[i], new[i], passage)
    return Break("system_changed", first, kind_of or "edited", kind_of, at)


def _moved(before: Text, now: Text, passage: Passage) -> tuple[str | None, int]:
    """What kind of text moved, where that can be told, and from which character on."""
    at, kind = passage.moved(before, now)
    if before.solid == now.solid:
        return "white space", at
    if before.bag == now.bag:
        return "the order of JSON keys" if passage.is_json else "the order", at
    return kind, at


def _history(before: Trace, now: Trace, said: Said) -> Break | None:
    old, new, head = before.messages, now.messages, now.head
    index = common(old, new)
    if index * SHORT >= min(len(old), len(new)) or index >= max(newest(old), newest(new)):
        # It goes on, or asks something else after the same answer.
        return None
    tests = (_rewritten, _reordered, _dropped, _replaced)
    found = next(filter(None, (test(old, new, said, head, index) for test in tests)), None)
    return None if found is None else Break("messages_changed", now.head + index, *found)


def _rewritten(_: bytes, __: bytes, said: Said, head: int, index: int) -> tuple[str, str] | None:
    what = said.rewriting(head + index)
    return None if what is None else (what, what)


def _reordered(before: bytes, now: bytes, said: Said, head: int, index: int) -> tuple[str, str] | None:
    message, count = said.message(head + index), len(now) // SHORT
    stop = next((i for i in range(index, count) if said.message(head + i) != message), count)
    ends = range(index, stop)
    bare = [Counter(b[i * SHORT : (i + 1) * SHORT - 1] for i in ends) for b in (before, now)]
    if len(ends) == 1 or bare[0] != bare[1]:
        return None
    what = (
        "parallel results in another order"
        if "esult" in said.kind(head + index)
        else "blocks in another order"
    )
    return "reordered", what


def _dropped(before: bytes, now: bytes, _: Said, __: int, index: int) -> tuple[str, str] | None:
    at = _again(before, now, index, index)
    return None if at is None else ("truncated", f"history truncated: {counted(at - index, 'block')} dropped")


def _replaced(before: bytes, now: bytes, said: Said, head: int, index: int) -> tuple[str, str] | None:
    """Other blocks stand where some stood, and behind them it goes on as it was."""
    for put_in in range(1, _PUT_IN + 1):
        at = _again(before, now, index + put_in, index)
        if at is None:
            continue
        gone = at - index
        if gone > put_in:
            return "compacted", f"history compacted: {counted(put_in, 'block')} in place of {gone}"
        if gone < put_in:
            return "inserted", f"{counted(put_in - gone, 'block')} put into the history"
        return "edited", _edited(said, head + index)
    return "edited", _edited(said, head + index)


def _edited(said: Said, index: int) -> str:
    if said.role(index) == "assistant":
        return "an answer rendered otherwise than it was sent"
    return "a tool result edited" if "esult" in said.kind(index) else "a message edited"


def _again(before: bytes, now: bytes, index: int, since: int) -> int | None:
    """Where in the other request, behind `since`, the blocks from `index` on stood; None: nowhere."""
    one, two = (now[index * SHORT : (index + n) * SHORT] for n in (1, 2))
    at = place(two, before) if two else None
    if at is None and one and before.endswith(one):
        at = len(before) // SHORT - 1
    return None if at is None or at < since else at


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {more} more" if more > 0 else "")

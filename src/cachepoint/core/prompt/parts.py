"""The first part of one block that is not what it was."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cachepoint.core.prompt.moved import KEY_ORDER, LIST_ORDER, kind_inside, kind_of, parting

# What is shown of a text before the place at which it parts, and behind it.
_BEFORE = 40
SHOWN = 60
# JSON of the user's own, in which the order of keys is a part of the prompt (Anthropic's prompt caching
# docs, 2026-11: "key order and whitespace in tool schemas matter"); elsewhere members go by their names.
_JSON = frozenset({"input", "input_schema", "json"})
BYTES = "the bytes of a file"
_BINARY = (bytes, bytearray)

_Way = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """How a block became another.

    Attributes:
        way: The field, from the block on: `.toolSpec.description`; empty: the block's own text.
        change: `edited`, `added`, `removed`, `truncated`, `reordered`.
        kind: What kind of text moved; None: not known.
        at: The character at which the texts part; None: they are none.
        before: What stood there, an excerpt.
        after: What stands there now.
    """

    way: str
    change: str
    kind: str | None = None
    at: int | None = None
    before: str | None = None
    after: str | None = None


def parted(old: Any, new: Any) -> Part:
    """The first part in which the payloads of two blocks differ, in the order of the wire."""
    return _inside("", (), old, new)


def same(old: Any, new: Any, exact: bool = False) -> bool:
    """Whether two values are the same on the wire: 1, 1.0 and True are not.

    Args:
        old: A value.
        new: Another.
        exact: Whether they are in JSON of the user's own, where the order of keys counts.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = list(old) == list(new) if exact else old.keys() == new.keys()
        return keys and all(same(old[k], new[k], exact or k in _JSON) for k in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(same(b, a, exact) for b, a in zip(old, new, strict=True))
    return bool(old == new) and (type(old) is type(new) or isinstance(old, str))


def _inside(where: str, way: _Way, old: Any, new: Any) -> Part:
    if isinstance(old, str) and isinstance(new, str):
        return _texts(where, old, new)
    if not _opaque(way):
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _members(where, way, old, new)
        if isinstance(old, list | tuple) and isinstance(new, list | tuple):
            return _items(where, way, old, new)
    if isinstance(old, _BINARY) or isinstance(new, _BINARY):
        return Part(where, "edited", BYTES)
    return _texts(where, _written(old), _written(new))


def _opaque(way: _Way) -> bool:
    """Whether what is there is data, whose keys are not the developer's."""
    return way[-1:] == ("input",) or (way[-1:] == ("json",) and way[-2:-1] != ("inputSchema",))


def _members(where: str, way: _Way, old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Part:
    exact = _is_json(way)
    for key in dict.fromkeys((*old, *new)):
        inner = f"{where}.{key}"
        if key not in old or key not in new:
            return Part(inner, "added" if key in new else "removed")
        if not same(old[key], new[key], exact or key in _JSON):
            return _inside(inner, (*way, key), old[key], new[key])
    return _told(where, "edited", KEY_ORDER, _written(old), _written(new))


def _items(where: str, way: _Way, old: Sequence[Any], new: Sequence[Any]) -> Part:
    pairs = enumerate(zip(old, new, strict=False))
    exact = _is_json(way)
    i = next((i for i, (b, a) in pairs if not same(b, a, exact)), min(len(old), len(new)))
    inner = f"{where}[{i}]"
    if len(old) != len(new):
        return Part(inner, "added" if len(new) > len(old) else "removed")
    if sorted(map(_written, old)) == sorted(map(_written, new)):
        return Part(inner, "reordered", LIST_ORDER)
    return _inside(inner, (*way, i), old[i], new[i])


def _is_json(way: _Way) -> bool:
    return not _JSON.isdisjoint(way)


def _texts(where: str, old: str, new: str) -> Part:
    kind = kind_of(old, new)
    change, fragment = ("edited", None) if kind is not None else _changed(old, new, parting(old, new))
    return _told(where, change, kind if fragment is None else kind_inside(fragment), old, new)


def _changed(old: str, new: str, at: int) -> tuple[str, str | None]:
    """How a text became another, and what was put in or taken out where nothing else changed."""
    if at == len(new):
        return "truncated", old[at:]
    if new.endswith(old[at:]):
        return "added", new[at : len(new) - len(old) + at]
    if old.endswith(new[at:]):
        return "removed", old[at : len(old) - len(new) + at]
    return "edited", None


def _told(where: str, change: str, kind: str | None, old: str, new: str) -> Part:
    at = parting(old, new)
    start, end = max(0, at - _BEFORE), at + SHOWN
    return Part(where, change, kind, at, old[start:end], new[start:end])


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)

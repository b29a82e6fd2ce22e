"""In which order tools are best listed, and how their schemas are written, so that calls share them.

The tools stand at the very beginning of the prefix, and a prefix is compared byte by byte (Anthropic's
documentation of prompt caching, 2026, on key order in JSON): a server that lists the same tools in another
order, or writes the same schema with its keys in another order, makes the whole prompt another one.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, NamedTuple

from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import InvalidOptionError

Key = tuple[str, int]

# Characters of schemas that are remembered at most; that of one tool is about a thousand.
_CHARACTERS = 16_000_000
# Of one name: agents that share one of these, or tenants of one agent, may each have a tool of that name.
_FORMS = 8
# Under these a key is the name that the user gave something, not a word of JSON Schema.
_NAMES = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
# Under these stands data, in which a list under "required" is a list like another.
_DATA = frozenset({"default", "const", "enum", "example", "examples"})


class Placed(NamedTuple):
    """One tool as it is to be listed.

    Attributes:
        at: Where it stands among those that were given.
        schema: The same schema as it was first written, where this call wrote it otherwise; None: it is
            to be sent as it is.
    """

    at: int
    schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tool: when it was first seen, and how each of its newest schemas was first written."""

    rank: int
    forms: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(map(len, self.forms))


class ToolOrder:
    """Lists tools in the order in which they were first seen, new ones last, each written as it first was.

    Holds the schemas as text, in this process, and counts. Safe under threads. One of these belongs to
    one agent or one chain, for as long as its conversations last.

    Args:
        capacity: How many tools are remembered, those used last.

    Raises:
        ValueError: Where the capacity is no positive whole number.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        if not isinstance(capacity, int) or capacity < 1:
            raise InvalidOptionError(f"capacity is {capacity!r}; use a positive whole number of tools")
        self._capacity = capacity
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._ranks = 0
        self._characters = 0
        self._lock = ForkSafeLock()

    def order(self, tools: Sequence[tuple[str | None, Mapping[str, Any]]]) -> list[Placed]:
        """Order the tools of one call, and remember them.

        Args:
            tools: By tool its name and its schema, all of it that is sent: description and parameters. A
                name of None is no tool but a checkpoint, or a tool with one on it: it stays where it is,
                and no tool moves across it.

        Returns:
            Each of them once. A tool whose schema is really another one keeps its place.
        """
        keys = _keys([name for name, _ in tools])
        written = [json.dumps(schema) if key else "" for key, (_, schema) in zip(keys, tools, strict=True)]
        with self._lock:
            before = [self._seen.get(key) if key else None for key in keys]
        firsts = [_first(seen, now) for seen, now in zip(before, written, strict=True)]
        with self._lock:
            ranks = [self._rank(key, first) for key, first in zip(keys, firsts, strict=True)]
        runs = _runs(keys)
        return [
            Placed(i, None if firsts[i] == written[i] else json.loads(firsts[i]))
            for i in sorted(range(len(tools)), key=lambda i: (runs[i], ranks[i]))
        ]

    def _rank(self, key: Key | None, form: str) -> int:
        if key is None:
            return 0
        seen = self._seen.pop(key, None)
        if seen is None:
            self._ranks += 1
            seen = _Seen(self._ranks)
        now = replace(seen, forms=(*(f for f in seen.forms if f != form), form)[-_FORMS:])
        self._seen[key] = now
        self._characters += now.size - seen.size
        while len(self._seen) > self._capacity or self._characters > _CHARACTERS:
            self._characters -= self._seen.popitem(last=False)[1].size
        return now.rank


def same_schema(one: Any, other: Any) -> bool:
    """Whether two schemas differ at most in the order of keys, and of what is under `required`.

    `required` is a set (JSON Schema, validation vocabulary, §6.5.3); other lists may mean something by
    their order: a model is shown the values of an `enum` one after the other.
    """
    return _unordered(one) == _unordered(other)


def _keys(names: Sequence[str | None]) -> list[Key | None]:
    """What a tool is known by: its name, and which of that name it is."""
    met: Counter[str] = Counter()
    keys: list[Key | None] = []
    for name in names:
        keys.append(None if name is None else (name, met[name]))
        met.update([name] if name is not None else ())
    return keys


def _runs(keys: Sequence[Key | None]) -> list[int]:
    """The stretches between what stays where it is, and these, counted from the beginning."""
    stays = [key is None for key in keys]
    return [2 * n - here for n, here in zip(accumulate(stays), stays, strict=True)]


def _first(seen: _Seen | None, written: str) -> str:
    """How a schema was first written, where the same one was seen."""
    if seen is None or written in seen.forms:
        return written
    now = json.loads(written)
    return next((form for form in seen.forms if same_schema(json.loads(form), now)), written)


def _unordered(schema: Any) -> str:
    # As text: in Python True is 1.
    return json.dumps(_sorted(schema), sort_keys=True)


def _sorted(value: Any, *, names: bool = False) -> Any:
    if isinstance(value, dict):
        return {k: _under(k, v, names=names) for k, v in value.items()}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def _under(key: str, value: Any, *, names: bool) -> Any:
    if names:
        return _sorted(value)
    if key in _DATA:
        return value
    if key == "required" and isinstance(value, list):
        return sorted(value, key=json.dumps)
    return _sorted(value, names=key in _NAMES)

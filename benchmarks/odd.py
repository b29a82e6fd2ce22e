"""Values that no reader expects, requests with such values in them, and what of a request may not change."""

import collections
import datetime as dt
import decimal
import math
import types
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

DEEP = 60
MARKS = ("cachePoint", "cache_control")


class Word(str):
    __slots__ = ()


class Count(int):
    pass


def _deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = {"a": [value]}
    return value


def _holding_itself() -> list[Any]:
    value: list[Any] = [{"text": "a"}]
    value.append(value)
    return value


def _dict_in_itself() -> dict[str, Any]:
    value: dict[str, Any] = {"text": "a"}
    value["content"] = [value]
    return value


# Made anew each time: some can be changed.
ODD: tuple[Callable[[], Any], ...] = (
    lambda: None,
    list,
    dict,
    tuple,
    set,
    str,
    lambda: [[]],
    lambda: [{}],
    lambda: [None],
    lambda: [""],
    lambda: {"": ""},
    lambda: 0,
    lambda: -1,
    lambda: True,
    lambda: 10**400,
    lambda: -(10**400),
    lambda: 1 << 63,
    lambda: math.nan,
    lambda: -math.inf,
    lambda: 1e308,
    lambda: -0.0,
    lambda: "\ud800",
    lambda: "a\udfffb",
    lambda: "\u200b",
    lambda: "\ufeff\u200d\u2060",
    lambda: "\x00",
    lambda: " \n\t ",
    lambda: "9" * 5_000,
    lambda: "\u0665" * 5,
    lambda: "x" * 70_000,
    lambda: b"",
    lambda: b"\xff\xfe",
    lambda: bytearray(b"abc"),
    lambda: memoryview(b"abc"),
    lambda: decimal.Decimal("NaN"),
    lambda: dt.datetime(2026, 11, 27, tzinfo=dt.UTC),
    lambda: Word("word"),
    lambda: Word(" "),
    lambda: Count(7),
    lambda: types.MappingProxyType({"text": "frozen"}),
    lambda: collections.OrderedDict(text="ordered"),
    lambda: collections.defaultdict(list, text="with a default"),
    lambda: collections.UserDict(text="of its own"),
    lambda: collections.Counter("text"),
    lambda: ({"text": "in a tuple"},),
    lambda: {1: "a", None: "b", (): "c"},
    lambda: {"text": "a", 5: "b"},
    lambda: frozenset({"a"}),
    lambda: range(3),
    lambda: object,
    lambda: {"cachePoint": None},
    lambda: {"cachePoint": {"type": "default", "ttl": []}},
    lambda: {"cache_control": {"type": "ephemeral", "ttl": {}}},
    lambda: {"cachePoint": {}},
    lambda: {"type": []},
    lambda: {"type": "text"},
    lambda: {"type": "tool_result", "content": [{"type": "image", "source": {}}]},
    lambda: {"toolResult": {"content": [{"cachePoint": {"type": "default"}}, None]}},
    lambda: {"toolUse": None},
    lambda: {"toolResult": []},
    lambda: {"document": None},
    lambda: {"document": {"format": "pdf", "source": {"bytes": 3}}},
    lambda: {"image": {"source": {"bytes": bytearray(b"abc")}}},
    lambda: {"toolSpec": None},
    lambda: _deep(DEEP),
    _holding_itself,
    _dict_in_itself,
)
_ROLES = ("user", "assistant", "system", "tool", "", "\ud800")


def odd(random: Random) -> Any:
    """One of them."""
    return random.choice(ODD)()


def wronged(random: Random, request: dict[str, Any], most: int = 4) -> dict[str, Any]:
    """A request that may be changed, with some of its values replaced, gone, doubled or moved."""
    for _ in range(random.randint(1, most)):
        if not (places := list(_places(request))):
            break
        parent, key = random.choice(places)
        random.choice(_WRONGS)(Spot(random, parent, key, places))
    return request


def _places(value: Any, most: int = 2_000) -> Iterator[tuple[Any, Any]]:
    """Whatever can be changed in a value: what holds it, and under what; breadth first, each once."""
    queue, seen = collections.deque([value]), set()
    while queue and most:
        held = queue.popleft()
        if id(held) in seen or not isinstance(held, dict | list):
            continue
        seen.add(id(held))
        for key in list(held) if isinstance(held, dict) else range(len(held)):
            most -= 1
            yield held, key
            queue.append(held[key])


class Spot(NamedTuple):
    """A value that is changed: what holds it, under what, and all places of the request."""

    random: Random
    parent: Any
    key: Any
    places: list[tuple[Any, Any]]


def _replaced(at: Spot) -> None:
    at.parent[at.key] = odd(at.random)


def _gone(at: Spot) -> None:
    del at.parent[at.key]


def _doubled(at: Spot) -> None:
    if isinstance(at.parent, list):
        at.parent.insert(at.random.randrange(len(at.parent) + 1), at.parent[at.key])
    else:
        at.parent[f"{at.key}2"] = at.parent[at.key]


def _shared(at: Spot) -> None:
    """What stands elsewhere stands here too: the same object."""
    other, key = at.random.choice(at.places)
    at.parent[at.key] = other[key]


def _inserted(at: Spot) -> None:
    if isinstance(at.parent, list):
        at.parent.insert(at.key, odd(at.random))
        return
    name = at.random.choice(("text", "type", "content", "cachePoint", "cache_control", "ttl", 7))
    at.parent[name] = odd(at.random)


def _another_form(at: Spot) -> None:
    """The same in a type that stands for it."""
    value = at.parent[at.key]
    if isinstance(value, dict):
        form = at.random.choice((types.MappingProxyType, collections.OrderedDict, collections.UserDict))
        at.parent[at.key] = form(value)
    elif isinstance(value, list):
        at.parent[at.key] = tuple(value)
    elif isinstance(value, str):
        more = at.random.choice(("\ud800", "\u200b", ""))
        at.parent[at.key] = at.random.choice((Word(value), value + more))


def _role(at: Spot) -> None:
    if isinstance(at.parent, dict) and "role" in at.parent:
        at.parent["role"] = at.random.choice(_ROLES)


_WRONGS = (_replaced, _replaced, _gone, _doubled, _shared, _inserted, _inserted, _another_form, _role)


# What is compared.


def seen(value: Any, way: tuple[int, ...] = ()) -> Any:
    """All that can be seen of a value, its types and the order of its keys too, as something to compare."""
    if isinstance(value, str | bytes | bool | int | None):
        return type(value), value
    if id(value) in way:
        return "itself", len(way) - way.index(id(value))
    inner = (*way, id(value))
    if isinstance(value, Mapping):
        return type(value), [(repr(k), seen(v, inner)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [seen(v, inner) for v in value]
    return type(value), repr(value)


def said(request: Any, way: tuple[int, ...] = ()) -> Any:
    """What a request says: it without checkpoints, texts that stand beside each other joined.

    A text alone is a list of it, and a tuple a list: that is how both are sent.
    """
    if id(request) in way:
        return "itself", len(way) - way.index(id(request))
    inner = (*way, id(request))
    if isinstance(request, Mapping):
        return {
            k: _listed(k, said(v, inner))
            for k, v in request.items()
            if not (isinstance(k, str) and k in MARKS)
        }
    if isinstance(request, list | tuple):
        return _joined([said(v, inner) for v in request if not _mark(v)])
    return seen(request)


def holds_itself(value: Any, way: tuple[int, ...] = ()) -> bool:
    """Whether it has no end: nobody could send it."""
    if id(value) in way:
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return any(holds_itself(part, (*way, id(value))) for part in parts)


def _mark(item: Any) -> bool:
    """A checkpoint alone, whichever dialect it is of."""
    return isinstance(item, Mapping) and "cachePoint" in item and all(key in MARKS for key in item)


def _listed(key: Any, value: Any) -> Any:
    if key in ("content", "system") and type(value) is tuple and value[0] in (str, Word):
        return [{"type": (str, "text"), "text": (str, str(value[1]))}]
    return value


def _joined(items: list[Any]) -> list[Any]:
    out: list[Any] = []
    for item in items:
        if out and _is_text(item) and _is_text(out[-1]) and _rest(item) == _rest(out[-1]):
            kind, text = out[-1]["text"]
            out[-1] = {**out[-1], "text": (kind, text + item["text"][1])}
        else:
            out.append(item)
    return out


def _rest(item: dict[Any, Any]) -> dict[Any, Any]:
    return {k: v for k, v in item.items() if k != "text"}


def _is_text(item: Any) -> bool:
    if not isinstance(item, dict) or not item.keys() <= {"type", "text"}:
        return False
    text = item.get("text")
    # A piece of a text of another class is a plain one.
    if type(text) is tuple and text[0] is Word:
        item["text"] = text = (str, str(text[1]))
    return type(text) is tuple and text[0] is str


def marked(request: Any, dialect: str) -> int:
    """How many checkpoints stand where Bedrock looks for them."""
    if not isinstance(request, Mapping):
        return 0
    tools = request.get("toolConfig")
    messages = request.get("messages")
    mark = "cache_control" if dialect == "messages" else "cachePoint"
    lists = [
        request.get("tools")
        if dialect == "messages"
        else tools.get("tools")
        if isinstance(tools, Mapping)
        else None,
        request.get("system"),
        *(m.get("content") for m in messages or () if isinstance(m, Mapping)),
    ]
    blocks = [b for each in lists if isinstance(each, list | tuple) for b in each if isinstance(b, Mapping)]
    at_top = dialect == "messages" and request.get(mark) is not None
    return at_top + sum(b.get(mark) is not None for b in blocks)

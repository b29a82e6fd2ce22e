"""A transcript that grows is read once: what was there a turn ago is compared, not read, cut and hashed anew.

The frameworks make every request in new dicts and lists around the same texts. Comparing those with a copy
of what came before is a walk in C; reading, cutting and hashing them is not. The copies are the caller's own
texts in dicts of ours, in this process, bounded in count, bytes and age.
"""

import marshal
import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from operator import getitem
from types import ModuleType, NoneType
from typing import Any, NamedTuple

from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.once import anew
from cachepoint.core.prompt.dialects.reading import Reading, UnreadableError
from cachepoint.core.prompt.prefix import RawBlock, quick

_BYTES = 24 << 20
_COUNT = 256
_SECONDS = 900.0
# Conversations that begin alike, such as runs of one agent.
_ALIKE = 4
# Rough bytes of a block's own dicts and tuples.
_BLOCK = 900


# Where something stands in a value: the keys and indices that lead to it.
Way = tuple[Any, ...]


# JSON of the user's own. There the order of keys is a part of the prompt (Anthropic's prompt caching docs,
# 2026-11: key order and whitespace in tool schemas matter); everywhere else members go by their names.
_JSON = frozenset({"input", "input_schema", "json"})


class Exact(NamedTuple):
    """What a comparison of two values doesn't tell: kinds of numbers, and the order of keys in JSON.

    1, 1.0 and True are equal, and not the same on the wire; so are dicts whose keys come in another order.

    Attributes:
        ways: To the dicts and lists in which it may differ, the outermost, in order.
        forms: What marshal makes of each.
    """

    ways: tuple[Way, ...]
    forms: tuple[bytes, ...]

    @classmethod
    def of(cls, value: Any) -> "Exact":
        """That of a value.

        Raises:
            ValueError: Where something in it has no exact form.
        """
        ways = tuple(_ways(value, ()))
        return cls(ways, tuple([_form(value, (way,)) for way in ways]))

    def same(self, value: Any) -> bool:
        """Whether a value that is equal is the same."""
        return not self.ways or _form_of(value, self.ways) == b"".join(self.forms)

    def differs(self, value: Any) -> Way | None:
        """The way to the first that is not the same; None: all are."""
        if self.same(value):
            return None
        pairs = zip(self.ways, self.forms, strict=True)
        return next(way for way, form in pairs if _form_of(value, (way,)) != form)

    def first(self, count: int) -> "Exact":
        """Of a list: that of its first items."""
        end = bisect_left(self.ways, (count,))
        return Exact(self.ways[:end], self.forms[:end])

    def then(self, count: int, other: "Exact") -> "Exact":
        """Of a list of `count` items that goes on with another."""
        moved = tuple([(way[0] + count, *way[1:]) for way in other.ways])
        return Exact(self.ways + moved, self.forms + other.forms)


# What marshal writes in front of the items of a list: its type, and how many.
_LIST = 5


@dataclass(slots=True)
class Transcript:
    """One request as it was read, in copies that nobody else holds.

    Attributes:
        head: The tools and the system prompt.
        messages: The messages.
        exact_head: That of the head.
        exact: That of the messages.
        raw: The blocks.
        starts: By message: the index of its first block; one more for the end.
        weight: Rough bytes.
        at: When it was read.
        made: What was made of the blocks since, by what it was made with.
    """

    head: tuple[Any, Any]
    messages: list[Any]
    exact_head: Exact
    exact: Exact
    raw: list[RawBlock]
    starts: tuple[int, ...]
    weight: int
    at: float
    made: dict[Hashable, Any] = field(default_factory=dict)

    def common(self, head: tuple[Any, Any], messages: list[Any]) -> int:
        """How many messages a request begins with alike; -1 where its head is another."""
        if head != self.head or not self.exact_head.same(head):
            return -1
        count = min(len(messages), len(self.messages))
        if messages[:count] != self.messages[:count]:
            count = next(i for i in range(count) if messages[i] != self.messages[i])
        differs = self.exact.first(count).differs(messages)
        return count if differs is None else differs[0]


@dataclass(frozen=True, slots=True)
class Growth:
    """A transcript, and the one that it goes on from: its first `same` blocks are the same.

    `before` is None where it goes on from none that is known.
    """

    now: Transcript
    before: Transcript | None = None
    same: int = 0


class Transcripts:
    """The transcripts read last. Safe under threads; nothing is read or compared under the lock.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By how they begin; those read last at the end.
        self._known: OrderedDict[Hashable, tuple[Transcript, ...]] = OrderedDict()
        self._bytes = 0
        self._lock = ForkSafeLock()

    @property
    def bytes(self) -> int:
        """Rough bytes of all that is kept."""
        return self._bytes

    def read(
        self, wire: ModuleType, request: Mapping[str, Any], rules: ModelRules, *, keep: bool = True
    ) -> Reading:
        """Read a request; what is known of it is taken from the transcript that it goes on from.

        Args:
            wire: The dialect.
            request: The request; it stays as it is.
            rules: The row of the model.
            keep: Whether it is known from now on; else what comes is read as if this had not been.

        Raises:
            UnreadableError: Where the request is none that boto3 or Bedrock would take.
        """
        try:
            return self._read(wire, request, rules, keep=keep)
        except RecursionError:
            raise UnreadableError("it holds itself, or is nested too deeply") from None

    def _read(
        self, wire: ModuleType, request: Mapping[str, Any], rules: ModelRules, *, keep: bool
    ) -> Reading:
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            reading: Reading = wire.read(request, rules)
            return reading
        key = (wire.__name__, rules.name, _opening(messages[0]))
        before, same = self._longest(key, wire.head(request), messages)
        reading = _read(wire, request, rules, before, same, self._clock())
        if keep and reading.growth is not None:
            extended = before if before is not None and same == len(before.messages) else None
            self._keep(key, reading.growth.now, extended)
        return reading

    def _longest(
        self, key: Hashable, head: tuple[Any, Any], messages: list[Any]
    ) -> tuple[Transcript | None, int]:
        best, most = None, 0
        for known in self._known.get(key, ()):
            same = known.common(head, messages)
            if same > most:
                best, most = known, same
        return best, most

    def _keep(self, key: Hashable, made: Transcript, instead_of: Transcript | None) -> None:
        with self._lock:
            alike = self._known.pop(key, ())
            kept = (*[t for t in alike if t is not instead_of][1 - _ALIKE :], made)
            self._known[key] = kept
            self._bytes += _weight(kept) - _weight(alike)
            while self._bytes > _BYTES or len(self._known) > _COUNT or self._aged(made.at):
                _, dropped = self._known.popitem(last=False)
                self._bytes -= _weight(dropped)

    def _aged(self, now: float) -> bool:
        return bool(self._known) and next(iter(self._known.values()))[-1].at < now - _SECONDS


def _read(
    wire: ModuleType,
    request: Mapping[str, Any],
    rules: ModelRules,
    before: Transcript | None,
    same: int,
    now: float,
) -> Reading:
    """Read what is new, and join it to what is known; no growth where the request cannot be kept."""
    messages = _copy(request["messages"][same:])
    head = (None, None) if before is not None else _copy(wire.head(request))
    reading: Reading = wire.read(wire.holding(request, head, messages), rules)
    exact = _exact(head, messages)
    if reading.orphans or exact is None:
        # A checkpoint with nothing before it, or what nobody can compare.
        alone: Reading = wire.read(request, rules)
        return alone
    starts = _starts(reading.raw, len(messages))
    weight = sum(_BLOCK + (len(b.payload) if isinstance(b.payload, str) else 0) for b in reading.raw)
    if before is None:
        made = Transcript(head, messages, *exact, reading.raw, starts, weight, now)
        return anew(reading, growth=Growth(made))
    begun = before.starts[same]
    raw = before.raw[:begun] + [_moved(block, same) for block in reading.raw]
    joined = Transcript(
        head=before.head,
        messages=before.messages[:same] + messages,
        exact_head=before.exact_head,
        exact=before.exact.first(same).then(same, exact[1]),
        raw=raw,
        starts=(*before.starts[:same], *(begun + start for start in starts)),
        weight=before.weight + weight,
        at=now,
    )
    return anew(reading, raw=raw, growth=Growth(joined, before, begun))


def _weight(transcripts: Sequence[Transcript]) -> int:
    return sum(t.weight for t in transcripts)


def _opening(message: Any) -> Hashable:
    """What conversations are looked up by."""
    try:
        # By `get`: a defaultdict would have one from then on.
        content = message.get("content")
        if isinstance(content, list | tuple):
            content = content[0].get("text")
    except (LookupError, AttributeError):
        return None
    return content if isinstance(content, str) else None


def _moved(block: RawBlock, by: int) -> RawBlock:
    layer, path, *rest = block
    return quick(RawBlock, (layer, (path[0] + by, *path[1:]), *rest))


def _starts(raw: Sequence[RawBlock], count: int) -> tuple[int, ...]:
    """By message: the index of its first block."""
    first: dict[int, int] = {}
    for i, block in enumerate(raw):
        if block.layer == "messages":
            first.setdefault(block.path[0], i)
    starts = [len(raw)]
    for message in range(count - 1, -1, -1):
        starts.append(first.get(message, starts[-1]))
    return tuple(reversed(starts))


def _copy(value: Any) -> Any:
    """New dicts and lists around the same leaves; bytes that may change are frozen."""
    if type(value) is dict:
        return {k: v if type(v) in _LEAVES else _copy(v) for k, v in value.items()}
    if type(value) is list:
        return [v if type(v) in _LEAVES else _copy(v) for v in value]
    if type(value) is tuple:
        return tuple([_copy(v) for v in value])
    return bytes(value) if isinstance(value, bytearray) else value


_LEAVES = frozenset({str, int, float, bool, NoneType})


def _exact(head: Any, messages: list[Any]) -> tuple[Exact, Exact] | None:
    """Of the head and of the messages; None where something has no exact form."""
    try:
        return Exact.of(head), Exact.of(messages)
    except ValueError:
        return None


def _ways(value: Any, way: Way) -> list[Way]:
    """To the outermost dicts and lists that may equal what is written otherwise."""
    inner: list[Way] = []
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, _EXACT):
            continue
        if not isinstance(item, _NESTED):
            return [way]
        if key not in _JSON:
            inner += _ways(item, (*way, key))
        elif item:
            inner.append((*way, key))
    return inner


_NESTED = (dict, list, tuple)
# Equal is the same.
_EXACT = (str, bytes, NoneType)


def _form_of(value: Any, ways: Sequence[Way]) -> bytes | None:
    """As `_form`; None where something has none, though it equals what has one, as a member of an IntEnum."""
    try:
        return _form(value, ways)
    except ValueError:
        return None


def _form(value: Any, ways: Sequence[Way]) -> bytes:
    """What marshal makes of what is there, one after the other."""
    return marshal.dumps(list(map(reduce, repeat(getitem), ways, repeat(value))), 2)[_LIST:]

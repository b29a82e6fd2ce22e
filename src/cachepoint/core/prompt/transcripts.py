"""A transcript that grows is read once: what was there a turn ago is compared, not read, cut and hashed anew.

The frameworks make every request in new dicts and lists around the same texts. Comparing those with a copy
of what came before is a walk in C; reading, cutting and hashing them is not. The copies are the caller's own
texts in dicts of ours, in this process, bounded in count, bytes and age.
"""

import marshal
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, NamedTuple

from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.models.rules import ModelRules
from cachepoint.core.prompt.dialects.reading import Reading
from cachepoint.core.prompt.prefix import RawBlock

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
        ways: To the dicts and lists in which it may differ, the outermost.
        form: What marshal makes of those, one after the other.
    """

    ways: tuple[Way, ...]
    form: bytes

    @classmethod
    def of(cls, value: Any) -> "Exact":
        """That of a value.

        Raises:
            ValueError: Where something in it has no exact form.
        """
        ways = tuple(_ways(value, ()))
        return cls(ways, _form(value, ways))

    def same(self, value: Any) -> bool:
        """Whether a value that is equal is the same."""
        return not self.ways or _form(value, self.ways) == self.form


# What marshal writes in front of the items of a list: its type, and how many.
_LIST = 5


@dataclass(slots=True)
class Transcript:
    """One request as it was read, in copies that nobody else holds.

    Attributes:
        head: The tools and the system prompt.
        messages: The messages.
        exact_head: That of the head.
        exact: That of the messages in which there is any, by index.
        raw: The blocks.
        starts: By message: the index of its first block; one more for the end.
        weight: Rough bytes.
        at: When it was read.
        made: What was made of the blocks since, by what it was made with.
    """

    head: tuple[Any, Any]
    messages: list[Any]
    exact_head: Exact
    exact: Mapping[int, Exact]
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
        return self._same(messages, count)

    def _same(self, messages: list[Any], count: int) -> int:
        """How many of the first `count` messages, which are equal, are the same."""
        known = self.exact if count == len(self.messages) else _first(self.exact, count)
        # All at once: one list is its length and what is in it.
        values = [_at(messages[i], way) for i, exact in known.items() for way in exact.ways]
        if marshal.dumps(values, 2)[_LIST:] == b"".join([exact.form for exact in known.values()]):
            return count
        return next((i for i, exact in known.items() if not exact.same(messages[i])), count)


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

    def read(self, wire: ModuleType, request: Mapping[str, Any], rules: ModelRules) -> Reading:
        """Read a request; what is known of it is taken from the transcript that it goes on from.

        Args:
            wire: The dialect.
            request: The request; it stays as it is.
            rules: The row of the model.
        """
        messages = request.get("messages")
        if not isinstance(messages, list) or not messages:
            reading: Reading = wire.read(request, rules)
            return reading
        key = (wire.__name__, rules.name, _opening(messages[0]))
        before, same = self._longest(key, wire.head(request), messages)
        reading, growth = _read(wire, request, rules, before, same, self._clock())
        if growth is None:
            return reading
        extended = before if before is not None and same == len(before.messages) else None
        self._keep(key, growth.now, extended)
        return replace(reading, growth=growth)

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
) -> tuple[Reading, Growth | None]:
    """Read what is new, and join it to what is known; no growth where the request cannot be kept."""
    messages = _copy(request["messages"][same:])
    head = (None, None) if before is not None else _copy(wire.head(request))
    reading: Reading = wire.read(wire.holding(request, head, messages), rules)
    exact = _exact(head, messages, same)
    if reading.orphans or exact is None:
        # A checkpoint with nothing before it, or what nobody can compare.
        return wire.read(request, rules), None
    starts = _starts(reading.raw, len(messages))
    weight = sum(_BLOCK + (len(b.payload) if isinstance(b.payload, str) else 0) for b in reading.raw)
    if before is None:
        return reading, Growth(Transcript(head, messages, *exact, reading.raw, starts, weight, now))
    begun = before.starts[same]
    raw = before.raw[:begun] + [_moved(block, same) for block in reading.raw]
    joined = Transcript(
        head=before.head,
        messages=before.messages[:same] + messages,
        exact_head=before.exact_head,
        exact={**_first(before.exact, same), **exact[1]},
        raw=raw,
        starts=(*before.starts[:same], *(begun + start for start in starts)),
        weight=before.weight + weight,
        at=now,
    )
    return replace(reading, raw=raw), Growth(joined, before, begun)


def _weight(transcripts: Sequence[Transcript]) -> int:
    return sum(t.weight for t in transcripts)


def _opening(message: Any) -> Hashable:
    """What conversations are looked up by."""
    try:
        content = message["content"]
        return content if isinstance(content, str) else content[0].get("text")
    except (LookupError, TypeError, AttributeError):
        return None


def _moved(block: RawBlock, by: int) -> RawBlock:
    return block._replace(path=(block.path[0] + by, *block.path[1:]))


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
        return {k: _copy(v) for k, v in value.items()}
    if type(value) is list:
        return [_copy(v) for v in value]
    if type(value) is tuple:
        return tuple(_copy(v) for v in value)
    return bytes(value) if isinstance(value, bytearray) else value


def _exact(head: Any, messages: Sequence[Any], first: int) -> tuple[Exact, Mapping[int, Exact]] | None:
    """Of the head, and of the messages by index; None where something has no exact form."""
    try:
        found = {i: Exact.of(message) for i, message in enumerate(messages, first)}
        return Exact.of(head), {i: exact for i, exact in found.items() if exact.ways}
    except ValueError:
        return None


def _first(exact: Mapping[int, Exact], count: int) -> dict[int, Exact]:
    return {i: one for i, one in exact.items() if i < count}


def _ways(value: Any, way: Way) -> Iterator[Way]:
    """To the outermost dicts and lists that may equal what is written otherwise."""
    if not isinstance(value, dict | list | tuple):
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner: list[Way] = []
    for key, item in items:
        if isinstance(item, dict | list | tuple):
            inner += [(*way, key)] if item and key in _JSON else _ways(item, (*way, key))
        elif not isinstance(item, str | bytes) and item is not None:
            yield way
            return
    yield from inner


def _form(value: Any, ways: Sequence[Way]) -> bytes:
    return marshal.dumps([_at(value, way) for way in ways], 2)[_LIST:]


def _at(value: Any, way: Way) -> Any:
    for step in way:
        value = value[step]
    return value

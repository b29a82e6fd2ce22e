"""What stands in the store: the changes of a record one behind another, in msgpack, and records as a whole.

Every element is of a class that says what its fields are, and is checked against it when it is read: nothing
in the store is code, and what is not as it should be is not remembered. What an element does when it is laid
over those before it is the core's own (`deed.over`).
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Literal, NamedTuple

from msgspec import Struct, defstruct
from msgspec.msgpack import Decoder, Encoder

from cachepoint.core.memory.counts import NO_COUNT, Count, Counts, Returned, Tried
from cachepoint.core.memory.deeds import (
    Await,
    Cached,
    CameBack,
    Claim,
    Forget,
    Learned,
    Refreshed,
    Release,
    Seen,
    Unread,
)
from cachepoint.core.memory.records import NEVER, Deed, Place, Row, Texts, Trace
from cachepoint.core.models.rules import Ttl
from cachepoint.core.prompt.cuts import Cut
from cachepoint.core.prompt.sketches import Sketch

# It is part of every key, so that what another version of the library writes is neither read nor touched.
# It is raised with any change to what stands below, to a record or to a deed.
SCHEMA = b"1"


class Is(NamedTuple):
    """The record as it was when somebody drew up what was there."""

    record: Any

    def over(self, old: Any) -> Any:  # noqa: ARG002
        """That record, whatever was there."""
        return self.record


class _PlaceFields(Struct, omit_defaults=True, frozen=True):
    """A place, without what it lacks: most fields of most places."""

    t: int | None = None
    e: float = 0.0
    l: Ttl = "5m"  # noqa: E741
    s: float | None = None
    n: int = 0
    v: Count | None = None
    p: float = 0.0
    h: bytes = b""
    i: float = 0.0
    a: tuple[tuple[bytes, str], ...] = ()
    o: float = 0.0
    f: int = 0


class _Place(Struct, array_like=True, frozen=True, tag=32):
    of: _PlaceFields

    @property
    def deed(self) -> Deed:
        of = self.of
        seen, visits = NEVER if of.s is None else of.s, NO_COUNT if of.v is None else of.v
        return Is(Place(of.t, of.e, of.l, seen, of.n, visits, of.p, of.h, of.i, of.a, of.o, of.f))


class _IsCounts(Struct, array_like=True, frozen=True, tag=33):
    by_name: dict[str, Count]
    fade: float

    @property
    def deed(self) -> Deed:
        return Is(Counts(self.by_name, self.fade))


class _Counts(Struct, array_like=True, frozen=True, tag=34):
    added: dict[str, tuple[float, float]]
    fade: float

    @property
    def deed(self) -> Deed:
        return Counts({name: Count(*count) for name, count in self.added.items()}, self.fade)


class _Cut(Struct, array_like=True, frozen=True, tag=35):
    at: int | None
    end: Literal["", "documents", "stable", "again", "fresh"]
    what: str
    first: int

    @property
    def deed(self) -> Deed:
        return Cut(self.at, self.end, self.what, self.first)


class _Texts(Struct, array_like=True, frozen=True, tag=36):
    sketches: tuple[Sketch, ...]

    @property
    def deed(self) -> Deed:
        return Texts(self.sketches)


class _Row(Struct, array_like=True, frozen=True, tag=37):
    facts: frozenset[str]

    @property
    def deed(self) -> Deed:
        return Row(self.facts)


def _place(place: Place) -> Struct:
    t, e, ttl, seen, n, visits, *others = place
    known = None if visits == NO_COUNT else visits
    return _Place(_PlaceFields(t, e, ttl, None if seen == NEVER else seen, n, known, *others))  # type: ignore[arg-type]


# Named tuples that are written as they are. Their numbers stay: a new one goes to the end.
_TUPLES = (
    Seen,
    Claim,
    Release,
    Learned,
    Forget,
    Await,
    CameBack,
    Unread,
    Tried,
    Returned,
    Trace,
    Cached,
    Refreshed,
)
_TAGS = {kind: number for number, kind in enumerate(_TUPLES)}
_OF_TUPLES: Mapping[type, Callable[[Any], Struct]] = {
    kind: defstruct(kind.__name__, [("deed", kind)], array_like=True, frozen=True, tag=number)
    for kind, number in _TAGS.items()
}
_WRITTEN: Mapping[type, Callable[[Any], Struct]] = {
    **_OF_TUPLES,
    Counts: lambda c: _Counts({n: (of.hits, of.tries) for n, of in c.by_name.items()}, c.fade),
    Cut: lambda c: _Cut(c.at, c.end, c.what, c.first),
    Texts: lambda t: _Texts(t.sketches),
    Row: lambda r: _Row(r.facts),
}
# Of a record as a whole. What is not here is written as the change that makes it of nothing.
_WHOLE: Mapping[type, Callable[[Any], Struct]] = {
    **_WRITTEN,
    Place: _place,
    Counts: lambda c: _IsCounts(dict(c.by_name), c.fade),
}
_ELEMENT: Any = _Place | _IsCounts | _Counts | _Cut | _Texts | _Row
for _made in _OF_TUPLES.values():
    _ELEMENT |= _made
_read = Decoder(list[_ELEMENT]).decode
_write = Encoder().encode


def written(deed: Deed) -> bytes:
    """A change as it is appended.

    Raises:
        ValueError: Where it holds what msgpack can't, such as half a surrogate pair.
        OverflowError: Or a whole number of more than 64 bits.
        KeyError: Where it is of no kind that is known here.
    """
    tag = _TAGS.get(type(deed))
    # As the class would be written that reads it, which need not be made for that.
    return _write(_WRITTEN[type(deed)](deed) if tag is None else (tag, deed))


def whole(record: Any) -> tuple[int, bytes]:
    """A record as a whole: how many elements, and these; none where there is none.

    Raises:
        ValueError: As `written`.
        OverflowError: As `written`.
    """
    return (0, b"") if record is None else (1, _write(_WHOLE[type(record)](record)))


def laid(count: int, elements: bytes, over: Any = None) -> Any:
    """The record that so many elements come to, laid over another.

    Raises:
        ValueError: Where they are not what is written here.
    """
    found = _read(b"\xdc" + count.to_bytes(2) + elements)
    return reduce(_over, found, over)


def _over(old: Any, element: Any) -> Any:
    return element.deed.over(old)

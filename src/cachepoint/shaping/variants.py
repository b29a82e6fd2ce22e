"""Learns which sentences of a prompt change while the rest comes back."""

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cachepoint.core.config import now
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.prompt.digests import Digester
from cachepoint.shaping.bounded import put
from cachepoint.shaping.changing import Span, sentences

# Two texts that are alike may be two agents that take turns; a third makes it a place that changes.
_FEW = 3
# Texts of a kind that are held against each other, those seen last.
_MOST = 8
# More than this, in characters, is moved only where such texts hardly ever come back: else it is the
# persona of one agent among several, which is in the cache as it stands.
SMALL = 512
_MANY = 8
# A write at 1.25 of the input price that is read at 0.1 pays where so many come back (Claude, 5m).
_WORTH = 0.25 / 1.15
# Texts are alike where they share so many characters, or half of the new one.
_SHARED = 1_024
# By so many of its sentences, the longest, a text is found again.
_SIGNS = 16
_KINDS = 512
_DECIDED = 20_000
_MAX_AGE = 86_400.0


@dataclass(slots=True)
class _Variant:
    """One text of a kind: its sentences' digests, the conversation it was in first, whether it came back."""

    parts: frozenset[bytes]
    conversation: bytes
    at: float
    again: bool = False


@dataclass(slots=True)
class _Kind:
    """Texts that are alike, those seen last at the end."""

    variants: OrderedDict[bytes, _Variant] = field(default_factory=OrderedDict)


class Variants:
    """Holds the texts of one place against each other. Keeps keyed digests and counts, no text.

    What was decided for a text stays decided while its conversation goes on. Bounded in count and age; safe
    under threads and forks.

    Args:
        clock: Seconds.
        max_age: Seconds after which a text that was not seen again is forgotten.
    """

    def __init__(self, clock: Callable[[], float] = now, *, max_age: float = _MAX_AGE) -> None:
        self._clock = clock
        self._max_age = max_age
        self._digester = Digester(secrets.token_bytes(32))
        self._kinds: OrderedDict[int, _Kind] = OrderedDict()
        self._signs: OrderedDict[bytes, int] = OrderedDict()
        self._decided: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()
        self._next = 0
        self._lock = ForkSafeLock()

    def changing(self, text: str, conversation: str = "", *, learn: bool = True) -> tuple[Span, ...]:
        """The sentences of a text that change, as far as is known, and learn from it.

        Args:
            text: The text.
            conversation: What tells its conversation: the text of its first message.
            learn: Whether it is remembered; else it is said what would be said, and nothing changes.

        Returns:
            Start and end of each, in characters, in order.
        """
        whole, told = self._digester.text(text)[0], self._digester.text(conversation)[0]
        key = self._digester.one(whole + told)
        with self._lock:
            if key in self._decided:
                self._decided.move_to_end(key)
                return self._decided[key]
        spans = sentences(text)
        parts = [self._digest(text[start:end].strip()) for start, end in spans]
        with self._lock:
            found = self._seen(whole, told, spans, parts, learn=learn)
            if learn:
                put(self._decided, key, found, _DECIDED)
        return found

    def __len__(self) -> int:
        return len(self._decided)

    def _digest(self, text: str) -> bytes:
        return self._digester.one(text.encode("utf-8", "surrogatepass"))

    def _seen(
        self, whole: bytes, told: bytes, spans: Sequence[Span], parts: Sequence[bytes], *, learn: bool
    ) -> tuple[Span, ...]:
        sizes = {part: end - start for (start, end), part in zip(spans, parts, strict=True)}
        signs = sorted(sizes, key=lambda part: -sizes[part])[:_SIGNS]
        number = self._alike(signs, sizes)
        kind = _Kind() if number is None else self._kinds[number]
        oldest = self._clock() - self._max_age
        others = [v for key, v in kind.variants.items() if key != whole and v.at >= oldest]
        found = _changes(others, spans, parts)
        if learn:
            self._learn(number, kind, whole, told, parts, signs)
        return found

    def _alike(self, signs: Sequence[bytes], sizes: Mapping[bytes, int]) -> int | None:
        """The kind that shares most with it."""
        votes = Counter(n for sign in signs if (n := self._signs.get(sign)) is not None)
        enough = min(_SHARED, sum(sizes.values()) / 2)
        for number, _ in votes.most_common():
            kind = self._kinds.get(number)
            last = None if kind is None or not kind.variants else next(reversed(kind.variants.values()))
            if last is not None and sum(size for part, size in sizes.items() if part in last.parts) >= enough:
                return number
        return None

    def _learn(
        self,
        number: int | None,
        kind: _Kind,
        whole: bytes,
        told: bytes,
        parts: Sequence[bytes],
        signs: Sequence[bytes],
    ) -> None:
        at = self._clock()
        variant = kind.variants.get(whole) or _Variant(frozenset(parts), told, at)
        variant.again = variant.again or variant.conversation != told
        variant.at = at
        put(kind.variants, whole, variant, _MOST)
        while next(iter(kind.variants.values())).at < at - self._max_age:
            kind.variants.popitem(last=False)
        if number is None:
            number = self._next = self._next + 1
        put(self._kinds, number, kind, _KINDS)
        for sign in signs:
            put(self._signs, sign, number, _KINDS * _SIGNS)


def _changes(others: Sequence[_Variant], spans: Sequence[Span], parts: Sequence[bytes]) -> tuple[Span, ...]:
    """The sentences that no more than half of the texts of a kind have."""
    if len(others) + 1 < _FEW:
        return ()
    have = Counter(part for variant in others for part in variant.parts)
    most = (len(others) + 1) / 2
    found = tuple(
        span for span, part in zip(spans, parts, strict=True) if have[part] + 1 <= most and span[0] < span[1]
    )
    size = sum(end - start for start, end in found)
    if size > SMALL and (len(others) + 1 < _MANY or sum(v.again for v in others) > _WORTH * len(others)):
        return ()
    return found

"""In which order retrieved documents are best shown, so that questions share the beginning of the prompt.

A cache holds prefixes. Six documents in the order of their scores are a prefix that next to no other
question has; the same six with those in front that many questions share are one that is read again. So
the order is a walk: from the document that most often comes first, along what is in the cache already,
as deep as checkpoints reach; the rest stays as the retriever had it (CacheWeaver, arXiv 2606.19667).
"""

import math
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cachepoint.core.config import now
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.prompt.digests import Digester
from cachepoint.shaping.bounded import put

# Bedrock takes four checkpoints; no document behind the fourth can begin a prefix of its own.
DEPTH = 4
# A prefix that was seen is written when it comes back, and read from then on.
_LIVE = 2
# One question that names a document says nothing; the second shows that it comes back.
_POPULAR = 1.5
# Popularity outlives an entry by far: an order that follows every hour is no order.
_HALF_LIFE_IN_TTLS = 12


@dataclass(frozen=True, slots=True)
class _Node:
    """A beginning of documents, by its digest: how often it was shown in a row in time, and when last."""

    shown: int = 0
    at: float = 0.0

    def within(self, now: float, ttl: float) -> int:
        return self.shown if now - self.at <= ttl else 0


@dataclass(frozen=True, slots=True)
class _Count:
    """How often a document was retrieved, old times fading."""

    weight: float = 0.0
    at: float = 0.0

    def now(self, now: float, half_life: float) -> float:
        return self.weight * math.exp2(min(self.at - now, 0.0) / half_life)


class DocumentOrder:
    """Learns which documents come back together, and orders the next ones by it.

    Holds keyed digests, counts and times, no text. Safe under threads. One of these belongs to one
    place in one prompt: what stands in front of the documents must be the same.

    Args:
        clock: Seconds, as of Bedrock's own clock.
        ttl: Seconds that an entry of the cache lives.
        depth: How many documents at most are put in front, 1 to 4.
        capacity: How many documents and beginnings are remembered, those used last. One takes about
            200 bytes.

    Raises:
        ValueError: Where an argument is out of bounds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = now,
        *,
        ttl: float = 300.0,
        depth: int = DEPTH,
        capacity: int = 50_000,
    ) -> None:
        if not 1 <= depth <= DEPTH:
            raise InvalidOptionError(f"depth is {depth!r}; use 1 to {DEPTH}, the checkpoints of a request")
        if ttl <= 0 or capacity < 1:
            raise InvalidOptionError(f"ttl is {ttl!r} s and capacity {capacity!r}; both must be positive")
        self._clock = clock
        self._ttl = ttl
        self._depth = depth
        self._capacity = capacity
        self._half_life = ttl * _HALF_LIFE_IN_TTLS
        self._digester = Digester(secrets.token_bytes(32))
        self._counts: OrderedDict[bytes, _Count] = OrderedDict()
        self._nodes: OrderedDict[bytes, _Node] = OrderedDict()
        self._lock = ForkSafeLock()

    def order(self, keys: Sequence[str | bytes]) -> tuple[int, ...]:
        """Order the documents of one question, and learn from them.

        Args:
            keys: What the documents are, best first: their texts as they are shown. A text that is
                shown otherwise is another document to the cache, whatever its id.

        Returns:
            A permutation of the indices of `keys`: those to put in front, then the rest as they were.
        """
        documents = [
            self._digester.one(k.encode("utf-8", "surrogatepass") if isinstance(k, str) else k) for k in keys
        ]
        with self._lock:
            now = self._clock()
            front = self._walk(documents, now)
            order = (*front, *(i for i in range(len(keys)) if i not in front))
            self._learn(documents, order, now)
        return order

    def _walk(self, documents: Sequence[bytes], now: float) -> tuple[int, ...]:
        front: tuple[int, ...] = ()
        path = b""
        popularity = [self._popularity(d, now) for d in documents]
        while len(front) < min(self._depth, len(documents)):
            rest = [i for i in range(len(documents)) if i not in front]
            shown = {i: self._shown(self._after(path, documents[i]), now) for i in rest}
            # max() takes the first of equals: the retriever's order decides.
            best = max(rest, key=lambda i: (min(shown[i], _LIVE), popularity[i]))
            if not shown[best] and popularity[best] < _POPULAR:
                break
            front = (*front, best)
            path = self._after(path, documents[best])
        return front

    def _learn(self, documents: Sequence[bytes], order: Sequence[int], now: float) -> None:
        for document in set(documents):
            put(self._counts, document, _Count(self._popularity(document, now) + 1, now), self._capacity)
        path = b""
        for i in order[: self._depth]:
            path = self._after(path, documents[i])
            node = self._nodes.get(path, _Node())
            shown = min(node.within(now, self._ttl) + 1, _LIVE)
            put(self._nodes, path, replace(node, shown=shown, at=now), self._capacity)

    def _after(self, path: bytes, document: bytes) -> bytes:
        return self._digester.one(path + document)

    def _popularity(self, document: bytes, now: float) -> float:
        count = self._counts.get(document)
        return 0.0 if count is None else count.now(now, self._half_life)

    def _shown(self, path: bytes, now: float) -> int:
        node = self._nodes.get(path)
        return 0 if node is None else node.within(now, self._ttl)


def rank_note(order: Sequence[int]) -> str:
    """What tells a model the retriever's ranks, for the end of the last document shown.

    Not in each text: a rank changes with the question, and a text with another rank is another prefix.

    Args:
        order: The permutation shown: position to the retriever's index.

    Returns:
        One line, such as `[relevance ranks of the documents above, in order: 3, 1, 2]`.
    """
    return f"[relevance ranks of the documents above, in order: {', '.join(str(i + 1) for i in order)}]"

"""Where retrieved text ends inside a prompt, and where text stands that changes by the call.

The frameworks render documents and question into one text, so the only place for a checkpoint would
be behind the question, where nobody ever reads. What was retrieved is announced before the model is
called (LangChain `on_retriever_end`, LlamaIndex retrieval events); here it is found again.
"""

import hashlib
import re
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

# Where a retrieved text may begin inside a prompt: at a word or sign that follows something else.
_STARTS = re.compile(r"(?<![^\W_])\S")
# Texts are looked up by how they begin; shorter ones by all they are.
_ANCHOR = 12
# A document shorter than this says nothing about where documents end.
MIN_DOCUMENT = 40


class _Bucket:
    """Announced texts that begin alike, by length: Python's hash of each, and how many share it."""

    def __init__(self) -> None:
        self.lengths: dict[int, Counter[int]] = {}

    def add(self, length: int, hashed: int) -> None:
        self.lengths.setdefault(length, Counter())[hashed] += 1

    def drop(self, length: int, hashed: int) -> None:
        left = self.lengths[length]
        left[hashed] -= 1
        if not left[hashed]:
            del left[hashed]
        if not left:
            del self.lengths[length]


class Announced:
    """Texts known by length and keyed digest only; found again inside larger texts.

    Safe under threads. Bounded: the `capacity` texts announced last, none older than `max_age` seconds.
    """

    def __init__(
        self,
        capacity: int = 8_192,
        max_age: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = secrets.token_bytes(16)
        # By digest and length: the bucket, Python's hash of the text, and when it was announced.
        self._texts: OrderedDict[tuple[bytes, int], tuple[int, int, float]] = OrderedDict()
        self._buckets: dict[int, _Bucket] = {}
        self._starts: Counter[int] = Counter()
        self._capacity = capacity
        self._max_age = max_age
        self._clock = clock
        self._lock = Lock()

    def announce(self, texts: Iterable[str]) -> None:
        """Remember these texts for a while."""
        now = self._clock()
        with self._lock:
            for text in texts:
                self._keep(text.strip(), now)
            while self._texts and (
                len(self._texts) > self._capacity or now - next(iter(self._texts.values()))[2] > self._max_age
            ):
                self._drop()

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where announced texts stand in a text: (start, end) in characters, in order."""
        found: list[tuple[int, int]] = []
        end = 0
        with self._lock:
            sizes = sorted(self._starts, reverse=True)
            if not sizes:
                return found
            for match in _STARTS.finditer(text):
                start = match.start()
                if start >= end and (length := self._match(text, start, sizes)):
                    end = start + length
                    found.append((start, end))
        return found

    def __len__(self) -> int:
        return len(self._texts)

    def _match(self, text: str, start: int, sizes: list[int]) -> int:
        """The length of the longest announced text that begins here; 0 for none."""
        for size in sizes:
            bucket = self._buckets.get(hash(text[start : start + size]))
            if bucket is None:
                continue
            for length in sorted(bucket.lengths, reverse=True):
                found = text[start : start + length]
                if hash(found) in bucket.lengths[length] and (self._digest(found), length) in self._texts:
                    return length
        return 0

    def _keep(self, text: str, now: float) -> None:
        if not text:
            return
        key = (self._digest(text), len(text))
        if key not in self._texts:
            size = min(_ANCHOR, len(text))
            start, hashed = hash(text[:size]), hash(text)
            self._buckets.setdefault(start, _Bucket()).add(len(text), hashed)
            self._starts[size] += 1
            self._texts[key] = (start, hashed, now)
        else:
            self._texts[key] = (*self._texts[key][:2], now)
        self._texts.move_to_end(key)

    def _drop(self) -> None:
        (_, length), (start, hashed, _) = self._texts.popitem(last=False)
        bucket = self._buckets[start]
        bucket.drop(length, hashed)
        if not bucket.lengths:
            del self._buckets[start]
        size = min(_ANCHOR, length)
        self._starts[size] -= 1
        if not self._starts[size]:
            del self._starts[size]

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


retrieved = Announced()
"""What the frameworks of this process said they retrieved."""

changing = Announced()
"""What was marked with `volatile`."""


def documents(text: str) -> str:
    """Say that a text is a document, where no retriever says so; it comes back as it is.

    Example:
        `prompt = f"{documents(manual)} Question: {question}"`
    """
    if len(text) >= MIN_DOCUMENT:
        retrieved.announce([text])
    return text


def volatile(text: str) -> str:
    """Say that a text changes by the call (a clock, a user's name); it comes back as it is.

    The checkpoint goes in front of the line that holds it.

    Example:
        `system = instructions + f"It is {volatile(now)}."`
    """
    changing.announce([text])
    return text

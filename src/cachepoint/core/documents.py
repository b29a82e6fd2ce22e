"""Where retrieved text ends inside a prompt, and where text stands that changes by the call.

The frameworks render documents and question into one text, so the only place for a checkpoint would
be behind the question, where nobody ever reads. What was retrieved is announced before the model is
called (LangChain `on_retriever_end`, LlamaIndex retrieval events); here it is found again.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock

# Where a retrieved text may begin inside a prompt: at a word or sign that follows something else.
_STARTS = re.compile(r"(?<![^\W_])\S")
# Texts are looked up by how they begin; shorter ones by all they are.
_ANCHOR = 12
# A document shorter than this says nothing about where documents end.
MIN_DOCUMENT = 40


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
        self._texts: OrderedDict[tuple[bytes, int], tuple[int, float]] = OrderedDict()
        self._by_anchor: dict[int, set[tuple[bytes, int]]] = {}
        self._lengths: dict[int, int] = {}
        self._capacity = capacity
        self._max_age = max_age
        self._clock = clock
        self._lock = Lock()
        self.version = 0

    def announce(self, texts: Iterable[str]) -> None:
        """Remember these texts for a while."""
        now = self._clock()
        with self._lock:
            for text in texts:
                self._keep(text.strip(), now)
            while self._texts and (
                len(self._texts) > self._capacity or now - next(iter(self._texts.values()))[1] > self._max_age
            ):
                self._drop()

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where announced texts stand in a text: (start, end) in characters, in order."""
        with self._lock:
            lengths = sorted(self._lengths)
            if not lengths:
                return []
            found: list[tuple[int, int]] = []
            end = 0
            for match in _STARTS.finditer(text):
                start = match.start()
                if start < end:
                    continue
                length = self._match(text, start, lengths)
                if length:
                    end = start + length
                    found.append((start, end))
            return found

    def __len__(self) -> int:
        return len(self._texts)

    def _match(self, text: str, start: int, lengths: list[int]) -> int:
        """The length of the longest announced text that begins here; 0 for none."""
        best = 0
        for anchor_length in lengths:
            anchor = text[start : start + anchor_length]
            if len(anchor) < anchor_length:
                break
            for digest, length in self._by_anchor.get(hash(anchor), ()):
                if length > best and self._digest(text[start : start + length]) == digest:
                    best = length
        return best

    def _keep(self, text: str, now: float) -> None:
        if not text:
            return
        key = (self._digest(text), len(text))
        anchor_length = min(_ANCHOR, len(text))
        if key not in self._texts:
            anchor = hash(text[:anchor_length])
            self._by_anchor.setdefault(anchor, set()).add(key)
            self._lengths[anchor_length] = self._lengths.get(anchor_length, 0) + 1
            self._texts[key] = (anchor, now)
            self.version += 1
        else:
            self._texts[key] = (self._texts[key][0], now)
        self._texts.move_to_end(key)

    def _drop(self) -> None:
        key, (anchor, _) = self._texts.popitem(last=False)
        self._by_anchor[anchor].discard(key)
        if not self._by_anchor[anchor]:
            del self._by_anchor[anchor]
        anchor_length = min(_ANCHOR, key[1])
        self._lengths[anchor_length] -= 1
        if not self._lengths[anchor_length]:
            del self._lengths[anchor_length]
        self.version += 1

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

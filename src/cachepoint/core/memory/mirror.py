"""Which prefixes Bedrock must hold, until when, and which were seen: the library's picture of it."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from cachepoint.core.models.rules import TTL_SECONDS, Ttl
from cachepoint.core.prompt.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one prefix.

    `tokens` is its size as Bedrock counted it (None: never reported on its own); `expires` the
    time until which an entry lives (0: none was written); `seen` the last call that went through
    it; `writing` the start of a call that may be writing it now (0: none).
    """

    tokens: int | None = None
    expires: float = 0.0
    ttl: Ttl = "5m"
    seen: float = 0.0
    writing: float = 0.0

    def live(self, now: float) -> bool:
        """Whether Bedrock must hold it now."""
        return self.expires > now


class Store(Protocol):
    """Where a mirror lives. Bounded; safe under threads."""

    def get(self, digests: Iterable[bytes]) -> Mapping[bytes, Entry]:
        """The entries that there are of these."""

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep these; the oldest go where there are too many."""


class MemoryStore:
    """A mirror in the memory of this process: the `capacity` entries used last.

    Args:
        capacity: How many entries to keep. One takes about 200 bytes.
    """

    def __init__(self, capacity: int = 50_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity!r}; it must be at least 1")
        self._capacity = capacity
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._lock = Lock()

    def get(self, digests: Iterable[bytes]) -> Mapping[bytes, Entry]:
        """The entries that there are of these."""
        with self._lock:
            return {d: self._entries[d] for d in digests if d in self._entries}

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep these; those untouched for longest go where there are too many."""
        with self._lock:
            for digest, entry in entries.items():
                self._entries[digest] = entry
                self._entries.move_to_end(digest)
            while len(self._entries) > self._capacity:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, slots=True)
class View:
    """A prefix held against the mirror: what is known of it, by block index."""

    now: float
    entries: Mapping[int, Entry] = field(default_factory=dict)

    @property
    def live(self) -> tuple[int, ...]:
        """Indices of the blocks that end a live entry, in order."""
        return tuple(i for i, e in self.entries.items() if e.live(self.now))

    @property
    def sized(self) -> tuple[int, int] | None:
        """The deepest block whose cumulative tokens are known, and the tokens."""
        known = [(i, e.tokens) for i, e in self.entries.items() if e.tokens is not None]
        return known[-1] if known else None

    def seen_from(self, first: int) -> int | None:
        """The deepest block at or behind `first` that an earlier call went through and that was noted."""
        return max((i for i in self.entries if i >= first), default=None)


class CacheMirror:
    """Reads and updates the picture. All it keeps is digests, token counts and times."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def look(self, prefix: Prefix, now: float) -> View:
        """What Bedrock must hold of this prefix now."""
        found = self._store.get(prefix.digests)
        if not found:
            return View(now)
        return View(now, {i: found[d] for i, d in enumerate(prefix.digests) if d in found})

    def note(self, prefix: Prefix, view: View, ends: Iterable[int], writing: Iterable[int]) -> None:
        """Remember that a call went through these blocks and may be writing at those."""
        entries = {}
        writes = set(writing)
        for i in {*ends, *writes}:
            old = view.entries.get(i, Entry())
            entries[prefix.blocks[i].digest] = Entry(
                tokens=old.tokens,
                expires=old.expires,
                ttl=old.ttl,
                seen=view.now,
                writing=view.now if i in writes else old.writing,
            )
        self._store.put(entries)

    def learn(self, prefix: Prefix, written: Mapping[int, tuple[Ttl, int | None]], at: float) -> None:
        """Entries that a call read or wrote.

        Args:
            prefix: The call's prefix.
            written: By block index: the TTL of its checkpoint and its tokens, where reported.
            at: When the call started, in seconds; lifetimes count from there (Anthropic docs, 2026).
        """
        known = self._store.get(prefix.blocks[i].digest for i in written)
        entries = {}
        for i, (ttl, tokens) in written.items():
            digest = prefix.blocks[i].digest
            old = known.get(digest, Entry())
            # An entry that is read keeps its own TTL, and a late answer does not shorten it.
            kept: Ttl = old.ttl if old.live(at) else ttl
            entries[digest] = Entry(
                tokens=tokens if tokens is not None else old.tokens,
                expires=max(old.expires, at + TTL_SECONDS[kept]),
                ttl=kept,
                seen=max(old.seen, at),
            )
        self._store.put(entries)

    def forget(self, prefix: Prefix, indices: Iterable[int]) -> None:
        """Entries that turned out not to be there, or whose writer failed."""
        digests = [prefix.blocks[i].digest for i in indices]
        known = self._store.get(digests)
        self._store.put({d: Entry(tokens=known[d].tokens, seen=known[d].seen) for d in digests if d in known})

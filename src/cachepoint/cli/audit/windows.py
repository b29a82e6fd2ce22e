"""The bound of any number of calls, in bounded memory: by stretches of time, one after another.

A stretch begins with an empty cache, so what lives across its beginning is counted as written anew. What that
can come to is taken off the lower bound: it stays one.
"""

from collections.abc import Iterator
from dataclasses import replace

from cachepoint.core.accounting.sent import Sent
from cachepoint.core.models.rules import TTL_SECONDS, rules_for
from cachepoint.core.prompt.prefix import SHORT
from cachepoint.reporting.bound.bound import Bound
from cachepoint.reporting.bound.models import MAX_BLOCKS, MAX_CALLS, Bounds
from cachepoint.reporting.rows import Row

_HOUR = float(TTL_SECONDS["1h"])
# Calls and blocks of a stretch: what `Bounds` holds, less room for the largest call.
_CALLS, _BLOCKS = MAX_CALLS - 1, MAX_BLOCKS - 20_000


class Windows:
    """The bounds of calls by time."""

    def __init__(self) -> None:
        self.total: Bound | None = None
        self._bounds = Bounds()
        self._began = 0.0
        self._calls = self._blocks = 0
        # Of the last hour of the stretch before: what it used. Of this one: when it used what.
        self._before: set[bytes] = set()
        self._used: dict[bytes, float] = {}
        self._across = 0.0

    def add(self, row: Row, sent: Sent) -> None:
        """Note the next call."""
        if self._calls >= _CALLS or self._blocks >= _BLOCKS:
            self._close(row.at)
        if not self._calls:
            self._began = row.at
        self._calls += 1
        self._blocks += sum(1 for one in _nodes(sent) if one not in self._used)
        self._lives(row, sent)
        self._used.update(dict.fromkeys(_nodes(sent), row.at))
        self._bounds.add(row, sent)

    def end(self) -> Bound | None:
        """The bound of all; None where none is known."""
        if self._calls:
            self._close(self._began)
        return self.total

    def join(self, other: "Windows") -> None:
        """Add those of other calls, which share no cache with these."""
        found = other.end()
        if found is not None:
            self.total = found if self.total is None else self.total + found

    def _lives(self, row: Row, sent: Sent) -> None:
        """Count what this call may find of the stretch before."""
        if not self._before or row.at - self._began > _HOUR:
            return
        multipliers = rules_for(row.priced_as).multipliers
        dearest = max(multipliers.get("write_1h", 0.0), multipliers.get("write_5m", 0.0))
        saved = dearest - multipliers.get("read", 0.0)
        total = (row.fresh or 0) + row.cached
        share = total / sent.sizes[-1] if sent.sizes and sent.sizes[-1] else 0.0
        for i, one in enumerate(_nodes(sent)):
            if one in self._before:
                self._before.discard(one)
                self._across += saved * share * (sent.sizes[i] - (sent.sizes[i - 1] if i else 0))

    def _close(self, at: float) -> None:
        found = self._bounds.total
        if found is not None:
            found = replace(found, lower=max(0.0, found.lower - self._across))
            self.total = found if self.total is None else self.total + found
        self._before = {one for one, used in self._used.items() if used >= at - _HOUR}
        self._bounds, self._used = Bounds(), {}
        self._calls = self._blocks = 0
        self._across = 0.0


def _nodes(sent: Sent) -> Iterator[bytes]:
    return (sent.digests[i : i + SHORT] for i in range(0, len(sent.digests), SHORT))

"""Many calls over time, in sums of bounded number."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from cachepoint.core.accounting.money import plus
from cachepoint.reporting.rows import Row

MAX_SLICES = 256


class Course:
    """Sums by slices of time, at most `MAX_SLICES`: the slices grow as the time does."""

    def __init__(self) -> None:
        self.width = 1.0
        self._slices: dict[int, list[Any]] = {}

    def add(self, row: Row) -> None:
        """Count one call."""
        one = self._slices.get(int(row.at // self.width)) or self._begun(row.at)
        one[0] += 1
        one[1] += (row.fresh or 0) + row.cached
        one[2] += row.read or 0
        if row.cost is not None and row.saved is not None:
            one[3] = plus(one[3], row.cost)
            one[4] = plus(one[4], row.saved)

    def join(self, other: "Course") -> None:
        """Add the slices of another."""
        while self.width < other.width:
            self._widen()
        while other.width < self.width:
            other._widen()
        for at, sums in other._slices.items():
            self._add(at, sums)
        while len(self._slices) > MAX_SLICES:
            self._widen()

    def _begun(self, at: float) -> list[Any]:
        self._slices[int(at // self.width)] = [0, 0, 0, Decimal(0), Decimal(0)]
        while len(self._slices) > MAX_SLICES:
            self._widen()
        return self._slices[int(at // self.width)]

    def _widen(self) -> None:
        narrow, self._slices, self.width = self._slices, {}, self.width * 2
        for at, sums in narrow.items():
            self._add(at // 2, sums)

    def _add(self, at: int, sums: Sequence[Any]) -> None:
        wide = self._slices.setdefault(at, [0, 0, 0, Decimal(0), Decimal(0)])
        wide[:3] = [a + b for a, b in zip(wide[:3], sums[:3], strict=True)]
        wide[3:] = map(plus, wide[3:], sums[3:])

    def __iter__(self) -> Iterator["Slice"]:
        for at, (calls, input_tokens, read, cost, saved) in sorted(self._slices.items()):
            yield Slice(at * self.width, calls, input_tokens, read, cost, plus(cost, saved))


class Slice(NamedTuple):
    """What began in `Course.width` seconds from `at` on."""

    at: float
    calls: int
    input_tokens: int
    read_tokens: int
    cost: Decimal
    uncached_cost: Decimal

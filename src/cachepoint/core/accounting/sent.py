"""What a call sent, as the cache sees it: digests and sizes of its blocks, and its checkpoints; no text."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cachepoint.core.placement.planner import Plan
from cachepoint.core.prompt.prefix import SHORT, Prefix

_MOST_BYTES = 1 << 40


class Sent(NamedTuple):
    """The blocks of one request in cache order.

    Attributes:
        digests: The first 8 bytes of the digest of each prefix that ends with a block, one after the other.
        sizes: Bytes of each of these prefixes, which stand for tokens until usage tells them.
        points: The blocks that a checkpoint stood behind, in order.
        barred: The blocks behind which Bedrock takes none, in order.
        lag: Seconds until the answer began; where that was not seen, until it was there.
    """

    digests: bytes
    sizes: Sequence[int]
    points: tuple[int, ...]
    barred: tuple[int, ...]
    lag: float

    @classmethod
    def of(cls, prefix: Prefix, plan: Plan, lag: float) -> "Sent":
        """What a planned call sends. Nothing is hashed or copied for it."""
        points = tuple([c.index for c in plan.checkpoints])
        return cls(prefix.short, prefix.sizes, points, prefix.barred, lag)

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON: the sizes are those of the single blocks."""
        return {
            "digests": b64encode(self.digests).decode(),
            "bytes": [size - before for size, before in zip(self.sizes, (0, *self.sizes), strict=False)],
            "points": self.points,
            "barred": self.barred,
            "lag_ms": round(self.lag * 1_000),
        }

    @classmethod
    def read_from(cls, line: Mapping[str, Any]) -> "Sent":
        """What `as_dict` gave, as it comes back from JSON.

        Raises:
            ValueError: Where a figure cannot be; KeyError and TypeError likewise.
        """
        digests, total, sizes = b64decode(line["digests"], validate=True), 0, []
        for size in line["bytes"]:
            if type(size) is not int or not 0 <= size < _MOST_BYTES:
                raise ValueError(f"{size!r} is no number of bytes")
            sizes.append(total := total + size)
        points, barred, lag = tuple(line["points"]), tuple(line["barred"]), line["lag_ms"]
        inside = all(type(i) is int and 0 <= i < len(sizes) for i in (*points, *barred))
        if not sizes or len(digests) != SHORT * len(sizes) or not inside or sorted(points) != [*points]:
            raise ValueError("digests, sizes and checkpoints do not fit each other")
        if type(lag) is not int or not 0 <= lag < _MOST_BYTES:
            raise ValueError(f"{lag!r} is no number of milliseconds")
        return cls(digests, sizes, points, barred, lag / 1_000)

"""How often, of some trials, and how sure that is."""

from math import ceil, log, sqrt
from typing import NamedTuple

# Of the normal distribution, for 95 %.
_Z = 1.959964


class Rate(NamedTuple):
    """A share of trials, with its 95 % interval (Wilson, 1927)."""

    share: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, trials: int) -> "Rate":
        """That of some trials; of none nothing is known."""
        if not trials:
            return cls(0.5, 0.0, 1.0)
        share, z2 = hits / trials, _Z * _Z
        middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
        half = _Z * sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
        return cls(share, max(0.0, middle - half), min(1.0, middle + half))

    def per_minute(self, seconds: float) -> "Rate":
        """The loss in a minute, where this is the loss in so many seconds at a constant hazard."""
        return Rate(*(1 - (1 - share) ** (60 / seconds) for share in self))


def copies(lost_per_minute: float, seconds: float, doubt: float = 0.001) -> int:
    """How many entries there must be for one to be left after so many seconds, but for some doubt.

    Args:
        lost_per_minute: The share that is lost in a minute of idleness.
        seconds: The time.
        doubt: The probability that none is left.
    """
    alive = (1 - min(lost_per_minute, 0.999_999)) ** (seconds / 60)
    if alive >= 1 - doubt:
        return 1
    return ceil(log(doubt) / log(1 - alive)) if alive > 1e-9 else 10**9  # noqa: PLR2004 -- as good as never

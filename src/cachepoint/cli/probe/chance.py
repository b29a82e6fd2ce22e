"""What chance can do: how often entries are lost, and how many losses are no accident."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, exp, inf, lgamma, log, log1p

# A loss is believed where chance would bring it about once in so many times.
RISK = 1e-4
# Of the profile likelihood: 3.84 / 2 is 95 %, 6.63 / 2 is 99 %.
_DROP = 3.3
_MINUTE = 60.0
_HALVINGS = 50
_STEPS = 200
_SURELY = 1 - 1e-12
_HOPELESS = 1e-9


@dataclass(frozen=True, slots=True)
class Trial:
    """An entry that nobody used for `waited` seconds, and whether it was still there."""

    waited: float
    alive: bool


def interval(lost: int, trials: int, risk: float = 0.05) -> tuple[float, float]:
    """Clopper and Pearson's interval of a probability."""
    low = 0.0 if lost == 0 else _solve(lambda p: 1 - _at_most(lost - 1, trials, p), risk / 2)
    high = 1.0 if lost == trials else _solve(lambda p: 1 - _at_most(lost, trials, p), 1 - risk / 2)
    return low, high


def per_minute(lost: float, waited: float) -> float:
    """The probability of a loss within a minute, from that within `waited` seconds."""
    return 1 - float((1 - lost) ** (_MINUTE / waited))


def survival(hazard: float, waited: float) -> float:
    """The probability that an entry outlives `waited` seconds, if its lifetime lets it."""
    return float((1 - hazard) ** (waited / _MINUTE))


def highest_hazard(trials: Iterable[Trial]) -> float:
    """The most that is lost in a minute, by trials no longer than the entry's lifetime."""
    seen = Counter((trial.alive, round(trial.waited)) for trial in trials)
    if not any(alive for alive, _ in seen):
        return 1.0
    steps = [_likelihood(seen, step / _STEPS) for step in range(_STEPS)]
    best = max(steps)
    low, high = steps.index(best) / _STEPS, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _likelihood(seen, middle) > best - _DROP else (low, middle)
    return high


def doubt(hazard: float, lost: Iterable[float]) -> float:
    """How probable it is that chance alone lost entries at these ages, in seconds."""
    return exp(sum(log1p(-min(survival(hazard, age), _SURELY)) for age in lost))


def needed(hazard: float, waited: float) -> float:
    """How many losses at this age are no accident."""
    share = min(survival(hazard, waited), _SURELY)
    return inf if share < _HOPELESS else ceil(log(RISK) / log1p(-share))


def _likelihood(seen: Mapping[tuple[bool, int], int], hazard: float) -> float:
    return sum(n * _of(alive, survival(hazard, waited)) for (alive, waited), n in seen.items())


def _of(alive: bool, share: float) -> float:
    if alive:
        return log(share) if share > 0 else -inf
    return log1p(-min(share, _SURELY))


def _solve(rising: Callable[[float], float], level: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < level else (low, middle)
    return (low + high) / 2


def _at_most(lost: int, trials: int, p: float) -> float:
    if p <= 0 or lost >= trials:
        return 1.0
    if p >= 1:
        return 0.0
    return sum(exp(_ways(k, trials) + k * log(p) + (trials - k) * log1p(-p)) for k in range(lost + 1))


def _ways(k: int, n: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

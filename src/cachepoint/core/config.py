"""What holds for the whole process: the policy, the observers, own prices, the clock."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Unpack

from cachepoint.core import policy as policies
from cachepoint.core.accounting import pricing
from cachepoint.core.listeners import Observer, checked, observe
from cachepoint.core.policy import CachePolicy, PolicyLike, PolicyOptions


def configure(
    policy: PolicyLike = None,
    *,
    observers: Iterable[Observer] | None = None,
    prices: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Unpack[PolicyOptions],
) -> None:
    """Set what holds for this process; what is not named stays as it is.

    Args:
        policy: The policy of everything that names none of its own: a policy, its fields as a dict, or
            a mode.
        observers: Called with the report of every call, whatever cache it went through.
        prices: Own prices by model id pattern, as `cachepoint.core.accounting.pricing.set_prices` takes them.
        options: Options of `CachePolicy`, on top of `policy`. A policy that was set before goes.

    Raises:
        InvalidOptionError: Where an option, a value, a price or an observer is not valid, a ValueError;
            nothing was set then.
    """
    chosen = (CachePolicy.of(policy) or CachePolicy()).but(**options)
    told = None if observers is None else checked(observers)
    if prices is not None:
        pricing.set_prices(prices)
    if policy is not None or options:
        policies.set_default(chosen)
    if told is not None:
        observe(told)


class _Process:
    clock: Callable[[], float] = time.time


def now() -> float:
    """Seconds since 1970, by the clock of everything in this process that is given none of its own."""
    return _Process.clock()


@contextmanager
def going_by(clock: Callable[[], float]) -> Iterator[None]:
    """Let `now` go by another clock for a while, in all threads: a test's, whose emulator has its own.

    Args:
        clock: Seconds since 1970, as of Bedrock's own clock.
    """
    before, _Process.clock = _Process.clock, clock
    try:
        yield
    finally:
        _Process.clock = before

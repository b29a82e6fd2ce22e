"""What a fork leaves in the child: a lock that another thread held then is held there for ever."""

import os
import weakref
from collections.abc import Callable
from inspect import ismethod

from cachepoint.core.guard import guard

Reset = Callable[[], None]

_resets: dict[int, Callable[[], Reset | None]] = {}


def at_fork(reset: Reset) -> None:
    """Run `reset()` in every child process that is forked from here on.

    It makes its locks anew, and puts right what the thread that held them may have left half done.
    The owner of a bound method is held weakly: it needs no unregistering, and with `__slots__` a
    `__weakref__` among them. Any other callable is held for good.

    Args:
        reset: Takes nothing. What it raises is counted by the guard; the other resets go on.
    """
    if not ismethod(reset):
        _resets[id(reset)] = lambda: reset
        return
    ref: weakref.WeakMethod[Reset] = weakref.WeakMethod(reset, lambda gone: _forget(id(gone)))
    _resets[id(ref)] = ref


def _forget(key: int) -> None:
    _resets.pop(key, None)


def _in_child() -> None:
    for ref in list(_resets.values()):
        if (reset := ref()) is not None:
            guard("making a lock anew after a fork", reset, None)


# Not on Windows, where nothing forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

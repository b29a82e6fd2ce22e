"""What a fork leaves in the child: a lock that another thread held then is held there for ever."""

import os
from _thread import RLock
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any
from weakref import WeakValueDictionary

from cachepoint.core.guard import guard

Reset = Callable[[], None]

# A class of C, that can be inherited from whatever typeshed says; so are its methods.
_Lock: Any = RLock
# By the owner's id, as an owner need not be hashable; it goes with its owner.
_methods: WeakValueDictionary[tuple[int, Callable[..., None]], object] = WeakValueDictionary()
_functions: list[Reset] = []


def at_fork(reset: Reset) -> None:
    """Run `reset()` in every child process that is forked from here on.

    It makes its locks anew, and puts right what the thread that held them may have left half done.
    The owner of a bound method is held weakly: it needs no unregistering, and with `__slots__` a
    `__weakref__` among them. Any other callable is held for good.

    Args:
        reset: Takes nothing. What it raises is counted by the guard; the other resets go on.
    """
    if isinstance(reset, MethodType):
        _methods[id(reset.__self__), reset.__func__] = reset.__self__
    else:
        _functions.append(reset)


class ForkSafeLock(_Lock):  # type: ignore[misc]
    """A lock that is free in a forked child, whoever held it in the parent; `with` takes it.

    `with` runs no function of ours, so that a Ctrl-C that meets its end does not leave it held for ever: who
    is interrupted in a notebook goes on in the same process.
    """

    def __init__(self) -> None:
        at_fork(self._anew)

    def locked(self) -> bool:
        """Whether somebody holds it."""
        if self._is_owned():
            return True
        free = self.acquire(blocking=False)
        if free:
            self.release()
        return not free

    def _anew(self) -> None:
        self._at_fork_reinit()

    def __reduce__(self) -> tuple[type["ForkSafeLock"], tuple[()]]:
        """Elsewhere it is another lock."""
        return ForkSafeLock, ()


def _in_child() -> None:
    methods: list[Reset] = [partial(method, owner) for (_, method), owner in list(_methods.items())]
    for reset in [*_functions, *methods]:
        guard("making a lock anew after a fork", reset, None)


# Not on Windows, where nothing forks.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

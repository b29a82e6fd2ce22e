"""Who is told of a report: the observers of the process, and those of the context that a call is made in."""

from collections.abc import Callable, Iterable
from typing import Protocol

from cachepoint.core.accounting.report import CallReport


class Observer(Protocol):
    """Gets the report of every call. What it raises is logged and goes no further."""

    def __call__(self, report: CallReport) -> None:
        """Take one report."""


Source = Callable[[], tuple[Observer, ...]]


class _Process:
    observers: tuple[Observer, ...] = ()
    sources: tuple[Source, ...] = ()


def observe(observers: Iterable[Observer]) -> None:
    """Set the observers of this process."""
    _Process.observers = tuple(observers)


def of_process() -> tuple[Observer, ...]:
    """The observers of this process."""
    return _Process.observers


def add_source(source: Source) -> None:
    """Ask `source` at every call who else is to be told: it looks at the context that the call is made in."""
    if source not in _Process.sources:
        _Process.sources = (*_Process.sources, source)


def of_context() -> tuple[Observer, ...]:
    """Who is to be told of a call that is made here and now, besides the observers of the process."""
    return tuple(observer for source in _Process.sources for observer in source())

"""Who is told of a report: the observers of the process, and those of the context that a call is made in."""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Protocol

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import CacheAlarm, Guard, InvalidOptionError


class Observer(Protocol):
    """Gets the report of every call. What it raises is counted, said once, and goes no further.

    One that has a method `before_call(model_id, conversation)` is asked before a call is sent, and may raise
    `CacheAlarm` to hold it back.
    """

    def __call__(self, report: CallReport) -> None:
        """Take one report."""


Source = Callable[[], tuple[Observer, ...]]

sending: ContextVar[object | None] = ContextVar("cachepoint_sending", default=None)
"""What stands for the call that is on its way here, set by whoever sends it and kept until it is reported.

Whatever is begun meanwhile in this context, as a tracer's span, belongs to that call.
"""


class _Process:
    observers: tuple[Observer, ...] = ()
    sources: tuple[Source, ...] = ()


def checked(observers: Any) -> tuple[Observer, ...]:
    """Observers that can be called.

    Raises:
        InvalidOptionError: Where they are not several, or one of them cannot be called.
    """
    if not isinstance(observers, Iterable) or isinstance(observers, str | bytes):
        raise InvalidOptionError(f"observers is {observers!r}; give a list, such as [observers.log()]")
    taken = tuple(observers)
    for number, observer in enumerate(taken):
        if not callable(observer):
            raise InvalidOptionError(
                f"observers[{number}] is {observer!r}; give functions that take a CallReport, "
                "such as observers.log()"
            )
    return taken


def observe(observers: Iterable[Observer]) -> None:
    """Set the observers of this process.

    Raises:
        InvalidOptionError: Where one of them cannot be called; then nothing was set.
    """
    _Process.observers = checked(observers)


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


def tell(report: CallReport, observers: Iterable[Observer], guard: Guard) -> None:
    """Hand a report to each of the observers, whatever the others raise.

    Args:
        report: The report.
        observers: Who is told, in this order.
        guard: Counts what they raise, and says the first.
    """
    for observer in observers:
        try:
            observer(report)
        except Exception:
            guard.fault("telling an observer of a call")


def objection(
    observers: Iterable[Observer], model_id: str, conversation: str | None, guard: Guard
) -> CacheAlarm | None:
    """What the first of the observers that holds a call back has against it; None: none does.

    Args:
        observers: Who is asked, in this order.
        model_id: The id that is called.
        conversation: As in the report of the call.
        guard: Counts what else they raise.
    """
    for ask in [ask for observer in observers if (ask := getattr(observer, "before_call", None))]:
        try:
            ask(model_id, conversation)
        except CacheAlarm as alarm:
            return alarm
        except Exception:
            guard.fault("asking an observer before a call")
    return None

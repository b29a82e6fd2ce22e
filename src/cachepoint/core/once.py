"""Values of frozen classes: a property that is computed once, without a lock, and a copy with other fields.

`functools.cached_property` of Python 3.11 computes under a lock that all instances of a class share: one call
would wait while another hashes, and a forked child for ever. Here two threads may compute the same value.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import deprecated as deprecated  # noqa: PLC0414 -- re-exported
else:

    def deprecated(message):  # noqa: ANN001, ANN201, ARG001
        """For type checkers alone: what is old warns by itself."""
        return lambda thing: thing


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 -- it is used as `property` is
    """A property that keeps its value in the instance's `__dict__`, as `functools.cached_property` does."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "once[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "once[T] | T":
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


def anew(value: T, **changes: Any) -> T:
    """As `dataclasses.replace`, at a tenth of its price: no field is asked for, and no `__init__` is run.

    For what is kept in `__dict__`, all of it fields: neither with `slots` nor with a `once`.
    """
    made = object.__new__(type(value))
    made.__dict__.update(value.__dict__, **changes)
    return made

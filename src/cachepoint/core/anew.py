"""A frozen dataclass with some fields anew."""

from typing import Any, TypeVar

T = TypeVar("T")


def anew(value: T, **changes: Any) -> T:
    """As `dataclasses.replace`, at a tenth of its price: no field is asked for, and no `__init__` is run.

    For what is kept in `__dict__`, all of it fields: neither with `slots` nor with a `once`.
    """
    made = object.__new__(type(value))
    made.__dict__.update(value.__dict__, **changes)
    return made

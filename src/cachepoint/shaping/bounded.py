"""Tables that hold what was used last."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def put(table: OrderedDict[K, V], key: K, value: V, size: int) -> None:
    """Put it in as the one used last; what was used longest ago goes where there are more than `size`."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > size:
        table.popitem(last=False)

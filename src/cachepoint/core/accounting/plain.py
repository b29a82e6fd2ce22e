"""A report that `json.dumps` takes as it is, and that costs nothing until somebody looks."""

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import Any

from cachepoint.core.guard import guard


class Plain(dict[str, Any]):
    """What is also the dict of its `as_dict()`, made when it is first looked into.

    `json` takes nothing but true dicts, and asks a subclass for its `items()` only if it holds something:
    so it holds the model's id from the start, and the rest (prices are slow to load) from the first look.
    Encoders that look past Python's methods, as orjson does, see no more than that before it.
    """

    model_id: str

    def __post_init__(self) -> None:
        self.setdefault("model_id", self.model_id)

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """What it says, as plain data; `model_id` is among it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(vars(self).values())


def _looking(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def look(self: Plain, *args: Any) -> Any:
        if dict.__len__(self) == 1:
            # Two threads may do so at once: keys that are there already disturb no reader.
            nothing: dict[str, Any] = {}
            self.update(guard("describing a call", self.as_dict, nothing))
        return method(self, *args)

    return look


for _method in (
    dict.__contains__,
    dict.__getitem__,
    dict.__iter__,
    dict.__len__,
    dict.__or__,
    dict.__reversed__,
    dict.__ror__,
    dict.copy,
    dict.get,
    dict.items,
    dict.keys,
    dict.values,
):
    setattr(Plain, _method.__name__, _looking(_method))

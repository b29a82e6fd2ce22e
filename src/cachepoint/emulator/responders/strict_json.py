"""JSON as a service reads it: no NaN, no number beyond a double, no nesting without end."""

import json
import math
from typing import Any

__all__ = ["read_json"]

# What Bedrock allows is not known; recursion over what is let in here ends well before Python's limit.
_MOST_LEVELS = 128


def read_json(text: str | bytes) -> Any:
    """The value that the text is the JSON of.

    Raises:
        ValueError: It is no such JSON.
    """
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _is_deep(value):
        raise ValueError("nested too deeply")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"not a number that a double holds: {text[:40]}")
    return number


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_LEVELS):
        if not level:
            return False
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for children in inner for child in children if isinstance(child, dict | list)]
    return True

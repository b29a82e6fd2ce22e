"""JSON of logs: quickly where it can be, else as Python reads it."""

import json
from typing import Any

try:
    import orjson
except ImportError as error:
    raise ImportError(f'cachepoint audit needs {error.name}: pip install "cachepoint[audit]"') from error


def decoded(text: bytes) -> Any:
    """What a text of JSON holds.

    Raises:
        ValueError: Where it is none.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses half a surrogate pair, which a model's answer may hold.
        try:
            return json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None

"""Tests for what reads from Bedrock's prompt cache: the pytest plugin's fixtures, and what they give.

`cachepoint.testing.plugin` is loaded in every run of pytest; what is named here, when it is asked for.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachepoint.testing.cache_calls import CacheCalls
    from cachepoint.testing.calls import CacheCall
    from cachepoint.testing.local import local_bedrock

_HOMES = {"CacheCall": "calls", "CacheCalls": "cache_calls", "local_bedrock": "local"}

__all__ = ["CacheCall", "CacheCalls", "local_bedrock"]


if not TYPE_CHECKING:
    # Type checkers would take any name for one of ours.
    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'cachepoint.testing' has no attribute {name!r}")
        return getattr(_import_module(f"cachepoint.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

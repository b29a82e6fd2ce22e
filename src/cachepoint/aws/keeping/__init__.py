"""Keeps alive what Bedrock holds while nobody calls: a thread, or a task, that the user starts."""

from cachepoint.aws.keeping.awaited import AsyncKeepAlive
from cachepoint.aws.keeping.keep_alive import KeepAlive

__all__ = ["AsyncKeepAlive", "KeepAlive"]

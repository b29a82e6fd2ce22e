"""The clients that carry a request to Bedrock."""

from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.aws.client import CachingClient, shared_cache
from cachepoint.aws.keeping import AsyncKeepAlive, KeepAlive

__all__ = ["AsyncCachingClient", "AsyncKeepAlive", "CachingClient", "KeepAlive", "shared_cache"]

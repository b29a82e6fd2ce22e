"""The clients that carry a request to Bedrock."""

from cachepoint.aws.async_client import AsyncCachingClient
from cachepoint.aws.client import CachingClient, shared_cache

__all__ = ["AsyncCachingClient", "CachingClient", "shared_cache"]

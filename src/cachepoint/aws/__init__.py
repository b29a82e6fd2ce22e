"""The clients that carry a request to Bedrock."""

from cachepoint.aws.client import CachingClient, shared_cache

__all__ = ["CachingClient", "shared_cache"]

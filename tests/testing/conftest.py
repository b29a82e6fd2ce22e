"""The plugin's own fixtures, in front of those that all other tests share."""

import os

import pytest

from cachepoint.testing.plugin import _cache_reports, bedrock, bedrock_options, cache_calls

__all__ = ["_cache_reports", "bedrock", "bedrock_options", "cache_calls"]


@pytest.fixture(autouse=True)
def _somewhere_else(_clean_environment, monkeypatch):
    """As on a developer's machine: credentials that could cost money, and what leads away from an endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "AWS_ENDPOINT_URL_BEDROCK" not in os.environ

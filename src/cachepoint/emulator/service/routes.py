"""From a path to an operation."""

import re
from urllib.parse import unquote

__all__ = ["route"]

# Paths of botocore 1.44.5, 2026-11.
_ROUTES = tuple(
    (method, re.compile(path), operation)
    for method, path, operation in (
        ("POST", r"/model/(.+)/converse", "Converse"),
        ("POST", r"/model/(.+)/converse-stream", "ConverseStream"),
        ("POST", r"/model/(.+)/count-tokens", "CountTokens"),
        ("GET", r"/inference-profiles/(.+)", "GetInferenceProfile"),
        ("POST", r"/model/(.+)/invoke", "InvokeModel"),
        ("POST", r"/model/(.+)/invoke-with-response-stream", "InvokeModelWithResponseStream"),
        ("POST", r"/model/(.+)/invoke-with-bidirectional-stream", "InvokeModelWithBidirectionalStream"),
        ("POST", r"/guardrail/(.+)/version/[^/]+/apply", "ApplyGuardrail"),
    )
)


def route(method: str, path: str) -> tuple[str, str]:
    """The operation and the id in its path; method and path with no id where there is no such operation."""
    path = path.partition("?")[0]
    for spoken, pattern, operation in _ROUTES:
        if method == spoken and (match := pattern.fullmatch(path)):
            return operation, unquote(match[1])
    return f"{method} {path}", ""

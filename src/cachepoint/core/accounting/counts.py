"""Numbers out of somebody else's report, whatever it holds: what is no count is unknown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Split by TTL: (5m, 1h).
Split = tuple[int, int]

# Far above any: every figure that is made of it is finite.
_MOST = 10**12
_NOTHING: Mapping[str, Any] = {}

METRICS = "amazon-bedrock-invocationMetrics"
"""Bedrock's own counts, in the event that ends an InvokeModel stream."""

_HEADERS: Mapping[str, str] = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


def count(value: Any) -> int | None:
    """A number of tokens, also as a float or as the text of a header; None where it is none."""
    if type(value) is int:
        return value if 0 <= value <= _MOST else None
    try:
        return count(int(value)) if float(value) == int(value) and not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        return None


def first(report: Mapping[str, Any], *names: str) -> int | None:
    """The first of these that is a count."""
    return next((n for name in names if (n := count(report.get(name))) is not None), None)


def part(report: Any, *names: str) -> Mapping[str, Any]:
    """What lies under these names, one in the other; empty where something else does."""
    for name in names:
        report = report.get(name) if isinstance(report, Mapping) else None
    return report if isinstance(report, Mapping) else _NOTHING


def known(report: Mapping[str, Any]) -> bool:
    """Whether a report counts anything at all."""
    return any(count(value) is not None for value in report.values())


def by_ttl(details: Any) -> Split | None:
    """How Converse's `cacheDetails` split what was written; None where they do not."""
    if not isinstance(details, Sequence) or isinstance(details, str | bytes):
        return None
    split = {str(d.get("ttl")): count(d.get("inputTokens")) for d in details if isinstance(d, Mapping)}
    return (split.get("5m") or 0, split.get("1h") or 0) if split else None


def ephemeral(details: Mapping[str, Any]) -> Split:
    """The same as Anthropic's bodies and LangChain name it."""
    five, hour = (count(details.get(f"ephemeral_{ttl}_input_tokens")) or 0 for ttl in ("5m", "1h"))
    return five, hour


def undoubled(write: int | None, *witnesses: int | None) -> int | None:
    """Half the writes, where `cacheDetails` or `totalTokens` says so.

    A ConverseStream with extended thinking may report `cacheWriteInputTokens` twice as large as it is
    (langchain-aws#983, open). Where all figures of a report were doubled alike, it cannot be seen.
    """
    return next((n for n in witnesses if n and write == 2 * n), write)


def of_headers(headers: Any) -> Mapping[str, Any]:
    """The counts in the headers of an InvokeModel response, by the names of Bedrock's metrics."""
    found = part(headers, "ResponseMetadata", "HTTPHeaders") or part(headers)
    lower = {str(name).lower(): value for name, value in found.items()}
    return {name: lower[header] for header, name in _HEADERS.items() if header in lower}


def event(piece: Any) -> Mapping[str, Any]:
    """An event of an InvokeModel stream, also from the bytes of one of boto3's `chunk`s."""
    chunk = part(piece, "chunk")
    return part(json.loads(chunk["bytes"]) if "bytes" in chunk else piece)


def merged(events: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What the events of an InvokeModel stream say of its usage, as one body says it.

    Anthropic's `message_start` and `message_delta` say the same tokens twice: the last word counts.
    """
    usage: dict[str, Any] = {}
    metrics = _NOTHING
    for said in events:
        found = part(part(said, "message") or part(said, "metadata") or said, "usage")
        usage |= {name: value for name, value in found.items() if value is not None}
        metrics = part(said, METRICS) or metrics
    return {"usage": usage, METRICS: metrics}


def add(a: int | None, b: int | None) -> int | None:
    """A sum in which what one side does not know stays known from the other."""
    if a is None:
        return b
    return a if b is None else a + b

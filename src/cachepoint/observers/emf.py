"""CloudWatch's embedded metric format: on Lambda, a line on stdout is a metric without a call to AWS."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from cachepoint.core.accounting.pricing import date_of
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.listeners import Observer

# CloudWatch's Count is a number of anything; it has no unit for tokens or dollars.
_UNITS = {
    "Calls": "Count",
    "Refreshes": "Count",
    "InputTokens": "Count",
    "UncachedTokens": "Count",
    "CacheReadTokens": "Count",
    "CacheWriteTokens": "Count",
    "OutputTokens": "Count",
    "CostUSD": "None",
    "SavedUSD": "None",
}
_WASTE = "WasteTokens"


def emf(stream: TextIO | None = None, *, namespace: str = "cachepoint") -> Observer:
    """Write every report as one line in CloudWatch's embedded metric format.

    The dimension is `ModelId`; `WasteTokens` has `ModelId` and `Cause`. Source: CloudWatch user guide,
    "Specification: Embedded metric format" (2026-10).

    Args:
        stream: Where to; None: standard output, as it is at the time of each call.
        namespace: The metrics' namespace.

    Raises:
        InvalidOptionError: Where the stream cannot be written to, or the namespace is no text.
    """
    if stream is not None and not callable(getattr(stream, "write", None)):
        raise InvalidOptionError(f"stream is {stream!r}; give a text stream, or None for standard output")
    if not isinstance(namespace, str) or not namespace:
        raise InvalidOptionError(f"namespace is {namespace!r}; give a name such as 'cachepoint'")
    return _Emf(stream, namespace)


@dataclass(frozen=True, slots=True)
class _Emf:
    stream: TextIO | None
    namespace: str
    lock: ForkSafeLock = field(default_factory=ForkSafeLock, repr=False, compare=False)

    def __call__(self, report: CallReport) -> None:
        line = json.dumps(_line(report, self.namespace), separators=(",", ":")) + "\n"
        with self.lock:
            stream = self.stream or sys.stdout
            stream.write(line)
            stream.flush()


def _line(report: CallReport, namespace: str) -> dict[str, Any]:
    values = _values(report)
    directives = [_directive(namespace, ["ModelId"], {k: u for k, u in _UNITS.items() if k in values})]
    properties: dict[str, Any] = {"ModelId": report.model_id, "Conversation": report.conversation}
    if report.miss is not None:
        properties["Cause"] = report.miss.cause
        if report.miss.tokens is not None:
            values[_WASTE] = report.miss.tokens
            directives.append(_directive(namespace, ["ModelId", "Cause"], {_WASTE: "Count"}))
    head = {"_aws": {"Timestamp": _stamp(report.started), "CloudWatchMetrics": directives}}
    return {**head, **properties, **values}


def _stamp(started: float | None) -> int:
    """Milliseconds. Without a date there is no metric, so it is now where the cache's clock gave none."""
    return round((time.time() if started is None or date_of(started) is None else started) * 1000)


def _directive(namespace: str, dimensions: list[str], units: Mapping[str, str]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": unit} for name, unit in units.items()]
    return {"Namespace": namespace, "Dimensions": [dimensions], "Metrics": metrics}


def _values(report: CallReport) -> dict[str, int | float]:
    usage = report.usage
    known: dict[str, Any] = {"Calls" if report.kind == "call" else "Refreshes": 1}
    if usage is not None:
        known |= {
            "InputTokens": usage.input_tokens,
            "UncachedTokens": usage.uncached_tokens,
            "CacheReadTokens": usage.read_tokens,
            "CacheWriteTokens": usage.write_tokens,
            "OutputTokens": usage.output_tokens,
        }
    money = {"CostUSD": report.cost, "SavedUSD": report.saved}
    known |= {name: None if amount is None else float(amount) for name, amount in money.items()}
    return {name: value for name, value in known.items() if value is not None}

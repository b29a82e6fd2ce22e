"""Measured calls: a line of JSON each."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cachepoint.core.accounting.usage import Shape, Usage

# A field that only this shape has, and the shape.
_SHAPES: tuple[tuple[str, Shape], ...] = (
    ("uncached_tokens", "report"),
    ("inputTokens", "converse"),
    ("input_tokens", "messages"),
)


@dataclass(frozen=True, slots=True)
class MeasuredCall:
    """One line. `at`: seconds since 1970; each is None where the line does not say."""

    usage: Usage | None
    model: str | None
    at: float | None


def read_calls(path: Path) -> Iterator[MeasuredCall]:
    """The calls of a file: `CallReport.as_dict()`, records of the invocation log, or usage alone.

    Raises:
        ValueError: Where a line is no JSON object; it names the line.
    """
    with path.open(encoding="utf-8") as lines:
        for n, text in enumerate(lines, 1):
            if text.strip():
                yield _call(_object(text, f"{path}, line {n}"))


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        line: dict[str, Any] = dict(json.loads(text))
    except (ValueError, TypeError):
        raise ValueError(f"{where} is no JSON object; a call a line is expected") from None
    return line


def _call(line: Mapping[str, Any]) -> MeasuredCall:
    model = line.get("priced_as") or line.get("model_id") or line.get("modelId")
    return MeasuredCall(_usage(line), model, _when(line.get("started") or line.get("timestamp")))


def _usage(line: Mapping[str, Any]) -> Usage | None:
    if "input" in line and "output" in line:
        return Usage.from_log_record(line)
    usage = line.get("usage", line) or {}
    shape = next((shape for key, shape in _SHAPES if key in usage), None)
    return None if shape is None else Usage.of(shape, {"usage": usage})


def _when(said: Any) -> float | None:
    if not isinstance(said, str):
        return said if isinstance(said, (int, float)) else None
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

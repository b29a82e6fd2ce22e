"""One structured line per call through `logging`."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cachepoint.core.accounting.report import CallReport
from cachepoint.core.listeners import Observer

_TOKENS = ("read", "write_5m", "write_1h", "uncached", "output")


def log(logger: logging.Logger | str = "cachepoint.calls", level: int = logging.INFO) -> Observer:
    """Log every report as `call key=value …`, with all of it in the record's `cachepoint`.

    Args:
        logger: The logger or its name.
        level: The level of the lines.
    """
    return _Log(logging.getLogger(logger) if isinstance(logger, str) else logger, level)


@dataclass(frozen=True, slots=True)
class _Log:
    logger: logging.Logger
    level: int

    def __call__(self, report: CallReport) -> None:
        if self.logger.isEnabledFor(self.level):
            figures = report.as_dict()
            words = " ".join(f"{key}={value}" for key, value in _pairs(figures) if value is not None)
            self.logger.log(self.level, "call %s", words, extra={"cachepoint": figures})


def _pairs(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    usage, miss = figures["usage"] or {}, figures["miss"] or {}
    yield "model", figures["model_id"]
    yield "conversation", figures["conversation"]
    yield "input", usage.get("input_tokens")
    yield from ((name, usage.get(f"{name}_tokens")) for name in _TOKENS)
    yield from ((name, figures[name]) for name in ("cost_usd", "saved_usd"))
    yield "miss", miss.get("cause")
    yield "where", miss.get("where")
    yield "lost", miss.get("tokens")

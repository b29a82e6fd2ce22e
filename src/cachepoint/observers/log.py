"""One structured line per call through `logging`."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cachepoint.core.accounting.money import tidy
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.listeners import Observer

_PLAIN = re.compile(r"[\w.:/\[\]#+-]+", re.ASCII)
_TOKENS = ("read", "write_5m", "write_1h", "uncached", "output")


def log(logger: logging.Logger | str = "cachepoint.calls", level: int | str = logging.INFO) -> Observer:
    """Log every report as `call key=value …`, with all of it in the record's `cachepoint`.

    Values that hold anything but letters, digits and the signs of ids and places are quoted as in JSON, so
    that none can look like two values or like another line.

    Args:
        logger: The logger, an adapter of one, or its name.
        level: The level of the lines: a number, or a name such as `"INFO"`.

    Raises:
        InvalidOptionError: Where either is something else.
    """
    number = logging.getLevelNamesMapping().get(level) if isinstance(level, str) else level
    if not isinstance(number, int):
        raise InvalidOptionError(f"level is {level!r}; give a level of logging, such as logging.INFO")
    chosen: Any = logging.getLogger(logger) if isinstance(logger, str) else logger
    if not isinstance(chosen, logging.Logger | logging.LoggerAdapter):
        raise InvalidOptionError(f"logger is {logger!r}; give a logger or its name")
    return _Log(chosen, number)


@dataclass(frozen=True, slots=True)
class _Log:
    logger: "logging.Logger | logging.LoggerAdapter[Any]"
    level: int

    def __call__(self, report: CallReport) -> None:
        if self.logger.isEnabledFor(self.level):
            figures = report.as_dict()
            words = " ".join(f"{key}={_quoted(value)}" for key, value in _pairs(figures) if value is not None)
            self.logger.log(self.level, "call %s", words, extra={"cachepoint": figures})


def _pairs(figures: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    usage, miss = figures["usage"] or {}, figures["miss"] or {}
    yield "model", figures["model_id"]
    yield "kind", None if figures["kind"] == "call" else figures["kind"]
    yield "conversation", figures["conversation"]
    yield "input", usage.get("input_tokens")
    yield from ((name, usage.get(f"{name}_tokens")) for name in _TOKENS)
    yield from ((name, _amount(figures[name])) for name in ("cost_usd", "saved_usd"))
    yield "miss", miss.get("cause")
    yield "where", miss.get("where")
    yield "lost", miss.get("tokens")


def _amount(dollars: float | None) -> str | None:
    """Without an exponent; JSON's form of 0.0000012 is 1.2e-06."""
    return None if dollars is None else f"{tidy(Decimal(str(dollars))):f}"


def _quoted(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)

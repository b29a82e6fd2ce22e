"""Our own `calls.jsonl`, as `observers.jsonl` writes it: the causes stand in it already."""

from collections.abc import Mapping
from math import isnan
from typing import Any

from cachepoint.cli.audit.formats.logged import Beside, Logged, UnusableError
from cachepoint.core.accounting.sent import Sent
from cachepoint.reporting.rows import Row

_UNUSABLE = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError)


def is_report(record: Mapping[str, Any]) -> bool:
    """Whether a record is a report's line."""
    return "model_id" in record and "checkpoints" in record


def read(record: Mapping[str, Any], _: Beside) -> Logged:
    """The call of a report.

    Raises:
        UnusableError: Where a figure is missing or of another type.
    """
    try:
        row = Row.read_from(record)
        sent = Sent.read_from(record["sent"]) if record.get("sent") is not None else None
    except _UNUSABLE:
        raise UnusableError("no report of a call") from None
    if isnan(row.at):
        raise UnusableError("no time")
    usage = None if row.fresh is None else row.usage
    lag = 0.0 if sent is None else sent.lag
    return Logged(row.at, row.model, usage, None, lag=lag, first_token=row.first_token, row=row, sent=sent)

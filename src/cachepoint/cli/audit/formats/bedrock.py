"""Bedrock's model invocation log, schema 1.0.

AWS user guide, "Monitor model invocation using CloudWatch Logs and Amazon S3" (read 2026-11). Cache counts
stand in newer records beside the others, in older ones in the body alone.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from cachepoint.cli.audit.formats.decoding import decoded
from cachepoint.cli.audit.formats.logged import Beside, Logged, UnusableError
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.prompt.dialects import dialect_of

SCHEMA = "ModelInvocationLog"
# Milliseconds: more is no time that an answer took.
_MOST = 1e9
_CONVERSE = ("Converse", "ConverseStream")
_CALLS = (*_CONVERSE, "InvokeModel", "InvokeModelWithResponseStream")


def is_bedrock(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of this log."""
    return record.get("schemaType") == SCHEMA or ("modelId" in record and "operation" in record)


def read(record: Mapping[str, Any], beside: Beside) -> Logged:
    """The call of a record.

    Raises:
        UnusableError: Where it is none, or of another type than the schema says.
    """
    operation, model = record.get("operation"), record.get("modelId")
    if operation not in _CALLS:
        raise UnusableError("no call of a model")
    if not isinstance(model, str) or not model:
        raise UnusableError("no model")
    given, returned = _part(record, "input"), _part(record, "output")
    request = _body(given, "input", beside)
    whole = {**returned, "outputBodyJson": _body(returned, "output", beside)}
    identity = record.get("identity")
    return Logged(
        at=moment(record.get("timestamp")),
        model=model,
        usage=_usage(given, whole),
        request=request if isinstance(request, Mapping) else None,
        dialect="converse" if operation in _CONVERSE or not request else _dialect(request),
        identity=_text(identity.get("arn")) if isinstance(identity, Mapping) else "",
        region=_text(record.get("region")),
        account=_text(record.get("accountId")),
        lag=_lag(whole["outputBodyJson"]),
    )


def moment(value: Any) -> float:
    """Seconds since 1970 of a time as ISO 8601.

    Raises:
        UnusableError: Where it is none.
    """
    if not isinstance(value, str):
        raise UnusableError("no time")
    try:
        return _moment(value)
    except ValueError:
        raise UnusableError("no time") from None


@lru_cache(maxsize=4_096)
def _moment(value: str) -> float:
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found.timestamp()


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise UnusableError(f"{name} is of another type")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _body(part: Mapping[str, Any], name: str, beside: Beside) -> Any:
    """A body: in the record, in a file of its own, or None where the log was told to leave it out."""
    body = part.get(f"{name}BodyJson")
    if body is not None:
        return body
    address = part.get(f"{name}BodyS3Path")
    if address is None:
        return None
    if not isinstance(address, str):
        raise UnusableError("the address of its body is none")
    packed = beside(address)
    try:
        return decoded(packed)
    except ValueError:
        raise UnusableError("its body is in a file that is broken") from None


def _usage(given: Mapping[str, Any], returned: Mapping[str, Any]) -> Usage | None:
    try:
        return Usage.from_log_record({"input": given, "output": returned})
    except (TypeError, ValueError, AttributeError):
        raise UnusableError("its counts are of another type") from None


def _dialect(request: Any) -> str:
    try:
        return dialect_of(request)
    except (KeyError, TypeError, AttributeError):
        return "messages"


def _lag(body: Any) -> float:
    metrics = body.get("metrics") if isinstance(body, Mapping) else None
    latency = metrics.get("latencyMs") if isinstance(metrics, Mapping) else None
    return latency / 1_000 if isinstance(latency, int | float) and 0 <= latency < _MOST else 0.0

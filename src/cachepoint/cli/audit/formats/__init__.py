"""The forms of logs, one file each: from a record to a call."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cachepoint.cli.audit.formats import bedrock, reports
from cachepoint.cli.audit.formats.decoding import decoded
from cachepoint.cli.audit.formats.logged import Beside, Logged, Reader, UnusableError

__all__ = ["calls"]

# What tells a form, and what reads it.
_FORMS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reader], ...] = (
    (bedrock.is_bedrock, bedrock.read),
    (reports.is_report, reports.read),
)
# Where CloudWatch puts its events: a subscription's message, an answer of `filter-log-events`.
_EVENTS = ("logEvents", "events")


def calls(line: bytes, beside: Beside) -> Iterator[Logged | UnusableError]:
    """The calls of a line of a log, of whatever form; what is none is said so."""
    try:
        records = list(_records(_parsed(line)))
    except UnusableError as fault:
        yield fault
        return
    for record in records:
        try:
            yield _call(record, beside)
        except UnusableError as fault:
            yield fault


def _call(record: Any, beside: Beside) -> Logged:
    if not isinstance(record, Mapping):
        raise UnusableError("no object")
    read = next((read for is_form, read in _FORMS if is_form(record)), None)
    if read is None:
        raise UnusableError("another service's record")
    return read(record, beside)


def _parsed(line: bytes) -> Any:
    try:
        return decoded(line)
    except ValueError:
        # An export of CloudWatch Logs to S3 puts the time in front of the message.
        time, _, message = line.partition(b" ")
        if not time.endswith(b"Z") or not message.startswith(b"{"):
            raise UnusableError("no JSON") from None
    try:
        return decoded(message)
    except ValueError:
        raise UnusableError("no JSON") from None


def _records(found: Any) -> Iterator[Any]:
    """The records in what was read: itself, or what CloudWatch or a list wraps."""
    if isinstance(found, list):
        for one in found:
            yield from _records(one)
        return
    if not isinstance(found, Mapping):
        yield found
        return
    events = next((found[name] for name in _EVENTS if isinstance(found.get(name), list)), None)
    if events is not None:
        for event in events:
            yield from _records(event)
    elif isinstance(found.get("message"), str) and "timestamp" in found:
        yield from _records(_parsed(found["message"].encode("utf-8", "surrogatepass")))
    elif isinstance(found.get("@message"), str):
        yield from _records(_parsed(found["@message"].encode("utf-8", "surrogatepass")))
    else:
        yield found

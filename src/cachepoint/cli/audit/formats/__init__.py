"""The forms of logs, one file each: from a record to a call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cachepoint.cli.audit.formats import bedrock, langfuse, langsmith, reports
from cachepoint.cli.audit.formats.decoding import decoded
from cachepoint.cli.audit.formats.logged import Beside, Logged, Reader, UnusableError

__all__ = ["calls"]

# What tells a form, and what reads it.
_FORMS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Reader], ...] = (
    (bedrock.is_bedrock, bedrock.read),
    (reports.is_report, reports.read),
    (langfuse.is_langfuse, langfuse.read),
    (langsmith.is_langsmith, langsmith.read),
)
# What wraps many: a message of CloudWatch's subscription, an answer of `filter-log-events`, a page of
# Langfuse's API, one of LangSmith's.
_PAGES = ("logEvents", "events", "data", "items")
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)
# What wraps one as text: an event of CloudWatch's, a row of Logs Insights.
_MESSAGES = ("message", "@message")


def calls(line: bytes, beside: Beside) -> Iterator[Logged | UnusableError]:
    """The calls of a line of a log, of whatever form; what is none is said so."""
    try:
        records = list(_records(_parsed(line)))
    except UnusableError as fault:
        yield fault
        return
    except RecursionError:
        yield UnusableError("nested too deeply")
        return
    for record, read in records:
        try:
            yield _call(record, read, beside)
        except UnusableError as fault:
            yield fault
        except _MALFORMED:
            yield UnusableError("of another type than its form says")


def _call(record: Any, read: Reader | None, beside: Beside) -> Logged:
    if read is None:
        reason = "another service's record" if isinstance(record, Mapping) else "no object"
        raise UnusableError(reason)
    return read(record, beside)


def _reader(record: Any) -> Reader | None:
    """What reads a record; None where its form is not known."""
    if not isinstance(record, Mapping):
        return None
    return next((read for is_form, read in _FORMS if is_form(record)), None)


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


def _records(found: Any) -> Iterator[tuple[Any, Reader | None]]:
    """The records in what was read, itself or what it wraps, each with what reads it."""
    read = _reader(found)
    inner = _wrapped(found) if read is None else None
    if inner is None:
        yield found, read
        return
    for one in inner:
        yield from _records(one)


def _wrapped(found: Any) -> Sequence[Any] | None:
    """What a list, a page or an event holds; None where it is none."""
    if isinstance(found, list):
        return found
    if not isinstance(found, Mapping):
        return None
    page = next((found[name] for name in _PAGES if isinstance(found.get(name), list)), None)
    if page is not None:
        return list(page)
    text = next((found[name] for name in _MESSAGES if isinstance(found.get(name), str)), None)
    return None if text is None else [_parsed(text.encode("utf-8", "surrogatepass"))]

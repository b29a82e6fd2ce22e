"""One call as a log tells it, whatever the log's form."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cachepoint.core.accounting.sent import Sent
from cachepoint.core.accounting.usage import Usage
from cachepoint.reporting.rows import Row


class UnusableError(ValueError):
    """A record is no call of Bedrock's, or cannot be read. `reason` is a few words, never text of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Logged(NamedTuple):
    """One call.

    Attributes:
        at: When it began, in seconds since 1970.
        model: The id, profile or ARN that was called.
        usage: Its tokens; None where the record does not say.
        request: The keyword arguments of `client.converse` or the InvokeModel body; None where the log has no
            input.
        dialect: The form of the request: `converse`, `messages` or `nova`.
        identity: Who called: an ARN, a user, a project; empty where the record does not say.
        region: Where; empty likewise.
        account: Whose; empty likewise.
        lag: Seconds until the answer was there; 0 where the record does not say.
        first_token: Seconds until its stream began; None likewise.
        base: The model behind an ARN, where the record says so.
        row: All that a report of ours says; None of any other record.
        sent: What it says of the blocks that were sent; None likewise.
    """

    at: float
    model: str
    usage: Usage | None
    request: Mapping[str, Any] | None
    dialect: str = "converse"
    identity: str = ""
    region: str = ""
    account: str = ""
    lag: float = 0.0
    first_token: float | None = None
    base: str | None = None
    row: Row | None = None
    sent: Sent | None = None


# What gives the content of a file that a record names by its `s3://` address. Raises UnusableError where it
# is not among the files at hand.
Beside = Callable[[str], bytes]
Reader = Callable[[Mapping[str, Any], Beside], Logged]

"""One call in a row, from its report or from a line of JSON."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import nan
from typing import Any, NamedTuple

from cachepoint.core.accounting import pricing
from cachepoint.core.accounting.money import minus, parsed
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.accounting.usage import Usage

_NOTHING: Mapping[str, Any] = {}
_NO_COUNT = 10**15


class Row(NamedTuple):
    """One call: seconds since 1970, tokens, US dollars. None where it is not known; `at` is no number then.

    `lost` is how many more tokens could have been read, as the report says; `first_token` how many seconds a
    stream took to begin. `kind` is the report's, `kept` how many tokens refreshes kept alive for it, and
    `spared` the US dollars that this saved.
    """

    at: float
    model: str
    priced_as: str
    conversation: str | None
    fresh: int | None
    read: int | None
    write: int | None
    write_5m: int | None
    write_1h: int | None
    output: int
    cost: Decimal | None
    saved: Decimal | None
    cause: str | None
    where: str | None
    lost: int | None
    first_token: float | None
    tier: str | None = None
    kind: str = "call"
    kept: int = 0
    spared: Decimal | None = None

    @classmethod
    def of(cls, report: CallReport) -> "Row":
        """The row of a report."""
        return cls.read_from(report.as_dict())

    @classmethod
    def read_from(cls, line: Mapping[str, Any]) -> "Row":
        """The row of `CallReport.as_dict()`, as it comes back from JSON; of earlier releases too.

        Raises:
            KeyError: Where it is no such dict; TypeError, AttributeError and ValueError likewise.
        """
        row = cls.unchecked(line)
        row.check()
        return row

    @classmethod
    def unchecked(cls, line: Mapping[str, Any]) -> "Row":
        """As `read_from`, for whoever sees to it that `check` passes."""
        usage, miss = line["usage"], line["miss"] or _NOTHING
        tokens = usage.get if usage is not None else _NOTHING.get
        output, model = tokens("output_tokens"), line["model_id"]
        began, started = line.get("first_token_ms"), line["started"]
        # By position: a million lines come through here.
        return cls(
            nan if started is None else datetime.fromisoformat(started).timestamp(),
            model,
            line.get("priced_as") or model,
            line.get("conversation"),
            tokens("uncached_tokens"),
            tokens("read_tokens"),
            tokens("write_tokens"),
            tokens("write_5m_tokens"),
            tokens("write_1h_tokens"),
            0 if output is None else output,
            parsed(line["cost_usd"]),
            parsed(line["saved_usd"]),
            miss.get("cause"),
            miss.get("where"),
            miss.get("tokens"),
            None if began is None else began / 1000,
            line.get("tier"),
            line.get("kind", "call"),
            line.get("kept_tokens", 0),
            parsed(line.get("kept_saved_usd")),
        )

    def check(self) -> None:
        """See that the values are of the kinds that can be added up.

        Raises:
            TypeError: Where one is not.
        """
        for tokens in (*self[4:10], self.lost, self.kept):
            if tokens is not None and not (type(tokens) is int and 0 <= tokens < _NO_COUNT):
                raise TypeError(f"{tokens!r} is no number of tokens")
        for text in (self.conversation, self.cause, self.where, self.tier, self.kind):
            if text is not None and type(text) is not str:
                raise TypeError(f"{text!r} is not a text")
        if type(self.model) is not str or type(self.priced_as) is not str:
            raise TypeError(f"{self.model!r} is no model id")

    @property
    def usage(self) -> Usage:
        """The tokens; a call that reported none has none."""
        return Usage(self.fresh or 0, self.output, self.read, self.write, self.write_5m, self.write_1h)

    @property
    def cached(self) -> int:
        """Tokens that were in the cache once the call was answered."""
        return (self.read or 0) + (self.write or 0)

    def dearer(self, tokens: int) -> Decimal | None:
        """US dollars that so many lost tokens cost above what reading them would; None: no price is known.

        As far as the call wrote any they were written, else they were fresh.
        """
        written = min(tokens, self.write or 0)
        one_hour = min(written, self.write_1h or 0)
        again = Usage(tokens - written, 0, 0, written, written - one_hour, one_hour)
        paid = pricing.cost(again, self.priced_as, self.at, self.tier)
        reading = pricing.cost(Usage(read_tokens=tokens), self.priced_as, self.at, self.tier)
        return None if paid is None or reading is None else minus(paid, reading)

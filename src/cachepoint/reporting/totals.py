"""Totals of many calls, kept by the handlers of both frameworks."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from cachepoint.core.accounting.money import dollars, parsed, plus
from cachepoint.core.accounting.told import drawn
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing import html
from cachepoint.core.drawing.words import counted
from cachepoint.core.forks import ForkSafeLock
from cachepoint.core.models.rules import shown
from cachepoint.reporting.metrics import FirstTokens, first_tokens

OTHER = "other"
_MAX_MODELS = 256
_MAX_TIMED = 1_000


class UsageTotals:
    """Usage by model; those beyond the first 256 share the name `other`. Safe under threads."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._usage: dict[str, Usage] = {}
        self._calls = 0
        self._saved: Decimal | None = None
        self._timed: deque[tuple[Usage, float]] = deque(maxlen=_MAX_TIMED)

    def add(
        self,
        model: str,
        usage: Usage,
        saved: Decimal | float | str | None = None,
        first_token_ms: float | None = None,
    ) -> None:
        """Count one call.

        Args:
            model: The model's name or id.
            usage: Its tokens.
            saved: US dollars saved against no caching, also as a report's dict has it; None where that is
                not known.
            first_token_ms: Milliseconds to the first event of a stream, as a report's dict has it; None where
                the call was none.

        Raises:
            ValueError: Where `saved` is no amount; nothing was counted.
            TypeError: Where `first_token_ms` is no number; nothing was counted.
        """
        amount = parsed(saved)
        began = None if first_token_ms is None else first_token_ms / 1_000
        with self._lock:
            if model not in self._usage and len(self._usage) >= _MAX_MODELS:
                model = OTHER
            self._usage[model] = self._usage.get(model, Usage()) + usage
            self._calls += 1
            if amount is not None:
                self._saved = plus(self._saved or Decimal(0), amount)
            if began is not None:
                self._timed.append((usage, began))

    @property
    def calls(self) -> int:
        """How many calls were counted."""
        return self._calls

    @property
    def usage_by_model(self) -> Mapping[str, Usage]:
        """The tokens of each model."""
        with self._lock:
            return dict(self._usage)

    @property
    def total(self) -> Usage:
        """The tokens of all models."""
        return sum(self.usage_by_model.values(), Usage())

    @property
    def hit_share(self) -> float | None:
        """Read tokens over all input tokens; None where there were none, or no report said what was read."""
        return self.total.hit_share

    @property
    def saved(self) -> Decimal | None:
        """US dollars saved against no caching by the calls whose price is known; None where none is."""
        return self._saved

    @property
    def first_tokens(self) -> FirstTokens:
        """How soon the last 1,000 streams began, by whether they read."""
        with self._lock:
            return first_tokens(self._timed)

    def __str__(self) -> str:
        lines = [_line(model, usage) for model, usage in self.usage_by_model.items()]
        return "\n".join([self._said, *lines, *self.first_tokens.words()])

    def _repr_html_(self) -> str:
        """For a notebook: the tokens as a bar, and a row for each model."""
        by_model = self.usage_by_model
        rows = (_row(model, usage) for model, usage in by_model.items())
        total = sum(by_model.values(), Usage())
        times = (html.line(words) for words in self.first_tokens.words())
        return html.fragment(self._said, drawn(total), html.table(rows, _HEADS), *times)

    @property
    def _said(self) -> str:
        saved = "" if self.saved is None else f", {dollars(self.saved, 4)} saved"
        return f"{counted(self.calls, 'call')}{saved}"


class TotalsView:
    """The figures of a handler that keeps `UsageTotals` in `_totals`."""

    _totals: UsageTotals

    @property
    def usage_by_model(self) -> Mapping[str, Usage]:
        """The tokens of each model."""
        return self._totals.usage_by_model

    @property
    def total(self) -> Usage:
        """The tokens of all models: read, written (5m and 1h), uncached, output."""
        return self._totals.total

    @property
    def calls(self) -> int:
        """How many calls were counted."""
        return self._totals.calls

    @property
    def hit_share(self) -> float | None:
        """Read tokens over all input tokens, 0 to 1; None where there were none, or it was not reported."""
        return self._totals.hit_share

    @property
    def saved(self) -> Decimal | None:
        """US dollars saved, over the calls whose report knows it; None where none does."""
        return self._totals.saved

    @property
    def first_tokens(self) -> FirstTokens:
        """Median seconds to the first token of streams that read and of those that did not."""
        return self._totals.first_tokens

    def __str__(self) -> str:
        return str(self._totals)

    def _repr_html_(self) -> str:
        """For a notebook: the tokens as a bar, and a row for each model."""
        return self._totals._repr_html_()


def _line(model: str, usage: Usage) -> str:
    share = usage.hit_share
    return (
        f"{shown(model)}: input {usage.input_tokens:,} = read {_known(usage.read_tokens)}"
        f" + written {_known(usage.write_tokens)}{_split(usage)} + uncached {usage.uncached_tokens:,}"
        f"{'' if share is None else f' ({share:.0%} read)'}, output {usage.output_tokens:,}"
    )


_HEADS = ("model", "input", "read", "written", "fresh", "output", "hit share")


def _row(model: str, usage: Usage) -> tuple[str, ...]:
    share = usage.hit_share
    return (
        shown(model),
        f"{usage.input_tokens:,}",
        _known(usage.read_tokens),
        _known(usage.write_tokens),
        f"{usage.uncached_tokens:,}",
        f"{usage.output_tokens:,}",
        "unknown" if share is None else f"{share:.0%}",
    )


def _known(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


def _split(usage: Usage) -> str:
    if not usage.write_1h_tokens:
        return ""
    return f" (5m {usage.write_5m_tokens or 0:,}, 1h {usage.write_1h_tokens:,})"

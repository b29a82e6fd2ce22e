"""What an audit finds: sums by model, caller and family, breaks by cause, and what could not be read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from cachepoint.cli.audit.follow import Follower, Verdict, sent_by
from cachepoint.cli.audit.prints import Print
from cachepoint.cli.audit.windows import Windows
from cachepoint.core.accounting.money import for_json, minus, parsed, plus
from cachepoint.reporting.rows import Row
from cachepoint.reporting.tally import OTHER, Sums, Tally, figures

# Names that are kept apart; a caller may be one of many sessions.
_MOST = 10_000
_BREAKS = 2_000


class Break(NamedTuple):
    """A kind of break: its cause and what changed."""

    cause: str
    detail: str


@dataclass(slots=True)
class Count:
    """Of one kind of break: calls, tokens that were lost, and what they cost more than if they were read."""

    calls: int = 0
    tokens: int = 0
    dollars: Decimal = Decimal(0)
    remedy: str = ""

    def take(self, other: "Count") -> None:
        """Add another."""
        self.calls += other.calls
        self.tokens += other.tokens
        self.dollars = plus(self.dollars, other.dollars)
        self.remedy = self.remedy or other.remedy


@dataclass(slots=True)
class Figures:
    """What an audit finds of many calls."""

    tally: Tally = field(default_factory=Tally)
    identities: dict[str, Sums] = field(default_factory=dict)
    families: dict[str, Sums] = field(default_factory=dict)
    breaks: dict[Break, Count] = field(default_factory=dict)
    windows: Windows | None = None

    def add(self, call: Print, verdict: Verdict) -> None:
        """Count a call."""
        row = _row(call, verdict)
        wanted = self.windows is not None or not self.tally.bounds.full
        sent = sent_by(call) if wanted else None
        self.tally.add(row, sent)
        if self.windows is not None and sent is not None:
            self.windows.add(row, sent)
        _sums(self.identities, call.identity).add(row)
        _sums(self.families, verdict.family or "").add(row)
        if verdict.miss is not None:
            self._broke(row, verdict)

    def join(self, other: "Figures") -> None:
        """Add what was found of other calls, which share no cache with these."""
        self.tally.join(other.tally)
        if other.windows is not None:
            self.windows = Windows() if self.windows is None else self.windows
            self.windows.join(other.windows)
        for mine, theirs in ((self.identities, other.identities), (self.families, other.families)):
            for name, sums in theirs.items():
                _sums(mine, name).take(sums)
        for kind, count in other.breaks.items():
            self._break(kind).take(count)

    def _broke(self, row: Row, verdict: Verdict) -> None:
        miss = verdict.miss
        assert miss is not None  # noqa: S101 -- the caller saw it
        lost = miss.tokens or 0
        dearer = row.dearer(lost) if lost else None
        kind = Break(miss.cause, _kind(miss.detail))
        self._break(kind).take(Count(1, lost, dearer or Decimal(0), miss.remedy))

    def _break(self, kind: Break) -> Count:
        full = kind not in self.breaks and len(self.breaks) >= _BREAKS
        return self.breaks.setdefault(Break(kind.cause, OTHER) if full else kind, Count())

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Money in US dollars."""
        wasted = sum((count.dollars for count in self.breaks.values()), Decimal(0))
        return {
            **self.tally.as_dict(),
            "wasted_usd": for_json(wasted),
            "identities": {name: figures(sums) for name, sums in busiest(self.identities)},
            "families": {name: figures(sums) for name, sums in busiest(self.families)},
            "breaks": [
                {
                    **kind._asdict(),
                    "calls": count.calls,
                    "tokens": count.tokens,
                    "wasted_usd": for_json(count.dollars),
                    "remedy": count.remedy,
                }
                for kind, count in costliest(self.breaks)
            ],
        }


def follow(calls: Iterable[Print], *, bounded: bool = False) -> Figures:
    """What is found of the calls of one account, given by time.

    Args:
        calls: The calls.
        bounded: Whether to find what other placements would have paid, of however many calls.
    """
    follower, found = Follower(), Figures(windows=Windows() if bounded else None)
    for call in calls:
        found.add(call, follower.see(call))
    return found


def busiest(sums: Mapping[str, Sums]) -> list[tuple[str, Sums]]:
    """Sums by name, the largest input first."""
    return sorted(sums.items(), key=lambda item: (-item[1].usage.input_tokens, item[0]))


def costliest(breaks: Mapping[Break, Count]) -> list[tuple[Break, Count]]:
    """Breaks, the dearest first."""
    return sorted(breaks.items(), key=lambda item: (-item[1].dollars, -item[1].tokens, item[0]))


def _sums(of: dict[str, Sums], name: str) -> Sums:
    full = name not in of and len(of) >= _MOST
    return of.setdefault(OTHER if full else name, Sums())


def _kind(detail: str | None) -> str:
    """What changed, without the figures of one call."""
    words = (detail or "").split(":", 1)[0]
    return "" if words[:1].isdigit() else "".join(c for c in words if not c.isdigit()).strip()


def _row(call: Print, verdict: Verdict) -> Row:
    cost, full = parsed(call.cost), parsed(call.full)
    miss = verdict.miss
    return Row(
        at=call.at,
        model=call.model,
        priced_as=call.priced_as,
        conversation=verdict.conversation,
        fresh=call.fresh,
        read=call.read,
        write=call.write,
        write_5m=call.write_5m,
        write_1h=call.write_1h,
        output=call.output,
        cost=cost,
        saved=None if cost is None or full is None else minus(full, cost),
        cause=None if miss is None else miss.cause,
        where=None if miss is None else miss.where,
        lost=None if miss is None else miss.tokens,
        first_token=call.first_token,
        tier=call.tier,
    )

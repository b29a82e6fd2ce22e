"""The bound of many calls to many models, in bounded memory."""

from collections.abc import Mapping
from math import isnan

from cachepoint.core.accounting.sent import Sent
from cachepoint.core.models.rules import rules_for
from cachepoint.reporting.bound.bound import Bound, bound, total
from cachepoint.reporting.bound.ledger import Ledger
from cachepoint.reporting.rows import Row

MAX_CALLS = 20_000
MAX_BLOCKS = 100_000


class Bounds:
    """What was sent, by model: at most 20,000 calls and 100,000 different blocks of all models together.

    Beyond that all is forgotten, and no bound is known any more: some 30 MB at most. Calls are added by one
    thread at a time; another may ask meanwhile.
    """

    def __init__(self) -> None:
        self.full = False
        self._ledgers: dict[tuple[str, str, int], Ledger] = {}
        self._known: tuple[int, Mapping[str, Bound]] = 0, {}

    def add(self, row: Row, sent: Sent) -> None:
        """Note one call; one without usage or time is passed over."""
        if self.full or row.fresh is None or isnan(row.at):
            return
        ledger = self._ledgers.setdefault((row.model, row.priced_as, 0), Ledger())
        long = row.write_1h or 0
        ledger.add(
            row.at,
            sent,
            fresh=row.fresh,
            read=row.read or 0,
            write_5m=max(0, (row.write or 0) - long),
            write_1h=long,
        )
        self._trim()

    def join(self, other: "Bounds") -> None:
        """Add what was sent elsewhere: the caches have nothing in common."""
        self.full = self.full or other.full
        for (model, priced_as, _), ledger in other._ledgers.items():
            self._ledgers[model, priced_as, len(self._ledgers) + 1] = ledger
        self._trim()

    def _trim(self) -> None:
        ledgers = self._ledgers.values()
        if self.full or self.calls > MAX_CALLS or sum(map(len, ledgers)) > MAX_BLOCKS:
            self.full, self._ledgers = True, {}

    @property
    def calls(self) -> int:
        """How many are remembered."""
        return sum(len(ledger.calls) for ledger in self._ledgers.values())

    @property
    def by_model(self) -> Mapping[str, Bound]:
        """By model id, as far as prices of its cache are known; nothing where nothing is remembered."""
        calls, ledgers = self.calls, dict(self._ledgers)
        if self._known[0] != calls:
            made: dict[str, Bound] = {}
            for (model, priced_as, _), ledger in ledgers.items():
                one = bound(ledger, rules_for(priced_as))
                if one is not None:
                    made[model] = made[model] + one if model in made else one
            self._known = calls, made
        return self._known[1]

    @property
    def total(self) -> Bound | None:
        """Of all models; None where none is known."""
        return total(self.by_model.values())

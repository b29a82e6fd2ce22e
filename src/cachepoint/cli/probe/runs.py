"""One run: what is asked of which model, what it is expected to cost, and the run itself."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from cachepoint.cli.probe.asking import Finding, Lab
from cachepoint.cli.probe.journal import Journal
from cachepoint.cli.probe.probes import PROBES, chosen
from cachepoint.cli.probe.runner import Ended, Runner
from cachepoint.core.accounting.pricing import PriceList, prices
from cachepoint.core.models.rules import ModelRules, rules_for

# An answer of one token, with its way there and back.
_SECONDS_A_CALL = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked of which model.

    Attributes:
        only: Names of probes; all where there is none.
        resolution: Of lifetimes, in seconds.
        guardrail: Id and version.

    Raises:
        ValueError: The model takes no checkpoints or has no price, or a value is not valid.
    """

    model: str
    only: tuple[str, ...] = ()
    resolution: float = 15.0
    guardrail: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.rules.caches:
            raise ValueError(f"{self.model!r} takes no checkpoints: there is nothing to ask")
        if not 0 < self.resolution < float("inf"):
            raise ValueError(f"resolution is {self.resolution!r}; give seconds above 0")
        chosen(self.only)
        _ = self.prices

    @property
    def rules(self) -> ModelRules:
        """The model's row."""
        return rules_for(self.model)

    @property
    def prices(self) -> PriceList:
        """What the model costs today."""
        known = prices(self.model, time.time())
        if known is None:
            raise ValueError(f"{self.model!r} has no known price, so that no budget holds")
        return known

    def runner(
        self,
        client: Any,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        budget: Decimal | None = None,
        state: Path | None = None,
        told: Callable[[Finding], None] = lambda _: None,
    ) -> Runner:
        """What runs it against a client; a `state` that is there is taken up again.

        Raises:
            ValueError: `state` is of another run; it says of what.
        """
        header = {
            "model": self.model,
            "resolution": self.resolution,
            "guardrail": list(self.guardrail) if self.guardrail else None,
            "seed": secrets.token_hex(8),
        }
        journal = Journal(state, header)
        lab = Lab(self.rules, str(journal.header["seed"]), self.resolution, self.guardrail)
        return Runner(client, self.model, lab, journal, clock, sleep, self.prices, budget, told)

    def ask(self, runner: Runner) -> Ended:
        """Run it."""
        return runner.run(PROBES, chosen(self.only))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run comes to where the service does as the emulator does."""

    requests: int
    cost: Decimal
    seconds: float
    found: dict[str, Finding]


def expected(wish: Wish) -> Expected:
    """The same run against the emulator, in this process, whose clock does not wait."""
    from cachepoint.cli.probe.local import Local

    local = Local(guardrail=wish.guardrail[0] if wish.guardrail else "")
    runner = wish.runner(local, clock=local.now, sleep=local.sleep)
    wish.ask(runner)
    return Expected(
        runner.asked, runner.spent, runner.waited + runner.asked * _SECONDS_A_CALL, runner.lab.found
    )

"""What a model costs, with what the command line says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from cachepoint.cli.named import own_row
from cachepoint.core.accounting.pricelists import tier_factor
from cachepoint.core.accounting.pricing import RATES, Rates, completed, prices
from cachepoint.core.models.rules import UNKNOWN, ModelRules, Ttl, base_model, rules_for
from cachepoint.reporting.savings import TTLS

Given = Mapping[str, Decimal | None]

# Service tiers that are paid by the token; both are levers of levers.toml.
TIERS = ("flex", "priority")

# Claude's (aws.amazon.com/bedrock/pricing, 2026-11), where no model is named.
CLAUDE = {"read": 0.1, "write_5m": 1.25, "write_1h": 2}


@dataclass(frozen=True, slots=True)
class Offer:
    """A model and a day.

    Attributes:
        model: The id or the profile of a model that is known; None: the prices are all given.
        at: Prices as of then, in seconds since 1970.
        given: Prices that replace the model's, US dollars per million tokens.
        multipliers: The same, of the input price.
        tier: The service tier by Bedrock's names; None: the default one.
    """

    model: str | None
    at: float
    given: Given = field(default_factory=dict)
    multipliers: Given = field(default_factory=dict)
    tier: str | None = None

    @property
    def rules(self) -> ModelRules:
        """The model's row."""
        return UNKNOWN if self.model is None else rules_for(self.model)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.rules.name if own_row(self.rules) else str(self.model)

    @property
    def tiers(self) -> "list[Offer]":
        """The same in the service tiers that have a price. Of prices that are given no tier is known."""
        if self.model is None or any(price is not None for price in self.given.values()):
            return []
        known = [tier for tier in TIERS if tier_factor(self.model, tier) is not None]
        return [replace(self, tier=tier) for tier in known]

    @property
    def ttls(self) -> tuple[Ttl, ...]:
        """The TTLs that the model knows."""
        return TTLS if self.model is None else self.rules.ttls

    def rates(
        self, tokens: int, model: str | None = None, at: float | None = None, tier: str | None = None
    ) -> Rates | None:
        """The rates of a call with so many input tokens; None where no price is known.

        Args:
            tokens: Input tokens.
            model: The model that was called, where the command line names none.
            at: When it was called.
            tier: The service tier that answered it.
        """
        model = self.model or model
        listed = None if model is None else prices(model, self.at if at is None else at, self.tier or tier)
        row = {} if listed is None else {n: getattr(listed.at(tokens), n) for n in RATES}
        given = {name: price for name, price in self.given.items() if price is not None}
        if "input" in given:
            row = {"output": row.get("output")}
        times = {name: value for name, value in self.multipliers.items() if value is not None}
        merged = row | given
        if merged.get("input") is None or merged.get("output") is None:
            return None
        # What is left out follows from the input price, as the command line or else the model's row says.
        merged = {name: price for name, price in merged.items() if name in given or name not in times}
        rest = rules_for(model).multipliers if model is not None else CLAUDE
        return completed(Rates(**merged), {**(rest if "input" in given else {}), **times})

    def needed(self, tokens: int) -> Rates:
        """The rates.

        Raises:
            ValueError: Where no price is known; it says what to give.
        """
        rates = self.rates(tokens)
        if rates is not None:
            return rates
        if self.model is None:
            raise ValueError(
                "no prices: give --model, or --input-price and --output-price per million tokens"
            )
        raise ValueError(
            f"no price is known for {self.model!r}; give --input-price and --output-price{self._sold()}"
        )

    def _sold(self) -> str:
        """Profiles of the model that have a price."""
        base = base_model(str(self.model))
        sold = [repr(name) for name in (f"global.{base}", f"us.{base}") if prices(name, self.at) is not None]
        return f", or name {' or '.join(sold)}" if sold else ""

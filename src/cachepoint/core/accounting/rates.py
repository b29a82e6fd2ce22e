"""What tokens cost: rates per million of them, and the amounts that come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from cachepoint.core.accounting.money import EXACT, over, plus, times, total
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.rules import Ttl

MILLION = 1_000_000
_MILLION = Decimal(MILLION)


@dataclass(frozen=True, slots=True)
class Amounts:
    """US dollars by what they were paid for."""

    uncached: Decimal = Decimal()
    reads: Decimal = Decimal()
    writes: Decimal = Decimal()
    output: Decimal = Decimal()

    @property
    def input(self) -> Decimal:
        """All input."""
        return total((self.uncached, self.reads, self.writes))

    @property
    def total(self) -> Decimal:
        """Input and output."""
        return plus(self.input, self.output)

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*(plus(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def times(self, factor: Decimal) -> "Amounts":
        """These amounts, multiplied."""
        return Amounts(*(times(getattr(self, f.name), factor) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens. None: the price list names no price."""

    input: Decimal
    output: Decimal
    read: Decimal | None = None
    write_5m: Decimal | None = None
    write_1h: Decimal | None = None

    def write(self, ttl: Ttl) -> Decimal | None:
        """The price of writes for a TTL."""
        return self.write_5m if ttl == "5m" else self.write_1h

    def times(self, factor: Decimal, output: Decimal | None = None) -> "Rates":
        """These rates, multiplied; the output's by a factor of its own where one is given."""
        return Rates(
            times(self.input, factor),
            times(self.output, factor if output is None else output),
            *(None if r is None else times(r, factor) for r in (self.read, self.write_5m, self.write_1h)),
        )

    def amounts(self, usage: Usage) -> Amounts | None:
        """What tokens cost. Writes that no report split by TTL are priced as 5m, Bedrock's default.

        Returns:
            None where tokens were read or written and that has no price.
        """
        hour = usage.write_1h_tokens or 0
        parts = [
            _paid(n, rate)
            for n, rate in (
                (usage.uncached_tokens, self.input),
                (usage.read_tokens or 0, self.read),
                (max(0, (usage.write_tokens or 0) - hour), self.write_5m),
                (hour, self.write_1h),
                (usage.output_tokens, self.output),
            )
        ]
        if None in parts:
            return None
        fresh, read, five, one_hour, output = (part or Decimal() for part in parts)
        return Amounts(fresh, read, plus(five, one_hour), output)


RATES = tuple(f.name for f in fields(Rates))


@dataclass(frozen=True, slots=True)
class PriceList:
    """What one model costs, by the size of a prompt.

    Attributes:
        base: The rates.
        tiers: (tokens, rates): the rates of calls with more input tokens than that, smallest first.
    """

    base: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()

    def at(self, input_tokens: int) -> Rates:
        """The rates of a call with that much input."""
        reached = [rates for above, rates in self.tiers if input_tokens > above]
        return reached[-1] if reached else self.base

    def times(self, factor: Decimal) -> "PriceList":
        """This list, multiplied."""
        tiers = tuple((above, rates.times(factor)) for above, rates in self.tiers)
        return PriceList(self.base.times(factor), tiers)


def completed(rates: Rates, multipliers: Mapping[str, Any]) -> Rates:
    """Rates whose missing prices of reads and writes follow from the input price.

    Args:
        rates: `read`, `write_5m` and `write_1h` may be None.
        multipliers: Any of those three, of the input price.
    """
    missing = {name: factor for name, factor in multipliers.items() if getattr(rates, name) is None}
    return replace(rates, **{name: times(rates.input, Decimal(str(n))) for name, n in missing.items()})


def number(value: Any, name: str) -> Decimal:
    """A price, as Decimal.

    Raises:
        InvalidOptionError: Where it is no number, or below 0.
    """
    price = Decimal(str(value), EXACT)
    if not price.is_finite() or price < 0:
        raise InvalidOptionError(f"{name} is {value!r}; give US dollars per million tokens, as 3 or '0.3'")
    return price


def _paid(tokens: int, rate: Decimal | None) -> Decimal | None:
    if not tokens:
        return Decimal()
    return None if rate is None else over(times(rate, Decimal(tokens)), _MILLION)

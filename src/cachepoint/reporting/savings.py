"""What caching saves on a workload: the arithmetic of `cachepoint savings`.

A request of a workload sends a prefix that others send too, and tokens of its own. With a cache the
first of them writes the prefix and the others read it, until nobody asks for a TTL, or the entry is
lost. A request that writes does not read, so a write costs `write - read` above a read:

    after = requests * (prefix * read + user * input + output) + writes * prefix * (write - read)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

from cachepoint.core.accounting.pricing import MILLION, Amounts, Rates
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.models.rules import TTL_SECONDS, Ttl

Arrivals = Literal["poisson", "regular"]

HOURS_A_MONTH = 720
"""30 days."""

LOSSES_A_DAY = Decimal(12)
"""How often a live entry is lost to something else than idleness: another Region behind a profile, an
eviction, a deployment that changes the prompt. An assumption, not a measurement: one every two hours."""

MOST = 10**12
"""What a figure of a workload may be: every sum made of it can be printed."""

TTLS: tuple[Ttl, ...] = ("5m", "1h")


@dataclass(frozen=True, slots=True)
class Workload:
    """A month of requests that share prefixes.

    Args:
        requests: How many a month.
        prefix: Tokens at the front of a request that others send as well.
        user: Input tokens of its own.
        output: Output tokens.
        reuse: How many requests share one prefix before it is never sent again, the one that writes it
            included; None: all do.
        rate: Requests an hour with the same prefix. None: spread evenly over the month; with `reuse`:
            so close that no entry expires between them.
        arrivals: Whether they come at random or at equal distances.
        losses: How often a day an entry is lost that has not expired; needs a rate.

    Raises:
        ValueError: Where a figure cannot be; it names it.
    """

    requests: Decimal
    prefix: int
    user: int
    output: int
    reuse: Decimal | None = None
    rate: Decimal | None = None
    arrivals: Arrivals = "poisson"
    losses: Decimal = LOSSES_A_DAY

    def __post_init__(self) -> None:
        least = {"requests": 1, "prefix": 0, "user": 0, "output": 0, "reuse": 1, "rate": 0, "losses": 0}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name} is {value}; give a number of at least {minimum}")
            if value is not None and value > MOST:
                raise ValueError(f"{name} is {Decimal(value):.3g}; give a number of at most {MOST:,}")
        if self.rate == 0:
            raise ValueError("rate is 0; give requests an hour, or none at all")

    @property
    def hourly(self) -> Decimal | None:
        """Requests an hour with the same prefix; None where each closely follows the one before."""
        if self.rate is None and self.reuse is None:
            return self.requests / HOURS_A_MONTH
        return self.rate

    @property
    def sharing(self) -> Decimal:
        """How many requests share one prefix."""
        return self.requests if self.reuse is None else min(self.reuse, self.requests)


@dataclass(frozen=True, slots=True)
class Bill:
    """US dollars a month.

    Attributes:
        amounts: What it consists of; `writes` is what writes cost above reads.
        ttl: How long entries live; None without a cache.
        writes: How many requests write.
    """

    amounts: Amounts
    ttl: Ttl | None = None
    writes: Decimal = Decimal()

    @property
    def total(self) -> Decimal:
        """Input and output."""
        return self.amounts.total


def miss_share(workload: Workload, ttl: Ttl) -> Decimal:
    """The share of requests, but for the first of a prefix, that find their entry gone: 0 to 1.

    Random arrivals at rate a and losses at rate b leave an entry alive with
    `a / (a + b) * (1 - exp(-(a + b) * ttl))`.
    """
    arrivals = workload.hourly
    if arrivals is None:
        return Decimal()
    ttl_hours = Decimal(TTL_SECONDS[ttl]) / 3600
    losses = workload.losses / 24
    if workload.arrivals == "regular":
        alive = (-losses / arrivals).exp() if arrivals * ttl_hours >= 1 else Decimal()
    else:
        both = arrivals + losses
        alive = arrivals / both * (1 - (-both * ttl_hours).exp())
    return 1 - alive


def expected_writes(workload: Workload, ttl: Ttl) -> Decimal:
    """How many requests a month write the prefix: the first with it, and those that find it gone."""
    prefixes = workload.requests / workload.sharing
    return prefixes * (1 + (workload.sharing - 1) * miss_share(workload, ttl))


def before(workload: Workload, rates: Rates) -> Bill:
    """The bill without a cache."""
    n = workload.requests / MILLION
    tokens = workload.prefix + workload.user
    return Bill(Amounts(uncached=n * tokens * rates.input, output=n * workload.output * rates.output))


def after(workload: Workload, rates: Rates, ttl: Ttl | None, cached: int | None = None) -> Bill:
    """The bill with one.

    Args:
        workload: What is sent.
        rates: What it costs.
        ttl: How long entries live; None: nothing is cached.
        cached: How many tokens of the prefix a model caches at most; None: all.

    Raises:
        ValueError: Where the model names no price for that.
    """
    if ttl is None:
        return before(workload, rates)
    read, write = rates.read, rates.write(ttl)
    if read is None or write is None:
        raise ValueError(f"no price is known for reads and {ttl} writes; give their prices or multipliers")
    n, writes = workload.requests / MILLION, expected_writes(workload, ttl)
    prefix = workload.prefix if cached is None else min(workload.prefix, cached)
    fresh = workload.prefix - prefix + workload.user
    paid = Amounts(
        uncached=n * fresh * rates.input,
        reads=n * prefix * read,
        writes=writes * prefix * (write - read) / MILLION,
        output=n * workload.output * rates.output,
    )
    return Bill(paid, ttl, writes)


def choices(
    workload: Workload, rates: Rates, ttls: Iterable[Ttl], cached: int | None = None
) -> dict[Ttl | None, Bill]:
    """The bill without a cache and with each TTL that has a price."""
    priced = [ttl for ttl in ttls if rates.read is not None and rates.write(ttl) is not None]
    return {None: before(workload, rates)} | {t: after(workload, rates, t, cached) for t in priced}


def cheapest(bills: Mapping[Ttl | None, Bill]) -> Bill:
    """The smallest bill; of equal ones the first."""
    return min(bills.values(), key=lambda bill: bill.total)


def break_even(rates: Rates, ttl: Ttl) -> Decimal | None:
    """How many reads pay for a write: `(write - input) / (input - read)`; the next whole number does.

    Returns:
        None where there is no price, or reads cost as much as input.
    """
    read, write = rates.read, rates.write(ttl)
    if read is None or write is None or read >= rates.input:
        return None
    return (write - rates.input) / (rates.input - read)


def reuses_to_pay(rates: Rates, ttl: Ttl) -> int | None:
    """The smallest number of reads that make a write cheaper than none at all."""
    exact = break_even(rates, ttl)
    return None if exact is None else int(exact.to_integral_value(ROUND_FLOOR)) + 1


def most_saved(share: Decimal, read_multiplier: Decimal) -> Decimal:
    """The most that caching can take off the input line, 0 to 1, where writes cost nothing.

    Args:
        share: The repeated share of the input, 0 to 1.
        read_multiplier: The price of reads over that of input.
    """
    return share * (1 - read_multiplier)


def share_needed(saved: Decimal, read_multiplier: Decimal) -> Decimal:
    """The repeated share of the input that takes `saved` off the input line, where writes cost nothing."""
    return saved / (1 - read_multiplier)


@dataclass(slots=True)
class Measured:
    """The bill of calls that were made, with their cache and without.

    Attributes:
        calls: How many carried usage and a price.
        unpriced: How many carried usage and no price: they are in no sum.
        without: How many lines carried no usage.
        first: When the first call was made, in seconds since 1970.
        last: When the last was.
    """

    calls: int = 0
    unpriced: int = 0
    without: int = 0
    first: float | None = None
    last: float | None = None
    tokens: Usage = field(default_factory=Usage)
    before: Amounts = field(default_factory=Amounts)
    after: Amounts = field(default_factory=Amounts)

    def add(self, usage: Usage | None, rates: Rates | None, at: float | None) -> bool:
        """Count one call.

        Returns:
            Whether it is in the sums: it had usage and a price.
        """
        spent = None if usage is None or rates is None else rates.amounts(usage)
        if usage is None or rates is None or spent is None:
            self.without += usage is None
            self.unpriced += usage is not None
            return False
        self.calls += 1
        self.tokens += usage
        self.after += spent
        self.before += Amounts(uncached=usage.input_tokens * rates.input / MILLION, output=spent.output)
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)
        return True

    @property
    def hours(self) -> Decimal | None:
        """From the first call to the last; None where that is not known."""
        if self.first is None or self.last is None or self.last <= self.first:
            return None
        return Decimal(str(self.last - self.first)) / 3600

"""How figures look."""

from decimal import Decimal

_EXACT = 10_000
_CENT = Decimal("0.01")


def dollars(amount: Decimal, places: int) -> str:
    """US dollars."""
    return f"${amount:,.{places}f}"


def places(total: Decimal) -> int:
    """How many decimals a bill is shown with."""
    return 2 if total >= 1 else 6


def rate(price: Decimal | None) -> str:
    """A price, with as many decimals as it has, at least cents."""
    if price is None:
        return "?"
    text = f"{price:.6f}".rstrip("0")
    return f"${text}{'0' * max(0, 2 - len(text.partition('.')[2]))}"


def an_hour(price: Decimal) -> str:
    """A price an hour: whole cents, below one the first two digits that count."""
    return dollars(price, 2 if not price or price >= _CENT else 1 - price.adjusted())


def percent(part: Decimal, whole: Decimal) -> str:
    """A change, in whole percent."""
    if not whole:
        return "?"
    share = round(100 * part / whole)
    return f"{share:+d} %" if share else "0 %"


def count(n: Decimal) -> str:
    """A number of requests, which may be an expectation."""
    return f"{n:,.0f}" if n == n.to_integral_value() or n >= _EXACT else f"{n:,.1f}"


def span(seconds: Decimal) -> str:
    """A time, in the largest unit that it fills twice."""
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"

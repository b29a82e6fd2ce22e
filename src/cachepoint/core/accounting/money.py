"""Arithmetic on US dollars that does not depend on the application's decimal context."""

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

# Exact for what is added up here. An application may have a precision of 4, or traps, on its threads.
EXACT = Context(prec=28, traps=[])

plus, minus, times, over = EXACT.add, EXACT.subtract, EXACT.multiply, EXACT.divide

_ZERO = Decimal(0)
_MOST = Decimal(10**15)
_LEAST = _MOST.copy_negate()


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum; 0 of none."""
    whole = _ZERO
    for amount in amounts:
        whole = plus(whole, amount)
    return whole


def tidy(amount: Decimal) -> Decimal:
    """The same amount without the digits that say nothing, so that 0E-7 prints as 0 and 1E+2 as 100."""
    return Decimal(f"{amount.normalize(EXACT):f}")


def parsed(amount: Any) -> Decimal | None:
    """An amount as it comes back from JSON: a number, or a string in files of earlier releases; None stays.

    Raises:
        ValueError: Where it is no number.
    """
    if amount is None or isinstance(amount, Decimal):
        return amount
    try:
        read = Decimal(str(amount))
        if _LEAST < read < _MOST:
            return read
    except (ArithmeticError, ValueError):
        pass
    raise ValueError(f"{amount!r} is no amount of money")


def for_json(amount: Decimal | None) -> float | None:
    """An amount as a JSON number. The price of one call has at most 15 digits: it comes back as it was."""
    return None if amount is None else float(amount)


def dollars(amount: Decimal | None, digits: int | None = None) -> str:
    """US dollars for people; `unknown` for None.

    Args:
        amount: The amount.
        digits: Behind the point; None: 2 from a dollar on, else 4.
    """
    if amount is None:
        return "unknown"
    size = amount.copy_abs()
    figure = f"{size:,.{(2 if size >= 1 else 4) if digits is None else digits}f}"
    minus_sign = "-" if amount < 0 and figure.strip("0.,") else ""
    return f"{minus_sign}${figure}"

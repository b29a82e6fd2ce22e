"""What makes a bill smaller, what of it goes together, and what caching does to the time to the first token.

The rows are data (levers.toml), each with its source and date.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Lever:
    """One way to pay less.

    Attributes:
        name: What it is called in a `Pair`.
        price: What it costs, in words.
        geography: What a Region's profile costs on top, in words.
        source: Who says so.
        checked: The day that was read.
        times: Its price over that of on-demand, where it is one figure for all models.
    """

    name: str
    price: str
    geography: str
    source: str
    checked: str
    times: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Whether two levers go together.

    Attributes:
        both: Their names.
        stack: Whether one call can have both.
        why: A reason, or a condition.
        source: Who says so.
        checked: The day that was read.
    """

    both: tuple[str, str]
    stack: bool
    why: str
    source: str
    checked: str

    def other(self, name: str) -> str:
        """The one that is not this."""
        return self.both[self.both[0] == name]


@cache
def levers() -> Mapping[str, Lever]:
    """All levers by name."""
    rows = ({**row, "checked": str(row["checked"])} for row in _rows()["levers"])
    return {row["name"]: Lever(**row) for row in rows}


@cache
def pairs() -> tuple[Pair, ...]:
    """All pairs of levers."""
    return tuple(
        Pair(**{**row, "both": tuple(row["both"]), "checked": str(row["checked"])})
        for row in _rows()["pairs"]
    )


def pairs_of(name: str, *, stack: bool) -> list[Pair]:
    """The pairs of one lever that go together, or that do not."""
    return [pair for pair in pairs() if name in pair.both and pair.stack is stack]


def excluded(names: Collection[str]) -> list[Pair]:
    """The pairs among some levers that exclude one another."""
    asked = {frozenset(two) for two in combinations(names, 2)}
    return [pair for pair in pairs() if not pair.stack and frozenset(pair.both) in asked]


@dataclass(frozen=True, slots=True)
class FirstToken:
    """An estimate of seconds to the first token.

    Attributes:
        fresh: Where nothing is read.
        read: Where the prefix is.
        source: Who measured what it is made of.
        checked: The day of that.
    """

    fresh: Decimal
    read: Decimal
    source: str
    checked: str


def first_token(tokens: int, cached: int) -> FirstToken:
    """What a read prefix does to the time to the first token: an estimate, and no measurement.

    A straight line through the two prompts that were measured; what a read spares falls to nothing with its
    tokens.

    Args:
        tokens: Input tokens of a request.
        cached: How many of them are read.
    """
    row = _rows()["first_token"]
    few, many = ({name: Decimal(str(value)) for name, value in one.items()} for one in row["measured"])
    slope = (many["fresh"] - few["fresh"]) / (many["tokens"] - few["tokens"])
    fresh = few["fresh"] + slope * (tokens - few["tokens"])
    return FirstToken(fresh, fresh - _spared(Decimal(cached), few, many), row["source"], str(row["checked"]))


def _spared(cached: Decimal, few: Mapping[str, Decimal], many: Mapping[str, Decimal]) -> Decimal:
    """Seconds that reading so many tokens spares."""
    least, most = few["fresh"] - few["read"], many["fresh"] - many["read"]
    if cached <= few["tokens"]:
        return least * cached / few["tokens"]
    return least + (most - least) * (cached - few["tokens"]) / (many["tokens"] - few["tokens"])


def measured_first_tokens() -> str:
    """What the estimate is made of, in words."""
    rows = _rows()["first_token"]["measured"]
    return ", ".join(f"{one['tokens']:,} tokens {one['fresh']:g} s (read {one['read']:g} s)" for one in rows)


@cache
def _rows() -> Mapping[str, Any]:
    text = files("cachepoint.reporting").joinpath("levers.toml").read_text("utf-8")
    found: Mapping[str, Any] = tomllib.loads(text, parse_float=Decimal)
    return found

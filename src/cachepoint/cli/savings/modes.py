"""The levers, and what stacks with what."""

from typing import Any

from cachepoint.reporting.levers import Lever, Pair, levers, pairs_of

HEADS = ("lever", "price", "stacks with", "excludes", "geography")
STACKS = """\
Caching also stacks with a geography's premium and with cross-region profiles; these \
exclude provisioned throughput (guide: cross-region-inference)."""


def cells(lever: Lever) -> tuple[str, ...]:
    """A lever's row."""
    stacks, excludes = (_names(lever.name, stack=stack) for stack in (True, False))
    return lever.name, lever.price, stacks, excludes, lever.geography


def _names(name: str, *, stack: bool) -> str:
    return ", ".join(pair.other(name) for pair in pairs_of(name, stack=stack))


def sources() -> list[str]:
    """Who says so, and when that was read: each once, those of prices first."""
    found = [(row.source, row.checked) for row in levers().values()]
    found += [(pair.source, pair.checked) for name in levers() for pair in _pairs(name)]
    return list(dict.fromkeys(f"{source} ({checked})" for source, checked in found))


def _pairs(name: str) -> list[Pair]:
    return [*pairs_of(name, stack=True), *pairs_of(name, stack=False)]


def as_dicts() -> list[dict[str, Any]]:
    """The levers for JSON."""
    return [
        {
            "name": lever.name,
            "price": lever.price,
            "geo": lever.geography,
            "source": lever.source,
            "checked": lever.checked,
            "stacks_with": [_pair(lever.name, pair) for pair in pairs_of(lever.name, stack=True)],
            "excludes": [_pair(lever.name, pair) for pair in pairs_of(lever.name, stack=False)],
        }
        for lever in levers().values()
    ]


def _pair(name: str, pair: Pair) -> dict[str, str]:
    return {"name": pair.other(name), "why": pair.why, "source": pair.source, "checked": pair.checked}

"""`cachepoint models`: what each model on Bedrock allows."""

import json
from typing import Annotated, Any

import typer

from cachepoint.core.models.rules import ModelRules, table

_COLUMNS = ("model", "min", "TTLs", "read", "5m", "1h", "checked", "sources")
_WORDS = ("model", "TTLs", "sources")
_WRAPPED = ("model", "sources")
_MULTIPLIERS = ("read", "write_5m", "write_1h")


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Print the model table: minimum tokens, TTLs, price multipliers, source and date of each row."""
    if as_json:
        typer.echo(json.dumps({"models": [_facts(row) for row in table()]}, indent=2))
        return
    _print()


def _facts(row: ModelRules) -> dict[str, Any]:
    return {
        "name": row.name,
        "pattern": row.pattern,
        "provider": row.provider,
        "status": row.status,
        "explicit": row.explicit,
        "min_tokens": row.min_tokens,
        "fields": list(row.fields),
        "ttls": list(row.ttls),
        "multipliers": dict(row.multipliers),
        "confidence": row.confidence,
        "source": row.source,
        "checked": row.checked,
        "notes": row.notes,
    }


def _print() -> None:
    from rich.console import Console
    from rich.table import Table

    # The same few sources stand behind most rows: a number each keeps a row on one line.
    numbers = {
        source: n for n, source in enumerate(dict.fromkeys(s for row in table() for s in _sources(row)), 1)
    }
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        grid.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=name not in _WRAPPED)
    for row in table():
        grid.add_row(*_cells(row), " ".join(str(numbers[s]) for s in _sources(row)))
    console = Console(highlight=False)
    console.print(grid)
    console.print("\nmin: tokens; read, 5m, 1h: prices of reads and writes over the input price.\nSources:")
    for source, number in numbers.items():
        console.print(f"{number:>3} {source}", markup=False)


def _sources(row: ModelRules) -> list[str]:
    return [source.strip() for source in row.source.split(";")]


def _cells(row: ModelRules) -> tuple[str, ...]:
    if not row.caches:
        return (row.name, "", "none", "", "", "", row.checked)
    prices = (f"{row.multipliers[k]:g}" if k in row.multipliers else "?" for k in _MULTIPLIERS)
    return (row.name, f"{row.min_tokens:,}", " ".join(row.ttls), *prices, row.checked)

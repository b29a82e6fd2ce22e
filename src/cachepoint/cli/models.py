"""`cachepoint models`: what each model on Bedrock allows."""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from cachepoint.cli.faults import told
from cachepoint.cli.named import model_id
from cachepoint.core.models.rules import ModelRules, rules_for, table

_COLUMNS = ("model", "min", "TTLs", "read", "5m", "1h", "checked", "sources")
# What a narrow terminal has room for.
_FIRST = 3
_WORDS = ("model", "TTLs", "sources")
_WRAPPED = ("model", "sources")
_LEGEND = "\nmin: tokens; read, 5m, 1h: prices of reads and writes over the input price.\nSources:"
_NARROW_LEGEND = "\nmin: tokens. A wider terminal, or --json, has prices and sources too."
_MULTIPLIERS = ("read", "write_5m", "write_1h")


def command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models by id, profile, name or part of a name; none: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Print the model table: minimum tokens, TTLs, price multipliers, source and date of each row."""
    with told():
        rows = _rows(names) if names else table()
    if as_json:
        typer.echo(json.dumps({"models": [_facts(row) for row in rows]}, indent=2))
        return
    _print(rows)


def _rows(names: Iterable[str]) -> tuple[ModelRules, ...]:
    """The rows of these models, in the order of the table.

    Raises:
        ValueError: Where a name is no model's.
    """
    asked = {row.name for name in names for row in _of(name)}
    return tuple(row for row in table() if row.name in asked)


def _of(name: str) -> list[ModelRules]:
    if name.strip():
        part = [row for row in table() if name.strip().lower() in row.name.lower()]
        if part:
            return part
    return [rules_for(model_id(name))]


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


def _print(rows: Iterable[ModelRules]) -> None:
    from rich.console import Console, Group

    from cachepoint.cli.fitting import Fitting

    rows = tuple(rows)
    # The same few sources stand behind most rows: a number each keeps a row on one line.
    sources = dict.fromkeys(source for row in rows for source in _sources(row))
    numbers = {source: str(n) for n, source in enumerate(sources, 1)}
    cells = [(*_cells(row), " ".join(numbers[source] for source in _sources(row))) for row in rows]
    wide, narrow = _grid(_COLUMNS, cells), _grid(_COLUMNS[:_FIRST], cells)
    named = "\n".join(f"{number:>3} {source}" for source, number in numbers.items())
    console = Console(highlight=False, markup=False)
    console.print(Fitting(Group(wide, _LEGEND, named), Group(narrow, _NARROW_LEGEND)))


def _grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        grid.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=name not in _WRAPPED)
    for row in rows:
        grid.add_row(*row[: len(columns)])
    return grid


def _sources(row: ModelRules) -> list[str]:
    return [source.strip() for source in row.source.split(";")]


def _cells(row: ModelRules) -> tuple[str, ...]:
    if not row.caches:
        return (row.name, "", "none", "", "", "", row.checked)
    prices = (f"{row.multipliers[k]:g}" if k in row.multipliers else "?" for k in _MULTIPLIERS)
    return (row.name, f"{row.min_tokens:,}", " ".join(row.ttls), *prices, row.checked)

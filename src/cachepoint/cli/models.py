"""`cachepoint models`: what each model on Bedrock allows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

from cachepoint.cli.faults import told
from cachepoint.cli.named import complete, ids_of, model_id, named_by
from cachepoint.core.models.rules import ModelRules, rules_for, table

_COLUMNS = ("model", "min", "TTLs", "read", "5m", "1h", "sure", "checked", "sources")
# What a narrow terminal has room for.
_FIRST = 3
_WORDS = ("model", "TTLs", "sure", "sources")
_WRAPPED = ("model", "sources")
_LEGEND = (
    "\nmin: tokens; read, 5m, 1h: prices of reads and writes over the input price.\n"
    "sure: how sure we are. The table is of {}; one model by its name tells more.\nSources:"
)
_NARROW_LEGEND = (
    "\nmin: tokens. The table is of {}. A wider terminal, or --json, has prices and sources; one model by "
    "its name tells more."
)
# In the words of models.toml, and in fewer letters.
_SURE = {"medium": "med.", "medium-high": "good"}
_PRICED = {"read": "reads", "write_5m": "5m writes", "write_1h": "1h writes"}
_MULTIPLIERS = tuple(_PRICED)


def command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models by id, profile, ARN, name or part of a name; none: all.", autocompletion=complete
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Print what is known of one model, or of all: minimum, TTLs, prices, how sure we are, since when."""
    with told():
        rows = _rows(names) if names else table()
    if as_json:
        facts = {"checked": _checked(), "models": [_facts(row) for row in rows]}
        typer.echo(json.dumps(facts, indent=2))
    elif len(rows) == 1:
        _print_one(rows[0])
    else:
        _print(rows)


def _rows(names: Iterable[str]) -> tuple[ModelRules, ...]:
    """The rows of these models, in the order of the table.

    Raises:
        ValueError: Where a name is no model's.
    """
    asked = {row.name for name in names for row in _of(name)}
    return tuple(row for row in table() if row.name in asked)


def _of(name: str) -> list[ModelRules]:
    """The one that is meant; else those with such a part in their names."""
    try:
        return [rules_for(model_id(name))]
    except ValueError:
        part = [row for row in table() if named_by(row, name)]
        if not part:
            raise
        return part


def _checked() -> str:
    """The day of the newest row."""
    return max(row.checked for row in table())


def _facts(row: ModelRules) -> dict[str, Any]:
    return {
        "name": row.name,
        "pattern": row.pattern,
        "provider": row.provider,
        "status": row.status,
        "explicit": row.explicit,
        "min_tokens": row.min_tokens,
        "min_tokens_safe": row.min_tokens_safe,
        "fields": list(row.fields),
        "ttls": list(row.ttls),
        "multipliers": dict(row.multipliers),
        "confidence": row.confidence,
        "source": row.source,
        "checked": row.checked,
        "notes": row.notes,
    }


def _print_one(row: ModelRules) -> None:
    from rich.console import Console
    from rich.text import Text

    from cachepoint.cli.fitting import plain_table

    grid = plain_table(show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, said in _lines(row):
        grid.add_row(name, Text(said))
    console = Console(highlight=False, markup=False)
    console.print(Text(row.name, style="bold"))
    console.print(grid)


def _lines(row: ModelRules) -> Iterator[tuple[str, str]]:
    """What is known of a model, by what it is called."""
    if ids := ids_of(row):
        yield "id", ids
    if row.caches:
        safe = f"; {row.min_tokens_safe:,} to be safe" if row.min_tokens_safe > row.min_tokens else ""
        yield "minimum", f"{row.min_tokens:,} tokens{safe}"
        yield "fields", ", ".join(row.fields)
        yield "TTLs", ", ".join(row.ttls)
        yield "prices", ", ".join(f"{_PRICED[k]} {v:g}" for k, v in row.multipliers.items()) + " of input"
    else:
        yield "caching", "takes no checkpoints in Converse; calls go out as they come"
    if row.status != "active":
        yield "status", row.status
    newest = "" if row.checked == _checked() else f" (the newest row {_checked()})"
    yield "sure", f"{row.confidence}, checked {row.checked}{newest}"
    yield "sources", row.source
    if row.notes:
        yield "notes", row.notes


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
    legends = [text.format(_checked()) for text in (_LEGEND, _NARROW_LEGEND)]
    console.print(Fitting(Group(wide, legends[0], named), Group(narrow, legends[1])))


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
    sure = _SURE.get(row.confidence, row.confidence)
    if not row.caches:
        return (row.name, "", "none", "", "", "", sure, row.checked)
    prices = (f"{row.multipliers[k]:g}" if k in row.multipliers else "?" for k in _MULTIPLIERS)
    return (row.name, f"{row.min_tokens:,}", " ".join(row.ttls), *prices, sure, row.checked)

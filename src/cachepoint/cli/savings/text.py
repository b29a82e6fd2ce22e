"""What people see of an answer."""

import json
from typing import Any

import typer

from cachepoint.cli.savings.answers import Answer
from cachepoint.cli.savings.figures import dollars, percent, places, rate
from cachepoint.cli.savings.modes import HEADS, STACKS, as_dicts, cells, sources
from cachepoint.core.accounting.pricing import RATES, Rates
from cachepoint.reporting.levers import levers

_BEFORE = ("input", "output")
_AFTER = ("reads", "writes", "uncached", "output")


def show(answer: Answer) -> None:
    """Print an answer."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(answer.title, style="bold"))
    if answer.rates is not None:
        console.print(Text(_prices(answer.rates), style="dim"))
    for part in (_bills(answer), _verdict(answer), _ways(answer)):
        console.print()
        console.print(part)
    console.print()
    for note in answer.notes:
        console.print(Text(note))


def _prices(rates: Rates) -> str:
    known = {name.replace("_", " "): getattr(rates, name) for name in RATES}
    named = ", ".join(f"{name} {rate(price)}" for name, price in known.items() if price is not None)
    return f"per million tokens: {named}"


def _grid(*heads: str, show_header: bool = True) -> Any:
    from cachepoint.cli.fitting import plain_table

    grid = plain_table(show_header)
    for head in heads:
        grid.add_column(head)
    return grid


def _bills(answer: Answer) -> Any:
    digits = places(answer.before.total)
    grid = _grid("", "", "", show_header=False)
    grid.add_column(justify="right", no_wrap=True)
    for side, bill, names in (("before", answer.before, _BEFORE), ("after", answer.after, _AFTER)):
        for name in names:
            label = side if name == names[0] else ""
            amount = dollars(getattr(bill, name), digits)
            grid.add_row(label, name, answer.arithmetic.get(name, ""), amount)
        grid.add_row("", "total", "", dollars(bill.total, digits), style="bold")
    return grid


def _verdict(answer: Answer) -> Any:
    from rich.text import Text

    before, after = answer.before, answer.after
    saved = before.total - after.total
    if not saved:
        return Text("Caching saves nothing here: 0 %", style="bold")
    word, style = ("costs", "bold red") if saved < 0 else ("saves", "bold green")
    amount = dollars(abs(saved), places(before.total))
    inputs = percent(after.input - before.input, before.input)
    return Text(f"Caching {word} {amount}: {percent(-saved, before.total)}, input {inputs}", style=style)


def _ways(answer: Answer) -> Any:
    digits = places(answer.before.total)
    grid = _grid("way")
    for head in (_period(answer), "change", *(["credits last"] if _lasts(answer) else [])):
        grid.add_column(head, justify="right", no_wrap=True)
    grid.add_column("")
    for way in answer.ways:
        months = answer.months(way.total)
        last = [("" if months is None else f"{months:,.1f} months")] if _lasts(answer) else []
        change = percent(way.total - answer.before.total, answer.before.total)
        grid.add_row(way.name, dollars(way.total, digits), change, *last, answer.note(way))
    return grid


def _lasts(answer: Answer) -> bool:
    return answer.budget is not None and answer.hours is not None


def _period(answer: Answer) -> str:
    return "in all" if answer.rates is None and "scaled" not in answer.title else "a month"


def show_modes(as_json: bool) -> None:
    """Print the levers, and what stacks with what."""
    from rich.console import Console

    from cachepoint.cli.fitting import Fitting

    if as_json:
        typer.echo(json.dumps({"modes": as_dicts()}, indent=2))
        return
    wide, narrow = _grid(*HEADS), _grid("", "", show_header=False)
    for lever in levers().values():
        wide.add_row(*cells(lever))
        for head, cell in zip(HEADS, cells(lever), strict=True):
            narrow.add_row(head, cell)
        narrow.add_row()
    console = Console(highlight=False, markup=False)
    console.print(Fitting(wide, narrow))
    console.print(f"\n{STACKS}\n\nSources, and the day that they were read:")
    for source in sources():
        console.print(f"  {source}")

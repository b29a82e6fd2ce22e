"""The figures of the demo for people: a table and a picture per job, and the sum."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from cachepoint.cli.demo.bars import Bars, Legend
from cachepoint.cli.demo.bench import LATENCY, Began, Beside, Result, Run
from cachepoint.cli.fitting import Fitting, plain_table
from cachepoint.core.models.rules import ModelRules, rules_for

_HEADS = ("", "calls", "input", "read", "written", "uncached", "input cost", "ratio")
_LINE = 3
_TITLES = {
    "agent": "an agent with tools",
    "chat": "a chat of several turns",
    "documents": "questions about documents",
    "pairs": "classification by examples in messages",
    "examples": "classification by examples in one text",
}
_HELP = {
    "agent": "A step sends again all that came before it; with cachepoint that is read, and only what the "
    "last step added is written.",
    "chat": "A turn sends the reference and the talk so far again; with cachepoint they are read, and only "
    "the last question and answer are written.",
    "documents": 'With documents="shared" the first question about a document writes it, those that follow '
    "read it; by default the second one writes. What is asked about once pays the write for nothing; what is "
    "below the model's minimum stays fresh.",
    "pairs": "The first call writes the examples, those that follow read them.",
    "examples": "The second call shows where such prompts part, behind the examples, and writes up to there; "
    "those that follow read it.",
}


class Title:
    """A title with a line to the right, where there is room for one."""

    def __init__(self, title: str) -> None:
        self._title = Text(title, style="bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        room = options.max_width - self._title.cell_len
        yield Rule(self._title, align="left") if room >= _LINE else self._title


def render(results: Iterable[Result], beside: Beside = Beside()) -> RenderableType:  # noqa: B008
    """All jobs, then the sum, jobs through InvokeModel, and how soon streams began."""
    results = list(results)
    jobs = (part for result in results for part in _job(result))
    return Group(*jobs, *_sum(results), *_invoked(beside.invoked), *_began(beside.began))


def _invoked(results: Sequence[Result]) -> tuple[RenderableType, ...]:
    costs = ", ".join(f"{r.name} {r.ratio:.2f}" for r in results if r.ratio is not None)
    return (Text(f"Through InvokeModel (ChatBedrock): {costs}", style="bold"),) if costs else ()


def _began(began: Began | None) -> tuple[RenderableType, ...]:
    if began is None or began.without is None or began.cached is None:
        return ()
    return (
        Text(
            f"First token of the agent's streams after {began.without:.2f} s without, "
            f"{began.cached:.2f} s with (median)",
            style="bold",
        ),
        Text(
            f"As Anthropic measured in 2024: {LATENCY['uncached']:g} s per 1,000 tokens, "
            f"{LATENCY['read']:g} s where read.",
            style="dim",
        ),
    )


def _job(result: Result) -> tuple[RenderableType, ...]:
    title = _TITLES.get(result.name, result.name)
    notes = [Text(f"Note: {note}.", style="yellow") for note in result.notes]
    return (
        Title(f"{result.name}: {title} ({result.framework})"),
        _table(result),
        *notes,
        Text(),
        Bars(result.cached.usages),
        Legend(),
        Text(_HELP.get(result.name, ""), style="dim"),
        Text(),
    )


def _table(result: Result) -> Fitting:
    """A row for each run; a column each where that is too wide."""
    runs = (
        ("without", *_figures(result.without, result.model_id), "1.00"),
        ("with", *_figures(result.cached, result.model_id), _share(result.ratio)),
    )
    wide, narrow = plain_table(), plain_table()
    for head in _HEADS:
        wide.add_column(head, justify="right" if head else "left", no_wrap=True, min_width=len(head))
    for cells, style in zip(runs, (None, "bold"), strict=True):
        wide.add_row(*cells, style=style)
    heads, *rows = zip(_HEADS, *runs, strict=True)
    for head in heads:
        narrow.add_column(head, justify="right" if head else "left", no_wrap=True)
    for row in rows:
        narrow.add_row(*row)
    return Fitting(wide, narrow)


def _figures(run: Run, model_id: str) -> tuple[str, ...]:
    total = run.total
    counts = (total.input_tokens, total.read_tokens or 0, total.write_tokens or 0, total.uncached_tokens)
    return (str(len(run.usages)), *(f"{n:,}" for n in counts), dollars(run.input_dollars(model_id)))


def _sum(results: list[Result]) -> tuple[RenderableType, ...]:
    if not results:
        return ()
    model_id = results[0].model_id
    rules = rules_for(model_id)
    without, with_ = _total(r.without for r in results), _total(r.cached for r in results)
    both = Result("all jobs", results[0].framework, model_id, without, with_)
    costs = [dollars(run.input_dollars(model_id)) for run in (without, with_)]
    return (
        Title(both.name),
        Text(f"Input cost {costs[0]} without, {costs[1]} with: ratio {_share(both.ratio)}", style="bold"),
        Text(f"{model_id} ({rules.name}): {_prices(rules)}; list prices of today.", style="dim"),
    )


def _total(runs: Iterable[Run]) -> Run:
    runs = list(runs)
    return Run(tuple(usage for run in runs for usage in run.usages), runs[0].began)


def _prices(rules: ModelRules) -> str:
    if not rules.caches:
        return "it takes no checkpoints, so both runs are the same"
    read, write = (_times(rules.multipliers.get(kind)) for kind in ("read", "write_5m"))
    return f"a read costs {read} of uncached input, a write {write}"


def _times(multiplier: float | None) -> str:
    return "an unknown share" if multiplier is None else f"{multiplier:g}"


def _share(ratio: float | None) -> str:
    return "?" if ratio is None else f"{ratio:.2f}"


def dollars(amount: Decimal | None) -> str:
    """Dollars to a hundredth of a cent; `?` where unknown."""
    return "?" if amount is None else f"${amount:,.4f}"

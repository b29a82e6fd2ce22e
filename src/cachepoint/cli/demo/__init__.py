"""`cachepoint demo`: an agent, a chat, documents and few-shot examples, without and with `cachepoint`."""

import gc
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cachepoint.cli.faults import told
from cachepoint.cli.named import complete, model_id

if TYPE_CHECKING:
    from cachepoint.cli.demo.bench import Beside, Framework, Result
    from cachepoint.cli.demo.places import Place

# A framework is a module here with NAME, JOBS, check, plain and cached.
FRAMEWORKS = ("langchain_jobs", "llama_index_jobs")
DEFAULT_MODEL = "us.anthropic.claude-sonnet-4-6"
# Progress is measured in calls; a real model may take more or fewer.
_EXPECTED_CALLS = {"agent": 14, "chat": 12, "documents": 14, "pairs": 50, "examples": 50}
# No traces to LangSmith, and the tokenizer file that LlamaIndex brings along instead of a download.
_ENVIRONMENT = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "TIKTOKEN_CACHE_DIR": None}


def command(
    model: Annotated[
        str, typer.Option(help="The model or inference profile to call.", autocompletion=complete)
    ] = DEFAULT_MODEL,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON, and nothing else.")
    ] = False,
    aws: Annotated[bool, typer.Option("--aws", help="Run on the real service. It costs money.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --aws: do not ask.")] = False,
) -> None:
    """Run an agent, a chat, documents and few-shot examples on a local Bedrock; print what each cost."""
    with told(), _undisturbed():
        model = model_id(model)
        if aws:
            _print(_on_aws(model, yes), _part("bench").Beside(), as_json)
        else:
            _print(*_locally(model), as_json)


def _locally(model: str) -> "tuple[list[Result], Beside]":
    frameworks = _frameworks(model)
    place, bench = _part("places").Local(), _part("bench")
    results = _run(place, model, frameworks)
    streams = next((one for one in frameworks if one.NAME == "langchain"), None)
    if streams is None:
        return results, bench.Beside()
    with _progress() as progress:
        progress.add_task("time to the first token", total=None)
        began = bench.first_tokens(streams, model)
    return results, bench.Beside(began, tuple(_run(place, model, _invoking(model))))


def _invoking(model: str) -> "list[Framework]":
    """The jobs through InvokeModel, where the model has them."""
    try:
        invoke: Framework = _part("langchain_jobs").INVOKE
        invoke.check(model)
    except ValueError:
        return []
    return [invoke]


def _on_aws(model: str, yes: bool) -> "list[Result]":
    places, work = _part("places"), _part("work")
    place = places.Aws()
    frameworks = _frameworks(model)
    typer.echo("Running the jobs on the local emulator first, to see what they would cost.", err=True)
    rehearsal = _run(places.Local(), model, frameworks)
    typer.echo(_price(rehearsal, model, work.MAX_TOKENS, place.region), err=True)
    if not yes and not _agreed("Run them on AWS? [y/N] "):
        raise ValueError("nothing was sent to AWS; --yes runs it without asking")
    return _run(place, model, frameworks)


def _agreed(question: str) -> bool:
    # typer.confirm writes to standard output even with err=True, where only figures belong.
    typer.echo(question, err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _price(results: "list[Result]", model: str, longest: int, region: str) -> str:
    from cachepoint.cli.demo.estimate import estimate

    runs = [run for result in results for run in (result.without, result.cached)]
    return estimate(runs, model, longest, region)


def _run(place: "Place", model: str, frameworks: "Iterable[Framework]") -> "list[Result]":
    from cachepoint.cli.demo.bench import run_job

    results = []
    with _progress() as progress:
        for framework in frameworks:
            for name in framework.JOBS:
                task = progress.add_task(f"{framework.NAME} {name}", total=2 * _EXPECTED_CALLS[name])
                tick = partial(progress.advance, task)
                results.append(run_job(framework, name, place, model, tick))
    return results


def _frameworks(model: str) -> "list[Framework]":
    """Those that are installed and know the model; what is left out is said."""
    found = []
    faults: dict[str, Exception] = {}
    with _progress() as progress:
        progress.add_task("loading", total=None)
        for name in FRAMEWORKS:
            try:
                found.append(_framework(name, model))
            except (ImportError, ValueError) as error:
                faults[name.removesuffix("_jobs")] = error
    if not found:
        # That one is installed and refuses the model says more than that another is not.
        raise min(faults.values(), key=lambda fault: isinstance(fault, ImportError))
    for name, fault in faults.items():
        typer.echo(f"cachepoint: the jobs of {name} are left out: {fault}", err=True)
    return found


def _framework(name: str, model: str) -> "Framework":
    framework: Framework = _part(name)
    framework.check(model)
    return framework


def _part(name: str) -> Any:
    """A module of the demo that needs its extra."""
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise ImportError(f'the demo lacks {error.name or error}: pip install "cachepoint[demo]"') from error


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print(results: "list[Result]", beside: "Beside", as_json: bool) -> None:
    if as_json:
        jobs = [result.as_dict() for result in results]
        typer.echo(json.dumps({"jobs": jobs, **beside.as_dict()}, indent=2))
        return
    from rich.console import Console

    from cachepoint.cli.demo.tables import render

    Console(highlight=False).print(render(results, beside))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing of upstream's warnings in the output, and nothing over the network but the calls."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    with warnings.catch_warnings(), _environment(**_ENVIRONMENT):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            # LlamaIndex's Memory leaves its database for Python to close, which warns.
            gc.collect()
            logging.disable(level)


@contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


__all__ = ["FRAMEWORKS", "command"]

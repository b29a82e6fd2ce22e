"""Each job twice, without and with `cachepoint`, and what the service counted of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Protocol

from cachepoint.cli.demo.places import Local, Place, Stage
from cachepoint.cli.demo.work import POLICIES
from cachepoint.core.accounting.pricing import cost
from cachepoint.core.accounting.report import input_units
from cachepoint.core.accounting.usage import Usage
from cachepoint.core.drawing.words import counted
from cachepoint.core.models.rules import rules_for
from cachepoint.core.policy import PolicyLike
from cachepoint.reporting.session import session

# Within this share two runs count as the same prompts; a token estimate may round a text once or twice.
_SAME = 0.001

Tick = Callable[[], None]
Job = Callable[[Any], None]
MakeModel = Callable[[Stage, str], Any]


class Framework(Protocol):
    """A module that runs the jobs: `plain` and `cached` make a model for a stage."""

    NAME: str
    JOBS: Mapping[str, Job]

    def check(self, model_id: str) -> None:
        """Raises ValueError where the framework takes no such model."""

    def plain(self, stage: Stage, model_id: str) -> Any:
        """The framework's own model."""

    def cached(self, stage: Stage, model_id: str, policy: PolicyLike) -> Any:
        """The same, with `cachepoint` and this policy, knowing nothing of earlier runs."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job: the usage of every answered call. `began` is in seconds since 1970."""

    usages: tuple[Usage, ...]
    began: float
    refused: int = 0

    @property
    def total(self) -> Usage:
        """The sum of all calls."""
        return sum(self.usages, Usage())

    def units(self, model_id: str) -> float | None:
        """The cost of the input, in uncached input tokens."""
        return input_units(self.total, rules_for(model_id).multipliers)

    def input_dollars(self, model_id: str) -> Decimal | None:
        """The cost of the input in US dollars."""
        inputs = (
            Usage(u.uncached_tokens, 0, u.read_tokens, u.write_tokens, u.write_5m_tokens, u.write_1h_tokens)
            for u in self.usages
        )
        return _sum(cost(usage, model_id, self.began) for usage in inputs)

    def dollars(self, model_id: str) -> Decimal | None:
        """The cost of input and output in US dollars."""
        return _sum(cost(usage, model_id, self.began) for usage in self.usages)


def _sum(amounts: Any) -> Decimal | None:
    known = list(amounts)
    return None if None in known else sum(known, Decimal())


@dataclass(frozen=True, slots=True)
class Result:
    """A job without and with."""

    name: str
    framework: str
    model_id: str
    without: Run
    cached: Run

    @property
    def ratio(self) -> float | None:
        """Input cost with over input cost without; None where the model's row names no multipliers."""
        paid, full = self.cached.units(self.model_id), self.without.units(self.model_id)
        return None if paid is None or not full else paid / full

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said where the runs were not the same work, or where calls were refused."""
        refused = self.without.refused + self.cached.refused
        said = f"{counted(refused, 'call')} refused by the service" if refused else None
        return tuple(note for note in (self._difference(), said) if note)

    def _difference(self) -> str | None:
        with_, without = self.cached.total.input_tokens, self.without.total.input_tokens
        if len(self.cached.usages) == len(self.without.usages) and abs(with_ - without) <= _SAME * without:
            return None
        return (
            f"the two runs were not the same work: {counted(len(self.without.usages), 'call')} and "
            f"{counted(without, 'input token')} without, {counted(len(self.cached.usages), 'call')} and "
            f"{with_:,} with"
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures for machines."""
        total = self.cached.total
        return {
            "name": self.name,
            "framework": self.framework,
            "calls": len(self.cached.usages),
            "input_tokens": total.input_tokens,
            "read_tokens": total.read_tokens or 0,
            "write_tokens": total.write_tokens or 0,
            "uncached_tokens": total.uncached_tokens,
            "ratio": None if self.ratio is None else round(self.ratio, 4),
        }


def run_job(framework: Framework, name: str, place: Place, model_id: str, tick: Tick) -> Result:
    """Run one job twice, each time at a place that holds nothing of the other run."""
    without, cached = (
        _run(framework.JOBS[name], make, name, place, model_id, tick)
        for make in (framework.plain, partial(framework.cached, policy=POLICIES.get(name)))
    )
    return Result(name, framework.NAME, model_id, without, cached)


def _run(job: Job, make: MakeModel, name: str, place: Place, model_id: str, tick: Tick) -> Run:
    with place.open(name) as stage:
        stage.client.meta.events.register("after-call.bedrock-runtime", lambda **_: tick())
        began = stage.began
        job(make(stage, model_id))
        counted = stage.usages()
        answered = tuple(usage for usage in counted if usage is not None)
        return Run(answered, began, refused=len(counted) - len(answered))


# Seconds, and seconds for 1,000 tokens: 10,000 tokens began after 1.6 s and 100,000 after 11.5 s uncached,
# 100,000 after 2.4 s read (Anthropic, "Prompt caching with Claude", 2024-08-14). A write takes as long as
# uncached here.
LATENCY = {"base": 0.5, "uncached": 0.11, "write": 0.11, "read": 0.019}


@dataclass(frozen=True, slots=True)
class Began:
    """Median seconds to the first token of an agent's streams, without and with `cachepoint`."""

    without: float | None
    cached: float | None

    def as_dict(self) -> dict[str, float | None]:
        """The figures for machines."""
        return {
            name: None if seconds is None else round(seconds, 3)
            for name, seconds in (("without", self.without), ("with", self.cached))
        }


@dataclass(frozen=True, slots=True)
class Beside:
    """What the local run shows beside its jobs: how soon streams began, and jobs through InvokeModel."""

    began: Began | None = None
    invoked: tuple[Result, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The figures for machines."""
        timed = {"first_token_seconds": self.began.as_dict()} if self.began else {}
        return timed | ({"invoke_model": [job.as_dict() for job in self.invoked]} if self.invoked else {})


def first_tokens(framework: Any, model_id: str, *, speed: float = 20) -> Began:
    """Run a framework's agent through streams that begin as late as `LATENCY` says.

    All of it goes `speed` times as fast, and is told as if it did not.
    """
    place = Local(**{f"latency_{name}": seconds / speed for name, seconds in LATENCY.items()})

    def run(mode: str) -> float | None:
        with place.open("agent") as stage, session() as counted:
            framework.streamed_agent(framework.cached(stage, model_id, {"mode": mode}))
        first = counted.first_tokens
        began = first.misses if first.hits is None else first.hits
        return None if began is None else began * speed

    return Began(run("off"), run("auto"))

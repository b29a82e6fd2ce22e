"""The steps that probes are made of: a prefix that is written, and looked for again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachepoint.cli.probe.asking import Ask, LateError, Probing, Request
from cachepoint.cli.probe.prompts import Kit, kept
from cachepoint.cli.probe.rates import copies

# Entries of one wait: those that are written last are looked for as long after as those that were first.
_AT_ONCE = 10
# More copies of an entry than that are too dear for one answer.
MOST_COPIES = 400
# What is read differs by some tokens from what was written.
_MOST = 0.95


@dataclass(frozen=True, slots=True)
class Trial:
    """One entry: the request that writes it, and those behind it, each some seconds after the one before."""

    write: Request
    then: tuple[tuple[float, Request], ...]


def read_of(trial: Trial) -> Probing[bool | None]:
    """Whether the last request of a trial reads what it asks for; None where a step before it had lost it."""
    found = yield from of_many([trial])
    return found[0]


def of_many(trials: Sequence[Trial]) -> Probing[list[bool | None]]:
    """The same of several, in groups: the writes first, then what follows."""
    found: list[bool | None] = []
    for i in range(0, len(trials), _AT_ONCE):
        found += yield from _group(trials[i : i + _AT_ONCE])
    return found


def _group(trials: Sequence[Trial]) -> Probing[list[bool | None]]:
    written = []
    for trial in trials:
        answer = yield Ask(trial.write)
        written.append(answer)
    lasts, found = [answer.number for answer in written], [True if a.written else None for a in written]
    for step in range(max(len(trial.then) for trial in trials)):
        for i, trial in enumerate(trials):
            seconds, request = trial.then[step]
            answer = yield Ask(request, lasts[i], seconds)
            lasts[i] = answer.number
            final = step == len(trial.then) - 1
            if found[i] and answer.read < _MOST * written[i].written:
                found[i] = False if final else None
    return found


def ever(make: Callable[[], Trial], number: int) -> Probing[bool]:
    """Whether any of so many trials reads; it ends with the first group in which one does."""
    for i in range(0, number, _AT_ONCE):
        found = yield from again(lambda: [make() for _ in range(min(_AT_ONCE, number - i))])  # noqa: B023
        if any(found):
            return True
    return False


def again(make: Callable[[], Sequence[Trial]]) -> Probing[list[bool | None]]:
    """What becomes of trials; those that an interruption made too late are begun anew, with other texts."""
    while True:
        try:
            return (yield from of_many(make()))
        except LateError:
            continue


def entry(kit: Kit, ttl: str, seconds: float) -> Trial:
    """A prefix that is looked for after some seconds."""
    request = kept(kit.fresh(), ttl)
    return Trial(request, ((seconds, request),))


def lives(kit: Kit, ttl: str, seconds: float, lost_per_minute: float) -> Probing[bool | None]:
    """Whether an entry lives for so long; None where entries are lost too early to see it."""
    number = copies(lost_per_minute, seconds)
    if number > MOST_COPIES:
        return None
    return (yield from ever(lambda: entry(kit, ttl, seconds), number))

"""Probes that wait: how long entries live, what lets them live on, and how many are lost before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cachepoint.cli.probe.asking import (
    HOUR,
    POINT,
    Answer,
    Ask,
    Finding,
    Lab,
    Request,
    Steps,
    asked,
    in_system,
    user,
)
from cachepoint.cli.probe.chance import RISK, Trial, doubt, highest_hazard, interval, needed, per_minute
from cachepoint.core.models.rules import TTL_SECONDS, Ttl

_POINTS: Mapping[Ttl, Request] = {"5m": POINT, "1h": HOUR}
_WHOLE = 0.9

# Of early eviction: so long, so many at a time, until the interval is that narrow.
_MINUTE = 60.0
_BATCH = 24
_MOST_TRIALS = 360
_WIDTH = 0.2

# Of what is asked at one age: at first, at least, at most at a time, and in all.
_AT_FIRST, _LEAST, _MOST, _IN_ALL = 4, 3, 128, 300
_ROUNDS = 60
_BATCHES = 6
_MOST_AGES = 1_500
# Several ages at once save hours; where each needs many entries, one at a time saves money.
_SECTIONS, _FEW = 6, 4
# Longer than so many times what is documented is not waited.
_LONGEST = 4


def eviction(lab: Lab) -> Steps:
    """How probable it is that an entry is lost in a minute in which nobody uses it."""
    trials: list[Trial] = []
    while len(trials) < _MOST_TRIALS:
        yield from _aged(lab, [_MINUTE] * _BATCH, POINT, trials)
        if not any(trial.alive for trial in trials):
            yield Finding(
                "eviction", None, "unknown", note="no entry was read after a minute: it may live no longer"
            )
            return
        low, high = _hazard(trials)
        lab.trials = trials
        yield Finding("eviction", (low + high) / 2, "between", low, high)
        if high - low <= _WIDTH:
            break
    lost = sum(not trial.alive for trial in trials)
    share = per_minute(lost / len(trials), _waited(trials))
    yield Finding("eviction", share, "found", low, high, f"95 % interval of {len(trials)} trials")


def _hazard(trials: Sequence[Trial]) -> tuple[float, float]:
    low, high = interval(sum(not trial.alive for trial in trials), len(trials))
    return per_minute(low, _waited(trials)), per_minute(high, _waited(trials))


def _waited(trials: Sequence[Trial]) -> float:
    return sum(trial.waited for trial in trials) / len(trials)


def _aged(
    lab: Lab,
    waits: Iterable[float],
    point: Request,
    trials: list[Trial],
    enough: Callable[[], bool] = lambda: False,
) -> Steps:
    """Writes an entry for each of these ages, then reads them as they get there."""
    due: list[tuple[float, float, Request]] = []
    for wait in waits:
        request = in_system(lab.text(), point)
        wrote = yield Ask(request)
        if wrote.write:
            due.append((wrote.at + wait, wrote.at, request))
    due.sort(key=lambda entry: entry[0])
    for number, (at, began, request) in enumerate(due):
        got = yield Ask(request, at)
        # The age that it had, not the one that was meant: a run that was interrupted comes late.
        trials.append(Trial(got.at - began, got.read > 0))
        later = number + 1 < len(due) and due[number + 1][0] > at + lab.resolution / 2
        if later and enough():
            return


@dataclass(slots=True)
class _Ages:
    """What was alive at which age, and what follows of it."""

    lab: Lab
    documented: float
    trials: list[Trial] = field(default_factory=list)

    @property
    def low(self) -> float:
        return max((trial.waited for trial in self.trials if trial.alive), default=0.0)

    @property
    def lost(self) -> list[float]:
        low = self.low
        return sorted(trial.waited for trial in self.trials if not trial.alive and trial.waited > low)

    @property
    def hazard(self) -> float:
        low = self.low
        known = [trial for trial in self.trials if trial.waited <= low]
        return highest_hazard([*self.lab.trials, *known])

    @property
    def high(self) -> float | None:
        """The least age at which so many were lost that it is no accident."""
        lost, hazard = self.lost, self.hazard
        for count, age in enumerate(lost, 1):
            if doubt(hazard, lost[:count]) < RISK:
                return age
        return None

    def next(self) -> list[float]:
        """The ages to ask for, each as often as it stands there; none where it is done or hopeless."""
        low, high, step = self.low, self.high, self.lab.resolution
        if high is None:
            return self._again(low)
        count = self._count(high)
        sections = _SECTIONS if count <= _FEW else 2
        ages = {_between(low + (high - low) * n / sections, step) for n in range(1, sections)}
        inside = sorted(age for age in ages if low + step / 2 <= age <= high - step / 2)
        return [age for age in inside for _ in range(count)]

    def _again(self, low: float) -> list[float]:
        lost, step = self.lost, self.lab.resolution
        if not lost:
            longer = [low * 2] if low < self.documented * _LONGEST else []
            return [age for age in longer for _ in range(_AT_FIRST)]
        hazard = self.hazard
        if needed(hazard, low + step) > _IN_ALL or len(self.trials) > _MOST_AGES:
            return []
        # Where chance alone empties an age, an earlier one tells more.
        age = lost[0]
        while needed(hazard, age) > _IN_ALL and age - low > step:
            age = (low + age) / 2
        age = max(low + step, _between(age, step))
        left = needed(hazard, age) - sum(one <= age for one in lost)
        return [age] * int(min(_MOST, max(_LEAST, left)))

    def _count(self, age: float) -> int:
        return int(min(_MOST, max(_LEAST, needed(self.hazard, age))))


def _between(age: float, step: float) -> float:
    """Between two steps: a lifetime of whole steps is then told, though a request takes its time."""
    return (int(age / step) + 0.5) * step


def lifetime(lab: Lab, ttl: Ttl) -> Steps:
    """How long an entry lives that nobody uses, in seconds."""
    if ttl not in lab.rules.ttls:
        return
    name, ages = f"lifetime_{ttl}", _Ages(lab, TTL_SECONDS[ttl])
    whole, step = ages.documented, lab.resolution
    first = (whole / 32, whole / 8, whole / 4, whole / 2, whole - step, whole)
    waits = [age for each in first for age in [_between(each, step)] * _AT_FIRST]
    for _ in range(_ROUNDS):
        yield from _aged(lab, waits, _POINTS[ttl], ages.trials, lambda: ages.high is not None)
        low, high = ages.low, ages.high
        yield Finding(name, None, "between", low, high)
        waits = ages.next()
        if not waits:
            break
    lab.trials = [*lab.trials, *(trial for trial in ages.trials if trial.waited <= low)]
    if high is not None and high - low <= step * 2:
        yield Finding(name, round((low + high) / 2 / step) * step, "found", low, high)
    else:
        note = (
            "so many entries are lost early that its end cannot be told"
            if ages.lost
            else "longer was not waited"
        )
        yield Finding(name, None, "unknown", low, high, note)


@dataclass(frozen=True, slots=True)
class _Course:
    """An entry is written, touched, and asked for in several ways."""

    write: Request
    touch: Request
    finals: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class _Times:
    """Seconds to the touch, and from there to the end; and whether the three came in time."""

    touch: float
    end: float
    good: Callable[[float, float, float], bool]


def _outcomes(lab: Lab, make: Callable[[], _Course], times: _Times, answers: list["bool | None"]) -> Steps:
    """For each of the final requests whether the entry was there: once seen is seen, a loss needs many."""
    lost: list[list[float]] = [[] for _ in answers]
    hazard = highest_hazard(lab.trials)
    for _ in range(_BATCHES):
        count = int(min(_MOST, max(_LEAST, needed(hazard, times.end))))
        yield from _batch(make, times, count, answers, lost)
        for number, ages in enumerate(lost):
            if answers[number] is None and doubt(hazard, ages) < RISK:
                answers[number] = False
        if None not in answers:
            return


def _batch(
    make: Callable[[], _Course],
    times: _Times,
    count: int,
    answers: list["bool | None"],
    lost: list[list[float]],
) -> Steps:
    begun: list[tuple[_Course, Answer]] = []
    for _ in range(count):
        course = make()
        begun.append((course, (yield Ask(course.write))))
    touched: list[tuple[_Course, Answer, Answer]] = []
    for course, wrote in begun:
        touch = yield Ask(course.touch, wrote.at + times.touch)
        if touch.read >= _WHOLE * wrote.size > 0:
            touched.append((course, wrote, touch))
    for course, wrote, touch in touched:
        for number, final in enumerate(course.finals):
            if answers[number]:
                continue
            got = yield Ask(final, touch.at + times.end)
            if not times.good(wrote.at, touch.at, got.at):
                continue
            if got.read > _WHOLE * got.size:
                answers[number] = True
            else:
                lost[number].append(got.at - touch.at)


_NO_LIFETIME = "the lifetime of 5m is not known"
_LOST = "so many entries are lost early that it cannot be told"


def _within(low: float, high: float, step: float) -> _Times:
    """A touch within the lifetime, an end within it from the touch, but not from the beginning."""
    end = high + step - low / 2
    return _Times(low / 2, end, lambda wrote, touch, end: end - wrote > high and end - touch < low)


def refresh(lab: Lab) -> Steps:
    """Whether a read lets an entry live on."""

    def make() -> _Course:
        request = in_system(lab.text())
        return _Course(request, request, (request,))

    yield from _timed(lab, "refresh", make)


def _timed(lab: Lab, name: str, make: Callable[[], _Course]) -> Steps:
    low, high = lab.bounds("lifetime_5m")
    if lab.value("lifetime_5m") is None or high is None:
        yield Finding(name, None, "unknown", note=_NO_LIFETIME)
        return
    answers: list[bool | None] = [None]
    yield from _outcomes(lab, make, _within(low, high, lab.resolution), answers)
    if answers[0] is None:
        yield Finding(name, None, "unknown", note=_LOST)
    else:
        yield Finding(name, answers[0])


def refresh_below(lab: Lab) -> Steps:
    """Whether a read lets a shorter entry of the same prefix live on, with a checkpoint there and without."""
    for name, point in (("refresh_below_marked", (POINT,)), ("refresh_below_unmarked", ())):
        if not lab.value("refresh"):
            yield Finding(name, None, "unknown", note="a read is not known to let any entry live on")
            continue

        def make(point: tuple[Request, ...] = point) -> _Course:
            text, tail = {"text": lab.text()}, user({"text": lab.text()}, POINT)
            final = in_system(text["text"])
            return _Course(asked([text, POINT], [tail]), asked([text, *point], [tail]), (final,))

        yield from _timed(lab, name, make)


def upgrade(lab: Lab) -> Steps:
    """What a tail of 1h over a prefix of 5m keeps, in the words of the emulator's option `over_5m`."""
    if "1h" not in lab.rules.ttls:
        return
    if lab.value("lookback") == 0:
        yield Finding("over_5m", None, "unknown", note="with a lookback of 0 nothing is read from behind it")
        return
    _, high = lab.bounds("lifetime_5m")
    hour, _ = lab.bounds("lifetime_1h")
    if lab.value("lifetime_5m") is None or high is None:
        yield Finding("over_5m", None, "unknown", note=_NO_LIFETIME)
        return
    # Between the end of one and of the other there has to be a time to ask.
    end = min(1.02 * high + 2 * lab.resolution, (high + hour) / 2)
    if end < high + lab.resolution:
        yield Finding("over_5m", None, "unknown", note="1h is not known to live longer than 5m")
        return
    times = _Times(0.1 * high, end, lambda _, touch, got: high < got - touch < hour)
    answers: list[bool | None] = [None, None]
    yield from _outcomes(lab, lambda: _over(lab), times, answers)
    tail, prefix = answers
    value = (
        "1h" if prefix else "own" if tail and prefix is False else "5m" if tail is prefix is False else None
    )
    yield Finding(
        "over_5m", value, "unknown" if value is None else "found", note=_LOST if value is None else ""
    )


def _over(lab: Lab) -> _Course:
    text, tail = {"text": lab.text()}, {"text": lab.text()}
    both = asked([text], [user(tail, HOUR)])
    return _Course(in_system(text["text"]), both, (both, in_system(text["text"])))

"""The charts over time. Axes are HTML, so that their letters keep their size however wide the drawing is."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, count

from cachepoint.core.accounting.money import dollars, plus
from cachepoint.reporting.course import Course
from cachepoint.reporting.pictures import percent
from cachepoint.reporting.tally import Tally

_COLUMNS = 60
_TICKS = 4
# Up to so many seconds, the times on the axis look like this.
_TIMES = ((600.0, "%H:%M:%S"), (86_400.0, "%H:%M"), (4 * 86_400.0, "%d %b %H:%M"), (float("inf"), "%d %b"))
# Where the axis ends above so many dollars, so many digits behind the point.
_DIGITS = ((20.0, 0), (0.2, 2), (0.0, 4))


def cost(tally: Tally) -> str:
    """Cost with and without a cache, added up over time. Empty where no price or no time is known."""
    if tally.sums.money is None or tally.first is None:
        return ""
    at, paid, full = zip(*_running(tally.course), strict=True)
    top, ticks = scale(float(max(paid[-1], full[-1])))
    xs = _places(at)
    above, below = ([100 - float(y) * 100 / top for y in line] for line in (full, paid))
    tint = "gain" if full[-1] >= paid[-1] else "pain"
    drawn = (
        f'<path fill="var(--{tint})" d="{_line([*xs, *reversed(xs)], [*above, *reversed(below)])}z"/>'
        f'<path fill="none" stroke="var(--fresh)" stroke-width="2" d="{_line(xs, above)}"/>'
        f'<path fill="none" stroke="var(--read)" stroke-width="2.5" d="{_line(xs, below)}"/>'
    )
    key = _stroke("fresh", "without a cache", full[-1]) + _stroke("read", "paid", paid[-1])
    digits = next(digits for limit, digits in _DIGITS if top >= limit)
    labels = [(tick, f"${tick:,.{digits}f}") for tick in ticks]
    return _section("Cost, added up", key, _chart(labels, top, drawn, tally))


def hits(tally: Tally) -> str:
    """Read tokens over input tokens, in columns of time. Empty where there were none, or no time is known."""
    share = tally.sums.usage.hit_share
    if share is None or tally.first is None:
        return ""
    slot = 100 / _COLUMNS
    bars = "".join(
        f"M{at * slot + slot * 0.1:.2f} 100v-{read * 100 / whole:.2f}h{slot * 0.8:.2f}V100z"
        for at, (read, whole) in _columns(tally).items()
        if whole
    )
    mean = f"{100 - share * 100:.2f}"
    drawn = (
        f'<path fill="var(--read)" d="{bars}"/>'
        f'<line x1="0" x2="100" y1="{mean}" y2="{mean}" stroke="var(--ink)" stroke-dasharray="3 4"/>'
    )
    key = (
        '<span><i style="background:var(--read)"></i>input tokens that were read</span>'
        f"<span>- - over all calls <b>{percent(share)}</b></span>"
    )
    labels = [(tick / _TICKS, f"{tick / _TICKS:.0%}") for tick in range(_TICKS + 1)]
    return _section("Hit share over time", key, _chart(labels, 1.0, drawn, tally))


def scale(largest: float) -> tuple[float, list[float]]:
    """(top, ticks) of an axis from 0 that holds `largest`, in round steps of 1, 2 or 5."""
    if largest <= 0:
        return 1.0, [0.0, 1.0]
    steps = (
        digit * 10.0**power
        for power in chain([_power(largest) - 1], count(_power(largest)))
        for digit in (1, 2, 5)
    )
    step = next(step for step in steps if step * _TICKS >= largest)
    ticks = [0.0]
    while ticks[-1] < largest:
        ticks.append(len(ticks) * step)
    return ticks[-1], ticks


def _power(number: float) -> int:
    return int(f"{number:e}".partition("e")[2])


def _running(course: Course) -> Iterator[tuple[float, Decimal, Decimal]]:
    """(time, paid, without a cache) at the end of each slice, from zero on."""
    paid = full = Decimal()
    for number, part in enumerate(course):
        if not number:
            yield part.at, paid, full
        paid, full = plus(paid, part.cost), plus(full, part.uncached_cost)
        yield part.at + course.width, paid, full


def _columns(tally: Tally) -> dict[int, tuple[int, int]]:
    """(read, all input) by column."""
    course, columns = tally.course, dict[int, tuple[int, int]]()
    parts = list(course)
    span = parts[-1].at - parts[0].at + course.width
    for part in parts:
        at = int((part.at - parts[0].at) * _COLUMNS / span)
        read, whole = columns.get(at, (0, 0))
        columns[at] = read + part.read_tokens, whole + part.input_tokens
    return columns


def _section(title: str, key: str, chart: str) -> str:
    return f'<section><h2>{title}</h2><div class="legend">{key}</div>{chart}</section>'


def _stroke(colour: str, label: str, amount: Decimal) -> str:
    sample = f'<i class="stroke" style="background:var(--{colour})"></i>'
    return f"<span>{sample}{label} <b>{dollars(amount)}</b></span>"


def _chart(labels: Sequence[tuple[float, str]], top: float, drawn: str, tally: Tally) -> str:
    ys = "".join(f'<span style="bottom:{at * 100 / top:.1f}%">{text}</span>' for at, text in labels)
    heights = (100 - at * 100 / top for at, _ in labels)
    grid = "".join(f'<line x1="0" x2="100" y1="{y:.2f}" y2="{y:.2f}" stroke="var(--grid)"/>' for y in heights)
    xs = "".join(f"<span>{text}</span>" for text in _times(tally.first or 0.0, tally.last or 0.0))
    return (
        f'<div class="chart"><div class="ys">{ys}</div><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'aria-hidden="true">{grid}{drawn}</svg><div class="xs">{xs}</div></div>'
    )


def _places(at: Sequence[float]) -> list[float]:
    return [(a - at[0]) * 100 / (at[-1] - at[0]) for a in at]


def _line(xs: Sequence[float], ys: Sequence[float]) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(xs, ys, strict=True))


def _times(first: float, last: float) -> list[str]:
    form = next(form for limit, form in _TIMES if last - first <= limit)
    marks = (first + (last - first) * n / 3 for n in range(4))
    return [datetime.fromtimestamp(at, UTC).strftime(form) for at in marks]

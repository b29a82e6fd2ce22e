"""All that is asked of a model, in an order in which what is found early makes the rest cheaper."""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cachepoint.cli.probe import changes, sizes, times
from cachepoint.cli.probe.asking import Answer, Ask, Probing
from cachepoint.cli.probe.prompts import Kit, kept


@dataclass(slots=True)
class Findings:
    """What is known so far, by the name of the probe.

    Attributes:
        known: What was found; None where it cannot be told.
        running: The probe that is being asked.
    """

    known: dict[str, Any] = field(default_factory=dict)
    running: str = ""

    @property
    def lost(self) -> float:
        """The share of entries that is lost in a minute, at most; as far as nothing is known, none."""
        rates = self.known.get("eviction")
        return 0.0 if rates is None else min(rates[0].high, rates[1].high)

    @property
    def lifetime_5m(self) -> float | None:
        """Seconds that an entry of five minutes does not live."""
        bracket = self.known.get("lifetime_5m")
        return None if bracket is None else float(bracket[1])


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be asked.

    Attributes:
        names: The probes; what they need is asked too.
        resolution: Seconds that a lifetime is found to.
        changes: What is changed to see what it loses.
    """

    names: Collection[str]
    resolution: float
    changes: Mapping[str, tuple[changes.Change, ...]]


_Probe = Callable[[Kit, Findings, Wanted], Generator[Ask, Answer, Any]]


def examine(kit: Kit, wanted: Wanted, found: Findings) -> Probing[None]:
    """Ask all that is wanted; what is found stands in `found`, also if it is stopped on the way."""
    asked = closure(wanted.names)
    for name, (probe, _) in PROBES.items():
        if name not in asked:
            continue
        if name != "minimum" and found.known.get("minimum") is None:
            # Nothing of any size is kept: there is nothing to ask.
            return
        found.running = name
        found.known[name] = yield from probe(kit, found, wanted)
        kit = _fitted(kit, found)
    found.running = ""


def closure(names: Collection[str]) -> set[str]:
    """The probes, and those that they need."""
    asked = set(names)
    for name in reversed(list(PROBES)):
        if name in asked:
            asked.update(PROBES[name][1])
    return asked


def _fitted(kit: Kit, found: Findings) -> Kit:
    """With prefixes that are just large enough, and the TTL that lasts."""
    least = found.known.get("minimum")
    size = kit.size if least is None else sizes.with_room(least[2])
    return replace(kit, size=size, ttl="1h" if found.known.get("one_hour") else "5m")


def _one_hour(kit: Kit, _: Findings, __: Wanted) -> Probing[bool]:
    """Whether an hour that is asked for is given."""
    answer = yield Ask(kept(kit.fresh(), "1h"))
    return answer.written_1h > 0


def _lifetime_5m(kit: Kit, found: Findings, wanted: Wanted) -> Probing[tuple[float, float] | None]:
    return (yield from times.lifetime(kit, "5m", wanted.resolution, found.lost))


def _lifetime_1h(kit: Kit, found: Findings, wanted: Wanted) -> Probing[tuple[float, float] | None]:
    if not found.known.get("one_hour"):
        return None
    return (yield from times.lifetime(kit, "1h", wanted.resolution, found.lost))


def _refresh(kit: Kit, found: Findings, _: Wanted) -> Probing[bool | None]:
    lasts = found.lifetime_5m
    return None if lasts is None else (yield from times.refresh(kit, lasts, found.lost))


def _upgrade(kit: Kit, found: Findings, _: Wanted) -> Probing[str | None]:
    short, long = found.lifetime_5m, found.known.get("lifetime_1h")
    if short is None or long is None:
        return None
    return (yield from times.upgrade(kit, short, long[0], found.lost))


def _ttl_key(kit: Kit, found: Findings, _: Wanted) -> Probing[bool | None]:
    return (yield from times.keyed_by_ttl(kit)) if found.known.get("one_hour") else None


# By name: the probe, and those that it needs, all of them before it.
PROBES: Mapping[str, tuple[_Probe, tuple[str, ...]]] = {
    "minimum": (lambda kit, _, __: sizes.minimum(kit), ()),
    "one_hour": (_one_hour, ("minimum",)),
    "lookback": (lambda kit, _, __: sizes.lookback(kit), ("minimum",)),
    "settings": (lambda kit, _, wanted: changes.settings(kit, wanted.changes), ("minimum",)),
    "documents": (lambda kit, _, __: changes.documents(kit), ("minimum",)),
    "backfill": (lambda kit, _, __: times.backfill(kit), ("minimum",)),
    "ttl_key": (_ttl_key, ("one_hour",)),
    "eviction": (lambda kit, _, __: times.eviction(kit), ("one_hour",)),
    "lifetime_5m": (_lifetime_5m, ("eviction",)),
    "refresh": (_refresh, ("lifetime_5m",)),
    "lifetime_1h": (_lifetime_1h, ("eviction",)),
    "upgrade": (_upgrade, ("lifetime_5m", "lifetime_1h")),
}

"""The table of probes, in the order in which they are asked."""

from collections.abc import Iterable, Mapping

from cachepoint.cli.probe import steady, waiting
from cachepoint.cli.probe.runner import Probe

PROBES: Mapping[str, Probe] = {
    "minimum": steady.minimum,
    "size": steady.sized,
    "lookback": steady.lookback,
    "settings": steady.settings,
    "documents": steady.documents,
    "backfill": steady.backfill,
    "ttl-key": steady.ttl_in_key,
    "eviction": waiting.eviction,
    "lifetime-5m": lambda lab: waiting.lifetime(lab, "5m"),
    "lifetime-1h": lambda lab: waiting.lifetime(lab, "1h"),
    "refresh": waiting.refresh,
    "refresh-below": waiting.refresh_below,
    "upgrade": waiting.upgrade,
}

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "lifetime-5m": ("eviction",),
    "lifetime-1h": ("eviction",),
    "refresh": ("lifetime-5m",),
    "refresh-below": ("refresh",),
    "upgrade": ("lifetime-5m", "lifetime-1h"),
}

CHOICES = tuple(name for name in PROBES if name != "size")


def chosen(only: Iterable[str]) -> tuple[str, ...]:
    """The probes of these names and what they need, in order.

    Raises:
        ValueError: There is no such probe; it names them.
    """
    wanted = tuple(only) or CHOICES
    unknown = next((name for name in wanted if name not in CHOICES), None)
    if unknown is not None:
        raise ValueError(f"there is no probe {unknown!r}; there are {', '.join(CHOICES)}")
    names = _closed(wanted)
    # Whatever else is asked needs a text that is long enough.
    names |= set() if "minimum" in names else {"size"}
    return tuple(name for name in PROBES if name in names)


def _closed(names: Iterable[str]) -> set[str]:
    found = set(names)
    for name in tuple(found):
        found |= _closed(_NEEDS.get(name, ()))
    return found

"""How likely a prefix is to come back, learned per kind of call.

A checkpoint that nobody reads costs a quarter more than none. Whether the end of a request comes
back is no property of the request but of the kind of call it is: a conversation goes on, a question
to a document does not. So calls are sorted into kinds, and each kind is counted: how often a prefix
that ended there came back while its entry would have lived. Prefixes are watched whether or not they
were written, so that what was refused once can be learned again.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Shape = Literal[
    "head", "clock", "documents", "extends", "tools", "history", "small_first", "large", "large_turn", "again"
]

# (returned, watched) before anything was seen: a Beta prior. The head of an application comes
# back; so does a conversation that has already grown, or an agent's step. A first turn whose text is
# small beside the head costs little to write; one that is large is mostly retrieved text. What is
# written on a first guess must also be worth it at the 1h price, where half of the writes must return.
# A head with a clock in it, and documents, are not written until some of their kind have come back.
PRIORS: dict[Shape, tuple[float, float]] = {
    "head": (1.5, 2.0),
    "clock": (0.4, 2.0),
    "documents": (0.4, 2.0),
    "extends": (3.0, 4.0),
    "tools": (2.0, 3.0),
    "history": (1.1, 2.0),
    "small_first": (1.1, 2.0),
    "large": (0.4, 2.0),
    "large_turn": (1.0, 3.0),
    "again": (1.1, 2.0),
}
# Old evidence fades, so that an application that changes is learned anew.
FADE_AT = 24.0

Kind = tuple[bytes, Shape]


@dataclass(slots=True)
class _Tally:
    returned: float
    watched: float


class Forecast:
    """Counts per kind of call. Bounded: the `capacity` kinds and `watch` prefixes used last."""

    def __init__(self, capacity: int = 4_096, watch: int = 16_384) -> None:
        self._tallies: OrderedDict[Kind, _Tally] = OrderedDict()
        self._watched: OrderedDict[bytes, tuple[tuple[Kind, ...], float]] = OrderedDict()
        self._capacity = capacity
        self._watch_capacity = watch

    def chance(self, kind: Kind, among: Kind | None = None) -> float:
        """The chance, 0 to 1, that a prefix of this kind comes back in time.

        Args:
            kind: The kind.
            among: A wider kind, from whose chance this one's is guessed at first.
        """
        returned, watched = PRIORS[kind[1]]
        if among is not None:
            returned = watched * self.chance(among)
        tally = self._tallies.get(kind)
        if tally is not None:
            returned += tally.returned
            watched += tally.watched
        return returned / watched

    def watched(self, kind: Kind) -> bool:
        """Whether anything of this kind was watched so far."""
        return kind in self._tallies

    def watch(self, digest: bytes, kind: Kind, until: float, among: Kind | None = None) -> None:
        """A call of this kind ended here; it counts as not returned until it is seen again."""
        if digest in self._watched:
            return
        kinds = (kind,) if among is None else (kind, among)
        for each in kinds:
            self._count(each)
        self._watched[digest] = (kinds, until)
        _trim(self._tallies, self._capacity)
        _trim(self._watched, self._watch_capacity)

    def _count(self, kind: Kind) -> None:
        tally = self._tallies.setdefault(kind, _Tally(0.0, 0.0))
        tally.watched += 1
        if tally.watched > FADE_AT:
            tally.returned /= 2
            tally.watched /= 2
        self._tallies.move_to_end(kind)

    def saw(self, digests: Sequence[bytes], now: float) -> None:
        """These prefixes are in a request now: those that were watched have come back."""
        for digest in [d for d in digests if d in self._watched]:
            kinds, until = self._watched.pop(digest)
            for kind in kinds:
                tally = self._tallies.get(kind)
                if now <= until and tally is not None:
                    tally.returned += 1


def _trim(table: OrderedDict[Any, Any], size: int) -> None:
    while len(table) > size:
        table.popitem(last=False)

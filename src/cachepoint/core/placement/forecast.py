"""How likely a prefix is to come back, learned per kind of call.

A checkpoint that nobody reads costs a quarter more than none. Whether the end of a request comes
back is no property of the request but of the kind of call it is: a conversation goes on, a question
to a document does not. So calls are sorted into kinds, and each kind is counted: how often a prefix
that ended there came back while its entry would have lived. Prefixes are watched whether or not they
were written, so that what was refused once can be learned again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cachepoint.core.memory.records import Count, Counts

Shape = Literal[
    "head", "clock", "documents", "extends", "tools", "history", "small_first", "large", "large_turn", "again"
]

# (returned, watched) before anything was seen: a Beta prior. The head of an application comes
# back; so does a conversation that has already grown, or an agent's step. A first turn whose text is
# small beside the head costs little to write; one that is large is mostly retrieved text. What is
# written on a first guess must also be worth it at the 1h price, where half of the writes must return.
# A head with a clock in it, and documents, are not written until some of their kind have come back.
PRIORS: Mapping[str, tuple[float, float]] = {
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

# What is counted, and for what: (key of counts, name). A name is a shape, or a shape and a depth.
Kind = tuple[bytes, str]
_NONE = Count()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was counted so far.

    Attributes:
        counts: As they were recalled.
        returned: By kind: how many prefixes this request is the return of.
    """

    counts: Mapping[bytes, Counts] = field(default_factory=dict)
    returned: Mapping[Kind, int] = field(default_factory=dict)

    def chance(self, kind: Kind, among: Kind | None = None) -> float:
        """The chance, 0 to 1, that a prefix of this kind comes back in time.

        Args:
            kind: The kind.
            among: A wider kind, from whose chance this one's is guessed at first.
        """
        returned, watched = PRIORS[kind[1].partition(":")[0]]
        if among is not None:
            returned = watched * self.chance(among)
        count = self._count(kind)
        return (returned + count.hits + self.returned.get(kind, 0)) / (watched + count.tries)

    def watched(self, kind: Kind) -> bool:
        """Whether anything of this kind was watched so far."""
        return self._count(kind).tries > 0

    def _count(self, kind: Kind) -> Count:
        counts = self.counts.get(kind[0])
        return _NONE if counts is None else counts.by_name.get(kind[1], _NONE)

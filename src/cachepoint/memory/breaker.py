"""When a shared memory is not asked: it was late twice in a row, or is not there."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["well", "late", "gone"]
# One late answer may be any pause: of this process, of the machine, of the network.
_LATE = 2


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether the memory is asked.

    Attributes:
        is_open: It is not.
        late: How many answers in a row were late.
    """

    is_open: bool = False
    late: int = 0

    def after(self, outcome: Outcome) -> "Breaker":
        """As it is after a trip came out so."""
        if self.is_open:
            return self
        if outcome == "well":
            return CLOSED
        late = self.late + 1
        return Breaker(is_open=outcome == "gone" or late >= _LATE, late=late)


CLOSED = Breaker()

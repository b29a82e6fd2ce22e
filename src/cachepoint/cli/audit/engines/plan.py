"""The plan of an audit, whatever runs it: files to calls, calls by account and time, accounts to figures."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cachepoint.cli.audit.figures import Figures, follow
from cachepoint.cli.audit.prints import Print
from cachepoint.cli.audit.replay import Replayed, replay
from cachepoint.cli.audit.scan import Piece, Scanned
from cachepoint.cli.audit.sources import Bodies, log_files
from cachepoint.reporting.bound.bound import Bound

_KEY_BYTES = 32
# By what calls are apart, and by what they follow one another; files and lines decide between equal times.
ACCOUNT, ORDER = "account", ("at", "file", "line")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be audited.

    Attributes:
        pieces: The files.
        bodies: Where large bodies are.
        replay: Whether the calls are replayed under the library's own placement.
        key: The key of the digests: of this run alone.
    """

    pieces: tuple[Piece, ...]
    bodies: Bodies
    replay: bool = False
    key: bytes = field(default_factory=lambda: os.urandom(_KEY_BYTES), repr=False)

    @classmethod
    def of(cls, paths: Sequence[Path], *, replay: bool = False) -> "Plan":
        """That of some paths.

        Raises:
            ValueError: Where there is no log.
        """
        files = log_files(paths)
        return cls(tuple(Piece(n, file) for n, file in enumerate(files)), Bodies(paths), replay)

    @property
    def bytes(self) -> int:
        """Of all files, as they are stored."""
        return sum(piece.path.stat().st_size for piece in self.pieces)


class Account(NamedTuple):
    """What came of one account; `replayed` is None where nobody asked."""

    name: str
    figures: Figures
    replayed: Replayed | None


@dataclass(slots=True)
class Audit:
    """What came of it.

    Attributes:
        figures: Of the calls.
        scanned: Of the files.
        replayed: What the library would have paid; None where nobody asked.
    """

    figures: Figures = field(default_factory=Figures)
    scanned: Scanned = field(default_factory=Scanned)
    replayed: Replayed | None = None

    @property
    def bound(self) -> Bound | None:
        """What other placements would have paid; None where nobody asked, or it is not known."""
        return None if self.figures.windows is None else self.figures.windows.end()

    @property
    def library_over_bound(self) -> float | None:
        """What the library would have paid for its input over the lower bound; None where it is not known."""
        bound, replayed = self.bound, self.replayed
        if bound is None or replayed is None or not bound.lower or replayed.calls != bound.calls:
            return None
        return replayed.units / bound.lower

    def join(self, accounts: Iterable[Account]) -> None:
        """Add what came of accounts: by their names, as of too many names of callers the first are kept."""
        for one in sorted(accounts, key=lambda one: one.name):
            self.figures.join(one.figures)
            if one.replayed is not None:
                self.replayed = self.replayed or Replayed()
                self.replayed.join(one.replayed)


def account(plan: Plan, scanned: Scanned, name: str, calls: Iterable[Print]) -> Account:
    """What comes of an account, of its calls by time."""
    figures = follow(calls, bounded=plan.replay)
    return Account(name, figures, replay(scanned.of(name), plan.bodies, name) if plan.replay else None)


# Is told of a file that was scanned.
Progress = Callable[[Piece], None]


def quiet(_: Piece) -> None:
    """No progress is shown."""

"""What a check found."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is well, worth a word, or wrong.

    Attributes:
        level: `"fault"` is what keeps prompts from being cached, or a variable from holding.
        what: What is so.
        remedy: What to do; empty where there is nothing to do.
    """

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A finding, and the check that found it."""

    check: str
    finding: Finding

    @property
    def is_fault(self) -> bool:
        """Whether something is wrong."""
        return self.finding.level == "fault"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"check": self.check, **asdict(self.finding)}

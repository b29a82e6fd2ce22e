"""What a probe asks, what it is told, what it finds; and the prompts of its questions."""

import hashlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal

from cachepoint.cli.probe.chance import Trial
from cachepoint.core.models.rules import ModelRules

Request = dict[str, Any]
State = Literal["found", "between", "unknown", "refused"]

POINT: Request = {"cachePoint": {"type": "default"}}
HOUR: Request = {"cachePoint": {"type": "default", "ttl": "1h"}}
ASKED: Request = {"role": "user", "content": [{"text": "Say yes."}]}

# A text is told from every other by how it begins; what follows may be the same.
_SENTENCE = "the keeper of the lighthouse wrote down the wind and the tide and the ships that went by "
SHORTEST = 40


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, not before `due` (seconds on the clock of the answers)."""

    request: Request
    due: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request was told: tokens, and when it was sent. `refused` is the error's code."""

    at: float
    read: int = 0
    write: int = 0
    uncached: int = 0
    output: int = 0
    write_1h: int | None = None
    refused: str = ""

    @property
    def size(self) -> int:
        """Tokens of the prefix up to the last checkpoint that counted."""
        return self.read + self.write

    @property
    def total(self) -> int:
        """All tokens of the prompt."""
        return self.size + self.uncached


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one question.

    Attributes:
        value: The answer; None where it is not known.
        low: Of a bracket or an interval: the least it may be, in the unit of `value`.
        high: The most.
        state: "between": in the bracket, the rest was not asked. "refused": the model does not take it.
        note: Why it is not known, or how it is to be read.
    """

    name: str
    value: Any = None
    state: State = "found"
    low: float | None = None
    high: float | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is None or empty is left out, `value` is not."""
        said = {key: getattr(self, key) for key in ("low", "high", "note")}
        kept = {key: value for key, value in said.items() if value not in (None, "")}
        return {"name": self.name, "state": self.state, "value": self.value, **kept}


# Findings are yielded too, as often as they get better; what is sent back for them means nothing.
Steps = Generator[Ask | Finding, Answer, None]


@dataclass(slots=True)
class Lab:
    """What probes know: how they are asked, and what those before them found."""

    rules: ModelRules
    seed: str
    resolution: float = 1.0
    guardrail: tuple[str, str] | None = None
    found: dict[str, Finding] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    chars: int = 0
    probe: str = ""
    texts: int = 0

    def text(self, chars: int = 0) -> str:
        """A text that no other question of this run, or of another, begins with."""
        self.texts += 1
        name = f"{self.seed}/{self.probe}/{self.texts}".encode()
        head = hashlib.blake2b(name, digest_size=12).hexdigest() + " "
        chars = max(SHORTEST, chars or self.chars)
        body = _SENTENCE * (chars // len(_SENTENCE) + 1)
        return (head + body)[: chars - 1] + "."

    def value(self, name: str) -> Any:
        """What was found, None where it is not known."""
        known = self.found.get(name)
        return known.value if known else None

    def bounds(self, name: str) -> tuple[float, float | None]:
        """Between what a lifetime lies, in seconds."""
        known = self.found.get(name)
        return (known.low or 0.0, known.high) if known else (0.0, None)


def in_system(text: str, point: Request = POINT) -> Request:
    """A request whose system prompt is a text, and a checkpoint behind it."""
    return asked([{"text": text}, point], [ASKED])


def asked(system: list[Request], messages: list[Request]) -> Request:
    """A request of one token of output."""
    head: Request = {"system": system} if system else {}
    return {**head, "messages": messages, "inferenceConfig": {"maxTokens": 1}}


def user(*content: Request) -> Request:
    """A turn of the user."""
    return {"role": "user", "content": list(content)}

"""Requests to ask with: filler that no other request begins with, of any size, and checkpoints."""

import hashlib
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cachepoint.cli.probe.asking import Request

_WORDS = (
    "the valve of the pump is on the left of the frame and opens with a key that hangs on the wall beside "
    "the door to the yard where the tank stands in the shade of two old trees "
)
_SHORT = "Say yes."
# Words of the nonce that a text begins with.
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Kit:
    """What the probes of one run ask with.

    Attributes:
        seed: Of the run: another one asks with other texts.
        size: Characters of a prefix that is safely kept.
        ttl: The TTL of checkpoints that name none of their own.
        numbers: Counts texts.
    """

    seed: str
    size: int = 8_000
    ttl: str = "5m"
    numbers: "count[int]" = field(default_factory=count)

    def fresh(self, size: int | None = None) -> str:
        """A text that nothing began with before.

        Args:
            size: Its characters; None: as many as are safely kept.
        """
        nonce = hashlib.blake2b(f"{self.seed} {next(self.numbers)}".encode(), digest_size=_NONCE).hexdigest()
        length = max(self.size if size is None else size, len(nonce) + 1)
        return f"{nonce} {_WORDS * (length // len(_WORDS) + 1)}"[:length]


def point(ttl: str = "5m") -> dict[str, Any]:
    """A checkpoint; 5m is what none says."""
    return {"cachePoint": {"type": "default"} if ttl == "5m" else {"type": "default", "ttl": ttl}}


def text(said: str) -> dict[str, Any]:
    """A block of text."""
    return {"text": said}


def asked(*content: Any, system: tuple[Any, ...] = (), **settings: Any) -> Request:
    """A request: blocks of the person's message, of the system prompt, and other fields."""
    said = {"role": "user", "content": [*content] or [text(_SHORT)]}
    head = {"system": list(system)} if system else {}
    return {**head, "messages": [said], "inferenceConfig": {"maxTokens": 1}, **settings}


def kept(prefix: str, ttl: str = "5m") -> Request:
    """A request whose system prompt is to be kept."""
    return asked(system=(text(prefix), point(ttl)))

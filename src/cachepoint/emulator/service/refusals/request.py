"""A request on its way through the checks, and what a check gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["Check", "Checked", "Refusal", "invalid", "model_error"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, error code and text."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A request on its way through the checks; `body` has passed the check of its shape."""

    body: dict[str, Any]
    rules: ModelRules

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation."""
        return self.body.get("messages") or []

    @property
    def system(self) -> list[dict[str, Any]]:
        """The system blocks."""
        return self.body.get("system") or []

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools, checkpoints among them."""
        return (self.body.get("toolConfig") or {}).get("tools") or []


Check = Callable[[Checked], Refusal | None]


def invalid(message: str) -> Refusal:
    """A 400, the form of nearly all of them."""
    return Refusal(400, "ValidationException", message)


def model_error(message: str) -> Refusal:
    """The same, where it is the model's own API that found the fault."""
    return invalid(f"The model returned the following errors: {message}")

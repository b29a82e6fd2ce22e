"""A request on its way through the checks, and what a check gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["Check", "Checked", "Point", "Refusal", "invalid", "model_error", "through_converse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, error code and text.

    `of_model` is whether it is the model's own API that found the fault, which Converse says in front of it.
    """

    status: int
    code: str
    message: str
    of_model: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint: the path of its list, the block there that it sits on, and what that list holds.

    `carrier` is the index of that block, counted as if checkpoints were no blocks; -1, and `before` empty,
    where the list has none before it.
    """

    path: str
    ttl: str | None
    carrier: int
    before: dict[str, Any]
    beside_tools: bool


@dataclass(frozen=True)
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

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every checkpoint, in the order of the request."""
        return tuple(point for path, items in self._lists() for point in _points(path, items))

    def _lists(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        yield "toolConfig/tools", self.tools
        yield "system", self.system
        for index, message in enumerate(self.messages):
            yield f"messages/{index}/content", message["content"]


def _points(path: str, items: list[dict[str, Any]]) -> Iterator[Point]:
    carrier, before = -1, dict[str, Any]()
    beside_tools = any("toolUse" in item or "toolResult" in item for item in items)
    for item in items:
        if "cachePoint" in item:
            yield Point(path, item["cachePoint"].get("ttl"), carrier, before, beside_tools)
        else:
            carrier, before = carrier + 1, item


Check = Callable[[Checked], Refusal | None]


def invalid(message: str) -> Refusal:
    """A 400, the form of nearly all of them."""
    return Refusal(400, "ValidationException", message)


def model_error(message: str) -> Refusal:
    """The same, where it is the model's own API that found the fault."""
    return Refusal(400, "ValidationException", message, of_model=True)


def through_converse(refusal: Refusal) -> Refusal:
    """A refusal as Converse passes it on."""
    said = "The model returned the following errors: "
    return replace(refusal, message=said + refusal.message, of_model=False) if refusal.of_model else refusal

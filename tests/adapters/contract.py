"""What every adapter promises, and the harness through which the contract speaks to one.

`test_contract.py` runs on every adapter in `conftest.ADAPTERS`. An adapter's harness turns plain words
(a system text, a user text, a tool) into its framework's objects and asks its model in its framework's ways.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

CLAUDE = "us.anthropic.claude-sonnet-4-6"
# Takes no checkpoint.
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"

MANUAL = "The pump holds four litres; the valve is on its left side, behind the grey cover. " * 150


@dataclass(frozen=True)
class Tool:
    name: str
    description: str = "Looks a part up in the catalogue."
    schema: dict[str, Any] = field(
        default_factory=lambda: {
            "type": "object",
            "properties": {"part": {"type": "string", "description": "its number"}},
            "required": ["part"],
        }
    )


@dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """`message` is the framework's own, to be put back into a history; `report` is CallReport.as_dict()."""

    message: Any
    text: str
    tool_calls: tuple[ToolCall, ...]
    report: dict[str, Any] | None


@dataclass(frozen=True)
class Shape:
    """One kind of request: the model's options and what is done with it. `run` may raise what the base raises."""

    name: str
    run: Callable[[Any], Any]
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self):
        return self.name


class Meter(Protocol):
    """The adapter's usage handler."""

    @property
    def total(self) -> Any: ...
    @property
    def calls(self) -> int: ...


class Adapter(Protocol):
    """The harness of one adapter.

    `modes` are its ways to make one call each: sync, async, streamed. `shapes` are at least 50 requests.
    `misspelt` are attempts that must raise ValueError or TypeError before anything is sent; each takes (bedrock).
    `bedrock` is the fixture of that name: `.client(service)`, `.url`, `.now`. `uncached` is a model that takes
    no checkpoint.
    """

    name: str
    uncached: str
    modes: Sequence[str]
    shapes: Sequence[Shape]
    misspelt: Sequence[Callable[[Any], Any]]

    def cached(
        self, bedrock: Any, model: str = CLAUDE, *, policy: Any = None, cache: Any = None, **options: Any
    ) -> Any: ...

    def base(self, bedrock: Any, model: str = CLAUDE, **options: Any) -> Any: ...

    def system(self, text: str) -> Any: ...

    def user(self, text: str, *, point: bool = False) -> Any:
        """A user message; with `point`, a checkpoint placed by hand behind its text."""

    def assistant(self, text: str) -> Any: ...

    def result(self, call: ToolCall, text: str) -> Any:
        """The message that brings a tool's result."""

    def tool(self, tool: Tool) -> Any:
        """A tool as the framework's users write it."""

    def ask(
        self,
        model: Any,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] = (),
        mode: str = "",
        policy: Any = None,
    ) -> Answer:
        """Make one call; `mode` "" is the plain one, `policy` that of this call alone."""

    def structured(self, model: Any, schema: Any, messages: Sequence[Any]) -> Any:
        """Ask for an answer of a pydantic model, in the framework's own way."""

    def guarded(self, identifier: str) -> dict[str, Any]:
        """The model's options that name a guardrail, of version 1."""

    def warm(
        self, model: Any, messages: Sequence[Any], *, tools: Sequence[Any] = (), awaited: bool = False
    ) -> Any:
        """Write a prefix; the CallReport."""

    def outlook(
        self,
        model: Any,
        messages: Sequence[Any],
        *,
        tools: Sequence[Any] = (),
        awaited: bool = False,
        **options: Any,
    ) -> Any:
        """Look ahead at a call; the Outlook."""

    def names(self, request: Any) -> list[str]:
        """The names of the tools in a request as it was sent."""

    def most(self, request: Any) -> tuple[int, int | None]:
        """How many tokens a request lets the answer have, and the budget of its thinking."""

    def meter(self) -> AbstractContextManager[Meter]:
        """Count the calls made in the block."""

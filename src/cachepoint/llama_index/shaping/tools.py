"""A list of tools that stands still, for those that come in another order on each call."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar, cast

from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata
from llama_index.core.tools.types import BaseToolAsyncAdapter

from cachepoint.core.guard import guard
from cachepoint.llama_index.shaping.agents import Step
from cachepoint.shaping.tools import ToolOrder

T = TypeVar("T", bound=BaseTool | Callable[..., Any])


class StableTools:
    """Lists tools in the order in which they were first seen, new ones last, each written as it first was.

    For tools of MCP servers and retrievers, which list the same ones in another order or write a schema with
    its keys in another order, and for tools that are discovered on the way. A shaper of agents, or a
    function for calls of your own. Keep one of these for as long as the conversations last, as it is what
    remembers; it is safe under threads. Another process sees another list first: where workers share
    conversations, give it the tools sorted by name.

    Where a schema is written otherwise, a copy of the tool that is written as it first was takes its place.
    A tool whose class keeps its metadata otherwise than LlamaIndex' own (in `_metadata`) stays as it is.

    Example:
        ```python
        agent = ShapedFunctionAgent(tool_retriever=retriever, llm=llm, shapers=[StableTools()])
        response = llm.chat_with_tools(stable(tools), "In stock?")  # stable = StableTools()
        ```
    """

    def __init__(self) -> None:
        self._order = ToolOrder()

    def __call__(self, tools: Sequence[T]) -> list[T]:
        """The same tools, in the stable order.

        Args:
            tools: Tools, or functions where an agent is to make tools of them. It stays as it is.

        Returns:
            A list of as many.
        """
        given = list(tools)
        return guard("ordering tools", lambda: self._ordered(given), given)

    async def shape(self, step: Step) -> Step:
        """The step with its tools in the stable order."""
        tools = self(step.tools)
        same = all(a is b for a, b in zip(tools, step.tools, strict=True))
        return step if same else replace(step, tools=tuple(tools))

    def _ordered(self, tools: list[T]) -> list[T]:
        placed = self._order.order([_described(tool) for tool in tools])
        return [tools[at] if schema is None else _written(tools[at], schema) for at, schema in placed]


def _described(tool: BaseTool | Callable[..., Any]) -> tuple[str | None, Mapping[str, Any]]:
    """The name of a tool and what is sent of it."""
    told = (tool if isinstance(tool, BaseTool) else FunctionTool.from_defaults(tool)).metadata
    schema = {
        "name": told.name,
        "description": told.description,
        "parameters": told.get_parameters_dict(),
    }
    return told.name, schema


def _written(tool: T, schema: dict[str, Any]) -> T:
    """A copy of a tool that is sent with this schema."""
    if isinstance(tool, BaseToolAsyncAdapter):
        return cast("T", BaseToolAsyncAdapter(_written(tool.base_tool, schema)))
    metadata = getattr(tool, "_metadata", None)
    if not isinstance(metadata, ToolMetadata):
        return tool
    told = {f.name: getattr(metadata, f.name) for f in fields(ToolMetadata)}
    twin = copy(tool)
    vars(twin)["_metadata"] = _AsFirstWritten(**told, parameters=schema["parameters"])
    return twin


@dataclass
class _AsFirstWritten(ToolMetadata):
    parameters: dict[str, Any] = field(default_factory=dict)

    def get_parameters_dict(self) -> dict[str, Any]:
        """The schema of the arguments."""
        return self.parameters

"""A list of tools that stands still, for those that come in another order on each call."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from cachepoint.core.guard import guard
from cachepoint.langchain.shaping.agents import Shaped, ShapingMiddleware, overridden
from cachepoint.shaping.tools import ToolOrder

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest

# Where the forms of a tool that is a dict hold its name; a bare JSON schema has its title.
_INNER = ("function", "toolSpec", "systemTool")
_CHECKPOINTS = ("cachePoint", "cache_control")


class StableTools:
    """Lists tools in the order in which they were first seen, new ones last, each written as it first was.

    For tools of MCP servers, retrievers and selectors, which list the same ones in another order or write
    a schema with its keys in another order, and for tools that are discovered on the way. Keep one of these
    for as long as the conversations last, as it is what remembers; it is safe under threads. Another process
    sees another list first: where workers share conversations, give it the tools sorted by name.

    What it gives is for `bind_tools`: run the tools that you have. Where a schema is written otherwise, the
    tool's place is taken by one that is written as it first was: a dict by a dict, a tool whose `args_schema`
    is a dict (as those of MCP servers) by a copy, any other by the dict that `bind_tools` makes of it.
    A checkpoint among the tools stays where it is, and no tool moves across it.

    Example:
        ```python
        stable = StableTools()
        chain = model.bind_tools(stable(await client.get_tools()))
        ```
    """

    def __init__(self) -> None:
        self._order = ToolOrder()

    def __call__(self, tools: Sequence[Any]) -> list[Any]:
        """The same tools, in the stable order.

        Args:
            tools: What `bind_tools` takes: tools, functions, pydantic classes, dicts. It stays as it is.

        Returns:
            A list for `bind_tools`.
        """
        given = list(tools)
        return guard("ordering tools", lambda: _ordered(self._order, given), given)


class StableToolsMiddleware(ShapingMiddleware):
    """Gives the model of `create_agent` its tools as `StableTools` orders them.

    Put it behind middleware that chooses tools or adds some. Make it once and give the same one to every
    agent that is made anew for a request: it is what remembers. Tools are run as they were given.

    Raises:
        ImportError: Where langchain is not installed.

    Example:
        ```python
        agent = create_agent(model, tools, middleware=[StableToolsMiddleware()])
        ```
    """

    def __init__(self) -> None:
        super().__init__()
        self._order = ToolOrder()

    def shape(self, request: "ModelRequest[Any]") -> Shaped:
        """The request with its tools in the stable order."""
        return Shaped(overridden(request, tools=_ordered(self._order, request.tools)))


def _ordered(order: ToolOrder, tools: Sequence[Any]) -> list[Any]:
    placed = order.order([_described(tool) for tool in tools])
    return [tools[i] if schema is None else _written(tools[i], schema) for i, schema in placed]


def _described(tool: Any) -> tuple[str | None, Mapping[str, Any]]:
    """The name of a tool and what is sent of it; no name where a checkpoint is on it, or none can be told."""
    if isinstance(tool, str):
        return tool, {}
    if isinstance(tool, dict):
        return _name(tool), tool
    if isinstance(tool, BaseTool) and _marked(getattr(tool, "extras", None) or {}):
        return None, {}
    function = convert_to_openai_tool(tool)["function"]
    return function["name"], function


def _name(tool: dict[str, Any]) -> str | None:
    inner: dict[str, Any] = next((tool[k] for k in _INNER if isinstance(tool.get(k), dict)), {})
    if _marked(tool) or _marked(inner):
        return None
    return cast("str | None", tool.get("name") or inner.get("name") or tool.get("title"))


def _marked(of: Mapping[str, Any]) -> bool:
    return any(key in of for key in _CHECKPOINTS)


def _written(tool: Any, schema: dict[str, Any]) -> Any:
    """A tool that is sent with this schema."""
    if isinstance(tool, dict):
        return schema
    if isinstance(tool, BaseTool) and isinstance(tool.args_schema, dict):
        return tool.model_copy(update={"args_schema": schema["parameters"]})
    return {"type": "function", "function": schema}

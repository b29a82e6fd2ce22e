"""What all middleware that shape a request share: sync and async, and a fault of theirs fails no call."""

from collections.abc import Awaitable, Callable
from typing import Any

from cachepoint.core.guard import guard

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ModuleNotFoundError as error:  # chains need langchain-core alone, agents need langchain
    _missing: ModuleNotFoundError | None = error
    AgentMiddleware = object  # type: ignore[assignment,misc]
    ModelRequest = ModelResponse = Any  # type: ignore[misc,assignment]
else:
    _missing = None


class ShapingMiddleware(AgentMiddleware):
    """Calls the model of `create_agent` with what `shaped` makes of the request.

    The agent's state stays as it is, and so does the request that it was given.

    Raises:
        ImportError: Where langchain is not installed.
    """

    def __init__(self) -> None:
        if _missing is not None:
            raise ImportError(f"{type(self).__name__} needs langchain: pip install langchain") from _missing
        super().__init__()

    def shaped(self, request: "ModelRequest[Any]") -> "ModelRequest[Any]":
        """The request to send: the one that was given, or an `override` of it."""
        return request

    def wrap_model_call(
        self, request: "ModelRequest[Any]", handler: "Callable[[ModelRequest[Any]], ModelResponse[Any]]"
    ) -> "ModelResponse[Any]":
        """Call the model with the shaped request."""
        return handler(guard(f"shaping by {self.name}", lambda: self.shaped(request), request))

    async def awrap_model_call(
        self,
        request: "ModelRequest[Any]",
        handler: "Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]",
    ) -> "ModelResponse[Any]":
        """Call the model with the shaped request."""
        return await handler(guard(f"shaping by {self.name}", lambda: self.shaped(request), request))

"""What all middleware that shape a request share: sync and async, and a fault of theirs fails no call."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import is_
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NotRequired

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from typing_extensions import TypedDict

from cachepoint.aws.client import REPORT_KEY
from cachepoint.core.config import now
from cachepoint.core.guard import guard
from cachepoint.core.models.rules import TTL_SECONDS
from cachepoint.shaping.when import Cut, When, lives

try:
    from langchain.agents.middleware.types import (
        AgentMiddleware,
        AgentState,
        ExtendedModelResponse,
        ModelResponse,
        PrivateStateAttr,
    )
    from langgraph.types import Command
except ModuleNotFoundError as error:  # chains need langchain-core alone, agents need langchain
    _missing: ModuleNotFoundError | None = error
    AgentMiddleware = object  # type: ignore[assignment,misc]
else:
    _missing = None

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelCallResult, ModelRequest

    Request = ModelRequest[Any]
    Response = ModelResponse[Any]


KEEPING = "keeping what was shaped"


class Shaped(NamedTuple):
    """The request to send, and what is kept of its shaping in the agent's state."""

    request: Any
    update: Mapping[str, Any] | None = None


class ShapingMiddleware(AgentMiddleware):
    """Calls the model of `create_agent` with what `shape` makes of the request.

    The request that it was given stays as it is.

    Raises:
        ImportError: Where langchain is not installed.
    """

    def __init__(self) -> None:
        if _missing is not None:
            raise ImportError(f"{type(self).__name__} needs langchain: pip install langchain") from _missing
        super().__init__()

    def shape(self, request: "Request") -> Shaped:
        """What to send: the request that was given, or an `override` of it; and what goes to the state."""
        return Shaped(request)

    def wrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Response]"
    ) -> "ModelCallResult[Any]":
        """Call the model with the shaped request."""
        shaped = guard(f"shaping by {self.name}", lambda: self.shape(request), Shaped(request))
        response = handler(shaped.request)
        return guard(KEEPING, lambda: kept(response, shaped.update), response)

    async def awrap_model_call(
        self, request: "Request", handler: "Callable[[Request], Awaitable[Response]]"
    ) -> "ModelCallResult[Any]":
        """Call the model with the shaped request."""
        shaped = guard(f"shaping by {self.name}", lambda: self.shape(request), Shaped(request))
        response = await handler(shaped.request)
        return guard(KEEPING, lambda: kept(response, shaped.update), response)


class Moment(NamedTuple):
    """A call's time, whether it begins a turn, and what was remembered of the one before, as plain data."""

    now: float
    ttl: float
    turn: bool
    data: Any


class Past:
    """What a middleware remembers of an agent's calls, in the agent's state, where it needs to.

    Args:
        key: Under which key.
        when: Nothing is remembered unless it is `"cold"`.
        ttl: Seconds that an entry of the cache lives; None: as the reports of the last answers say.
        clock: Seconds; None: the system's.
    """

    def __init__(self, key: str, when: When, ttl: float | None, clock: Callable[[], float] | None) -> None:
        self._key = key
        self._cold = when == "cold"
        self._ttl = ttl
        self._clock = clock or now

    @property
    def schema(self) -> Any:
        """The agent's state with a private field for it."""
        if not self._cold:
            return AgentState
        held = NotRequired[Annotated[dict[str, Any], PrivateStateAttr]]
        fields = {**AgentState.__annotations__, self._key: held}
        return TypedDict(f"{self._key}_state", fields)  # type: ignore[operator]

    def of(self, request: "Request") -> Moment | None:
        """What is remembered; None where nothing is to be."""
        if not self._cold:
            return None
        ttl = _written_for(request.messages) if self._ttl is None else self._ttl
        turn = isinstance(request.messages[-1], HumanMessage)
        return Moment(self._clock(), ttl, turn, request.state.get(self._key))

    def update(self, cut: Cut | None) -> dict[str, Any] | None:
        """What goes to the state."""
        return None if cut is None else {self._key: cut.as_data()}


def _written_for(messages: Sequence[BaseMessage]) -> float:
    """How long most of what was written for an agent's answers lives, in seconds."""
    answers = (m for m in reversed(messages) if isinstance(m, AIMessage))
    reports = (m.response_metadata.get(REPORT_KEY) or {} for m in answers)
    return lives([(p["tokens"], TTL_SECONDS[p["ttl"]]) for p in r.get("checkpoints") or ()] for r in reports)


def overridden(request: "Request", **lists: Sequence[Any]) -> "Request":
    """The request with other lists in it; itself where they hold what it has.

    Args:
        request: The request.
        lists: By the names of its fields: `messages`, `tools`.
    """
    pairs = [(getattr(request, name), given) for name, given in lists.items()]
    if all(len(old) == len(new) and all(map(is_, old, new)) for old, new in pairs):
        return request
    changed: dict[str, Any] = {name: list(given) for name, given in lists.items()}
    return request.override(**changed)


def kept(response: Any, update: Mapping[str, Any] | None) -> Any:
    """The response, with which something goes to the agent's state.

    Args:
        response: What the handler gave.
        update: What goes there; None: nothing.
    """
    if update is None:
        return response
    whole = response if isinstance(response, ModelResponse) else ModelResponse(result=[response])
    return ExtendedModelResponse(model_response=whole, command=Command(update=dict(update)))

"""`trim_messages` for cached prompts: the cut moves in steps, so that the prefix holds between them."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    MessageLikeRepresentation,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda

from cachepoint.core.guard import InvalidOptionError
from cachepoint.langchain.shaping.agents import Moment, Past, Shaped, ShapingMiddleware, overridden
from cachepoint.shaping.history import check, legal_starts, start_of, start_when_cold
from cachepoint.shaping.when import Cut, When, check_when

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest

Kind = str | type[BaseMessage]
Kinds = Kind | Sequence[Kind] | None
Counter = (
    Callable[[list[BaseMessage]], int]
    | Callable[[BaseMessage], int]
    | BaseLanguageModel[Any]
    | Literal["approximate"]
)
Messages = Iterable[MessageLikeRepresentation] | PromptValue


@overload
def trim_messages_stable(
    messages: Messages,
    *,
    max_tokens: int,
    token_counter: Counter = ...,
    strategy: Literal["last"] = ...,
    step: int | None = ...,
    allow_partial: Literal[False] = ...,
    end_on: Kinds = ...,
    start_on: Kinds = ...,
    include_system: bool = ...,
    text_splitter: None = ...,
) -> list[BaseMessage]: ...


@overload
def trim_messages_stable(
    messages: None = None,
    *,
    max_tokens: int,
    token_counter: Counter = ...,
    strategy: Literal["last"] = ...,
    step: int | None = ...,
    allow_partial: Literal[False] = ...,
    end_on: Kinds = ...,
    start_on: Kinds = ...,
    include_system: bool = ...,
    text_splitter: None = ...,
) -> Runnable[Any, list[BaseMessage]]: ...


def trim_messages_stable(
    messages: Messages | None = None,
    *,
    max_tokens: int,
    token_counter: Counter = "approximate",  # noqa: S107 -- LangChain's name
    strategy: str = "last",
    step: int | None = None,
    allow_partial: bool = False,
    end_on: Kinds = None,
    start_on: Kinds = "human",
    include_system: bool = True,
    text_splitter: Any = None,
) -> list[BaseMessage] | Runnable[Any, list[BaseMessage]]:
    """`langchain_core.messages.trim_messages` with a cut that stands still for many turns.

    What is kept is at most `max_tokens`, and more than `max_tokens` minus the step and one turn. Give
    it the whole history each time: it keeps no state, and a history whose beginning somebody else
    drops has another grid. Messages are passed through as they are, never changed.

    Args:
        messages: The whole history; None: returns a Runnable for a chain, as `trim_messages` does.
        max_tokens: Tokens to keep at most, the system messages among them if they are kept. Only a
            newest turn that is larger on its own is kept whole nevertheless.
        token_counter: As in `trim_messages`; it is asked message by message.
        strategy: `"last"`, the only one that needs this.
        step: Tokens by which the cut moves; None: `cachepoint.shaping.history.step_within`, at most
            half of `max_tokens`.
        allow_partial: Must be False: half a message is another prefix.
        end_on: As in `trim_messages`: the kinds of message to end on; what follows the last is left out.
        start_on: The kinds of message that what is kept may begin with; None: any but a tool's result.
        include_system: Whether the system messages at the beginning stay.
        text_splitter: Must be None; it belongs to `allow_partial`.

    Returns:
        The messages to send.

    Raises:
        ValueError: Where an option can't be honoured, or step and max_tokens don't fit together.
        TypeError: Where token_counter can't count.

    Example:
        ```python
        chain = trim_messages_stable(max_tokens=40_000) | CachedChatBedrockConverse(model=...)
        ```
    """
    _refuse(strategy, allow_partial, text_splitter)
    check(max_tokens, step)
    trim = partial(
        _trimmed,
        limit=max_tokens,
        count=_counter(token_counter),
        step=step,
        end_on=end_on,
        start_on=start_on,
        keep_system=include_system,
    )
    if messages is None:
        return RunnableLambda(trim, name="trim_messages_stable")
    return trim(messages)


class StableTrimMiddleware(ShapingMiddleware):
    """Trims what `create_agent` sends to the model, as `trim_messages_stable` does.

    The agent's state keeps the whole history. The system prompt is untouched and not
    counted. Tool calls stay with their results, so a single turn with many tool calls may be longer
    than `max_tokens`.

    Args:
        max_tokens: Tokens of messages to keep at most.
        step: Tokens by which the cut moves; None: as in `trim_messages_stable`.
        token_counter: As in `trim_messages_stable`.
        start_on: The kinds of message that what is kept may begin with.
        when: `"always"`: when there is too much of it. `"cold"`: besides, at the first call after a pause
            that is longer than `ttl`, down to what a cut leaves: all is written anew then anyway. When the
            last call was and what was cut is kept in the agent's state, so it takes a checkpointer; without
            one it is as `"always"`.
        ttl: Seconds that an entry of the cache lives; None: what the reports of the last answers say, and
            3600 where there is none.
        clock: Seconds; None: the system's.

    Raises:
        ValueError: Where step and max_tokens don't fit together, or `when` or `ttl` is not valid.
        TypeError: Where token_counter can't count.
        ImportError: Where langchain is not installed.

    Example:
        ```python
        agent = create_agent(model, tools, middleware=[StableTrimMiddleware(max_tokens=40_000)])
        ```
    """

    def __init__(
        self,
        max_tokens: int,
        *,
        step: int | None = None,
        token_counter: Counter = "approximate",  # noqa: S107 -- LangChain's name
        start_on: Kinds = "human",
        when: When = "always",
        ttl: float | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__()
        check(max_tokens, step)
        check_when(when, ttl)
        self._cutting = partial(
            _cut,
            limit=max_tokens,
            count=_counter(token_counter),
            step=step,
            start_on=start_on,
            keep_system=True,
        )
        self._past = Past("cachepoint_trimmed", when, ttl, clock)
        self.state_schema = self._past.schema

    def shape(self, request: "ModelRequest[Any]") -> Shaped:
        """The request with what is kept of its messages."""
        head, start, now = self._cutting(request.messages, past=self._past.of(request))
        messages = [*request.messages[:head], *request.messages[start:]]
        return Shaped(overridden(request, messages=messages), self._past.update(now))


def _refuse(strategy: str, allow_partial: bool, text_splitter: Any) -> None:
    if strategy != "last":
        raise InvalidOptionError(
            f"strategy is {strategy!r}; only 'last' moves the beginning of a history. What 'first' keeps "
            "never changes: use langchain_core's trim_messages"
        )
    if allow_partial or text_splitter is not None:
        raise InvalidOptionError(
            "allow_partial and text_splitter can't be honoured: half a message is another prefix"
        )


def _trimmed(messages: Messages, *, end_on: Kinds, **options: Any) -> list[BaseMessage]:
    told = convert_to_messages(messages if isinstance(messages, PromptValue) else list(messages))
    if end_on is not None:
        told = told[: max((i for i, m in enumerate(told, 1) if _is(m, end_on)), default=0)]
    head, start, _ = _cut(told, **options)
    return told[:head] + told[start:]


def _cut(
    told: Sequence[BaseMessage],
    *,
    limit: int,
    count: Callable[[BaseMessage], int],
    step: int | None,
    start_on: Kinds,
    keep_system: bool,
    past: Moment | None = None,
) -> tuple[int, int, Cut | None]:
    """How many system messages stay, the first of the others that does, and what is to be remembered."""
    head = next((i for i, m in enumerate(told) if not isinstance(m, SystemMessage)), len(told))
    head = head if keep_system else 0
    turns = told[head:]
    starts = legal_starts(
        [_is(m, start_on) for m in turns],
        [[c["id"] or "" for c in m.tool_calls] if isinstance(m, AIMessage) else () for m in turns],
        [[m.tool_call_id] if isinstance(m, ToolMessage) else () for m in turns],
    )
    sizes, room = [count(m) for m in turns], limit - sum(map(count, told[:head]))
    if past is None:
        return head, head + start_of(sizes, starts, limit, room=room, step=step), None
    cut = Cut.of(past.data, len(sizes))
    at = {"now": past.now, "ttl": past.ttl}
    start, cut = start_when_cold(sizes, starts, limit, cut, **at, turn=past.turn, room=room, step=step)
    return head, head + start, cut


def _is(message: BaseMessage, kinds: Kinds) -> bool:
    if kinds is None:
        return not isinstance(message, ToolMessage)
    wanted = (kinds,) if isinstance(kinds, str | type) else kinds
    return any(message.type == k if isinstance(k, str) else isinstance(message, k) for k in wanted)


def _counter(counter: Counter) -> Callable[[BaseMessage], int]:
    """Tokens of one message, from whatever `trim_messages` takes."""
    if isinstance(counter, str):
        if counter != "approximate":
            raise InvalidOptionError(f"token_counter is {counter!r}; the only name is 'approximate'")
        return lambda message: count_tokens_approximately([message])
    if isinstance(counter, BaseLanguageModel):
        return lambda message: counter.get_num_tokens_from_messages([message])
    if not callable(counter):
        raise InvalidOptionError(
            f"token_counter is a {type(counter).__name__}; use a model, a function or 'approximate'"
        )
    first = next(iter(inspect.signature(counter).parameters.values()))
    if first.annotation in {BaseMessage, "BaseMessage"}:
        return counter  # type: ignore[return-value]
    return lambda message: counter([message])  # type: ignore[arg-type]

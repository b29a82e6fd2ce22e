"""Tool results: cleared in batches, so that the prefix stands still in between; in the order of the calls."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    MessageLikeRepresentation,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda

from cachepoint.core.guard import guard
from cachepoint.langchain.shaping.agents import Moment, Past, Shaped, ShapingMiddleware, overridden
from cachepoint.shaping.tool_results import check_clearing, in_call_order, to_clear, to_clear_when_cold
from cachepoint.shaping.when import Cut, When, check_when

if TYPE_CHECKING:
    from langchain.agents.middleware import ModelRequest

try:
    from langchain.agents.middleware.context_editing import (
        DEFAULT_TOOL_PLACEHOLDER,
        ClearToolUsesEdit,
        TokenCounter,
    )
except ModuleNotFoundError as error:  # chains need langchain-core alone, agents need langchain
    _missing: ModuleNotFoundError | None = error
    DEFAULT_TOOL_PLACEHOLDER = "[cleared]"
else:
    _missing = None

Messages = Iterable[MessageLikeRepresentation] | PromptValue


@dataclass(slots=True)
class ClearToolUsesInBatches:
    """An edit for `ContextEditingMiddleware`: clears as `ClearToolUsesEdit` does, but many results at a time.

    The stock edit, once beyond its trigger, clears one more result at each step, and all that follows
    it is written anew. This one goes through the history as it grew, call by call, and clears all but
    the newest results where what was left had outgrown the trigger. It keeps no state: the same history
    is cleared the same way in another process, and what was cleared stays cleared.

    Args:
        trigger: Tokens of messages from which results are cleared; what is cleared already counts as that.
        clear_at_least: Tokens that clearing must reclaim, else it waits, also beyond the trigger. None: a
            quarter of the trigger.
        keep: How many of the newest results stay.
        clear_tool_inputs: Whether the arguments of the calls are cleared as well.
        exclude_tools: Tools whose results stay.
        placeholder: What stands in the place of a result.

    Raises:
        ValueError: Where a number is negative or none.

    Tokens are summed message by message, so leave `token_count_method` at `"approximate"`: `"model"`
    would count the system prompt and the tools with each.

    Example:
        ```python
        middleware = [ContextEditingMiddleware(edits=[ClearToolUsesInBatches(trigger=60_000)])]
        ```
    """

    trigger: int = 100_000
    clear_at_least: int | None = None
    keep: int = 3
    clear_tool_inputs: bool = False
    exclude_tools: Sequence[str] = ()
    placeholder: str = DEFAULT_TOOL_PLACEHOLDER

    def __post_init__(self) -> None:
        if _missing is not None:
            raise ImportError("ClearToolUsesInBatches needs langchain: pip install langchain") from _missing
        check_clearing(self.trigger, self.keep, self.clear_at_least)

    def apply(self, messages: list[AnyMessage], *, count_tokens: "TokenCounter") -> None:
        """Clear results in place.

        Args:
            messages: The whole history.
            count_tokens: Counts a list of messages.
        """
        if count_tokens(messages) <= self.trigger:
            return
        done = guard("clearing tool results", lambda: self.cleared(messages, count_tokens)[0], messages)
        messages[:] = done

    def cleared(
        self, messages: Sequence[AnyMessage], count_tokens: "TokenCounter", past: Moment | None = None
    ) -> tuple[list[AnyMessage], Cut | None]:
        """The messages with results cleared, and what is to be remembered.

        Args:
            messages: The whole history; it stays as it is.
            count_tokens: Counts a list of messages.
            past: What was remembered; None: nothing is.
        """
        sizes = [count_tokens([m]) for m in messages]
        answers = [i for i, m in enumerate(messages) if isinstance(m, AIMessage)]
        results = [i for i, m in enumerate(messages) if isinstance(m, ToolMessage)]
        calls = [answers[n - 1] if (n := bisect_left(answers, i)) else i for i in results]

        def gain(call: int, result: int) -> int:
            changed = self._one_cleared(messages, call, result).items()
            return sum(sizes[i] - count_tokens([m]) for i, m in changed if m is not messages[i])

        history = sizes, [*answers, len(messages)], results, list(map(gain, calls, results))
        options: dict[str, Any] = {"trigger": self.trigger, "least": self.clear_at_least, "keep": self.keep}
        if past is None:
            done, cut = to_clear(*history, **options), None
        else:
            before = Cut.of(past.data, len(messages))
            options |= {"now": past.now, "ttl": past.ttl, "turn": past.turn}
            done, cut = to_clear_when_cold(*history, before, **options)
        left = list(messages)
        for call, result in zip(calls[:done], results, strict=False):
            for i, message in self._one_cleared(left, call, result).items():
                left[i] = message
        return left, cut

    def _one_cleared(self, messages: Sequence[AnyMessage], call: int, result: int) -> dict[int, AnyMessage]:
        """The message of a call and its result as upstream's edit leaves these two, by where they stand."""
        both = [messages[call], messages[result]]
        self._stock().apply(both, count_tokens=len)
        return dict(zip((call, result), both, strict=True))

    def _stock(self) -> "ClearToolUsesEdit":
        """Upstream's edit, which clears whenever it is asked."""
        return ClearToolUsesEdit(
            trigger=0,
            keep=0,
            clear_tool_inputs=self.clear_tool_inputs,
            exclude_tools=self.exclude_tools,
            placeholder=self.placeholder,
        )


@overload
def clear_tool_results_stable(
    messages: Messages,
    *,
    trigger: int = ...,
    clear_at_least: int | None = ...,
    keep: int = ...,
    clear_tool_inputs: bool = ...,
    exclude_tools: Sequence[str] = ...,
    placeholder: str = ...,
) -> list[BaseMessage]: ...


@overload
def clear_tool_results_stable(
    messages: None = None,
    *,
    trigger: int = ...,
    clear_at_least: int | None = ...,
    keep: int = ...,
    clear_tool_inputs: bool = ...,
    exclude_tools: Sequence[str] = ...,
    placeholder: str = ...,
) -> Runnable[Any, list[BaseMessage]]: ...


def clear_tool_results_stable(
    messages: Messages | None = None, **options: Any
) -> list[BaseMessage] | Runnable[Any, list[BaseMessage]]:
    """Clears the oldest tool results of a history, many at a time, as `ClearToolUsesInBatches` does.

    Give it the whole history each time; messages that are cleared are copies.

    Args:
        messages: The whole history; None: returns a Runnable for a chain.
        options: Those of `ClearToolUsesInBatches`.

    Returns:
        The messages to send.

    Raises:
        ValueError: Where a number is negative or none.
        ImportError: Where langchain is not installed.

    Example:
        ```python
        chain = prompt | clear_tool_results_stable(trigger=60_000) | CachedChatBedrockConverse(model=...)
        ```
    """
    clear = partial(_history_cleared, ClearToolUsesInBatches(**options))
    if messages is None:
        return RunnableLambda(clear, name="clear_tool_results_stable")
    return clear(messages)


class StableClearMiddleware(ShapingMiddleware):
    """Clears the oldest tool results from what `create_agent` sends, many at a time.

    As `ContextEditingMiddleware` with `ClearToolUsesInBatches`. The agent's state keeps the results.

    Args:
        trigger: As of `ClearToolUsesInBatches`.
        clear_at_least: As of `ClearToolUsesInBatches`.
        keep: As of `ClearToolUsesInBatches`.
        clear_tool_inputs: As of `ClearToolUsesInBatches`.
        exclude_tools: As of `ClearToolUsesInBatches`.
        placeholder: As of `ClearToolUsesInBatches`.
        when: `"always"`: beyond the trigger. `"cold"`: besides, at the first call after a pause that is
            longer than `ttl`, where it gains enough: all is written anew then anyway. When the last call was
            and what was cleared is kept in the agent's state, so it takes a checkpointer; without one it is
            as `"always"`.
        ttl: Seconds that an entry of the cache lives; None: what the reports of the last answers say, and
            3600 where there is none.
        clock: Seconds; None: the system's.
        token_counter: Counts a list of messages.

    Raises:
        ValueError: Where a number is negative or none, or `when` or `ttl` is not valid.
        ImportError: Where langchain is not installed.

    Example:
        ```python
        agent = create_agent(model, tools, middleware=[StableClearMiddleware(trigger=60_000, when="cold")])
        ```
    """

    def __init__(
        self,
        *,
        trigger: int = 100_000,
        clear_at_least: int | None = None,
        keep: int = 3,
        clear_tool_inputs: bool = False,
        exclude_tools: Sequence[str] = (),
        placeholder: str = DEFAULT_TOOL_PLACEHOLDER,
        when: When = "always",
        ttl: float | None = None,
        clock: Callable[[], float] | None = None,
        token_counter: Callable[[Sequence[Any]], int] = count_tokens_approximately,
    ) -> None:
        super().__init__()
        check_when(when, ttl)
        self._edit = ClearToolUsesInBatches(
            trigger, clear_at_least, keep, clear_tool_inputs, exclude_tools, placeholder
        )
        self._count = token_counter
        self._past = Past("cachepoint_cleared", when, ttl, clock)
        self.state_schema = self._past.schema

    def shape(self, request: "ModelRequest[Any]") -> Shaped:
        """The request with results cleared."""
        messages, cut = self._edit.cleared(request.messages, self._count, self._past.of(request))
        return Shaped(overridden(request, messages=messages), self._past.update(cut))


def _history_cleared(edit: ClearToolUsesInBatches, messages: Messages) -> list[BaseMessage]:
    told: list[Any] = convert_to_messages(messages if isinstance(messages, PromptValue) else list(messages))
    edit.apply(told, count_tokens=count_tokens_approximately)
    return told


@overload
def order_tool_results(messages: Messages) -> list[BaseMessage]: ...


@overload
def order_tool_results(messages: None = None) -> Runnable[Any, list[BaseMessage]]: ...


def order_tool_results(
    messages: Messages | None = None,
) -> list[BaseMessage] | Runnable[Any, list[BaseMessage]]:
    """The results of parallel tool calls in the order of the calls.

    For histories in which they stand in the order in which they came in, which is another one each time.
    Results that stand next to one another change places, and nothing else does.

    Args:
        messages: A history; None: returns a Runnable for a chain, as `trim_messages` does.

    Returns:
        The same messages, each of them once.

    Example:
        ```python
        chain = order_tool_results() | CachedChatBedrockConverse(model=...)
        ```
    """
    return RunnableLambda(_in_order, name="order_tool_results") if messages is None else _in_order(messages)


class StableResultsMiddleware(ShapingMiddleware):
    """Gives the model of `create_agent` the results of parallel tool calls in the order of the calls.

    The agent's state stays as it is.

    Raises:
        ImportError: Where langchain is not installed.

    Example:
        ```python
        agent = create_agent(model, tools, middleware=[StableResultsMiddleware()])
        ```
    """

    def shape(self, request: "ModelRequest[Any]") -> Shaped:
        """The request with its tool results in order."""
        return Shaped(overridden(request, messages=_in_order(request.messages)))


def _in_order(messages: Messages) -> list[BaseMessage]:
    told = convert_to_messages(messages if isinstance(messages, PromptValue) else list(messages))
    return guard("ordering tool results", lambda: _reordered(told), told)


def _reordered(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    order = in_call_order(
        [[c["id"] or "" for c in m.tool_calls] if isinstance(m, AIMessage) else () for m in messages],
        [m.tool_call_id if isinstance(m, ToolMessage) else None for m in messages],
    )
    return [messages[i] for i in order]

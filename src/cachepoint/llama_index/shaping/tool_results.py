"""Tool results: cleared in batches, so that the prefix stands still in between; in the order of the calls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

try:
    from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
except ModuleNotFoundError as error:
    raise ImportError(
        f"cachepoint.llama_index needs llama-index-core ({error.name} is missing): "
        'pip install "cachepoint[llama-index]"'
    ) from error

from cachepoint.core.guard import InvalidOptionError
from cachepoint.llama_index.shaping.agents import Step
from cachepoint.llama_index.shaping.history import calls_of, tokens_of
from cachepoint.shaping.tool_results import in_call_order, to_clear

_RESULTS = frozenset({MessageRole.TOOL, MessageRole.FUNCTION})


class StableResults:
    """Gives the model the results of parallel tool calls in the order of the calls.

    An agent keeps them in the order in which they came in, which is another one each time.

    Example:
        ```python
        agent = ShapedFunctionAgent(tools=tools, llm=llm, shapers=[StableResults()])
        ```
    """

    async def shape(self, step: Step) -> Step:
        """The step with its tool results in order."""
        order = in_call_order(
            [[ident for ident, _ in calls_of(m)] for m in step.messages],
            [_answered(m) for m in step.messages],
        )
        if order == list(range(len(order))):
            return step
        return replace(step, messages=tuple(step.messages[i] for i in order))


@dataclass(frozen=True, slots=True)
class StableClear:
    """Clears the oldest tool results from what the model is sent, many at a time.

    To clear one more at each step is to write all that follows it anew at each step. This goes through the
    messages as they grew, call by call, and clears all but the newest results where what was left had
    outgrown the trigger. It keeps no state: the same messages are cleared the same way in another process,
    and what was cleared stays cleared. Memory and context keep the results.

    Args:
        trigger: Tokens of messages from which results are cleared, at 4 characters a token; what is cleared
            already counts as that. The system prompt is not counted.
        clear_at_least: Tokens that clearing must reclaim, else it waits, also beyond the trigger. None: a
            quarter of the trigger.
        keep: How many of the newest results stay.
        exclude_tools: Tools whose results stay.
        placeholder: What stands in the place of a result.

    Raises:
        ValueError: Where a number is negative or none, or exclude_tools is one name.

    Example:
        ```python
        agent = ShapedFunctionAgent(tools=tools, llm=llm, shapers=[StableClear(trigger=60_000)])
        ```
    """

    trigger: int = 100_000
    clear_at_least: int | None = None
    keep: int = 3
    exclude_tools: Sequence[str] = ()
    placeholder: str = "[cleared]"

    def __post_init__(self) -> None:
        least = 0 if self.clear_at_least is None else self.clear_at_least
        for name, value in {"trigger": self.trigger, "keep": self.keep, "clear_at_least": least}.items():
            if not isinstance(value, int) or value < 0:
                raise InvalidOptionError(f"{name} is {value!r}; use a whole number that is not negative")
        if isinstance(self.exclude_tools, str):
            raise InvalidOptionError(f"exclude_tools is {self.exclude_tools!r}; use a list of names")

    async def shape(self, step: Step) -> Step:
        """The step with its oldest tool results cleared, where it is due."""
        messages = step.messages
        sizes = [0 if m.role == MessageRole.SYSTEM else tokens_of(m) for m in messages]
        if sum(sizes) <= self.trigger:
            return step
        cleared = self._cleared(messages)
        gains = {i: max(0, sizes[i] - tokens_of(m)) for i, m in cleared.items()}
        results = [i for i, m in enumerate(messages) if _answered(m) is not None]
        done = to_clear(
            sizes,
            [*(i for i, m in enumerate(messages) if m.role == MessageRole.ASSISTANT), len(messages)],
            results,
            [gains.get(i, 0) for i in results],
            trigger=self.trigger,
            least=self.clear_at_least,
            keep=self.keep,
        )
        due = {i: cleared[i] for i in results[:done] if gains.get(i)}
        return replace(step, messages=tuple(due.get(i, m) for i, m in enumerate(messages))) if due else step

    def _cleared(self, messages: Sequence[ChatMessage]) -> dict[int, ChatMessage]:
        """The results that may be cleared, as they are then, by where they stand."""
        names = {ident: name for m in messages for ident, name in calls_of(m) if name}
        stay = {None, *self.exclude_tools}
        placeholder = [TextBlock(text=self.placeholder)]
        return {
            i: m.model_copy(update={"blocks": placeholder})
            for i, m in enumerate(messages)
            if names.get(_answered(m) or "") not in stay
        }


def _answered(message: ChatMessage) -> str | None:
    """The id of the call that a message is the result of."""
    ident = message.additional_kwargs.get("tool_call_id") if message.role in _RESULTS else None
    return None if ident is None else str(ident)

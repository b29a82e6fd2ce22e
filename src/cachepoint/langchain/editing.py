"""Clearing tool results in batches, so that the prefix stands still in between."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, AnyMessage

try:
    from langchain.agents.middleware.context_editing import (
        DEFAULT_TOOL_PLACEHOLDER,
        ClearToolUsesEdit,
        TokenCounter,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f"clearing tool results is for agents of langchain ({error.name} is missing): pip install langchain"
    ) from error

# Less is not worth the writing anew of what follows it (docs/documents.md).
BATCH = 0.25


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

    def apply(self, messages: list[AnyMessage], *, count_tokens: TokenCounter) -> None:
        """Clear results in place.

        Args:
            messages: The whole history.
            count_tokens: Counts a list of messages.
        """
        if count_tokens(messages) <= self.trigger:
            return
        least = self.trigger * BATCH if self.clear_at_least is None else self.clear_at_least
        stock = self._stock()
        sizes = [count_tokens([m]) for m in messages]
        for end in _calls(messages):
            if sum(sizes[:end]) <= self.trigger:
                continue
            cleared = messages[:end]
            stock.apply(cleared, count_tokens=len)
            left = [
                size if new is old else count_tokens([new])
                for size, new, old in zip(sizes, cleared, messages, strict=False)
            ]
            if sum(sizes[:end]) - sum(left) >= least:
                messages[:end], sizes[:end] = cleared, left

    def _stock(self) -> ClearToolUsesEdit:
        """Upstream's edit, which clears whenever it is asked."""
        return ClearToolUsesEdit(
            trigger=0,
            keep=self.keep,
            clear_tool_inputs=self.clear_tool_inputs,
            exclude_tools=self.exclude_tools,
            placeholder=self.placeholder,
        )


def _calls(messages: Sequence[AnyMessage]) -> Iterator[int]:
    """How long the history was at each call of the model, this one last."""
    yield from (i for i, m in enumerate(messages) if isinstance(m, AIMessage))
    yield len(messages)

"""Tool results: cleared in batches, so that the prefix stands still in between; in the order of the calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from cachepoint.core.config import now
from cachepoint.core.guard import InvalidOptionError
from cachepoint.llama_index.shaping.agents import Step
from cachepoint.llama_index.shaping.history import calls_of, is_asked, tokens_of
from cachepoint.shaping.tool_results import check_clearing, in_call_order, to_clear, to_clear_when_cold
from cachepoint.shaping.when import LONGEST, Cut, When, check_when

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


# In a run's context: what was cleared, and when.
_CUT = "cachepoint_cleared"


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
        when: `"always"`: beyond the trigger. `"cold"`: besides, at the first step after a pause that is
            longer than `ttl`, where it gains enough: all is written anew then anyway. When the last step was
            and what was cleared is kept in the run's context: give `run` the same `ctx` for the next turn.
        ttl: Seconds that an entry of the cache lives at most: 3600, or 300 where the policy has `ttl="5m"`.
        clock: Seconds.

    Raises:
        ValueError: Where a number is negative or none, exclude_tools is one name, or `when` or `ttl` is not
            valid.

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
    when: When = "always"
    ttl: float = LONGEST
    clock: Callable[[], float] = now

    def __post_init__(self) -> None:
        check_clearing(self.trigger, self.keep, self.clear_at_least)
        check_when(self.when, self.ttl)
        if isinstance(self.exclude_tools, str):
            raise InvalidOptionError(f"exclude_tools is {self.exclude_tools!r}; use a list of names")

    async def shape(self, step: Step) -> Step:
        """The step with its oldest tool results cleared, where it is due."""
        messages = step.messages
        sizes = [0 if m.role == MessageRole.SYSTEM else tokens_of(m) for m in messages]
        if self.when == "always" and sum(sizes) <= self.trigger:
            return step
        cleared = self._cleared(messages)
        gains = {i: max(0, sizes[i] - tokens_of(m)) for i, m in cleared.items()}
        results = [i for i, m in enumerate(messages) if _answered(m) is not None]
        asked = [*(i for i, m in enumerate(messages) if m.role == MessageRole.ASSISTANT), len(messages)]
        done = await self._done(step, sizes, asked, results, [gains.get(i, 0) for i in results])
        due = {i: cleared[i] for i in results[:done] if gains.get(i)}
        return replace(step, messages=tuple(due.get(i, m) for i, m in enumerate(messages))) if due else step

    async def _done(
        self,
        step: Step,
        sizes: Sequence[int],
        asked: Sequence[int],
        results: Sequence[int],
        gains: Sequence[int],
    ) -> int:
        options: dict[str, Any] = {"trigger": self.trigger, "least": self.clear_at_least, "keep": self.keep}
        if self.when == "always":
            return to_clear(sizes, asked, results, gains, **options)
        cut = Cut.of(await step.ctx.store.get(_CUT, default=None), len(sizes))
        options |= {"now": self.clock(), "ttl": self.ttl, "turn": is_asked(step.messages)}
        done, cut = to_clear_when_cold(sizes, asked, results, gains, cut, **options)
        await step.ctx.store.set(_CUT, cut.as_data())
        return done

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

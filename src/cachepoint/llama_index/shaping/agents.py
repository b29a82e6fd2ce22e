"""Agents whose prompts are shaped at each step, right before the model is asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.agent_context import AgentContext
from llama_index.core.agent.workflow.base_agent import WORKFLOW_KWARGS, BaseWorkflowAgent
from llama_index.core.agent.workflow.workflow_events import AgentOutput
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.memory import BaseMemory
from llama_index.core.tools import AsyncBaseTool

from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.llama_index.fields import refuse_unknown


@dataclass(frozen=True, slots=True)
class Step:
    """What an agent is about to send, and where it is kept.

    Attributes:
        ctx: The context of the run.
        messages: All that is sent: the system prompt, the memory's messages, and what this run has added.
            A ReActAgent writes its own reasoning, tool results in it, behind them by itself.
        tools: The tools that the model is told of. Those it calls are found by name, among the agent's own.
        memory: Where the agent keeps its messages.
    """

    ctx: AgentContext
    messages: tuple[ChatMessage, ...]
    tools: tuple[AsyncBaseTool, ...]
    memory: BaseMemory


@runtime_checkable
class Shaper(Protocol):
    """What shapes the steps of an agent."""

    async def shape(self, step: Step) -> Step:
        """The step to take: the one that was given where there is nothing to do, else a `replace` of it.

        Messages and tools are the agent's own: one that is to be another is copied.
        """
        ...


class Shaped(BaseWorkflowAgent):
    """What makes an agent's class take `shapers`; it stands first among the bases.

    The shapers are asked in their order, at each step. What one of them gives is sent and not kept: the
    agent's memory and context stay as they are. Where one raises, the step goes on without it.

    Example:
        ```python
        class ShapedCodeActAgent(Shaped, CodeActAgent): ...
        ```
    """

    shapers: list[Shaper] = Field(
        default_factory=list, description="What shapes each step of the agent, in this order", exclude=True
    )

    def __init__(self, *args: Any, shapers: Sequence[Shaper] = (), **options: Any) -> None:
        refuse_unknown(type(self), options, [*type(self).model_fields, *WORKFLOW_KWARGS])
        for shaper in shapers:
            if isinstance(shaper, type) or not isinstance(shaper, Shaper):
                raise InvalidOptionError(
                    f"{shaper!r} is no shaper: use an object such as StableTools(), which has `shape(step)`"
                )
        super().__init__(*args, shapers=list(shapers), **options)

    async def take_step(
        self,
        ctx: AgentContext,
        llm_input: list[ChatMessage],
        tools: Sequence[AsyncBaseTool],
        memory: BaseMemory,
    ) -> AgentOutput:
        """Take a step as the agent would, with what the shapers make of it."""
        given = Step(ctx, tuple(llm_input), tuple(tools), memory)
        step = await guard.awaited("shaping a step", partial(self._shaped, given), given)
        return await super().take_step(  # type: ignore[safe-super]
            step.ctx, list(step.messages), list(step.tools), step.memory
        )

    async def _shaped(self, given: Step) -> Step:
        key = getattr(self, "scratchpad_key", "")
        pad = await given.ctx.store.get(key, default=[]) if key else []
        whole = step = replace(given, messages=(*given.messages, *pad))
        for shaper in self.shapers:
            doing = f"shaping by {type(shaper).__name__}"
            step = await guard.awaited(doing, partial(shaper.shape, step), step)
        if step is whole:
            return given
        return replace(step, ctx=_Ahead(step.ctx, key, pad)) if pad else step


class ShapedFunctionAgent(Shaped, FunctionAgent):
    """`FunctionAgent` with `shapers`, alone or among others in an `AgentWorkflow`.

    Args:
        shapers: What shapes each step, in this order: `StableTools()`, `StableResults()`, `StableClear()`,
            or an object of your own with `async def shape(self, step: Step) -> Step`.

    All else is as in `FunctionAgent`.

    Raises:
        ValueError: Where an option is unknown, or a shaper is none.

    Example:
        ```python
        agent = ShapedFunctionAgent(
            tools=tools, llm=CachedBedrockConverse(...), shapers=[StableTools(), StableClear(trigger=60_000)]
        )
        ```
    """


class ShapedReActAgent(Shaped, ReActAgent):
    """`ReActAgent` with `shapers`.

    It describes its tools in the system prompt, and keeps tool results in its own reasoning: `StableTools()`
    works as in a `ShapedFunctionAgent`; to `StableResults()` and `StableClear()` there are no tool results.

    Args:
        shapers: As in `ShapedFunctionAgent`.

    All else is as in `ReActAgent`.

    Raises:
        ValueError: Where an option is unknown, or a shaper is none.
    """


class _Ahead:
    """A step's context, where what the run has added stands among the step's messages already."""

    def __init__(self, ctx: AgentContext, key: str, pad: Sequence[ChatMessage]) -> None:
        self._ctx = ctx
        self.store: Any = _Behind(ctx.store, key, pad)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


class _Behind:
    """The store of that context: what the step adds goes behind what the run has added."""

    def __init__(self, store: Any, key: str, pad: Sequence[ChatMessage]) -> None:
        self._store, self._key, self._pad = store, key, pad
        self._added: list[ChatMessage] = []

    async def get(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return self._added if path == self._key else await self._store.get(path, *args, **kwargs)

    async def set(self, path: str, value: Any) -> None:
        if path == self._key:
            self._added, value = value, [*self._pad, *value]
        await self._store.set(path, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

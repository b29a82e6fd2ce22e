"""A chat memory that summarises what is old inside the prefix of the conversation itself."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatSummaryMemoryBuffer
from llama_index.core.memory.types import DEFAULT_CHAT_STORE_KEY
from llama_index.core.storage.chat_store import BaseChatStore

from cachepoint.core.guard import guard
from cachepoint.llama_index.llms import CachedBedrockConverse
from cachepoint.llama_index.shaping.history import (
    StableTrimMemory,
    calls_of,
    is_asked,
    limit_of,
    starts_of,
    store_of,
)
from cachepoint.shaping.summaries import INSTRUCTION, SUMMARY, check_summary, due, kept_from, too_long, usable
from cachepoint.shaping.when import Cut

_DOING = "summarising a history"
# A summary by itself is not summarised again.
_HEAD = SUMMARY.partition("{")[0]


class StableSummaryMemory(StableTrimMemory):
    """A chat memory that puts a summary in the place of what is old, and reads the history for it.

    Takes the place of `ChatSummaryMemoryBuffer` as `memory=` of a chat engine or an agent. The summary is
    asked of the model behind the conversation itself: with the same system prompt and tools, and the messages
    as they are, so all but the newest turn is read from the cache. Give it what the engine or the agent sends
    in front of the messages, or nothing is read. Where the answer is a call of a tool or no text, or there is
    no room for it, the summary is made as `ChatSummaryMemoryBuffer` makes it. The chat store keeps the new
    history.

    Args:
        llm: What makes the summaries: the model of the engine or agent. It is not serialized: give it again
            to `from_dict` or `from_string`.
        system_prompt: What stands in front of the messages.
        tools: The tools of the agent; not serialized.
        token_limit: Tokens of history from which it is summarised.
        keep: Tokens of the newest messages that stay as they are; None: a quarter of the limit.
        instruction: What the model is asked behind the conversation.
        when: `"always"`: beyond the limit. `"cold"`: besides, from nine tenths of it on, at the first call
            after a pause that is longer than `ttl`: all is written anew then anyway.
        ttl: As of `StableTrimMemory`.
        clock: As of `StableTrimMemory`.
        tokenizer_fn: As of `StableTrimMemory`.
        chat_store: As of `StableTrimMemory`.
        chat_store_key: As of `StableTrimMemory`.

    Raises:
        ValueError: Where an option is unknown or not valid.

    Example:
        ```python
        memory = StableSummaryMemory.from_defaults(llm=llm, system_prompt=RULES, token_limit=40_000)
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=RULES)
        ```
    """

    llm: Any = Field(default=None, exclude=True, repr=False)
    tools: Sequence[Any] = Field(default=(), exclude=True, repr=False)
    system_prompt: str | None = Field(default=None, repr=False)
    keep: int | None = None
    instruction: str = Field(default=INSTRUCTION, repr=False)

    def __init__(self, **options: Any) -> None:
        check_summary(options.get("instruction", INSTRUCTION), options.get("keep") or 0)
        super().__init__(**options)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "StableSummaryMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]
        cls,
        chat_history: list[ChatMessage] | None = None,
        llm: LLM | None = None,
        chat_store: BaseChatStore | None = None,
        chat_store_key: str = DEFAULT_CHAT_STORE_KEY,
        token_limit: int | None = None,
        **options: Any,
    ) -> "StableSummaryMemory":
        """A memory as `ChatSummaryMemoryBuffer.from_defaults` makes one.

        Args:
            chat_history: Messages to begin with; they replace what the store has under this key.
            llm: As of the class. Where token_limit is None, three quarters of its window are the limit.
            chat_store: Where the messages are kept; None: in this object.
            chat_store_key: Under which key.
            token_limit: As of the class.
            options: The others of the class.

        Raises:
            ValueError: Where an option is unknown or not valid.
        """
        return cls(
            llm=llm,
            chat_store=store_of(chat_store, chat_store_key, chat_history),
            chat_store_key=chat_store_key,
            token_limit=limit_of(token_limit, llm),
            **options,
        )

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ARG002
        """What is to be sent of the history, a summary in the place of what is old."""
        history = list(self.get_all())
        plan = guard(_DOING, lambda: self._plan(history), None)
        if plan is None:
            return history
        new = self._new(plan, self._asked(plan) if plan.call else None, history)
        self.set([*new, *self.get_all()[len(history) :]])
        return new

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ARG002
        """As `get`."""
        history = list(await self.aget_all())
        plan = guard(_DOING, lambda: self._plan(history), None)
        if plan is None:
            return history
        text = await self._aasked(plan) if plan.call else None
        new = await asyncio.to_thread(self._new, plan, text, history)
        await self.aset([*new, *(await self.aget_all())[len(history) :]])
        return new

    def _asked(self, plan: "Plan") -> str | None:
        """The summary that the model makes; None where it makes none, or has no room."""
        try:
            answer = plan.call(*plan.asks, **plan.options)
        except Exception as error:
            if not guard(_DOING, partial(too_long, str(error)), False):
                raise
            return None
        return guard(_DOING, lambda: _summary(answer), None)

    async def _aasked(self, plan: "Plan") -> str | None:
        """As `_asked`."""
        try:
            answer = await plan.acall(*plan.asks, **plan.options)
        except Exception as error:
            if not guard(_DOING, partial(too_long, str(error)), False):
                raise
            return None
        return guard(_DOING, lambda: _summary(answer), None)

    def _new(self, plan: "Plan", text: str | None, history: list[ChatMessage]) -> list[ChatMessage]:
        """The history with a summary in the place of what is old, made the stock way where there is none."""
        if text is not None:
            return guard(_DOING, lambda: plan.with_summary(text), history)
        stock = guard(_DOING, lambda: self._stock(history), None)
        if stock is None:
            return history
        left = stock.get()
        return guard(_DOING, lambda: _laid_out(left, plan, history), history)

    def _plan(self, history: list[ChatMessage]) -> "Plan | None":
        """What is to be summarised; None: nothing is."""
        sizes = [self._count(m) for m in history]
        at, cold = self.clock(), False
        if self.when == "cold":
            cut = Cut.of(self.cut, len(sizes))
            cold = cut.cold(at, self.ttl)
            self.cut = cut.then(at, turn=is_asked(history)).as_data()
        if self.llm is None or not due(sum(sizes), self.token_limit, cold=cold):
            return None
        start = kept_from(sizes, starts_of(history), self._keep)
        if not start or (start == 1 and str(history[0].content).startswith(_HEAD)):
            return None
        first = [] if self.system_prompt is None else [ChatMessage(self.system_prompt, role="system")]
        asked = [*first, *history, ChatMessage(self.instruction, role="user")]
        if self.tools and isinstance(self.llm, FunctionCallingLLM):
            ask, aask = self.llm.chat_with_tools, self.llm.achat_with_tools
            return Plan(ask, aask, (list(self.tools), None, asked), self._unwritten, history[start:])
        if any(True for m in history for _ in calls_of(m)):
            # Bedrock refuses the calls of tools that no tools are given for.
            return Plan(None, None, (), {}, history[start:])
        return Plan(self.llm.chat, self.llm.achat, (asked,), self._unwritten, history[start:])

    @property
    def _unwritten(self) -> dict[str, Any]:
        """The options of a call whose end nobody will read, and that reads what is there."""
        return {"cache_policy": {"tail": "never"}} if isinstance(self.llm, CachedBedrockConverse) else {}

    @property
    def _keep(self) -> int:
        return self.token_limit // 4 if self.keep is None else self.keep

    def _stock(self, history: list[ChatMessage]) -> ChatSummaryMemoryBuffer:
        """Upstream's memory with this history."""
        return ChatSummaryMemoryBuffer.from_defaults(
            chat_history=list(history),
            llm=self.llm,
            token_limit=self._keep,
            tokenizer_fn=lambda text: list(self.tokenizer_fn(text)),
        )


class Plan(NamedTuple):
    """How a summary is asked for (no `call`: the stock way), and what stays behind it."""

    call: Any
    acall: Any
    asks: tuple[Any, ...]
    options: dict[str, Any]
    keeps: list[ChatMessage]

    def with_summary(self, text: str) -> list[ChatMessage]:
        """The new history."""
        return [ChatMessage(SUMMARY.format(text=text), role="user"), *self.keeps]


def _laid_out(stock: Sequence[ChatMessage], plan: Plan, history: list[ChatMessage]) -> list[ChatMessage]:
    """Upstream's summary, in the place and the form of ours; where it made none, nothing is left out."""
    texts = [str(m.content) for m in stock if m.role == MessageRole.SYSTEM]
    return plan.with_summary("\n".join(texts)) if texts else history


def _summary(answer: Any) -> str | None:
    """The summary that an answer is; None where it is none."""
    message = answer.message
    calls = any(isinstance(block, ToolCallBlock) for block in message.blocks)
    calls = calls or bool(message.additional_kwargs.get("tool_calls"))
    text = str(message.content or "")
    return text.strip() if usable(text, calls=calls) else None

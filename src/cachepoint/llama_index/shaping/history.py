"""A chat memory for cached prompts: the cut moves in steps, so that the prefix holds between them."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import Field, model_validator
from llama_index.core.llms.llm import LLM
from llama_index.core.memory.types import DEFAULT_CHAT_STORE_KEY, BaseChatStoreMemory
from llama_index.core.storage.chat_store import BaseChatStore, SimpleChatStore
from llama_index.core.storage.chat_store.loading import load_chat_store

from cachepoint.core.config import now
from cachepoint.core.guard import guard
from cachepoint.llama_index.fields import refuse_unknown
from cachepoint.llama_index.shaping.stored import as_data
from cachepoint.shaping.history import check, legal_starts, start_of, start_when_cold
from cachepoint.shaping.when import LONGEST, Cut, When, check_when

# As Memory's; ChatMemoryBuffer takes the same share of the model's window.
DEFAULT_TOKEN_LIMIT = 30_000
WINDOW_SHARE = 0.75
CHARS_PER_TOKEN = 4
# Of an image, a page or a clip, whose size in the message says nothing about tokens (Memory's figures).
_FLAT = 256
_OF_DEFAULTS = (
    "chat_history",
    "llm",
    "chat_store",
    "chat_store_key",
    "token_limit",
    "tokenizer_fn",
    "step",
    "when",
    "ttl",
    "clock",
)


class StableTrimMemory(BaseChatStoreMemory):
    """A chat memory that drops old turns in steps, and so leaves the prompt's beginning alone in between.

    Takes the place of `ChatMemoryBuffer` or `Memory` as `memory=` of a chat engine or an agent. The chat
    store keeps the whole history; `get` returns what is to be sent. It cuts at user turns, keeps tool
    calls with their results, and cuts the same store the same way in another process.

    `token_limit` holds for the history alone, as in `Memory`: what an engine puts in front changes with
    every question, and the cut would move with it.

    Args:
        token_limit: Tokens of history to send at most. Only a newest turn that is larger on its own is
            sent whole nevertheless.
        step: Tokens by which the cut moves; None: `cachepoint.shaping.history.step_within`, at most half
            of `token_limit`.
        tokenizer_fn: Counts the tokens of a text by what it returns; None: 4 characters a token (no
            tokenizer of Claude is public).
        chat_store: Where the messages are kept.
        chat_store_key: Under which key.
        when: `"always"`: when there is too much of it. `"cold"`: besides, at the first call after a pause
            that is longer than `ttl`, down to what a cut leaves: all is written anew then anyway. When the
            last call was and what was cut is kept in the memory, and saved with it.
        ttl: Seconds that an entry of the cache lives at most: 3600, or 300 where the policy has `ttl="5m"`.
        clock: Seconds.

    Raises:
        ValueError: Where step and token_limit don't fit together, or `when` or `ttl` is not valid.

    Example:
        ```python
        memory = StableTrimMemory.from_defaults(token_limit=40_000)
        engine = SimpleChatEngine.from_defaults(llm=CachedBedrockConverse(...), memory=memory)
        ```
    """

    token_limit: int = DEFAULT_TOKEN_LIMIT
    step: int | None = None
    when: When = "always"
    ttl: float = LONGEST
    clock: Callable[[], float] = Field(default=now, exclude=True, repr=False)
    cut: dict[str, Any] | None = Field(default=None, repr=False)
    tokenizer_fn: Callable[[str], Sequence[Any]] = Field(
        default_factory=lambda: four_characters, exclude=True
    )

    def __init__(self, **options: Any) -> None:
        refuse_unknown(type(self), options, type(self).model_fields)
        check_when(options.get("when", "always"), options.get("ttl"))
        super().__init__(**options)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "StableTrimMemory"

    @model_validator(mode="after")
    def _checked(self) -> "StableTrimMemory":
        check(self.token_limit, self.step)
        return self

    @classmethod
    def from_defaults(
        cls,
        chat_history: list[ChatMessage] | None = None,
        llm: LLM | None = None,
        chat_store: BaseChatStore | None = None,
        chat_store_key: str = DEFAULT_CHAT_STORE_KEY,
        token_limit: int | None = None,
        tokenizer_fn: Callable[[str], Sequence[Any]] | None = None,
        step: int | None = None,
        when: When = "always",
        ttl: float = LONGEST,
        clock: Callable[[], float] = now,
        **kwargs: Any,
    ) -> "StableTrimMemory":
        """A memory as `ChatMemoryBuffer.from_defaults` makes one.

        Args:
            chat_history: Messages to begin with; they replace what the store has under this key.
            llm: Where token_limit is None, three quarters of its context window are the limit.
            chat_store: Where the messages are kept; None: in this object.
            chat_store_key: Under which key.
            token_limit: Tokens of history to send at most.
            tokenizer_fn: Counts the tokens of a text; None: 4 characters a token.
            step: Tokens by which the cut moves.
            when: As of the class.
            ttl: As of the class.
            clock: As of the class.
            **kwargs: There are no others.

        Returns:
            The memory.

        Raises:
            ValueError: Where an argument is unknown, or step and limit don't fit together.
        """
        refuse_unknown(cls, kwargs, _OF_DEFAULTS)
        return cls(
            token_limit=limit_of(token_limit, llm),
            step=step,
            when=when,
            ttl=ttl,
            clock=clock,
            tokenizer_fn=tokenizer_fn or four_characters,
            chat_store=store_of(chat_store, chat_store_key, chat_history),
            chat_store_key=chat_store_key,
        )

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ARG002
        """What is to be sent of the history. The arguments are those of other memories; none is used."""
        history = self.get_all()
        return guard("cutting a history", lambda: self._kept(history), history)

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002, ARG002
        """What is to be sent of the history. The arguments are those of other memories; none is used."""
        history = await self.aget_all()
        return guard("cutting a history", lambda: self._kept(history), history)

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the history. The list stays the caller's: a `SimpleChatStore` would append to it."""
        super().set(list(messages))

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace the history. The list stays the caller's: a `SimpleChatStore` would append to it."""
        await super().aset(list(messages))

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The memory as plain data."""
        return guard("saving a memory", lambda: as_data(self), None) or super().to_dict(**kwargs)

    def to_string(self) -> str:
        """The memory as JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_string(cls, json_str: str, **kwargs: Any) -> Self:
        """A memory from its JSON; what is not in there is given again."""
        return cls.from_dict(json.loads(json_str), **kwargs)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """A memory from `to_dict()`."""
        fields = {k: v for k, v in (data | kwargs).items() if k != "class_name"}
        return cls(**fields | {"chat_store": load_chat_store(fields["chat_store"])})

    def _kept(self, history: list[ChatMessage]) -> list[ChatMessage]:
        starts = starts_of(history)
        sizes = [self._count(m) for m in history]
        if self.when == "always":
            return history[start_of(sizes, starts, self.token_limit, step=self.step) :]
        cut = Cut.of(self.cut, len(sizes))
        start, cut = start_when_cold(
            sizes,
            starts,
            self.token_limit,
            cut,
            now=self.clock(),
            ttl=self.ttl,
            turn=is_asked(history),
            step=self.step,
        )
        self.cut = cut.as_data()
        return history[start:]

    def _count(self, message: ChatMessage) -> int:
        return tokens_of(message, self.tokenizer_fn)


def store_of(
    chat_store: BaseChatStore | None, key: str, chat_history: list[ChatMessage] | None
) -> BaseChatStore:
    """Where the messages are kept, those to begin with in it."""
    store = chat_store or SimpleChatStore()
    if chat_history is not None:
        store.set_messages(key, list(chat_history))
    return store


def limit_of(token_limit: int | None, llm: LLM | None) -> int:
    """Tokens of history to send at most: what is asked for, else what a model has room for."""
    if token_limit is not None:
        return token_limit
    return DEFAULT_TOKEN_LIMIT if llm is None else int(llm.metadata.context_window * WINDOW_SHARE)


def is_asked(history: Sequence[ChatMessage]) -> bool:
    """Whether the newest message is the person's."""
    return bool(history) and history[-1].role == MessageRole.USER


def starts_of(history: Sequence[ChatMessage]) -> list[int]:
    """The messages with which a history may begin."""
    return legal_starts(
        [m.role == MessageRole.USER for m in history],
        [[ident for ident, _ in calls_of(m)] for m in history],
        [[str(i)] if (i := m.additional_kwargs.get("tool_call_id")) else () for m in history],
    )


class StableMemory(StableTrimMemory):
    """The old name of `StableTrimMemory`, which goes on for one release."""

    def __init__(self, **options: Any) -> None:
        warnings.warn(
            "StableMemory is StableTrimMemory now; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        super().__init__(**options)


def four_characters(text: str) -> range:
    """As many items as a text has tokens at 4 characters each."""
    return range(-(-len(text) // CHARS_PER_TOKEN))


def tokens_of(message: ChatMessage, tokenizer_fn: Callable[[str], Sequence[Any]] = four_characters) -> int:
    """The tokens of a message, by what a tokenizer returns for each of its texts."""
    return sum(_FLAT if text is None else len(tokenizer_fn(text)) for text in _texts(message) if text != "")


def _texts(message: ChatMessage) -> Iterator[str | None]:
    """The texts of a message; None for a part that is none."""
    for block in message.blocks:
        if isinstance(block, TextBlock):
            yield block.text
        elif isinstance(block, ThinkingBlock):
            yield block.content or ""
        elif isinstance(block, ToolCallBlock):
            yield f"{block.tool_name}{block.tool_kwargs}"
        else:
            yield None if isinstance(block, ImageBlock) or block.block_type != "cache" else ""
    if message.additional_kwargs:
        yield str(message.additional_kwargs)


def calls_of(message: ChatMessage) -> Iterator[tuple[str, str]]:
    """Ids and names of the tool calls: in blocks or, as older integrations have it, in additional_kwargs."""
    for block in message.blocks:
        if isinstance(block, ToolCallBlock) and block.tool_call_id:
            yield block.tool_call_id, block.tool_name
    for call in message.additional_kwargs.get("tool_calls") or ():
        known = call if isinstance(call, dict) else {"id": getattr(call, "id", "")}
        ident = next((known[k] for k in ("toolUseId", "id") if k in known), "")
        yield str(ident or ""), str(known.get("name") or "")

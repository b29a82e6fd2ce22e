"""What changes by the call, behind the newest message of the person, and kept there."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import CachePoint, ChatMessage, MessageRole, TextBlock
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer

from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.llama_index.fields import refuse_unknown
from cachepoint.llama_index.shaping.agents import Step
from cachepoint.llama_index.shaping.history import StableTrimMemory
from cachepoint.llama_index.shaping.stored import as_data
from cachepoint.shaping.changing import check_label, labelled
from cachepoint.shaping.relocating import Finder, Spans, parted_blocks

Changing = str | Callable[[], str | Sequence[str]]

_DOING = "moving what changes"
# In a message's `additional_kwargs`: what was put into it.
MARK = "cachepoint_relocated"


class RelocateMemory(BaseMemory):
    """A chat memory that puts what changes by the call into the newest message of the person, for good.

    Around any other memory. What changes (a clock, a name, recalled facts) is given here instead of in the
    system prompt, so that this stays the same. A turn has the value of its beginning; later turns see the
    same text at the same place, also after the memory was saved and loaded.

    Chat engines that store the person's message after the answer get it as a message of its own in front of
    that, which the model sees as one with it; both are stored as one.

    Args:
        changing: The text, or a function that returns it, or several; an empty one puts in nothing. It is not
            serialized: give it again to `from_dict` or `from_string`.
        memory: The memory around which this one stands.
        label: How it is shown, with `{text}` in it; None: `cachepoint.shaping.changing.LABEL`, or what
            `set_label` said.

    Raises:
        ValueError: Where an option is unknown, `changing` is neither text nor function, or the label has no
            `{text}` in it.

    Example:
        ```python
        memory = RelocateMemory.from_defaults(changing=lambda: f"It is {datetime.now():%H:%M}.")
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt=RULES)
        ```
    """

    changing: Changing = Field(default="", exclude=True, repr=False)
    memory: BaseMemory = Field(default_factory=StableTrimMemory.from_defaults, exclude=True)
    label: str | None = None
    _pending: str = PrivateAttr(default="")

    def __init__(self, **options: Any) -> None:
        refuse_unknown(type(self), options, type(self).model_fields)
        if not isinstance(given := options.get("changing", ""), str) and not callable(given):
            raise InvalidOptionError(f"changing is a {type(given).__name__}; give a text or a function")
        if (label := options.get("label")) is not None:
            check_label(label)
        super().__init__(**options)

    @classmethod
    def class_name(cls) -> str:
        """The name under which it is serialised."""
        return "RelocateMemory"

    @classmethod
    def from_defaults(
        cls,
        changing: Changing = "",
        memory: BaseMemory | None = None,
        label: str | None = None,
        **options: Any,
    ) -> "RelocateMemory":
        """A memory around another.

        Args:
            changing: As of the class.
            memory: The other; None: one as `StableTrimMemory.from_defaults` makes it.
            label: As of the class.
            options: What `StableTrimMemory.from_defaults` takes, where no memory is given.

        Raises:
            ValueError: Where an argument is unknown or not valid.
        """
        if memory is not None:
            refuse_unknown(cls, options, ("changing", "memory", "label"))
        inner = StableTrimMemory.from_defaults(**options) if memory is None else memory
        return cls(changing=changing, memory=inner, label=label)

    def get(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002
        """What is to be sent of the history. Where the message is stored later, what changes is its end."""
        history = self.memory.get(input=input, **kwargs)
        return guard(_DOING, lambda: self._ahead(history, input), history)

    async def aget(self, input: str | None = None, **kwargs: Any) -> list[ChatMessage]:  # noqa: A002
        """As `get`."""
        history = await self.memory.aget(input=input, **kwargs)
        return guard(_DOING, lambda: self._ahead(history, input), history)

    def get_all(self) -> list[ChatMessage]:
        """All of the history, as it was sent."""
        return self.memory.get_all()

    async def aget_all(self) -> list[ChatMessage]:
        """All of the history, as it was sent."""
        return await self.memory.aget_all()

    def put(self, message: ChatMessage) -> None:
        """Store a message; one of the person's with what changes in it, as a copy."""
        self.memory.put(guard(_DOING, lambda: self._kept(message), message))

    async def aput(self, message: ChatMessage) -> None:
        """As `put`."""
        await self.memory.aput(guard(_DOING, lambda: self._kept(message), message))

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """As `put`, for each."""
        for message in messages:
            await self.aput(message)

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the history; nothing is put into it."""
        self.memory.set(list(messages))

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace the history; nothing is put into it."""
        await self.memory.aset(list(messages))

    def reset(self) -> None:
        """Forget the history."""
        self.memory.reset()

    async def areset(self) -> None:
        """Forget the history."""
        await self.memory.areset()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The memory as plain data, the one inside with it, without `changing`."""
        return {**super().to_dict(**kwargs), "memory": as_data(self.memory)}

    def to_string(self) -> str:
        """The memory as JSON, without `changing`."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_string(cls, json_str: str, **kwargs: Any) -> "RelocateMemory":
        """A memory from its JSON; `changing` is given again."""
        return cls.from_dict(json.loads(json_str), **kwargs)

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> "RelocateMemory":
        """A memory from `to_dict()`; `changing` is given again, and the memory inside where it is another's.

        Raises:
            ValueError: Where the memory inside is of a class that is not known here, and none is given.
        """
        fields = {k: v for k, v in (data | kwargs).items() if k != "class_name"}
        if isinstance(inner := fields.get("memory"), Mapping):
            fields["memory"] = _loaded(dict(inner))
        return cls(**fields)

    def _ahead(self, history: list[ChatMessage], asked: str | None) -> list[ChatMessage]:
        """The history of a call whose newest message the engine puts behind it, and stores later."""
        if asked is None or (history and history[-1].role != MessageRole.ASSISTANT):
            return history
        self._pending = self._text()
        if not self._pending:
            return history
        return [*history, ChatMessage(role=MessageRole.USER, content=self._pending)]

    def _kept(self, message: ChatMessage) -> ChatMessage:
        if message.role != MessageRole.USER or MARK in message.additional_kwargs:
            return message
        ahead, self._pending = self._pending, ""
        text = ahead or self._text()
        return _with(message, text, ahead=bool(ahead)) if text else message

    def _text(self) -> str:
        given = self.changing() if callable(self.changing) else self.changing
        texts = [text for text in ((given,) if isinstance(given, str) else given) if text]
        return labelled(texts, self.label) if texts else ""


class Relocate:
    """Moves what changes in an agent's system prompt to the end of the newest message of the person.

    A shaper of agents. It is kept there: the message is changed in the agent's memory, so later turns and
    saved memories have the same text at the same place, and it never moves again. Within one turn the first
    value stays.

    Args:
        learned: Whether, besides what was marked with `volatile`, what was seen to change is moved: sentences
            that differ between three and more system prompts that are otherwise alike.
        label: How it is shown, with `{text}` in it; None: `cachepoint.shaping.changing.LABEL`, or what
            `set_label` said.

    Raises:
        ValueError: Where the label has no `{text}` in it.

    Example:
        ```python
        agent = ShapedFunctionAgent(llm=llm, tools=tools, system_prompt=prompt, shapers=[Relocate()])
        ```
    """

    def __init__(self, *, learned: bool = False, label: str | None = None) -> None:
        self._finder = Finder(learned=learned)
        self._label = None if label is None else check_label(label)

    async def shape(self, step: Step) -> Step:
        """The step with what changes behind the newest message of the person."""
        messages = list(step.messages)
        newest = _newest(messages)
        if newest is None or messages[0].role != MessageRole.SYSTEM or _barred(messages[: newest + 1]):
            return step
        first = next(m for m in messages if m.role == MessageRole.USER)
        system, moved = _parted(messages[0], self._finder.of(_plain(first)))
        if not moved or not system.content:
            return step
        asked = messages[newest]
        if MARK not in asked.additional_kwargs:
            messages[newest] = _with(asked, labelled(moved, self._label))
            await _keep(step.memory, asked, messages[newest])
        return replace(step, messages=(system, *messages[1:]))


async def _keep(memory: BaseMemory, asked: ChatMessage, changed: ChatMessage) -> None:
    """Put a message that was changed in the place of what it was."""
    held = await memory.aget_all()
    at = next((i for i in range(len(held) - 1, -1, -1) if held[i] == asked), None)
    if at is not None:
        await memory.aset([*held[:at], changed, *held[at + 1 :]])


def _newest(messages: Sequence[ChatMessage]) -> int | None:
    return next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == MessageRole.USER), None)


def _barred(messages: Sequence[ChatMessage]) -> bool:
    """Whether a checkpoint of the user's stands among the messages behind the system prompt."""
    return any(isinstance(block, CachePoint) for m in messages[1:] for block in m.blocks)


def _parted(system: ChatMessage, spans: Spans) -> tuple[ChatMessage, list[str]]:
    """The system message without what changes, and that."""
    bars = [i for i, block in enumerate(system.blocks, 1) if not isinstance(block, TextBlock)]
    start = max(bars, default=0)
    texts = [{"text": block.text} for block in system.blocks[start:] if isinstance(block, TextBlock)]
    kept, moved = parted_blocks(texts, spans)
    blocks = [*system.blocks[:start], *(TextBlock(text=block["text"]) for block in kept)]
    return system.model_copy(update={"blocks": blocks}), moved


def _plain(message: ChatMessage) -> str:
    """What the person said, without what was put into it."""
    put = message.additional_kwargs.get(MARK)
    return "\n".join(b.text for b in message.blocks if isinstance(b, TextBlock) and b.text != put)


def _with(message: ChatMessage, text: str, *, ahead: bool = False) -> ChatMessage:
    """A copy of a message with a text at its end, or in front of it."""
    block = TextBlock(text=text)
    blocks = [block, *message.blocks] if ahead else [*message.blocks, block]
    told = {**message.additional_kwargs, MARK: text}
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": told})


def _loaded(data: dict[str, Any]) -> BaseMemory:
    known: dict[str, type[Any]] = {c.class_name(): c for c in (StableTrimMemory, ChatMemoryBuffer)}
    kind = data.get("class_name")
    if kind not in known:
        raise InvalidOptionError(f"memory is a {kind!r}; give it again: from_dict(data, memory=...)")
    loaded: BaseMemory = known[kind].from_dict(data)
    return loaded

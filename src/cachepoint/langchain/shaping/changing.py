"""What changes by the call, behind the newest message of the person."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from langchain_core.messages import (
    BaseMessage,
    HumanMessage,
    MessageLikeRepresentation,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableLambda

from cachepoint.core.guard import guard
from cachepoint.core.prompt.documents import Fleeting
from cachepoint.langchain.shaping.agents import Shaped, ShapingMiddleware
from cachepoint.shaping.changing import check_label, labelled
from cachepoint.shaping.relocating import Finder, barred, blocks_of, parted_blocks, says

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ModelRequest

Messages = Iterable[MessageLikeRepresentation] | PromptValue

_DOING = "moving what changes"
# In a message's `additional_kwargs`: what was put into it.
MARK = "cachepoint_relocated"


@overload
def relocate_changing(
    messages: Messages, *, learned: bool = ..., label: str | None = ...
) -> list[BaseMessage]: ...


@overload
def relocate_changing(
    messages: None = None, *, learned: bool = ..., label: str | None = ...
) -> Runnable[Any, list[BaseMessage]]: ...


def relocate_changing(
    messages: Messages | None = None, *, learned: bool = False, label: str | None = None
) -> list[BaseMessage] | Runnable[Any, list[BaseMessage]]:
    """What changes in the system prompt, at the end of the newest message of the person.

    Whole sentences and lines are moved, word for word. A chain keeps no transcript, so they stand in the
    newest message alone, as a block of its own, and the cached models put the checkpoint in front of it.
    Messages are never changed: those that are another one now are copies. Nothing is moved across a
    checkpoint of the caller's or a guard block.

    Args:
        messages: System prompt and history; None: returns a Runnable for a chain.
        learned: Whether, besides what was marked with `volatile`, what was seen to change is moved. It is
            learned by this Runnable; with messages given at once there is nothing to learn from.
        label: How it is shown, with `{text}` in it; None: `cachepoint.shaping.changing.LABEL`, or what
            `set_label` said.

    Returns:
        The messages to send.

    Raises:
        ValueError: Where the label has no `{text}` in it.

    Example:
        ```python
        chain = prompt | relocate_changing() | CachedChatBedrockConverse(model=...)
        ```
    """
    move = partial(_relocated, Finder(learned=learned), None if label is None else check_label(label))
    if messages is None:
        return RunnableLambda(move, name="relocate_changing")
    return move(messages)


class RelocateMiddleware(ShapingMiddleware):
    r"""Moves what changes in an agent's system prompt to the end of the newest message of the person.

    It is kept there: the message goes back to the agent's state under its id, so later turns and
    checkpointers see the same text at the same place, and it never moves again. Within one turn the first
    value stays. Put it behind the middleware that write the system prompt (`dynamic_prompt`).

    Args:
        learned: Whether, besides what was marked with `volatile`, what was seen to change is moved: sentences
            that differ between three and more system prompts that are otherwise alike.
        each: Whether, within a turn, a value that is new stands behind the newest tool results as well.
        label: How it is shown, with `{text}` in it; None: `cachepoint.shaping.changing.LABEL`, or what
            `set_label` said.

    Raises:
        ValueError: Where the label has no `{text}` in it.
        ImportError: Where langchain is not installed.

    Example:
        ```python
        @dynamic_prompt
        def rules(request):
            return f"{RULES}\nIt is {volatile(clock())}."

        agent = create_agent(model, tools, middleware=[rules, RelocateMiddleware()])
        ```
    """

    def __init__(self, *, learned: bool = False, each: bool = False, label: str | None = None) -> None:
        super().__init__()
        self._finder = Finder(learned=learned)
        self._each = each
        self._label = None if label is None else check_label(label)

    def shape(self, request: "ModelRequest[Any]") -> Shaped:
        """The request with what changes behind the newest message, and that message for the state."""
        system, messages = request.system_message, request.messages
        moved = None if system is None else _moved(self._finder, [system], messages)
        if moved is None:
            return Shaped(request)
        (stays,), texts = moved
        text = labelled(texts, self._label)
        at = _place(messages, text, each=self._each)
        if at is None:
            return Shaped(request.override(system_message=stays))
        changed = _with(messages[at], text, kept=True)
        new: list[Any] = [*messages[:at], changed, *messages[at + 1 :]]
        update = {"messages": [changed]} if changed.id else None
        return Shaped(request.override(system_message=stays, messages=new), update)


def _relocated(finder: Finder, label: str | None, messages: Messages) -> list[BaseMessage]:
    told = convert_to_messages(messages if isinstance(messages, PromptValue) else list(messages))
    return guard(_DOING, lambda: _chained(finder, label, told), told)


def _chained(finder: Finder, label: str | None, told: list[BaseMessage]) -> list[BaseMessage]:
    head = next((i for i, m in enumerate(told) if not isinstance(m, SystemMessage)), len(told))
    last = told[-1] if told[head:] else None
    moved = _moved(finder, told[:head], told[head:]) if isinstance(last, HumanMessage | ToolMessage) else None
    if moved is None or last is None:
        return told
    stays, texts = moved
    text = Fleeting(labelled(texts, label))
    if isinstance(last, ToolMessage):
        return [*stays, *told[head:], _with(HumanMessage([]), text, kept=False)]
    return [*stays, *told[head:-1], _with(last, text, kept=False)]


def _moved(
    finder: Finder, systems: Sequence[BaseMessage], messages: Sequence[BaseMessage]
) -> tuple[list[Any], list[str]] | None:
    """The system messages without what changes, and that; None where nothing is to be moved."""
    if _newest(messages) is None or barred(m.content for m in messages):
        return None
    spans = finder.of(messages[0].id or str(messages[0].content))
    stay, texts = list[Any](), list[str]()
    for n, system in enumerate(systems):
        bars = barred(m.content for m in systems[n + 1 :])
        kept, out = ([], []) if bars else parted_blocks(blocks_of(system.content), spans)
        stay += [_less(system, kept)] if out and says(kept) else [system]
        texts += out if says(kept) else []
    return (stay, texts) if texts else None


def _less(system: BaseMessage, kept: Sequence[Any]) -> BaseMessage:
    """A copy of a system message with what is left of it."""
    content: Any = kept[0]["text"] if isinstance(system.content, str) else list(kept)
    return system.model_copy(update={"content": content})


def _newest(messages: Sequence[BaseMessage]) -> int | None:
    return next((i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], HumanMessage)), None)


def _place(messages: Sequence[BaseMessage], text: str, *, each: bool) -> int | None:
    """The message that a text goes into; None where its turn has one already."""
    newest = _newest(messages)
    turn = messages[newest:]
    said = [told for m in turn if (told := m.additional_kwargs.get(MARK))]
    if not said:
        return newest
    last = len(messages) - 1
    return last if each and said[-1] != text and isinstance(messages[last], ToolMessage) else None


def _with(message: BaseMessage, text: str, *, kept: bool) -> BaseMessage:
    """A copy of a message with a text at its end."""
    content: Any = message.content
    if kept and isinstance(content, str):
        content = f"{content}\n\n{text}" if content else text
    else:
        content = [*blocks_of(content), {"type": "text", "text": text}]
    told = {**message.additional_kwargs, MARK: text} if kept else message.additional_kwargs
    return message.model_copy(update={"content": content, "additional_kwargs": told})

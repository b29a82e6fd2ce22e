"""Where retrieved text ends inside a prompt, and where text stands that changes by the call.

The frameworks render documents and question into one text, so the only place for a checkpoint would
be behind the question, where nobody ever reads. What was retrieved is announced before the model is
called (LangChain `on_retriever_end`, LlamaIndex retrieval events); here it is found again.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.core.prompt.announced import Announced

__all__ = ["MIN_DOCUMENT", "Announced", "Fleeting", "changing", "documents", "retrieved", "volatile"]

T = TypeVar("T")

# A document shorter than this says nothing about where documents end.
MIN_DOCUMENT = 40


class Fleeting(str):
    """A text block that stands at the end of this one request, and will not stand in the history."""

    __slots__ = ()


retrieved = Announced(least=MIN_DOCUMENT)
"""What the frameworks of this process said they retrieved."""

changing = Announced()
"""What was marked with `volatile`."""


def documents(value: T) -> T:
    """Say that a text is a document, where no retriever says so; it comes back as it is.

    Texts of less than 40 characters are passed over.

    Args:
        value: A text, a document of LangChain (`page_content`) or a node of LlamaIndex (`get_content`),
            anything else that has a `text` or is written by `str`, or a list, tuple or set of these.

    Raises:
        TypeError: Where it is an iterator, which reading would use up.

    Example:
        `prompt = f"{documents(manual)} Question: {question}"`
    """
    retrieved.announce(_texts(value))
    return value


def volatile(value: T) -> T:
    """Say that a text changes by the call (a clock, a user's name); it comes back as it is.

    The checkpoint goes in front of the line that holds it.

    Args:
        value: As `documents` takes it. Of a datetime or a number it is what `str` writes that is found
            again: format it first where the prompt has it in another form.

    Raises:
        TypeError: Where it is an iterator, which reading would use up.

    Example:
        `system = instructions + f"It is {volatile(now)}."`
    """
    changing.announce(_texts(value))
    return value


def _texts(value: Any) -> list[str]:
    """What a prompt would hold of a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | tuple | AbstractSet):
        return [text for held in value for text in _texts(held)]
    if isinstance(value, Iterator):
        raise InvalidOptionError(f"an iterator of {type(value)!r} would be used up: give a list")
    return guard("reading what was marked", lambda: _written(value), [])


def _written(value: Any) -> list[str]:
    if isinstance(content := getattr(value, "page_content", None), str):
        return [content]
    if callable(get_content := getattr(value, "get_content", None)):
        # With what LlamaIndex's synthesizers put before the text, and without.
        return [str(get_content(metadata_mode="llm")), str(get_content())]
    text = getattr(value, "text", None)
    return [text if isinstance(text, str) else str(value)]

"""What a conversation may not be."""

from typing import Any

from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid

__all__ = ["CHECKS"]


def _no_messages(checked: Checked) -> Refusal | None:
    start = "A conversation must start with a user message."
    return (
        None
        if checked.messages
        else invalid(f"{start} Try again with a conversation that starts with a user message.")
    )


def _empty_content(checked: Checked) -> Refusal | None:
    empty = next((index for index, message in enumerate(checked.messages) if not message["content"]), None)
    if empty is None:
        return None
    text = (
        "The content field in the Message object at messages.{} is empty."
        " Add a ContentBlock object to the content field and try again."
    )
    return invalid(text.format(empty))


def _system_role(checked: Checked) -> Refusal | None:
    # stdapi.ai#266, 2026-09-10: refused on every model for which the answer is known.
    late = any(message["role"] == "system" for message in checked.messages)
    return invalid("This model doesn't support system messages.") if late else None


def _tool_changes(checked: Checked) -> Refusal | None:
    # No model served these through Converse on 2026-08-02 and 2026-09-10: stdapi.ai#266.
    for key in ("toolAddition", "toolRemoval"):
        if any(key in block for message in checked.messages for block in message["content"]):
            return invalid(f"This model doesn't support the {key} field for system messages.")
    return None


def _blank_text(checked: Checked) -> Refusal | None:
    # Sonnet 4.5 refuses "" (hermes-agent#55092, 2026-09) and took "\n" (pydantic-ai recording, 2026-08);
    # other models refuse white space too (langchain-aws#403, 2025-03).
    blank = _is_empty if checked.rules.family == "claude" else _is_white
    text = (
        "The text field in the ContentBlock object at messages.{}.content.{} is blank."
        " Add text to the text field, and try again."
    )
    for i, message in enumerate(checked.messages):
        for j, block in enumerate(message["content"]):
            if blank(block.get("text")):
                return invalid(text.format(i, j))
    return None


def _is_empty(text: str | None) -> bool:
    return text == ""


def _is_white(text: str | None) -> bool:
    return text is not None and not text.strip()


def _document_without_text(checked: Checked) -> Refusal | None:
    # archestra#4220, 2026-04
    def bare(message: dict[str, Any]) -> bool:
        keys = {key for block in message["content"] for key in block}
        return "document" in keys and "text" not in keys

    alone = any(message["role"] == "user" and bare(message) for message in checked.messages)
    return invalid("A text block must be included when using documents.") if alone else None


CHECKS: tuple[Check, ...] = (
    _no_messages,
    _empty_content,
    _system_role,
    _tool_changes,
    _blank_text,
    _document_without_text,
)

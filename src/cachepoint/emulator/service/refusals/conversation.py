"""What a conversation may not be."""

from collections.abc import Iterator
from itertools import pairwise

from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = ["CHECKS", "MODEL_CHECKS"]


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
    # Claude refuses "" in these words (hermes-agent#55092, 2026-09), other models white space too
    # (langchain-aws#403, 2025-03).
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


def _white_text(checked: Checked) -> Refusal | None:
    # hermes-agent#41985 on Opus 4.8, 2026-06, and #61318, 2026-07.
    refused = checked.rules.family == "claude" and not checked.rules.white_text
    if not refused or not any(map(_is_white, _texts(checked))):
        return None
    return model_error("messages: text content blocks must contain non-whitespace text")


def _empty_result(checked: Checked) -> Refusal | None:
    # hermes-agent#55092, 2026-06
    empty = checked.rules.family == "claude" and any(map(_is_empty, _result_texts(checked)))
    return model_error("messages: text content blocks must be non-empty") if empty else None


def _texts(checked: Checked) -> Iterator[str | None]:
    yield from (block.get("text") for message in checked.messages for block in message["content"])
    yield from _result_texts(checked)


def _result_texts(checked: Checked) -> Iterator[str | None]:
    blocks = (block for message in checked.messages for block in message["content"])
    return (
        part.get("text") for block in blocks for part in (block.get("toolResult") or {}).get("content", ())
    )


def _alternation(checked: Checked) -> Refusal | None:
    # dify#9294, 2024-10. Claude and Nova take the same role twice: recordings, 2025 and 2026.
    roles = [message["role"] for message in checked.messages]
    twice = checked.rules.family == "llama" and any(left == right for left, right in pairwise(roles))
    text = (
        "A conversation must alternate between user and assistant roles."
        " Make sure the conversation alternates between user and assistant roles and try again."
    )
    return invalid(text) if twice else None


def _text_beside_result(checked: Checked) -> Refusal | None:
    # browser-use#710, 2025-02; harness-sdk#1223, 2025-11
    if checked.rules.family != "llama":
        return None
    keys = [{key for block in message["content"] for key in block} for message in checked.messages]
    index = next((index for index, found in enumerate(keys) if found >= {"text", "toolResult"}), None)
    text = "Conversation blocks and tool result blocks cannot be provided in the same turn."
    return None if index is None else invalid(f"messages.{index}.content: {text}")


def _prefill(checked: Checked) -> Refusal | None:
    # hermes-agent#101401, 2026-09: Sonnet and Opus from 4.6 on, and Fable.
    last = checked.messages[-1]
    if checked.rules.prefill or last["role"] != "assistant":
        return None
    text = "This model does not support assistant message prefill."
    return model_error(f"{text} The conversation must end with a user message.")


def _prefill_with_tools(checked: Checked) -> Refusal | None:
    # collmbo#12, 2024-10; llama_index#17616
    prefilled = checked.messages[-1]["role"] == "assistant" and checked.tools
    if checked.rules.family != "claude" or not prefilled:
        return None
    return model_error(
        "Your API request included an `assistant` message in the final position, which would pre-fill the"
        " `assistant` response. When using tools, pre-filling the `assistant` response is not supported."
    )


def _prefill_end(checked: Checked) -> Refusal | None:
    # langchain-aws#599, 2025-08; aws-sdk-net#4015, 2025-09
    last = checked.messages[-1]
    text = next((block["text"] for block in reversed(last["content"]) if "text" in block), "")
    if checked.rules.family != "claude" or last["role"] != "assistant" or text == text.rstrip():
        return None
    return model_error("messages: final assistant content cannot end with trailing whitespace")


CHECKS: tuple[Check, ...] = (
    _no_messages,
    _empty_content,
    _system_role,
    _tool_changes,
    _blank_text,
    _alternation,
    _text_beside_result,
)
# What the model itself refuses comes after what Bedrock refuses before it.
MODEL_CHECKS: tuple[Check, ...] = (
    _white_text,
    _empty_result,
    _prefill,
    _prefill_with_tools,
    _prefill_end,
)

"""What thinking does not go with, and how it has to come back."""

from collections.abc import Iterator
from typing import Any

from cachepoint.emulator.cache.settings import is_forced, thinking
from cachepoint.emulator.responders.signature import is_signature
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = ["CHECKS"]


def _forced_tool(checked: Checked) -> Refusal | None:
    # langchain-aws#925 and oh-my-pi#341, 2026-03
    if checked.rules.family != "claude" or not thinking(checked.body) or not is_forced(checked.body):
        return None
    return model_error("Thinking may not be enabled when tool_choice forces tool use.")


def _budget(checked: Checked) -> Refusal | None:
    # anthropics/claude-code#49238, 2026-04, on Opus 4.7
    wanted = thinking(checked.body) or {}
    if checked.rules.thinking_budget or wanted.get("type") != "enabled":
        return None
    text = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
    return model_error(f'"thinking.type.enabled" is not supported for this model. {text}')


def _unsigned(checked: Checked) -> Refusal | None:
    # Absent: llama_index#20851, 2026-03. Empty: bifrost#6942, 2026-09. Cut off: openclaw#109881, 2026-07.
    if checked.rules.family != "claude":
        return None
    for at, text in _reasoning(checked):
        if text.get("signature") is None:
            return model_error(f"{at}.thinking.signature: Field required")
        if not is_signature(text["signature"]):
            return model_error(f"{at}: Invalid `signature` in `thinking` block")
    return None


def _empty_signature(checked: Checked) -> Refusal | None:
    # bifrost#6942, 2026-09: Nova takes none, and refuses an empty one. The words are by sense.
    if checked.rules.family != "nova":
        return None
    empty = (at for at, text in _reasoning(checked) if text.get("signature") == "")
    at = next(empty, None)
    text = f"The signature field in the reasoningText object at {at}.reasoningContent is blank."
    return None if at is None else invalid(f"{text} Remove the signature field, and try again.")


def _reasoning(checked: Checked) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, message in enumerate(checked.messages):
        blocks = [block for block in message["content"] if "cachePoint" not in block]
        for number, block in enumerate(blocks):
            if text := (block.get("reasoningContent") or {}).get("reasoningText"):
                yield f"messages.{index}.content.{number}", text


CHECKS: tuple[Check, ...] = (_forced_tool, _budget, _unsigned, _empty_signature)

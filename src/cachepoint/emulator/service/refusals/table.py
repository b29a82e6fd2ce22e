"""All the checks, in the order in which they answer."""

from typing import Any

from cachepoint.emulator.cache.prompt import Prompt
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.refusals import conversation, documents, points, reasoning, tools
from cachepoint.emulator.service.refusals.fields import input_fault, shape_fault
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid

__all__ = ["UNKNOWN_MODEL", "refuse_input", "refuse_prompt", "refuse_request"]

UNKNOWN_MODEL = invalid("The provided model identifier is invalid.")
_CHECKS: tuple[Check, ...] = (
    *conversation.CHECKS,
    *documents.CHECKS,
    *tools.CHECKS,
    *points.CHECKS,
    *conversation.MODEL_CHECKS,
    *reasoning.CHECKS,
)


def refuse_request(body: Any, rules: ModelRules) -> Refusal | None:
    """The refusal of a Converse body, or None."""
    prompt = rules.family == "prompt"
    if fault := shape_fault(body, brings_messages=prompt):
        return invalid(fault)
    checked = Checked(body, rules)
    checks = () if prompt and not checked.messages else _CHECKS
    return next((refusal for check in checks if (refusal := check(checked))), None)


def refuse_input(body: Any) -> Refusal | None:
    """The refusal of a CountTokens body for its shape, or None."""
    fault = input_fault(body)
    return invalid(fault) if fault else None


def refuse_prompt(prompt: Prompt, rules: ModelRules, tokens: int) -> Refusal | None:
    """The refusal of what is only known once the prompt is read: number and order of checkpoints, length."""
    return points.too_many(prompt, rules) or points.ttl_order(prompt) or _window(rules, tokens)


def _window(rules: ModelRules, tokens: int) -> Refusal | None:
    return invalid("Input is too long for requested model.") if tokens > rules.context_window else None

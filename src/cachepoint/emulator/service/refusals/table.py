"""All the checks, in the order in which they answer, for each way of writing a request."""

from typing import Any

from cachepoint.emulator.cache.prompt import Prompt
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.refusals import (
    additional,
    conversation,
    documents,
    messages,
    points,
    reasoning,
    tools,
)
from cachepoint.emulator.service.refusals.bodies import body_fault
from cachepoint.emulator.service.refusals.fields import input_fault, shape_fault
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = [
    "CONVERSE",
    "MESSAGES",
    "NOVA",
    "body_shape",
    "converse_shape",
    "input_shape",
    "refuse",
    "refuse_prompt",
]

# What the model's own API refuses, whoever passes the request on to it.
_MODEL: tuple[Check, ...] = (
    *additional.MODEL_CHECKS,
    *conversation.MODEL_CHECKS,
    *reasoning.CHECKS,
    *tools.MODEL_CHECKS,
)
CONVERSE: tuple[Check, ...] = (
    *conversation.CHECKS,
    *documents.CHECKS,
    *tools.CHECKS,
    *points.CHECKS,
    *additional.CHECKS,
    *_MODEL,
)
MESSAGES: tuple[Check, ...] = (*messages.CHECKS, *points.MODEL_CHECKS, *_MODEL)
NOVA = CONVERSE
_VERSION = "bedrock-2023-05-31"
_OF_PROMPTS = ("additionalModelRequestFields", "inferenceConfig", "system", "toolConfig")


def converse_shape(body: Any, rules: ModelRules) -> Refusal | None:
    """The refusal of a Converse body for its fields, or None."""
    prompt = rules.family == "prompt"
    if fault := shape_fault(body, brings_messages=prompt):
        return invalid(fault)
    return _overrides(body) if prompt else None


def _overrides(body: dict[str, Any]) -> Refusal | None:
    # Not even empty ones: langchainjs#9310, 2025-11; AWS API reference, Converse. The words are by sense.
    name = next((name for name in _OF_PROMPTS if body.get(name) is not None), None)
    text = f"The {name} field can't be overridden at runtime when a prompt from Prompt management is used."
    return invalid(text) if name else None


def body_shape(body: Any, rules: ModelRules) -> Refusal | None:
    """The same for an Anthropic body of InvokeModel."""
    if fault := body_fault(body, rules):
        return model_error(fault)
    # boto3#4218, 2024-07; anthropic-sdk-python#2031, 2026: the SDK's newer version too
    version = body["anthropic_version"]
    return None if version == _VERSION else model_error(f"Invalid API version: {version}")


def input_shape(body: Any) -> Refusal | None:
    """The same for a CountTokens body."""
    fault = input_fault(body)
    return invalid(fault) if fault else None


def refuse(body: dict[str, Any], rules: ModelRules, checks: tuple[Check, ...]) -> Refusal | None:
    """The first refusal of a request in Converse form whose fields were found to be right, or None."""
    checked = Checked(body, rules)
    if rules.family == "prompt" and not checked.messages:
        return None
    return next((refusal for check in checks if (refusal := check(checked))), None)


def refuse_prompt(prompt: Prompt, rules: ModelRules, tokens: int) -> Refusal | None:
    """The refusal of what is only known once the prompt is read: number and order of checkpoints, length."""
    return points.too_many(prompt, rules) or points.ttl_order(prompt) or _window(rules, tokens)


def _window(rules: ModelRules, tokens: int) -> Refusal | None:
    if tokens <= rules.context_window:
        return None
    if rules.family == "claude":
        # goose#7504, 2026-02, and moca#254, 2026-03; before that the other words: continue#9592, 2026-01.
        return model_error(f"prompt is too long: {tokens} tokens > {rules.context_window} maximum")
    return invalid("Input is too long for requested model.")

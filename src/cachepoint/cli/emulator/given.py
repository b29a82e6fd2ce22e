"""What is given by `NAME=VALUE` on the command line."""

import json
from collections.abc import Iterable
from typing import Any

import typer

from cachepoint.emulator import Guardrail


def by_model(given: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Options by model id, from `MODEL:OPTION=VALUE`."""
    models: dict[str, dict[str, Any]] = {}
    for text in given:
        left, equals, value = text.rpartition("=")
        # An id has colons of its own.
        model_id, colon, option = left.rpartition(":")
        if not (equals and colon and model_id):
            raise typer.BadParameter(f"{text!r} is not MODEL:OPTION=VALUE", param_hint="--model-option")
        models.setdefault(model_id, {})[option.replace("-", "_")] = _value(value)
    return models


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def guardrails(given: Iterable[str]) -> dict[str, Guardrail]:
    """Guardrails by id, from `ID=WORD,WORD`."""
    found = {}
    for text in given:
        identifier, _, words = text.partition("=")
        kept = tuple(word for word in words.split(",") if word)
        if not (identifier and kept):
            raise typer.BadParameter(f"{text!r} is not ID=WORD,WORD", param_hint="--guardrail")
        found[identifier] = Guardrail(words=kept)
    return found


def profiles(given: Iterable[str]) -> dict[str, str]:
    """The model behind each application inference profile, from `ARN=MODEL`."""
    found = {}
    for text in given:
        arn, _, model_id = text.partition("=")
        if not (arn and model_id):
            raise typer.BadParameter(f"{text!r} is not ARN=MODEL", param_hint="--profile")
        found[arn] = model_id
    return found

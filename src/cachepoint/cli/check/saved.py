"""A request in a file: Converse, or the body of an InvokeModel request."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachepoint.cli.named import model_id
from cachepoint.core.models.rules import ModelRules, rules_for
from cachepoint.core.prompt.dialects import DIALECTS, dialect_of
from cachepoint.core.prompt.dialects.reading import Reading, UnreadableError

STDIN = Path("-")
# A request of a million tokens has some 5 MB; files are in it as base64.
_MOST_BYTES = 64 << 20


class NoRequestError(ValueError):
    """What is in the file is no request; the message names the file, the line and what was expected."""


@dataclass(frozen=True)
class Saved:
    """A request that was saved.

    Attributes:
        file: Where it is from.
        request: The keyword arguments of `client.converse`, or the body.
        dialect: Its form.
        model: The id of the model that it is for.
        rules: The model's row.
        reading: It as the cache sees it.
    """

    file: Path
    request: dict[str, Any]
    dialect: str
    model: str
    rules: ModelRules
    reading: Reading


def load(file: Path, model: str | None) -> Saved:
    """Read a request from a file; `-` is standard input.

    Args:
        file: JSON: the keyword arguments of `client.converse`, or an InvokeModel body of Claude or Nova.
        model: The model where the request names none.

    Raises:
        NoRequestError: Where it is none.
        OSError: Where the file cannot be read.
        ValueError: Where no model is named, or none that is known.
    """
    request = _parsed(file, _text(file))
    named = request.get("modelId") or request.get("model") or model
    if not isinstance(named, str) or not named:
        raise ValueError(f"{_name(file)} names no model: give --model")
    meant = model_id(named)
    dialect, rules = dialect_of(request), rules_for(meant)
    try:
        reading: Reading = DIALECTS[dialect].read(request, rules)
    except UnreadableError as error:
        raise NoRequestError(f"{_name(file)}: no request: {error}") from error
    return Saved(file, request, dialect, meant, rules, reading)


def _text(file: Path) -> str:
    raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if file == STDIN else file.read_bytes()
    if len(raw) > _MOST_BYTES:
        raise NoRequestError(f"{_name(file)} has more than {_MOST_BYTES >> 20} MB: no request is that large")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise NoRequestError(f"{_name(file)}, line {line}: no UTF-8 text") from error


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except json.JSONDecodeError as error:
        raise NoRequestError(f"{_name(file)}, line {error.lineno}: no JSON: {error.msg}") from error
    except RecursionError as error:
        raise NoRequestError(f"{_name(file)}, line 1: nested too deeply for a request") from error
    if not isinstance(request, dict):
        raise NoRequestError(f"{_name(file)}, line 1: no request: an object with messages was expected")
    if not isinstance(request.get("messages"), list):
        raise NoRequestError(f'{_name(file)}, line 1: no request: it has no list under "messages"')
    return request


def _name(file: Path) -> str:
    return "standard input" if file == STDIN else str(file)

"""What LlamaIndex's own tables do not know of a model: context size, tool support, caching.

Upstream (llama-index-llms-bedrock-converse 0.15.5, utils.py) keeps exact ids and raises ValueError on
others behind a region prefix.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from llama_index.llms.bedrock_converse.utils import (
    bedrock_modelname_to_context_size,
    is_bedrock_prompt_caching_supported_model,
)

from cachepoint.core.models.rules import base_model

_T = TypeVar("_T")

# Upstream's ids that stand for a newer model where upstream asks for thinking, temperature and
# cache points: what it decides by id is the same for both.
_FABLE = "anthropic.claude-fable-5"
_GPT = "openai.gpt-6-sol"
_OTHER = "openai.gpt-oss-120b-1:0"


@dataclass(frozen=True, slots=True)
class Facts:
    """A row: `context_window` in tokens; `like` is the id of upstream's that it resembles."""

    pattern: str
    context_window: int
    like: str
    source: str
    tools: bool = True


_MODELS_DEV = "models.dev as of langchain-aws 1.9.1, checked 2026-11-22"
_PRICES = "genai-prices 0.2.3 (full 1M context window), checked 2026-11-22"

_ROWS = (
    Facts(r"anthropic\.claude-fable-5-1", 1_000_000, _FABLE, _MODELS_DEV),
    Facts(r"anthropic\.claude-(fable|mythos)-5-2", 1_000_000, _FABLE, _PRICES),
    Facts(r"anthropic\.claude-mythos-5(-1)?\b", 1_000_000, _FABLE, "as Fable, whose model it is; " + _PRICES),
    Facts(r"openai\.gpt-5\.[45]\b", 1_000_000, _GPT, _MODELS_DEV),
    Facts(r"openai\.gpt-(5\.6|6\.1)-", 1_050_000, _GPT, _MODELS_DEV),
    Facts(r"moonshotai\.kimi-k3", 1_048_576, _GPT, _MODELS_DEV),
    Facts(r"zai\.glm-5\.3", 1_000_000, _OTHER, _MODELS_DEV),
    Facts(r"xai\.grok-4\.3", 1_000_000, _OTHER, _MODELS_DEV),
    Facts(r"xai\.grok-4\.[67]", 500_000, _OTHER, _MODELS_DEV),
    Facts(r"minimax\.minimax-m2", 196_608, _OTHER, _MODELS_DEV),
    Facts(r"mistral\.mistral-large-3", 262_144, _OTHER, _MODELS_DEV),
)

# Models that cache, and upstream drops their system CachePoints: they are not in its list
# (llama-index-llms-bedrock-converse 0.15.5, utils.py, BEDROCK_PROMPT_CACHING_SUPPORTED_MODELS).
_CACHES_LIKE = (
    (r"amazon\.nova", "amazon.nova-lite-v1:0"),
    (r"anthropic\.claude", _FABLE),
)


def facts(model: str) -> Facts | None:
    """Our row of a model; None where there is none."""
    base = base_model(model) or ""
    return next((row for row in _ROWS if re.match(row.pattern, base)), None)


def is_known(model: str) -> bool:
    """Whether upstream has a context size for the model."""
    return _asks(bedrock_modelname_to_context_size, model) is not None


def stand_in(model: str) -> str:
    """The id under which upstream handles a model as it should; the model's own where that does."""
    if is_known(model):
        return model
    base = base_model(model)
    if base is not None and is_known(base):
        return base
    row = facts(model)
    return model if row is None else row.like


def caching_stand_in(model: str) -> str:
    """As `stand_in`, and upstream lets system CachePoints through.

    Only for models that do cache.
    """
    named = stand_in(model)
    if _asks(is_bedrock_prompt_caching_supported_model, named):
        return named
    base = base_model(named) or ""
    return next((like for pattern, like in _CACHES_LIKE if re.match(pattern, base)), named)


def _asks(table: Callable[[str], _T], model: str) -> _T | None:
    try:
        return table(model)
    except ValueError:
        return None

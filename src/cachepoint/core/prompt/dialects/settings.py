"""What a request asks for besides its prompt, by name: a change of it may cost the prefix."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

from cachepoint.core.prompt.dialects.reading import fields_of, normal

Settings = tuple[tuple[str, Any], ...]

# Measured on Bedrock: temperature and the most tokens don't matter (CacheCanary 0.4.0, Sonnet 4.6, 2026-10).
# How an answer is sampled, ended or labelled is no part of the prompt.
_HARMLESS = frozenset(
    {
        *("temperature", "topP", "top_p", "topK", "top_k", "maxTokens", "max_tokens", "max_new_tokens"),
        *("stopSequences", "stop_sequences", "stop", "metadata", "requestMetadata", "stream"),
        *("additionalModelResponseFieldPaths", "anthropic_version", "serviceTier", "inferenceConfig"),
    }
)
# The prompt itself, what names the model, and what is looked into by name.
_ELSEWHERE = frozenset(
    {
        *("messages", "system", "tools", "toolConfig", "modelId", "model", "cache_control"),
        *("additionalModelRequestFields", "outputConfig", "tool_choice"),
        *("performanceConfig", "performanceConfigLatency", "promptVariables"),
    }
)
_TOP = _HARMLESS | _ELSEWHERE
_OUTPUT = frozenset({"output_config", "outputConfig"})


def settings(request: Mapping[str, Any], fields: Mapping[str, Any], choice: Any) -> Settings:
    """What of a request is not known to be harmless, by name, in one normal form.

    Args:
        request: The request.
        fields: What only some models know, by name, where it does not stand at the top of the request.
        choice: What stands for the choice of a tool, as far as it matters; empty: the default.
    """
    top = request.keys() - _TOP
    if not (top or fields or choice):
        return ()
    named = {**{name: request[name] for name in top}, **fields, "tool_choice": choice}
    # JSON takes numbers as names, too.
    live = ((str(name), normal(value)) for name, value in _flat(named) if name not in _HARMLESS)
    return tuple(sorted(((name, value) for name, value in live if value), key=itemgetter(0)))


def _flat(named: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The output's settings one by one: another schema says nothing of the effort."""
    for name, value in named.items():
        if name in _OUTPUT:
            yield from ((f"{name}.{key}", part) for key, part in fields_of(value).items())
        else:
            yield name, value

"""What is refused when a client is built, or when it is called with an option that nobody knows."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from cachepoint.aws.kinds import is_awaited, service_model
from cachepoint.core.cache import PromptCache
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.options import refuse_misspelt
from cachepoint.core.policy import CachePolicy

_SERVICE = "bedrock-runtime"
# What a client is told, by the names that people give it: the models of the frameworks have others.
_OPTIONS = {
    "policy": "policy",
    "cache_policy": "policy",
    "cache": "cache",
    "prompt_cache": "cache",
    "base_model_id": "base_model_id",
    "control": "control",
}
_OF_POLICY = frozenset(f.name for f in fields(CachePolicy))
# botocore 1.44.8, the operations and their streams. What a newer one knows is asked of the client.
_FIELDS = {
    "Converse": frozenset(
        {
            "modelId",
            "messages",
            "system",
            "inferenceConfig",
            "toolConfig",
            "guardrailConfig",
            "projectIdentifier",
            "additionalModelRequestFields",
            "promptVariables",
            "additionalModelResponseFieldPaths",
            "requestMetadata",
            "performanceConfig",
            "serviceTier",
            "outputConfig",
        }
    ),
    "InvokeModel": frozenset(
        {
            "modelId",
            "body",
            "contentType",
            "accept",
            "trace",
            "guardrailIdentifier",
            "guardrailVersion",
            "performanceConfigLatency",
            "serviceTier",
            "requestMetadata",
            "projectIdentifier",
        }
    ),
}


def refuse_options(names: Iterable[str]) -> None:
    """Refuse options that no client has.

    Raises:
        InvalidOptionError: It names the one that was probably meant.
    """
    for name in names:
        raise InvalidOptionError(f"{name!r} is no option of a client: {_meant(name)}")


def _meant(name: str) -> str:
    if name in _OF_POLICY:
        return f"write policy={{{name!r}: ...}}"
    near = get_close_matches(name, _OPTIONS, n=1)
    return f"did you mean {_OPTIONS[near[0]]}=?" if near else f"there are {', '.join(set(_OPTIONS.values()))}"


def refuse_values(cache: Any, base_model_id: Any, control: Any) -> None:
    """Refuse what can't be what it is given as.

    Raises:
        InvalidOptionError: It names the option and what it takes.
    """
    if not isinstance(cache, PromptCache | None):
        raise InvalidOptionError(f"cache is {cache!r}; give a PromptCache")
    if not isinstance(base_model_id, str | None):
        raise InvalidOptionError(f"base_model_id is {base_model_id!r}; give the id of a model")
    if control is not None and not hasattr(control, "get_inference_profile"):
        raise InvalidOptionError(f"control is {type(control).__name__!r}; give a client of `bedrock`")


def refuse_client(client: Any, *, awaited: bool) -> None:
    """Refuse a client that is not of the kind that is wrapped. A stub may be anything.

    Args:
        client: What is to be wrapped.
        awaited: Whether its calls will be awaited.

    Raises:
        InvalidOptionError: It names the class that takes such a client.
    """
    model = service_model(client)
    if awaited and not hasattr(client, "converse") and hasattr(client, "__aenter__"):
        raise InvalidOptionError("give the client that `async with session.client(...) as client` opens")
    if model is not None and model.service_name != _SERVICE:
        raise InvalidOptionError(f"this is a client of {model.service_name!r}; give one of {_SERVICE!r}")
    found = is_awaited(client, "converse")
    if found and not awaited:
        raise InvalidOptionError("this client is awaited, as aioboto3's are: use AsyncCachingClient")
    if found is False and awaited:
        raise InvalidOptionError("this client is not awaited, as boto3's are not: use CachingClient")


def refuse_fields(client: Any, request: Mapping[str, Any], operation: str) -> None:
    """Refuse a misspelt option of ours. Of other unknown fields the client speaks better.

    Raises:
        InvalidOptionError: It names the option that was probably meant.
    """
    unknown = request.keys() - _FIELDS[operation]
    if unknown:
        refuse_misspelt(unknown, {*_members(client, operation), "cache_policy"})


def _members(client: Any, operation: str) -> Collection[str]:
    model = service_model(client)
    return () if model is None else model.operation_model(operation).input_shape.members.keys()

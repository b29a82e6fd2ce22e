"""Who may call, and which model from where."""

from collections.abc import Collection, Mapping

from cachepoint.emulator.cache.rules import ModelRules, base_model, geography, resolve
from cachepoint.emulator.service.calls import Incoming
from cachepoint.emulator.service.refusals.request import Refusal, invalid

__all__ = ["refuse_caller", "refuse_on_demand", "rules_of"]

_UNKNOWN_MODEL = invalid("The provided model identifier is invalid.")
_BAD_KEY = Refusal(
    403, "UnrecognizedClientException", "The security token included in the request is invalid."
)
_BAD_TOKEN = Refusal(
    403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid."
)
_NO_KEY = Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
_ON_DEMAND = (
    # The apostrophe is the service's.
    "Invocation of model ID {} with on-demand throughput isn\u2019t supported."
    " Retry your request with the ID or ARN of an inference profile that contains this model."
)
# Regions from which a profile of an area can be called: AWS user guide "Supported Regions and models for
# inference profiles", 2026. One of `global` can be called from all but GovCloud. Which model has which is not
# known here.
_AREAS: dict[str, tuple[str, ...]] = {
    "us": ("us-east-", "us-west-", "ca-"),
    "us-gov": ("us-gov-",),
    "eu": ("eu-",),
    "apac": ("ap-",),
    "au": ("ap-southeast-2", "ap-southeast-4", "ap-southeast-6"),
    "jp": ("ap-northeast-1", "ap-northeast-3"),
    "in": ("ap-south-1", "ap-south-2"),
    "ca": ("ca-",),
    "sa": ("sa-",),
}


def refuse_caller(incoming: Incoming, known: Collection[str] | None) -> Refusal | None:
    """The refusal of a key or token that is none of the known ones; where none are named, all are good."""
    if known is None:
        return None
    said = incoming.headers.get("authorization", "")
    if not said:
        return _NO_KEY
    if said.startswith("Bearer "):
        return None if said.removeprefix("Bearer ") in known else _BAD_TOKEN
    key = said.partition("Credential=")[2].partition("/")[0]
    return None if key in known else _BAD_KEY


def rules_of(model_id: str, incoming: Incoming, profiles: Mapping[str, str]) -> ModelRules | Refusal:
    """The rules of a model, or the refusal of an id that there is not, or not in this Region."""
    rules = resolve(model_id, profiles)
    if rules is None or not _reachable(base_model(model_id, profiles), incoming.region):
        return _UNKNOWN_MODEL
    return rules


def refuse_on_demand(model_id: str, rules: ModelRules, profiles: Mapping[str, str]) -> Refusal | None:
    """The refusal of a bare id that only a profile can call."""
    bare = model_id not in profiles and not geography(model_id)
    return invalid(_ON_DEMAND.format(model_id)) if bare and not rules.on_demand else None


def _reachable(model_id: str, region: str) -> bool:
    area = geography(model_id)
    if not region or not area:
        return True
    if area == "global":
        return not region.startswith("us-gov-")
    return region.startswith(_AREAS[area])

"""GetInferenceProfile, so that an application profile's ARN can be followed to its model."""

import re
from collections.abc import Mapping
from typing import Any

from cachepoint.emulator.cache.rules import bare_model, base_model, is_cross_region, resolve

__all__ = ["describe_profile"]

_CREATED = "2026-01-01T00:00:00Z"
_OTHER_REGIONS = ("us-east-1", "us-west-2")


def describe_profile(name: str, profiles: Mapping[str, str], region: str) -> dict[str, Any] | None:
    """The profile of this id or ARN as botocore 1.44.5 has it; None if there is none."""
    arn = next((one for one in profiles if name in (one, _short(one))), None)
    if arn is not None:
        return _shape(arn, profiles[arn], "APPLICATION", region)
    known = is_cross_region(name, {}) and resolve(name) is not None
    system = f"arn:aws:bedrock:{region}:123456789012:inference-profile/{base_model(name, {})}"
    return _shape(system, name, "SYSTEM_DEFINED", region) if known else None


def _shape(arn: str, model: str, kind: str, region: str) -> dict[str, Any]:
    regions = dict.fromkeys([region, *(_OTHER_REGIONS if is_cross_region(model, {}) else ())])
    bare = bare_model(base_model(model, {}))
    return {
        "inferenceProfileName": re.sub(r"[^0-9a-zA-Z _-]", "-", _short(arn)),
        "inferenceProfileArn": arn,
        "inferenceProfileId": _short(arn),
        "models": [{"modelArn": f"arn:aws:bedrock:{one}::foundation-model/{bare}"} for one in regions],
        "status": "ACTIVE",
        "type": kind,
        "createdAt": _CREATED,
        "updatedAt": _CREATED,
    }


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]

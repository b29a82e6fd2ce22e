"""Where a checkpoint may not be."""

from itertools import pairwise
from typing import Any

from cachepoint.emulator.cache.prompt import Prompt
from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid, model_error

__all__ = ["CHECKS", "MODEL_CHECKS", "too_many", "ttl_order"]

_REMOVE = "Please remove the invalid cache point and try again."
_NOTHING = f"There is nothing available to cache. {_REMOVE}"
_REASONING = f"Cache point cannot be inserted after reasoning block. {_REMOVE}"
_UNSUPPORTED = {
    "denied": Refusal(
        403,
        "AccessDeniedException",
        "You invoked an unsupported model or your request did not allow prompt caching."
        " See the documentation for more information.",
    ),
    "field": invalid(
        "This model doesn't support the cachePoint field. Remove cachePoint from your request and try again."
    ),
}
_EXTRANEOUS = (
    "Malformed input request: #/{}: extraneous key [cachePoint] is not permitted,"
    " please reformat your input and try again."
)
_EXTENDED_TTL = "Extended TTL prompt caching is only supported for Anthropic models"
_TOO_MANY = "A maximum of {} blocks with cache_control may be provided. Found {}."
_TTL_ORDER = (
    "{}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."
    " Note that blocks are processed in the following order: `tools`, `system`, `messages`."
)


def too_many(prompt: Prompt, rules: ModelRules) -> Refusal | None:
    """More checkpoints than the model takes."""
    found = len(prompt.markers)
    return invalid(_TOO_MANY.format(rules.max_checkpoints, found)) if found > rules.max_checkpoints else None


def ttl_order(prompt: Prompt) -> Refusal | None:
    """A longer ttl behind a shorter one."""
    pairs = pairwise(prompt.markers)
    late = next((after for before, after in pairs if (before.ttl, after.ttl) == ("5m", "1h")), None)
    return invalid(_TTL_ORDER.format(late.at)) if late else None


def _unsupported_model(checked: Checked) -> Refusal | None:
    asked = checked.points and not checked.rules.explicit
    return _UNSUPPORTED[checked.rules.unsupported] if asked else None


def _nothing_before(checked: Checked) -> Refusal | None:
    return invalid(_NOTHING) if any(point.carrier < 0 for point in checked.points) else None


def _after_reasoning(checked: Checked) -> Refusal | None:
    # Only the block before: rig#1673 suspects that the whole message is looked at, rig#1833 disputes it.
    after = any("reasoningContent" in point.before for point in checked.points)
    return invalid(_REASONING) if after else None


def _after_document(checked: Checked) -> Refusal | None:
    # [text, document, cachePoint] is refused at content.2: the point itself, left without a block to
    # sit on (aws-sdk-java-v2#6277; agentcore-public-stack#668, 2026-07).
    point = next((point for point in checked.points if _unmarkable(point.before)), None)
    if point is None:
        return None
    return model_error(f"{point.path.replace('/', '.')}.{point.carrier + 1}.type: Field required")


def _unmarkable(block: dict[str, Any]) -> bool:
    # PDFs and images carry a checkpoint, other documents and videos do not: strands#1966, pydantic-ai.
    return "video" in block or ("document" in block and block["document"].get("format", "txt") != "pdf")


def _nova_tools(checked: Checked) -> Refusal | None:
    if checked.rules.family != "nova":
        return None
    beside = (point for point in checked.points if point.path == "toolConfig/tools" or point.beside_tools)
    point = next(beside, None)
    return invalid(_EXTRANEOUS.format(f"{point.path}/{max(0, point.carrier)}")) if point else None


def _nova_media(checked: Checked) -> Refusal | None:
    # generative-ai-use-cases#1077: behind an image. The words are those for tool blocks: the point becomes a
    # key of the block before it, which only a text has.
    if checked.rules.family != "nova":
        return None
    point = next((point for point in checked.points if _MEDIA & point.before.keys()), None)
    return invalid(_EXTRANEOUS.format(f"{point.path}/{point.carrier}")) if point else None


_MEDIA = frozenset(("image", "document", "video", "audio"))


def _nova_ttl(checked: Checked) -> Refusal | None:
    extended = checked.rules.family == "nova" and any(point.ttl == "1h" for point in checked.points)
    return invalid(_EXTENDED_TTL) if extended else None


def _latency(checked: Checked) -> Refusal | None:
    # boto3#4626, 2025-09
    optimized = (checked.body.get("performanceConfig") or {}).get("latency") == "optimized"
    if not optimized or not checked.points:
        return None
    point = checked.points[0]
    at = point.path.replace("toolConfig/", "").replace("/", ".")
    return model_error(f"{at}.{max(0, point.carrier)}.cache_control: Extra inputs are not permitted")


CHECKS: tuple[Check, ...] = (
    _unsupported_model,
    _nova_tools,
    _nova_media,
    _nothing_before,
    _after_reasoning,
    _after_document,
    _nova_ttl,
    _latency,
)
MODEL_CHECKS: tuple[Check, ...] = (_latency,)

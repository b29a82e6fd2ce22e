"""What Bedrock says when it refuses a checkpoint, and what that teaches about the model."""

from dataclasses import replace
from typing import Any

from cachepoint.core.models.rules import ModelRules

# bedrock-facts §7, 2026-11-22. Matched on the text: the codes (ValidationException,
# AccessDeniedException) mean other things too. Beside each: what of the model's row it disproves;
# nothing, where the fault is the one request's.
_NOTHING: dict[str, Any] = {"explicit": False}
_TEACHES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("did not allow prompt caching", _NOTHING),
    ("support the cachePoint field", _NOTHING),
    ("#/toolConfig/tools", {"fields": ("system", "messages")}),
    ("#/messages/", {"fields": ("system",)}),
    ("Extended TTL prompt caching", {"ttls": ("5m",)}),
    ("extraneous key [cachePoint]", _NOTHING),
    ("nothing available to cache", {}),
    ("Cache point cannot be inserted", {}),
    ("blocks with cache_control may be provided", {}),
    ("cache_control block must not come after", {}),
    ("cache_control: Extra inputs are not permitted", {}),
)


def is_refusal(message: str) -> bool:
    """Whether Bedrock's message is about a checkpoint."""
    return any(text in message for text, _ in _TEACHES) or (
        # Behind a non-PDF document: "messages.0.content.3.type: Field required" (strands#1966).
        "messages." in message and ".type: Field required" in message
    )


def read_refusal(message: str, placed: Any) -> frozenset[str] | None:  # noqa
    if not is_refusal(message):
        return None
    for text, facts in (
        ("did not allow prompt caching", {"explicit"}),
        ("support the cachePoint", {"explicit"}),
        ("#/toolConfig/tools", {"tools"}),
        ("#/messages/", {"messages"}),
        ("Extended TTL", {"1h"}),
        ("extraneous key [cachePoint]", {"explicit"}),
    ):
        if text in message:
            return frozenset(facts)
    return frozenset()


def stricter(rules: ModelRules, facts: Any) -> ModelRules:  # noqa
    return replace(
        rules,
        explicit=rules.explicit and "explicit" not in facts,
        fields=tuple(f for f in rules.fields if f not in facts),
        ttls=tuple(t for t in rules.ttls if t not in facts),
    )

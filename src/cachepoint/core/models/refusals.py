"""What Bedrock says when it refuses a checkpoint, and what that teaches about the model."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from cachepoint.core.models.rules import ModelRules

Place = tuple[str, tuple[int, ...]]
"""Where a checkpoint stands in a request as it was sent: its layer, and its path there."""

# Matched on the text: the codes (ValidationException, AccessDeniedException) mean other things too.
# Beside each, what of the model's row it disproves; nothing, where the fault is the one request's.
_NOTHING: frozenset[str] = frozenset()
_EXPLICIT = frozenset({"explicit"})
_SPOKEN: tuple[tuple[str, frozenset[str]], ...] = (
    # Llama 3.3, Mistral Large and DeepSeek R1 on Converse (litellm#39210, 2026-09).
    ("did not allow prompt caching", _EXPLICIT),
    # Kimi K3 on Converse (2026-11).
    ("support the cachePoint field", _EXPLICIT),
    # Nova, asked for 1h.
    ("Extended TTL prompt caching", frozenset({"1h"})),
    # strands harness-sdk#3677, vercel/ai#19851 (2026).
    ("nothing available to cache", _NOTHING),
    # rig#1673, opencode#36517 (2026).
    ("Cache point cannot be inserted", _NOTHING),
    ("blocks with cache_control may be provided", _NOTHING),
    # Portkey-AI/gateway#1762 (2026-08).
    ("cache_control block must not come after", _NOTHING),
)
# boto3#4626: "system.0.cache_control: Extra inputs are not permitted". A body's own "cache_control"
# (automatic caching) and keys inside one are the caller's, but for the ttl: in bodies,
# "tools.20.custom.cache_control.ephemeral.ttl" (litellm#15880, 2025-10) and
# "messages.0.content.0.text.cache_control.ephemeral.ttl" (litellm#34248, 2026-07).
_EXTRA = re.compile(
    r"\.\d+(?:\.\w+)?\.cache_control(?P<ttl>(?:\.ephemeral)?\.ttl)?: Extra inputs are not permitted"
)
# hermes-agent#97281, pi#2053 (2026): the number is the block's that the checkpoint hangs on.
_EXTRANEOUS = re.compile(
    r"#(?:/(?:toolConfig/)?(?P<layer>tools|system|messages)(?:/(?P<index>\d{1,9}))?)?[^\s#]*: "
    r"extraneous key \[cachePoint\]"
)
# strands#1966, aws-sdk-java-v2#6277: a checkpoint behind a document that is no PDF. Any block of the
# caller's that lacks its type reads the same, so only the place can tell.
_UNTYPED = re.compile(r"(?<![\w.])messages\.(\d{1,9})\.content\.(\d{1,9})\.type: Field required")


def is_refusal(message: str) -> bool:
    """Whether Bedrock's message speaks of a checkpoint, whoever placed it."""
    return bool(_EXTRANEOUS.search(message)) or _spoken(message) is not None


def read_refusal(message: str, placed: Sequence[Place]) -> frozenset[str] | None:
    """What Bedrock's message disproves of a model's row, if it is about a checkpoint of ours.

    Args:
        message: Bedrock's error message.
        placed: Where our checkpoints stand in the request as it was sent: (layer, path of the block
            that is or carries one), as a dialect's `points` gives them; none of the caller's.

    Returns:
        None where the message is about something else, or about none of ours. Else what it disproves,
        for `stricter`: `"explicit"`, a layer (`"tools"`, `"system"`, `"messages"`) or `"1h"`; empty
        where the fault is this one request's.
    """
    if not placed:
        return None
    if pointed := list(_EXTRANEOUS.finditer(message)):
        facts = [fact for found in pointed if (fact := _pointed(found, placed))]
        return frozenset(facts) if facts else None
    if (facts_spoken := _spoken(message)) is not None:
        return facts_spoken
    return _NOTHING if _untyped(message, placed) else None


def _spoken(message: str) -> frozenset[str] | None:
    found = next((facts for text, facts in _SPOKEN if text in message), None)
    extra = _EXTRA.search(message) if found is None else None
    if extra is None:
        return found
    return frozenset({"1h"}) if extra["ttl"] else _NOTHING


def _pointed(found: re.Match[str], placed: Sequence[Place]) -> str | None:
    """What a pointer to a list disproves where one of ours stands in that list."""
    layer = found["layer"]
    if layer is None:
        return "explicit"
    index = found["index"] if layer == "messages" else None
    in_list = any(at == layer and (index is None or path[0] == int(index)) for at, path in placed)
    return layer if in_list else None


def _untyped(message: str, placed: Sequence[Place]) -> bool:
    """Whether a block without a type is a checkpoint of ours, its number with or without those before it."""
    named = {(int(turn), int(block)) for turn, block in _UNTYPED.findall(message)}
    for layer, path in placed if named else ():
        earlier = sum(1 for at, p in placed if at == layer and p[:-1] == path[:-1] and p < path)
        if layer == "messages" and not named.isdisjoint({path, (path[0], path[-1] - earlier)}):
            return True
    return False


def stricter(rules: ModelRules, facts: Collection[str]) -> ModelRules:
    """The model's row without what was disproved.

    Args:
        rules: The row.
        facts: As `read_refusal` gives them, of any number of refusals; words that say nothing of a
            row are passed over.
    """
    if not facts:
        return rules
    return replace(
        rules,
        explicit=rules.explicit and "explicit" not in facts,
        fields=tuple(f for f in rules.fields if f not in facts),
        ttls=tuple(t for t in rules.ttls if t not in facts),
    )

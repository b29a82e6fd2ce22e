"""A Converse request as the cache sees it: blocks in order, and the checkpoints between them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from cachepoint.emulator.cache.rules import ModelRules
from cachepoint.emulator.cache.settings import effort, is_forced, text_format, thinking, tool_choice

__all__ = ["Block", "Marker", "Prompt", "chain", "read_prompt"]

_DEFAULT_TTL = "5m"


@dataclass(frozen=True, slots=True)
class Block:
    """One tool, system block or content block; `opens` is the role of a message it starts."""

    section: str
    payload: dict[str, Any]
    raw: bytes
    opens: str | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """A checkpoint after the first `position` blocks.

    `at` names the block it sits on, as Anthropic's errors do.
    """

    position: int
    ttl: str
    section: str
    at: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Blocks and markers, and what else each section's prefix depends on."""

    blocks: tuple[Block, ...]
    markers: tuple[Marker, ...]
    salts: dict[str, bytes]


def read_prompt(request: dict[str, Any], rules: ModelRules) -> Prompt:
    """Blocks and markers of a validated Converse body."""
    blocks: list[Block] = []
    markers: list[Marker] = []
    for section, at, role, items in _lists(request):
        _read_list(section, at, role, items, blocks, markers)
    return Prompt(
        tuple(blocks), tuple(_known_ttl(marker, rules) for marker in markers), _salts(request, rules)
    )


def _known_ttl(marker: Marker, rules: ModelRules) -> Marker:
    # A Claude that only knows 5m takes "1h" in silence: danny-avila/agents#256, 2026.
    return marker if marker.ttl in rules.ttls else replace(marker, ttl=_DEFAULT_TTL)


def chain(prompt: Prompt) -> list[bytes]:
    """For every block the digest of everything up to and with it."""
    digests, digest, section = [], b"", ""
    for block in prompt.blocks:
        if block.section != section:
            digest += _salts_between(prompt.salts, section, block.section)
            section = block.section
        head = f"{block.section}|{block.opens or ''}|".encode()
        digest = blake2b(digest + head + block.raw, digest_size=16).digest()
        digests.append(digest)
    return digests


_ORDER = ("", "tools", "system", "messages")


def _salts_between(salts: dict[str, bytes], left: str, right: str) -> bytes:
    return b"".join(salts.get(name, b"") for name in _ORDER[_ORDER.index(left) + 1 : _ORDER.index(right) + 1])


def _lists(request: dict[str, Any]) -> Iterator[tuple[str, str, str | None, Sequence[dict[str, Any]]]]:
    yield "tools", "tools.{}", None, (request.get("toolConfig") or {}).get("tools") or ()
    yield "system", "system.{}", None, request.get("system") or ()
    for index, message in enumerate(request.get("messages") or ()):
        yield "messages", f"messages.{index}.content.{{}}", message["role"], message["content"]


def _read_list(
    section: str,
    at: str,
    role: str | None,
    items: Sequence[dict[str, Any]],
    blocks: list[Block],
    markers: list[Marker],
) -> None:
    start = len(blocks)
    for item in items:
        if "cachePoint" in item:
            on = at.format(max(0, len(blocks) - start - 1))
            markers.append(Marker(len(blocks), item["cachePoint"].get("ttl") or _DEFAULT_TTL, section, on))
            continue
        payload = _without_inner_points(item)
        blocks.append(Block(section, payload, _dump(payload), role if len(blocks) == start else None))


def _without_inner_points(item: dict[str, Any]) -> dict[str, Any]:
    # A point inside toolResult.content is accepted over raw HTTP and caches nothing:
    # measured by CacheCanary 0.4.0, 2026-10.
    content = item.get("toolResult", {}).get("content")
    if not content or not any("cachePoint" in part for part in content):
        return item
    kept = [part for part in content if "cachePoint" not in part]
    return {**item, "toolResult": {**item["toolResult"], "content": kept}}


def _dump(value: Any) -> bytes:
    # Key order is kept: the prefix is byte-exact, another order in a tool schema is a miss
    # (Anthropic docs, 2026).
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _salts(request: dict[str, Any], rules: ModelRules) -> dict[str, bytes]:
    return _SALTS.get(rules.family, lambda _: {})(request)


def _claude_salts(request: dict[str, Any]) -> dict[str, bytes]:
    # Thinking and effort lose everything, tools included; any/tool against auto/none loses messages
    # only; temperature and maxTokens lose nothing. Measured on Sonnet 4.6 by CacheCanary 0.4.0, 2026-10.
    # Another textFormat on the same text loses everything too: eight tests on Bedrock,
    # exploration.grjus.eu, 2026.
    forced = b"forced" if is_forced(request) else b""
    return {"tools": _dump([thinking(request), effort(request), text_format(request)]), "messages": forced}


def _nova_salts(request: dict[str, Any]) -> dict[str, bytes]:
    # A second toolChoice wrote the whole prefix again: pydantic-ai recording on Nova Lite, 2026-08.
    return {"tools": _dump(tool_choice(request))}


_SALTS = {"claude": _claude_salts, "nova": _nova_salts}

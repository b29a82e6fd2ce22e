"""How many tokens a prompt and an answer count: an estimate, no tokenizer of Claude or Nova is public."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from cachepoint.emulator.cache.prompt import Block, Prompt
from cachepoint.emulator.cache.rules import ModelRules

__all__ = ["Sizer", "count_answer", "count_text", "default_sizer"]

_MESSAGE_OVERHEAD = 3
_IMAGE_TOKENS = 1200
_VIDEO_TOKENS = 2400
_DOCUMENT_BYTES_PER_TOKEN = 6  # base64 on the wire against the text of a document


class Sizer(Protocol):
    """Tokens of every block in order, then those that follow the last block."""

    def __call__(self, prompt: Prompt, rules: ModelRules, /) -> Sequence[int]:
        """Tokens of one prompt."""
        ...


def default_sizer(prompt: Prompt, rules: ModelRules) -> list[int]:
    """Bytes of text over the model's bytes per token; images at a flat figure, documents by size."""
    return [*(_count_block(block, rules) for block in prompt.blocks), rules.trailing_tokens]


def count_text(text: str, rules: ModelRules) -> int:
    """Tokens of a text."""
    return max(1, round(len(text.encode("utf-8", "surrogatepass")) / rules.bytes_per_token)) if text else 0


def count_answer(content: Iterable[dict[str, Any]], rules: ModelRules) -> int:
    """Output tokens of an assistant message, in Converse form."""
    return max(1, sum(_count_payload(block, rules) for block in content))


def _count_block(block: Block, rules: ModelRules) -> int:
    size = _count_raw(block, rules) if _is_plain(block.payload) else _count_payload(block.payload, rules)
    return size + (_MESSAGE_OVERHEAD if block.opens else 0)


def _is_plain(payload: dict[str, Any]) -> bool:
    return "toolSpec" in payload or "systemTool" in payload


def _count_raw(block: Block, rules: ModelRules) -> int:
    return max(1, round(len(block.raw) / rules.bytes_per_token))


def _count_payload(payload: dict[str, Any], rules: ModelRules) -> int:
    return sum(_COUNTERS.get(key, _count_json)(value, rules) for key, value in payload.items())


def _count_json(value: Any, rules: ModelRules) -> int:
    return count_text(json.dumps(value, ensure_ascii=False), rules)


def _count_document(value: Any, rules: ModelRules) -> int:
    source = value.get("source", {})
    if text := source.get("text"):
        return count_text(text, rules) + _MESSAGE_OVERHEAD
    return max(_MESSAGE_OVERHEAD, len(source.get("bytes", "")) // _DOCUMENT_BYTES_PER_TOKEN)


def _count_result(value: Any, rules: ModelRules) -> int:
    inner = sum(_count_payload(part, rules) for part in value.get("content", ()))
    return inner + count_text(value.get("toolUseId", ""), rules)


def _flat(tokens: int) -> Callable[[Any, ModelRules], int]:
    return lambda _value, _rules: tokens


_COUNTERS: dict[str, Callable[[Any, ModelRules], int]] = {
    "text": count_text,
    "image": _flat(_IMAGE_TOKENS),
    "video": _flat(_VIDEO_TOKENS),
    "document": _count_document,
    "toolResult": _count_result,
}

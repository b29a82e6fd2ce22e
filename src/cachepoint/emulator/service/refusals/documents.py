"""What documents may not be, in messages and in what tools gave."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cachepoint.emulator.service.refusals.request import Check, Checked, Refusal, invalid

__all__ = ["CHECKS"]

# The error does not list the underscore, and Bedrock takes it; it refuses tabs and wide spaces: measured on
# Haiku 4.5, generative-ai-use-cases#1671, 2026-08.
_NAME = re.compile(r"[A-Za-z0-9_()\[\] -]+")
_BAD_NAME = invalid(
    "The document file name can only contain alphanumeric characters, whitespace characters, hyphens,"
    " parentheses, and square brackets. The name can't contain more than one consecutive whitespace"
    " character. Check that the file name conforms to these restrictions and retry your request."
)
_CITED = ("pdf", "txt")


def _names(checked: Checked) -> Refusal | None:
    # llm-bedrock#8, 2024-12; vercel/ai#20365, 2026-09
    names = (document["name"] for document in _all(checked))
    return _BAD_NAME if any("  " in name or not _NAME.fullmatch(name) for name in names) else None


def _duplicates(checked: Checked) -> Refusal | None:
    # bifrost#7003, 2026-09; over all messages (ag-ui#2425, 2026-08) and tool results (opencode#48756,
    # 2026-09).
    names = Counter(document["name"] for document in _all(checked))
    text = "Messages can't contain duplicate document names. Rename the document and retry your request."
    return invalid(text) if any(times > 1 for times in names.values()) else None


def _without_text(checked: Checked) -> Refusal | None:
    # archestra#4220, 2026-04
    def bare(message: dict[str, Any]) -> bool:
        keys = {key for block in message["content"] for key in block}
        return "document" in keys and "text" not in keys

    alone = any(message["role"] == "user" and bare(message) for message in checked.messages)
    return invalid("A text block must be included when using documents.") if alone else None


def _cited_in_results(checked: Checked) -> Refusal | None:
    # boto3#4648, 2025-10
    cited = any(map(_is_cited, _in_results(checked)))
    return invalid("Citations are not supported in tool result documents.") if cited else None


def _cited_format(checked: Checked) -> Refusal | None:
    # boto3#4726, 2026-02
    cited = (document for document in _in_messages(checked) if _is_cited(document))
    text = "Unsupported document format. Only txt and pdf formats are supported when citations are enabled"
    return invalid(text) if any(one.get("format", "txt") not in _CITED for one in cited) else None


def _without_source(checked: Checked) -> Refusal | None:
    # bifrost#7072, 2026-09: of a source of text alone, which goes with citations (AWS API reference,
    # DocumentSource).
    text = "DocumentSource object at {} must set one of the following keys: bytes, s3Location."
    for i, message in enumerate(checked.messages):
        for j, block in enumerate(message["content"]):
            document = block.get("document") or {"source": {"bytes": ""}}
            if not _BYTES & document["source"].keys() and not _is_cited(document):
                return invalid(text.format(f"messages.{i}.content.{j}.document.source"))
    return None


_BYTES = frozenset(("bytes", "s3Location"))


def _is_cited(document: dict[str, Any]) -> bool:
    return bool((document.get("citations") or {}).get("enabled"))


def _all(checked: Checked) -> Iterator[dict[str, Any]]:
    yield from _in_messages(checked)
    yield from _in_results(checked)


def _in_messages(checked: Checked) -> Iterator[dict[str, Any]]:
    return _documents(block for message in checked.messages for block in message["content"])


def _in_results(checked: Checked) -> Iterator[dict[str, Any]]:
    blocks = (block for message in checked.messages for block in message["content"])
    return _documents(part for block in blocks for part in (block.get("toolResult") or {}).get("content", ()))


def _documents(blocks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (block["document"] for block in blocks if "document" in block)


CHECKS: tuple[Check, ...] = (
    _without_text,
    _names,
    _duplicates,
    _without_source,
    _cited_in_results,
    _cited_format,
)

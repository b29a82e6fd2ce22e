"""The Converse wire form: `cachePoint` blocks of their own, behind the block they mark."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachepoint.core.dialects.reading import Marks, Reading, effort_settings
from cachepoint.core.prefix import Layer, Mark, RawBlock
from cachepoint.core.rules import ModelRules

# Blocks behind which Bedrock takes a cachePoint (bedrock-facts §2.6, 2026-11-22). Not here:
# reasoningContent ("Cache point cannot be inserted after reasoning block"), video and audio
# (like a non-PDF document), citationsContent and tool changes (nobody has measured them).
MARKABLE = frozenset({"text", "image", "toolUse", "toolResult", "guardContent", "searchResult", "document"})
# Nova caches "mainly text" (AWS user guide, 2026-10).
NOVA_MARKABLE = frozenset({"text"})
TOOL_BLOCKS = frozenset({"toolUse", "toolResult"})
CACHE_POINT = "cachePoint"


def read(request: Mapping[str, Any], rules: ModelRules) -> Reading:
    """The blocks of a Converse request in cache order.

    Args:
        request: The keyword arguments of `client.converse`.
        rules: The row of the model; it decides where a checkpoint may stand.
    """
    tool_config = request.get("toolConfig") or {}
    raw: list[RawBlock] = []
    orphans = 0
    for layer, items in (("tools", tool_config.get("tools")), ("system", request.get("system"))):
        blocks, lost = _list(layer, items or (), rules)  # type: ignore[arg-type]
        raw += blocks
        orphans += lost
    for index, message in enumerate(request.get("messages") or ()):
        blocks, lost = _message(index, message, rules)
        raw += blocks
        orphans += lost
    choice = tool_config.get("toolChoice") or {}
    return Reading(
        raw=raw,
        invalidates=effort_settings(request.get("additionalModelRequestFields"))
        + (json.dumps(choice) if rules.is_nova else ""),
        turn="forced" if {"any", "tool"} & set(choice) else "",
        orphans=orphans,
        refusal=_refusal(request),
    )


def _refusal(request: Mapping[str, Any]) -> str | None:
    # Latency-optimised inference answers "system.0.cache_control: Extra inputs are not permitted"
    # (boto3#4626).
    if (request.get("performanceConfig") or {}).get("latency") == "optimized":
        return "latency-optimized inference refuses checkpoints"
    return None


def _list(layer: Layer, items: Sequence[Mapping[str, Any]], rules: ModelRules) -> tuple[list[RawBlock], int]:
    blocks: list[RawBlock] = []
    orphans = 0
    for i, item in enumerate(items):
        if CACHE_POINT in item:
            orphans += not _attach(blocks, item)
            continue
        kind = _kind(item)
        blocks.append(
            RawBlock(
                layer,
                (i,),
                kind,
                item["text"] if kind == "text" else item,
                opens=not blocks,
                markable=layer in rules.fields and _text_ok(item),
            )
        )
    return blocks, orphans


def _message(index: int, message: Mapping[str, Any], rules: ModelRules) -> tuple[list[RawBlock], int]:
    content = message.get("content") or ()
    markable = _markable_kinds(content, rules)
    blocks: list[RawBlock] = []
    orphans = 0
    for i, item in enumerate(content):
        if CACHE_POINT in item:
            orphans += not _attach(blocks, item)
            continue
        kind = _kind(item)
        blocks.append(
            RawBlock(
                "messages",
                (index, i),
                kind,
                item["text"] if kind == "text" else item,
                role=message.get("role", ""),
                opens=not blocks,
                markable=kind in markable and _text_ok(item) and _document_ok(item),
            )
        )
        if kind == "toolResult":
            _lift_nested(blocks, item["toolResult"])
    return blocks, orphans


def _markable_kinds(content: Sequence[Mapping[str, Any]], rules: ModelRules) -> frozenset[str]:
    if "messages" not in rules.fields:
        return frozenset()
    if not rules.is_nova:
        return MARKABLE
    # Nova: "#/messages/6/content/0: extraneous key [cachePoint] is not permitted" in any message
    # with tool blocks (pi#2053, zeroclaw#8943).
    return frozenset() if any(TOOL_BLOCKS & set(item) for item in content) else NOVA_MARKABLE


def _attach(blocks: list[RawBlock], item: Mapping[str, Any]) -> bool:
    """Hang a cachePoint on the block before it; a second one in a row adds nothing."""
    if not blocks:
        return False
    point = item[CACHE_POINT]
    before = blocks[-1]
    mark = Mark(ttl=point.get("ttl"), raw=dict(item))
    if before.mark is None or (mark.ttl == "1h" and before.mark.ttl != "1h"):
        blocks[-1] = _with_mark(before, mark)
    return True


def _with_mark(block: RawBlock, mark: Mark) -> RawBlock:
    return RawBlock(
        block.layer,
        block.path,
        block.kind,
        block.payload,
        block.role,
        block.opens,
        block.markable,
        mark,
    )


def _lift_nested(blocks: list[RawBlock], result: Mapping[str, Any]) -> None:
    """A cachePoint inside toolResult.content is refused by boto3: what was meant is behind it."""
    content = result.get("content") or ()
    nested = [item for item in content if CACHE_POINT in item]
    if not nested:
        return
    clean = {**result, "content": [item for item in content if CACHE_POINT not in item]}
    last = blocks[-1]
    blocks[-1] = RawBlock(
        last.layer,
        last.path,
        last.kind,
        {"toolResult": clean},
        last.role,
        last.opens,
        last.markable,
        last.mark,
    )
    for item in nested:
        _attach(blocks, item)


def _kind(item: Mapping[str, Any]) -> str:
    return next(iter(item), "")


def _text_ok(item: Mapping[str, Any]) -> bool:
    """Empty text can't be cached (botocore model and Anthropic docs, 2026-11)."""
    return "text" not in item or bool(item["text"].strip())


def _document_ok(item: Mapping[str, Any]) -> bool:
    """Only PDFs: `messages.0.content.3.type: Field required` behind any other (strands#1966)."""
    return "document" not in item or item["document"].get("format") == "pdf"


def write(request: Mapping[str, Any], marks: Marks) -> dict[str, Any]:
    """A copy of the request that holds exactly these checkpoints.

    Args:
        request: What `read` read; it stays as it is, and so does every list inside it.
        marks: For (layer, path) of a block, the `cachePoint` block to stand behind it.
    """
    out = dict(request)
    if request.get("toolConfig"):
        tools = _rewrite("tools", (), request["toolConfig"].get("tools"), marks)
        if tools is not request["toolConfig"].get("tools"):
            out["toolConfig"] = {**request["toolConfig"], "tools": tools}
    if request.get("system"):
        out["system"] = _rewrite("system", (), request["system"], marks)
    if request.get("messages"):
        out["messages"] = [
            _rewrite_message(i, message, marks) for i, message in enumerate(request["messages"])
        ]
    return out


def _rewrite_message(index: int, message: Mapping[str, Any], marks: Marks) -> Mapping[str, Any]:
    content = message.get("content")
    new = _rewrite("messages", (index,), content, marks)
    return message if new is content else {**message, "content": new}


def _rewrite(
    layer: Layer, stem: tuple[int, ...], items: Sequence[Any] | None, marks: Marks
) -> Sequence[Any] | None:
    if items is None:
        return None
    new = list(_with_marks(layer, stem, items, marks))
    same = len(new) == len(items) and all(a is b or a == b for a, b in zip(new, items, strict=True))
    return items if same else new


def _with_marks(layer: Layer, stem: tuple[int, ...], items: Sequence[Any], marks: Marks) -> Iterator[Any]:
    for i, item in enumerate(items):
        if CACHE_POINT in item:
            continue
        yield _without_nested(item)
        mark = marks.get((layer, (*stem, i)))
        if mark is not None:
            yield mark


def _without_nested(item: Any) -> Any:
    content = (item.get("toolResult") or {}).get("content") or ()
    if not any(CACHE_POINT in part for part in content):
        return item
    clean = [part for part in content if CACHE_POINT not in part]
    return {**item, "toolResult": {**item["toolResult"], "content": clean}}


def mark(ttl: str, before: Mark | None = None) -> dict[str, Any]:
    """The block of a checkpoint; the caller's own wording where it says the same."""
    if before is not None and (before.ttl or "5m") == ttl:
        return before.raw
    return {CACHE_POINT: {"type": "default"} | ({"ttl": ttl} if ttl != "5m" else {})}

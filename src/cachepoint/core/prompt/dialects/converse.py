"""The Converse wire form: `cachePoint` blocks of their own, behind the block they mark."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cachepoint.core.models.rules import ModelRules
from cachepoint.core.prompt.dialects.reading import Cuts, Marks, Reading, Touched, effort_settings
from cachepoint.core.prompt.prefix import Layer, Mark, RawBlock, quick

# Blocks behind which Bedrock takes a cachePoint (bedrock-facts §2.6, 2026-11-22). Not here:
# reasoningContent ("Cache point cannot be inserted after reasoning block"), video and audio
# (like a non-PDF document), citationsContent and tool changes (nobody has measured them).
MARKABLE = frozenset({"text", "image", "toolUse", "toolResult", "guardContent", "searchResult", "document"})
# Nova caches "mainly text" (AWS user guide, 2026-10).
NOVA_MARKABLE = frozenset({"text"})
NOTHING: frozenset[str] = frozenset()
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
        if items:
            kinds = None if layer in rules.fields else NOTHING
            orphans += _blocks(raw, layer, (), items, kinds)  # type: ignore[arg-type]
    usual = MARKABLE if "messages" in rules.fields else NOTHING
    for index, message in enumerate(request.get("messages") or ()):
        content = message.get("content") or ()
        kinds = _nova_markable(content) if rules.is_nova else usual
        orphans += _blocks(raw, "messages", (index,), content, kinds, message.get("role", ""))
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


def _blocks(
    out: list[RawBlock],
    layer: Layer,
    stem: tuple[int, ...],
    items: Sequence[Mapping[str, Any]],
    markable: frozenset[str] | None,
    role: str = "",
) -> int:
    """Append the blocks of one list; return how many checkpoints had nothing before them.

    `markable` are the kinds behind which a checkpoint may stand; None: all.
    """
    start = len(out)
    orphans = 0
    for i, item in enumerate(items):
        if CACHE_POINT in item:
            orphans += not _attach(out, start, item)
            continue
        kind = next(iter(item), "")
        may = (markable is None or kind in markable) and _takes_mark(kind, item)
        payload = item["text"] if kind == "text" else item
        out.append(
            quick(RawBlock, (layer, (*stem, i), kind, payload, role, len(out) == start, may, None, ""))
        )
        if kind == "toolResult":
            _lift_nested(out, start, item["toolResult"])
    return orphans


def _nova_markable(content: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    # "#/messages/6/content/0: extraneous key [cachePoint] is not permitted" in any message
    # with tool blocks (pi#2053, zeroclaw#8943).
    return NOTHING if any(TOOL_BLOCKS & set(item) for item in content) else NOVA_MARKABLE


def _takes_mark(kind: str, item: Mapping[str, Any]) -> bool:
    if kind == "text":
        # Empty text can't be cached (botocore model and Anthropic docs, 2026-11).
        return bool(item["text"]) and not item["text"].isspace()
    if kind == "document":
        # `messages.0.content.3.type: Field required` behind any but a PDF (strands#1966).
        return bool(item["document"].get("format") == "pdf")
    return True


def _attach(out: list[RawBlock], start: int, item: Mapping[str, Any]) -> bool:
    """Hang a cachePoint on the block before it; a second one in a row adds nothing."""
    if len(out) == start:
        return False
    mark = Mark(ttl=item[CACHE_POINT].get("ttl"), raw=dict(item))
    before = out[-1].mark
    if before is None or (mark.ttl == "1h" and before.ttl != "1h"):
        out[-1] = out[-1]._replace(mark=mark)
    return True


def _lift_nested(out: list[RawBlock], start: int, result: Mapping[str, Any]) -> None:
    """A cachePoint inside toolResult.content is refused by boto3: what was meant is behind it."""
    content = result.get("content") or ()
    nested = [item for item in content if CACHE_POINT in item]
    if not nested:
        return
    clean = {**result, "content": [item for item in content if CACHE_POINT not in item]}
    out[-1] = out[-1]._replace(payload={"toolResult": clean})
    for item in nested:
        _attach(out, start, item)


def write(request: Mapping[str, Any], marks: Marks, touched: Touched, cuts: Cuts) -> dict[str, Any]:
    """A copy of the request that holds exactly these checkpoints.

    Args:
        request: What `read` read; it stays as it is, and so does every list inside it.
        marks: For (layer, path) of a block, the `cachePoint` block to stand behind it.
        touched: The lists to look at: (layer, ) or ("messages", index) of each that holds a
            checkpoint now or shall hold one, or a text to cut; None: all.
        cuts: For (layer, path) of a text block, where it is cut in two.
    """
    out = dict(request)
    if request.get("toolConfig", {}).get("tools") and _is_touched(touched, "tools"):
        tools = _rewrite("tools", (), request["toolConfig"]["tools"], marks, cuts)
        out["toolConfig"] = {**request["toolConfig"], "tools": tools}
    if request.get("system") and _is_touched(touched, "system"):
        out["system"] = _rewrite("system", (), request["system"], marks, cuts)
    if request.get("messages"):
        out["messages"] = [
            {**message, "content": _rewrite("messages", (i,), message.get("content") or (), marks, cuts)}
            if _is_touched(touched, "messages", i)
            else message
            for i, message in enumerate(request["messages"])
        ]
    return out


def _is_touched(touched: Touched, *place: str | int) -> bool:
    return touched is None or place in touched


def _rewrite(
    layer: Layer, stem: tuple[int, ...], items: Sequence[Any], marks: Marks, cuts: Cuts
) -> list[Any]:
    out = []
    for i, item in enumerate(items):
        if CACHE_POINT in item:
            continue
        path = (*stem, i)
        at = cuts.get((layer, path))
        if at is None:
            out += _marked(_without_nested(item), marks.get((layer, path)))
            continue
        out += _marked({"text": item["text"][:at]}, marks.get((layer, (*path, 0))))
        out += _marked({"text": item["text"][at:]}, marks.get((layer, (*path, 1))))
    return out


def _marked(item: Any, mark: Any) -> list[Any]:
    return [item] if mark is None else [item, mark]


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


def points(request: Mapping[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Where the checkpoints of a request stand, in cache order: layer, and path as it is sent."""
    tools = (request.get("toolConfig") or {}).get("tools") or ()
    lists: list[tuple[Layer, tuple[int, ...], Any]] = [
        ("tools", (), tools),
        ("system", (), request.get("system") or ()),
        *(("messages", (i,), m.get("content") or ()) for i, m in enumerate(request.get("messages") or ())),
    ]
    return [
        (layer, (*stem, i))
        for layer, stem, items in lists
        for i, item in enumerate(items)
        if CACHE_POINT in item
    ]

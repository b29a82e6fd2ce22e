"""The Converse wire form: `cachePoint` blocks of their own, behind the block they mark."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachepoint.core.models.rules import MAX_CHECKPOINTS, ModelRules
from cachepoint.core.prompt.dialects.reading import (
    ANYWHERE,
    NOWHERE,
    Cuts,
    Marks,
    Reading,
    Stand,
    Touched,
    UnreadableError,
    as_json,
    effort_settings,
    fields_of,
    is_text,
    is_touched,
    listed,
    mapped,
    may_stay,
    pieces,
    rewritten,
    texted,
)
from cachepoint.core.prompt.dialects.settings import settings
from cachepoint.core.prompt.prefix import Layer, Mark, RawBlock, quick

# Bedrock is known to refuse a cachePoint behind reasoning ("Cache point cannot be inserted after
# reasoning block", rig#1673, opencode#36517) and behind video (pydantic-ai 2.68.0, 2026-11). Nobody
# has measured audio, citationsContent and tool changes: none of ours there.
_REFUSED = frozenset({"reasoningContent", "video"})
CLAUDE = Stand(
    ours=frozenset({"text", "image", "toolUse", "toolResult", "guardContent", "searchResult", "document"}),
    refused=_REFUSED,
)
# Nova caches "mainly text" (AWS user guide, 2026-10) and refuses a point behind an image
# (generative-ai-use-cases#1077, 2025-05).
NOVA = Stand(ours=frozenset({"text"}), refused=_REFUSED | {"image"})
_TOOL_BLOCKS = frozenset({"toolUse", "toolResult"})
# Behind these it depends on what is in them.
_PICKY = frozenset({"text", "document"})
CACHE_POINT = "cachePoint"


def read(request: Mapping[str, Any], rules: ModelRules) -> Reading:
    """The blocks of a Converse request in cache order.

    Args:
        request: The keyword arguments of `client.converse`.
        rules: The row of the model; it decides where a checkpoint may stand.

    Raises:
        UnreadableError: Where the request is none that boto3 would take.
    """
    raw: list[RawBlock] = []
    orphans = 0
    for layer, stem, items, role in _lists(request):
        orphans += _blocks(raw, layer, stem, items, _stand(layer, items, rules), role)
    choice = fields_of(fields_of(request.get("toolConfig")).get("toolChoice"))
    fields = _fields(request)
    turn = "forced" if {"any", "tool"} & set(choice) else ""
    # Latency-optimised inference answers "system.0.cache_control: Extra inputs are not permitted"
    # (boto3#4626).
    refuses = fields_of(request.get("performanceConfig")).get("latency") == "optimized"
    tier = fields_of(request.get("serviceTier")).get("type")
    return Reading(
        raw=raw,
        invalidates=effort_settings(fields) + (as_json(choice) if rules.is_nova else ""),
        turn=turn,
        orphans=orphans,
        refusal="latency-optimized inference refuses checkpoints" if refuses else None,
        slots=0 if refuses else MAX_CHECKPOINTS,
        tier=tier if isinstance(tier, str) else None,
        settings=settings(request, fields, choice if rules.is_nova else turn),
    )


def _fields(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """What only some models know, with the output's own settings where other dialects have them.

    Another schema on the same text reads nothing (re:Post and grjus.eu, tests on Bedrock, 2026).
    """
    fields = fields_of(request.get("additionalModelRequestFields"))
    output = fields_of(request.get("outputConfig"))
    if not output:
        return fields
    return {**fields, "output_config": {**fields_of(fields.get("output_config")), **output}}


def head(request: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tools and the system prompt, as they are."""
    return fields_of(request.get("toolConfig")).get("tools"), request.get("system")


def holding(request: Mapping[str, Any], head: tuple[Any, Any], messages: list[Any]) -> dict[str, Any]:
    """The request with other tools, system prompt and messages in it."""
    tools, system = head
    config = {**fields_of(request.get("toolConfig")), "tools": tools}
    return {**request, "toolConfig": config, "system": system, "messages": messages}


def points(request: Mapping[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Where checkpoints stand in a request as it is sent, in cache order: layer and path of each."""
    return [
        (layer, (*stem, i))
        for layer, stem, items, _ in _lists(request)
        for i, item in enumerate(items)
        if CACHE_POINT in item
    ]


def _lists(request: Mapping[str, Any]) -> Iterator[tuple[Layer, tuple[int, ...], Sequence[Any], str]]:
    """The lists of blocks: layer, path, blocks and role of each."""
    tools = fields_of(request.get("toolConfig")).get("tools")
    yield "tools", (), listed(tools, "toolConfig.tools"), ""
    yield "system", (), listed(request.get("system"), "system"), ""
    for index, message in enumerate(listed(request.get("messages"), "messages")):
        known = mapped(message, "a message")
        content = listed(known.get("content"), "the content of a message")
        yield "messages", (index,), content, texted(known.get("role", ""), "the role of a message")


def _stand(layer: Layer, items: Sequence[Any], rules: ModelRules) -> Stand:
    if layer not in rules.fields:
        return NOWHERE
    if layer != "messages":
        return ANYWHERE
    if not rules.is_nova:
        return CLAUDE
    # "#/messages/6/content/0: extraneous key [cachePoint] is not permitted" in any message
    # with tool blocks (pi#2053, zeroclaw#8943).
    return NOVA if all(_TOOL_BLOCKS.isdisjoint(fields_of(item)) for item in items) else NOWHERE


def _blocks(
    out: list[RawBlock],
    layer: Layer,
    stem: tuple[int, ...],
    items: Sequence[Any],
    stand: Stand,
    role: str,
) -> int:
    """Append the blocks of one list; return how many checkpoints had nothing before them."""
    start = len(out)
    orphans = 0
    ours = stand.ours
    for i, item in enumerate(items):
        kind = _kind(item)
        if kind == CACHE_POINT:
            orphans += not _attach(out, start, item, stand)
            continue
        payload = texted(item["text"], "a text") if kind == "text" else item
        may = ours is None or kind in ours
        if kind in _PICKY:
            may = may and _takes_mark(kind, payload)
        out.append(
            quick(RawBlock, (layer, (*stem, i), kind, payload, role, len(out) == start, may, None, ""))
        )
        if kind == "toolResult":
            _lift_nested(out, start, item, stand)
    return orphans


def _kind(item: Any) -> str:
    """The one key of a block. Two would be boto3's to refuse, and not ours to take one from."""
    if type(item) is not dict:
        mapped(item, "a block")
    if len(item) != 1:
        raise UnreadableError(f"a block has {len(item)} keys; it is a union of exactly one")
    (kind,) = item
    return kind if type(kind) is str else texted(kind, "the key of a block")


def _takes_mark(kind: str, payload: Any) -> bool:
    if kind == "text":
        return is_text(payload)
    if kind == "document":
        # `messages.0.content.3.type: Field required` behind any but a PDF (strands#1966).
        return bool(fields_of(payload["document"]).get("format") == "pdf")
    return True


def _attach(out: list[RawBlock], start: int, item: Mapping[str, Any], stand: Stand) -> bool:
    """Hang a cachePoint on the block before it; a second one in a row adds nothing."""
    point = mapped(item[CACHE_POINT], "a cachePoint")
    if len(out) == start:
        return False
    block = out[-1]
    stays = block.markable or (may_stay(stand, block.kind) and _takes_mark(block.kind, block.payload))
    mark = Mark(ttl=point.get("ttl"), raw=dict(item), stays=stays)
    before = block.mark
    if before is None or (mark.ttl == "1h" and before.ttl != "1h"):
        out[-1] = block._replace(mark=mark)
    return True


def _lift_nested(out: list[RawBlock], start: int, item: Mapping[str, Any], stand: Stand) -> None:
    """A cachePoint inside toolResult.content is refused by boto3: what was meant is behind it."""
    nested = [part for part in _parts(item) if _is_nested(part)]
    if not nested:
        return
    out[-1] = out[-1]._replace(payload=_without_nested(item))
    for part in nested:
        _kind(part)
        _attach(out, start, part, stand)


def _parts(item: Mapping[str, Any]) -> Sequence[Any]:
    content = fields_of(item.get("toolResult")).get("content")
    return content if isinstance(content, list | tuple) else ()


def _is_nested(part: Any) -> bool:
    return CACHE_POINT in fields_of(part)


def write(request: Mapping[str, Any], marks: Marks, touched: Touched, cuts: Cuts) -> dict[str, Any]:
    """A copy of the request that holds exactly these checkpoints.

    Args:
        request: What `read` read; it stays as it is, and so does every list inside it.
        marks: For (layer, path) of a block, the `cachePoint` block to stand behind it.
        touched: The lists to look at: (layer, ) or ("messages", index) of each that holds a
            checkpoint now or shall hold one, or a text to cut; None: all.
        cuts: For (layer, path) of a text block, where it is cut.
    """

    def rewrite(layer: Layer, stem: tuple[int, ...], items: Sequence[Any]) -> list[Any]:
        return _rewrite(layer, stem, items, marks, cuts)

    out = rewritten(request, touched, rewrite)
    config = fields_of(request.get("toolConfig"))
    if config.get("tools") and is_touched(touched, "tools"):
        out["toolConfig"] = {**config, "tools": rewrite("tools", (), config["tools"])}
    return out


def _rewrite(
    layer: Layer, stem: tuple[int, ...], items: Sequence[Any], marks: Marks, cuts: Cuts
) -> list[Any]:
    out: list[Any] = []
    for i, item in enumerate(items):
        if CACHE_POINT in item:
            continue
        place = layer, (*stem, i)
        if place in cuts:
            out += _cut(item, place, marks, cuts)
            continue
        out.append(_without_nested(item) if "toolResult" in item else item)
        if place in marks:
            out.append(marks[place])
    return out


def _cut(item: Any, place: tuple[Layer, tuple[int, ...]], marks: Marks, cuts: Cuts) -> Iterator[Any]:
    """The pieces of a text, with what is to stand behind each."""
    layer, path = place
    for n, text in enumerate(pieces(item["text"], cuts[place])):
        yield {"text": text}
        if (layer, (*path, n)) in marks:
            yield marks[layer, (*path, n)]


def _without_nested(item: Any) -> Any:
    parts = _parts(item)
    clean = [part for part in parts if not _is_nested(part)]
    if len(clean) == len(parts):
        return item
    return {**item, "toolResult": {**item["toolResult"], "content": clean}}


def mark(ttl: str, before: Mark | None = None) -> dict[str, Any]:
    """The block of a checkpoint; the caller's own wording where it says the same."""
    if before is not None and (before.ttl or "5m") == ttl:
        return before.raw
    return {CACHE_POINT: {"type": "default"} | ({"ttl": ttl} if ttl != "5m" else {})}

"""The wire form of Anthropic's InvokeModel body: `cache_control` as a key of the block it marks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachepoint.core.models.rules import MAX_CHECKPOINTS, ModelRules
from cachepoint.core.prompt.dialects.reading import (
    ANYWHERE,
    NO_FIELDS,
    NO_MESSAGES,
    NOWHERE,
    Cuts,
    Marks,
    Reading,
    Stand,
    Touched,
    as_bytes,
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

# Blocks that may carry cache_control on InvokeModel; thinking blocks may not (pydantic-ai 2.68.0,
# 2026-11-10).
CLAUDE = Stand(
    ours=frozenset(
        {
            "text",
            "image",
            "document",
            "tool_use",
            "tool_result",
            "server_tool_use",
            "tool_addition",
            "mcp_tool_result",
        }
    ),
    refused=frozenset({"thinking", "redacted_thinking"}),
)
CACHE_CONTROL = "cache_control"


def read(request: Mapping[str, Any], rules: ModelRules) -> Reading:
    """The blocks of an InvokeModel body in cache order.

    Args:
        request: The body as a dict: `tools`, `system`, `messages`, …; beside these, `serviceTier` and
            `performanceConfigLatency`, which InvokeModel has as parameters.
        rules: The row of the model. Only Claude speaks this form; others get no checkpoint.

    Raises:
        UnreadableError: Where the body is none that Bedrock would take.
    """
    raw: list[RawBlock] = []
    for layer, stem, items, role in _lists(request):
        _blocks(raw, layer, stem, items, _stand(layer, rules), role)
    choice = fields_of(request.get("tool_choice")).get("type")
    tier = request.get("serviceTier")
    why = _refusal(request)
    turn = "forced" if choice in ("any", "tool") else ""
    return Reading(
        raw=raw,
        invalidates=effort_settings(request),
        turn=turn,
        orphans=0,
        refusal=why,
        slots=MAX_CHECKPOINTS if why is None else 0,
        automatic=_automatic(request),
        tier=tier if isinstance(tier, str) else None,
        settings=settings(request, NO_FIELDS, turn),
    )


def _refusal(request: Mapping[str, Any]) -> str | None:
    if "messages" not in request:
        return NO_MESSAGES
    # "system.0.cache_control: Extra inputs are not permitted" (boto3#4626).
    optimized = request.get("performanceConfigLatency") == "optimized"
    return "latency-optimized inference refuses checkpoints" if optimized else None


class _Automatic(dict[str, Any]):
    """A `cache_control` that stays at the top of the body."""


def _automatic(request: Mapping[str, Any]) -> Mark | None:
    """Anthropic's automatic caching: one point behind the last block that takes one, of the four.

    Asked for by a `cache_control` at the top of the body (Anthropic's documentation, 2026-10). The caller's
    stays there, and ours fill what remains. Ours never ask for it: a point at the end does the same at the
    same price, and goes elsewhere where the end won't come back; older models refuse the other.
    """
    control = request.get(CACHE_CONTROL)
    if control is None:
        return None
    known = mapped(control, "the cache_control of the body")
    return Mark(ttl=known.get("ttl"), raw=_Automatic(known))


def head(request: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tools and the system prompt, as they are."""
    return request.get("tools"), request.get("system")


def holding(request: Mapping[str, Any], head: tuple[Any, Any], messages: list[Any]) -> dict[str, Any]:
    """The body with other tools, system prompt and messages in it."""
    return {**request, "tools": head[0], "system": head[1], "messages": messages}


def points(request: Mapping[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Where checkpoints stand in a body as it is sent, in cache order: layer and path of each block."""
    marked = [
        (layer, (*stem, i))
        for layer, stem, items, _ in _lists(request)
        for i, item in enumerate(items)
        if _is_marked(item)
    ]
    last = _last(request) if _is_marked(request) else None
    return marked if last is None or last in marked else [*marked, last]


def _last(request: Mapping[str, Any]) -> tuple[Layer, tuple[int, ...]] | None:
    """The last block of the messages that takes a checkpoint: where automatic caching puts one."""
    messages = listed(request.get("messages"), "messages")
    for index in range(len(messages) - 1, -1, -1):
        content = _content(messages[index].get("content"), "the content of a message")
        taking = [i for i, item in enumerate(content) if _takes(item)]
        if taking:
            return "messages", (index, taking[-1])
    return None


def _takes(item: Mapping[str, Any]) -> bool:
    """Whether a block of a message takes a checkpoint of ours."""
    kind = item.get("type")
    return kind in (CLAUDE.ours or ()) and (kind != "text" or is_text(str(item.get("text"))))


def _lists(request: Mapping[str, Any]) -> Iterator[tuple[Layer, tuple[int, ...], Sequence[Any], str]]:
    """The lists of blocks: layer, path, blocks and role of each."""
    yield "tools", (), listed(request.get("tools"), "tools"), ""
    yield "system", (), _content(request.get("system"), "system"), ""
    for index, message in enumerate(listed(request.get("messages"), "messages")):
        known = mapped(message, "a message")
        content = _content(known.get("content"), "the content of a message")
        yield "messages", (index,), content, texted(known.get("role", ""), "the role of a message")


def _content(value: Any, what: str) -> Sequence[Any]:
    return ({"type": "text", "text": value},) if isinstance(value, str) else listed(value, what)


def _stand(layer: Layer, rules: ModelRules) -> Stand:
    if rules.provider != "anthropic" or layer not in rules.fields:
        return NOWHERE
    return CLAUDE if layer == "messages" else ANYWHERE


def _blocks(
    out: list[RawBlock],
    layer: Layer,
    stem: tuple[int, ...],
    items: Sequence[Any],
    stand: Stand,
    role: str,
) -> None:
    ours = stand.ours
    for i, item in enumerate(items):
        kind = _kind(layer, mapped(item, "a block"))
        payload: Any = texted(item.get("text"), "a text") if kind == "text" else item
        takes = is_text(payload) if kind == "text" else not _is_deferred(layer, item)
        may = takes and (ours is None or kind in ours)
        mark = None
        control = _control(item) if CACHE_CONTROL in item or kind == "tool_result" else None
        if control is not None:
            stays = may or (takes and may_stay(stand, kind))
            mark = Mark(ttl=control.get("ttl"), raw=dict(control), stays=stays)
            payload = payload if kind == "text" else _set(item, None)
        if kind in _HOLDING:
            payload = _weighable(payload)
        out.append(quick(RawBlock, (layer, (*stem, i), kind, payload, role, i == 0, may, mark, "")))


_HOLDING = frozenset({"image", "document", "tool_result"})


def _weighable(item: Any) -> Any:
    """The block with its base64 as bytes: of an image nobody counts the letters."""
    source = fields_of(fields_of(item).get("source"))
    if source.get("type") == "base64":
        return {**item, "source": as_bytes(source, "data")}
    parts = _parts(fields_of(item))
    known = [_weighable(part) for part in parts]
    same = all(a is b for a, b in zip(known, parts, strict=True))
    return item if same else {**item, "content": known}


def _is_deferred(layer: Layer, item: Mapping[str, Any]) -> bool:
    # "Tools with defer_loading cannot use prompt caching" (claude-code#86743, CLIProxyAPI#4561, 2026).
    return layer == "tools" and item.get("defer_loading") is True


def _kind(layer: Layer, item: Mapping[str, Any]) -> str:
    return "text" if layer == "system" else str(item.get("type", "tool"))


def _control(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The caller's checkpoint of a block.

    One on a part of a tool's result counts as a checkpoint of its own (at most four, the longer TTL
    first): what was meant is behind the result. Of several the longest TTL is kept.
    """
    controls = [
        mapped(held[CACHE_CONTROL], "a cache_control") for held in (*_parts(item), item) if _is_marked(held)
    ]
    return next((c for c in controls if c.get("ttl") == "1h"), controls[-1] if controls else None)


def _is_marked(held: Any) -> bool:
    return fields_of(held).get(CACHE_CONTROL) is not None


def _parts(item: Mapping[str, Any]) -> Sequence[Any]:
    if item.get("type") != "tool_result":
        return ()
    content = item.get("content")
    return content if isinstance(content, list | tuple) else ()


def write(request: Mapping[str, Any], marks: Marks, touched: Touched, cuts: Cuts) -> dict[str, Any]:
    """A copy of the body that holds exactly these checkpoints.

    A text given as a plain string becomes a list of one text block where it is marked. The one at the top of
    the body stays there where it is among them.
    """

    def rewrite(layer: Layer, stem: tuple[int, ...], value: Any) -> Any:
        return _rewrite(layer, stem, value, marks, cuts)

    out = rewritten(request, touched, rewrite)
    if request.get("tools") and is_touched(touched, "tools"):
        out["tools"] = rewrite("tools", (), request["tools"])
    if _is_marked(request) and not _holds(marks, request):
        del out[CACHE_CONTROL]
    return out


def _holds(marks: Marks, request: Mapping[str, Any]) -> bool:
    """Whether the one at the top of the body is among these checkpoints, with its TTL.

    Beside another TTL of the last block's own it is refused (Anthropic's documentation, 2026-10).
    """
    last, ttl = _last(request), request[CACHE_CONTROL].get("ttl") or "5m"
    return any(
        (layer, path[:2]) == last and (mark.get("ttl") or "5m") == ttl
        for (layer, path), mark in marks.items()
        if mark is not None
    )


def _rewrite(layer: Layer, stem: tuple[int, ...], value: Any, marks: Marks, cuts: Cuts) -> Any:
    items = _content(value, layer)
    new: list[Mapping[str, Any]] = []
    for i, item in enumerate(items):
        path = (*stem, i)
        at = cuts.get((layer, path))
        if at is None:
            new.append(_set(item, marks.get((layer, path))))
            continue
        parts = enumerate(pieces(item["text"], at))
        new += [_set({**item, "text": part}, marks.get((layer, (*path, n)))) for n, part in parts]
    if len(new) == len(items) and all(a is b for a, b in zip(new, items, strict=True)):
        return value
    return new


def _set(item: Mapping[str, Any], control: Any) -> Mapping[str, Any]:
    """The block with this checkpoint and no other, in it or on it."""
    clean = _without_nested(item)
    control = None if isinstance(control, _Automatic) else control
    if clean.get(CACHE_CONTROL) == control:
        return clean
    bare = _without(clean)
    return bare if control is None else {**bare, CACHE_CONTROL: control}


def _without_nested(item: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = _parts(item)
    if not any(map(_is_marked, parts)):
        return item
    clean = [_without(part) if isinstance(part, Mapping) else part for part in parts]
    return {**item, "content": clean}


def _without(held: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in held.items() if k != CACHE_CONTROL}


def mark(ttl: str, before: Mark | None = None) -> dict[str, Any]:
    """The `cache_control` of a checkpoint; the caller's own wording where it says the same."""
    if before is not None and (before.ttl or "5m") == ttl:
        return before.raw
    return {"type": "ephemeral"} | ({"ttl": ttl} if ttl != "5m" else {})

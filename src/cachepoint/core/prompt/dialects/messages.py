"""The wire form of Anthropic's InvokeModel body: `cache_control` as a key of the block it marks."""

from collections.abc import Mapping, Sequence
from typing import Any

from cachepoint.core.models.rules import ModelRules
from cachepoint.core.prompt.dialects.reading import Cuts, Marks, Reading, Touched, effort_settings
from cachepoint.core.prompt.prefix import Layer, Mark, RawBlock

# Blocks that may carry cache_control on InvokeModel (pydantic-ai 2.68.0, 2026-11-10). Thinking
# blocks may not.
MARKABLE = frozenset(
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
)
CACHE_CONTROL = "cache_control"


def read(request: Mapping[str, Any], rules: ModelRules) -> Reading:
    """The blocks of an InvokeModel body in cache order.

    Args:
        request: The body as a dict: `tools`, `system`, `messages`, …
        rules: The row of the model. Only Claude speaks this form; others get no checkpoint.
    """
    may = rules.fields if rules.provider == "anthropic" else ()
    raw = [
        _raw("tools", (i,), tool, first=i == 0, markable="tools" in may)
        for i, tool in enumerate(request.get("tools") or ())
    ]
    raw += [
        _raw("system", (i,), item, first=i == 0, markable="system" in may and _text_ok(item))
        for i, item in enumerate(_content(request.get("system")))
    ]
    for index, message in enumerate(request.get("messages") or ()):
        raw += [
            _raw(
                "messages",
                (index, i),
                item,
                role=message.get("role", ""),
                first=i == 0,
                markable="messages" in may and item.get("type") in MARKABLE and _text_ok(item),
            )
            for i, item in enumerate(_content(message.get("content")))
        ]
    choice = (request.get("tool_choice") or {}).get("type")
    return Reading(
        raw=raw,
        invalidates=effort_settings(request),
        turn="forced" if choice in {"any", "tool"} else "",
        orphans=0,
        # A top-level cache_control is Anthropic's automatic caching: it places its own point.
        refusal="automatic caching is on" if CACHE_CONTROL in request else None,
    )


def _content(value: Any) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, str):
        return ({"type": "text", "text": value},)
    return value or ()


def _raw(
    layer: Layer,
    path: tuple[int, ...],
    item: Mapping[str, Any],
    *,
    first: bool,
    markable: bool,
    role: str = "",
) -> RawBlock:
    control = item.get(CACHE_CONTROL)
    kind = "text" if layer == "system" else str(item.get("type", "tool"))
    bare = {k: v for k, v in item.items() if k != CACHE_CONTROL}
    return RawBlock(
        layer,
        path,
        kind,
        item["text"] if kind == "text" else bare,
        role=role,
        opens=first,
        markable=markable,
        mark=Mark(ttl=control.get("ttl"), raw=dict(control)) if control else None,
    )


def _text_ok(item: Mapping[str, Any]) -> bool:
    return "text" not in item or bool(item["text"].strip())


def write(request: Mapping[str, Any], marks: Marks, touched: Touched, cuts: Cuts) -> dict[str, Any]:
    """A copy of the body that holds exactly these checkpoints.

    A text given as a plain string becomes a list of one text block where it is marked.
    """
    out = dict(request)
    if request.get("tools"):
        out["tools"] = _rewrite("tools", (), request["tools"], marks, cuts)
    if request.get("system"):
        out["system"] = _rewrite("system", (), request["system"], marks, cuts)
    if request.get("messages"):
        out["messages"] = [
            {**m, "content": _rewrite("messages", (i,), m.get("content"), marks, cuts)}
            if touched is None or ("messages", i) in touched
            else m
            for i, m in enumerate(request["messages"])
        ]
    return out


def _rewrite(layer: Layer, stem: tuple[int, ...], value: Any, marks: Marks, cuts: Cuts) -> Any:
    items = _content(value)
    new: list[Mapping[str, Any]] = []
    for i, item in enumerate(items):
        path = (*stem, i)
        at = cuts.get((layer, path))
        if at is None:
            new.append(_set(item, marks.get((layer, path))))
            continue
        new.append(_set({**item, "text": item["text"][:at]}, marks.get((layer, (*path, 0)))))
        new.append(_set({**item, "text": item["text"][at:]}, marks.get((layer, (*path, 1)))))
    if len(new) == len(items) and all(a is b for a, b in zip(new, items, strict=True)):
        return value
    return new


def _set(item: Mapping[str, Any], control: Any) -> Mapping[str, Any]:
    if item.get(CACHE_CONTROL) == control:
        return item
    bare = {k: v for k, v in item.items() if k != CACHE_CONTROL}
    return bare if control is None else {**bare, CACHE_CONTROL: control}


def mark(ttl: str, before: Mark | None = None) -> dict[str, Any]:
    """The `cache_control` of a checkpoint; the caller's own wording where it says the same."""
    if before is not None and (before.ttl or "5m") == ttl:
        return before.raw
    return {"type": "ephemeral"} | ({"ttl": ttl} if ttl != "5m" else {})


def points(request: Mapping[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Where the checkpoints of a body stand, in cache order: layer, and path as it is sent."""
    lists: list[tuple[Layer, tuple[int, ...], Any]] = [
        ("tools", (), request.get("tools") or ()),
        ("system", (), _content(request.get("system"))),
        *(
            ("messages", (i,), _content(m.get("content")))
            for i, m in enumerate(request.get("messages") or ())
        ),
    ]
    return [
        (layer, (*stem, i))
        for layer, stem, items in lists
        for i, item in enumerate(items)
        if CACHE_CONTROL in item
    ]

"""The wire form of Nova's InvokeModel body: Converse's, with `cachePoint` as a key of the text it marks.

A block of its own is refused, and so is the key on anything but a text (LiteLLM 1.109.1, 2026-11).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cachepoint.core.models.rules import ModelRules
from cachepoint.core.prompt.dialects import converse
from cachepoint.core.prompt.dialects.converse import CACHE_POINT, head, holding
from cachepoint.core.prompt.dialects.reading import (
    NO_MESSAGES,
    Cuts,
    Marks,
    Reading,
    Touched,
    UnreadableError,
    as_bytes,
    fields_of,
    is_touched,
    listed,
    mapped,
    pieces,
    rewritten,
)
from cachepoint.core.prompt.prefix import Layer, Mark, RawBlock

__all__ = ["head", "holding", "mark", "points", "read", "write"]


def read(request: Mapping[str, Any], rules: ModelRules) -> Reading:
    """The blocks of a Nova body in cache order.

    Args:
        request: The body as a dict: `system`, `messages`, `toolConfig`, …; beside these, `serviceTier` and
            `performanceConfigLatency`, which InvokeModel has as parameters.
        rules: The row of the model.

    Raises:
        UnreadableError: Where the body is none that Bedrock would take.
    """
    reading = converse.read(_conversed(request), rules)
    numbered = replace(reading, raw=list(_numbered(reading.raw)))
    return numbered if "messages" in request else replace(numbered, refusal=NO_MESSAGES, slots=0)


def _conversed(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The Converse request that says the same."""
    tools, system = head(request)
    messages = [
        {**mapped(message, "a message"), "content": _parted(message.get("content"))}
        for message in listed(request.get("messages"), "messages")
    ]
    return {
        **holding(request, (_parted(tools), _parted(system)), messages),
        "additionalModelRequestFields": {
            "reasoningConfig": request.get("reasoningConfig"),
            **fields_of(request.get("inferenceConfig")),
        },
        "performanceConfig": {"latency": request.get("performanceConfigLatency")},
        "serviceTier": {"type": request.get("serviceTier")},
    }


def _parted(items: Any) -> list[Any]:
    return [part for item in listed(items, "a list of blocks") for part in _parts(mapped(item, "a block"))]


def _parts(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    block = _without(item)
    if not block:
        raise UnreadableError("a block is nothing but a checkpoint")
    yield {name: _binary(value) for name, value in block.items()} if "image" in block else block
    if item.get(CACHE_POINT) is not None:
        yield {CACHE_POINT: item[CACHE_POINT]}


def _binary(image: Any) -> Any:
    source = fields_of(fields_of(image).get("source"))
    return {**image, "source": as_bytes(source, "bytes")} if source else image


def _numbered(raw: Iterable[RawBlock]) -> Iterator[RawBlock]:
    """The blocks by where they stand in the body."""
    before: Counter[tuple[str, tuple[int, ...]]] = Counter()
    for block in raw:
        stem = block.path[:-1]
        yield block._replace(path=(*stem, before[block.layer, stem]))
        before[block.layer, stem] += 1


def points(request: Mapping[str, Any]) -> list[tuple[Layer, tuple[int, ...]]]:
    """Where checkpoints stand in a body as it is sent, in cache order: layer and path of each block."""
    return converse.points(request)


def write(request: Mapping[str, Any], marks: Marks, touched: Touched, cuts: Cuts) -> dict[str, Any]:
    """A copy of the body that holds exactly these checkpoints.

    Args:
        request: What `read` read; it stays as it is, and so does every list inside it.
        marks: For (layer, path) of a block, its `cachePoint`.
        touched: As for Converse.
        cuts: For (layer, path) of a text block, where it is cut.
    """

    def rewrite(layer: Layer, stem: tuple[int, ...], items: Sequence[Any]) -> list[Mapping[str, Any]]:
        return _rewrite(layer, stem, items, marks, cuts)

    out = rewritten(request, touched, rewrite)
    config = fields_of(request.get("toolConfig"))
    if config.get("tools") and is_touched(touched, "tools"):
        out["toolConfig"] = {**config, "tools": rewrite("tools", (), config["tools"])}
    return out


def _rewrite(
    layer: Layer, stem: tuple[int, ...], items: Sequence[Any], marks: Marks, cuts: Cuts
) -> list[Mapping[str, Any]]:
    out: list[Mapping[str, Any]] = []
    for i, item in enumerate(items):
        path = (*stem, i)
        at = cuts.get((layer, path))
        if at is None:
            out.append(_set(item, marks.get((layer, path))))
            continue
        parts = enumerate(pieces(item["text"], at))
        out += [_set({"text": part}, marks.get((layer, (*path, n)))) for n, part in parts]
    return out


def _set(item: Mapping[str, Any], point: Any) -> Mapping[str, Any]:
    """The block with this checkpoint and no other."""
    if item.get(CACHE_POINT) == point:
        return item
    return _without(item) if point is None else {**_without(item), CACHE_POINT: point}


def _without(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != CACHE_POINT}


def mark(ttl: str, before: Mark | None = None) -> Any:
    """The `cachePoint` of a checkpoint; the caller's own wording where it says the same."""
    return converse.mark(ttl, before)[CACHE_POINT]

"""A request as it was sent: its blocks in the order of the cache, and as their author wrote them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from cachepoint.core.models.rules import rules_for
from cachepoint.core.prompt.dialects import DIALECTS
from cachepoint.core.prompt.dialects.reading import UnreadableError, fields_of
from cachepoint.core.prompt.prefix import Layer

# What no prefix depends on: sampling, and what is told of the call beside the prompt.
_HARMLESS = frozenset(
    {
        "additionalModelResponseFieldPaths",
        "anthropic_version",
        "cache_control",
        "inferenceConfig",
        "max_tokens",
        "metadata",
        "performanceConfig",
        "requestMetadata",
        "schemaVersion",
        "serviceTier",
        "stop_sequences",
        "stream",
        "temperature",
        "top_k",
        "top_p",
    }
)
_PROMPT = frozenset({"messages", "system", "tools"})


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        layer: Which list it stands in.
        where: Its place: `system[0]`, `messages[3].content[1]`.
        message: Which message it belongs to; -1 for none.
        kind: What it is: `text`, `toolUse`, `toolSpec`, …
        role: Of its message.
        payload: Its text, or its fields.
        ttl: Of the checkpoint behind it; None where there is none.
        joins: The blocks after it that are one text with it, as they would stand without checkpoints.
    """

    layer: Layer
    where: str
    message: int
    kind: str
    role: str
    payload: Any
    ttl: str | None = None
    joins: tuple["Block", ...] = ()

    @cached_property
    def written(self) -> str:
        """Its bytes on the wire, as JSON: in the order of its keys."""
        return written(self.payload)

    @property
    def name(self) -> str:
        """Of a tool, or of what calls one; else empty."""
        if not isinstance(self.payload, Mapping):
            return ""
        inner = next((v for v in self.payload.values() if isinstance(v, Mapping)), self.payload)
        found = self.payload.get("name", inner.get("name", ""))
        return found if isinstance(found, str) else ""

    def same(self, other: "Block") -> bool:
        """Whether it is the same to the cache, wherever it stands."""
        return (self.layer, self.role, self.written) == (other.layer, other.role, other.written)


@dataclass(frozen=True)
class Prompt:
    """The blocks of one request; none where it could not be read."""

    blocks: tuple[Block, ...]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, body: Any, operation: str, model_id: str) -> "Prompt":
        """That of a body as it went over the wire."""
        fields, rules = fields_of(body), rules_for(model_id)
        dialect = "converse" if operation.startswith("Converse") else "nova" if rules.is_nova else "messages"
        try:
            raw = DIALECTS[dialect].read(fields, rules).raw
        except UnreadableError:
            raw = []
        blocks = tuple(_block(b.layer, b.path, b.kind, b.role, b.payload, b.mark) for b in raw)
        return cls(blocks, _settings(fields))

    def layer(self, name: Layer) -> tuple[Block, ...]:
        """The blocks of one layer, texts in a row joined: a checkpoint may have parted them."""
        joined: list[Block] = []
        for block in self.blocks:
            if block.layer != name:
                continue
            if joined and _one_text(joined[-1], block):
                last = joined[-1]
                joined[-1] = replace(last, payload=last.payload + block.payload, joins=(*last.joins, block))
            else:
                joined.append(block)
        return tuple(joined)

    @cached_property
    def tools(self) -> tuple[Block, ...]:
        """The tools."""
        return self.layer("tools")

    @cached_property
    def system(self) -> tuple[Block, ...]:
        """The system prompt."""
        return self.layer("system")

    @cached_property
    def messages(self) -> tuple[Block, ...]:
        """The blocks of all messages."""
        return self.layer("messages")

    @cached_property
    def pairs(self) -> frozenset[tuple[str, ...]]:
        """Blocks of two messages that follow one another."""
        following = ((a, b) for a, b in pairwise(self.messages) if a.message != b.message)
        return frozenset((a.role, a.written, b.role, b.written) for a, b in following)

    @cached_property
    def said(self) -> Counter[str]:
        """What its messages hold, and how often."""
        return Counter(block.written for block in self.messages)

    @cached_property
    def words(self) -> Counter[str]:
        """Those of the system prompt, and how often."""
        return Counter(word for block in self.system for word in block.written.split())

    @property
    def is_marked(self) -> bool:
        """Whether a checkpoint stands in it."""
        return any(block.ttl for block in self.blocks)


def written(value: Any) -> str:
    """JSON without white space, its keys in their order."""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
    )


def same(ones: Sequence[Block], others: Sequence[Block]) -> bool:
    """Whether two lists are the same to the cache."""
    return len(ones) == len(others) and all(a.same(b) for a, b in zip(ones, others, strict=True))


def _block(layer: Layer, path: tuple[int, ...], kind: str, role: str, payload: Any, mark: Any) -> Block:
    place = f"{layer}[{path[0]}]" if layer != "messages" else f"messages[{path[0]}].content[{path[1]}]"
    ttl = None if mark is None else mark.ttl or "5m"
    return Block(layer, place, path[0] if layer == "messages" else -1, kind, role, payload, ttl)


def _one_text(before: Block, block: Block) -> bool:
    return before.kind == block.kind == "text" and before.message == block.message


def _settings(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What beside the prompt a prefix may depend on, by its name."""
    config = fields_of(fields.get("toolConfig"))
    beside = {f"toolConfig.{name}": value for name, value in config.items() if name != "tools"}
    known = _HARMLESS | _PROMPT | {"toolConfig"}
    return beside | {name: value for name, value in fields.items() if name not in known}

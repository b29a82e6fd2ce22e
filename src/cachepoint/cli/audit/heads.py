"""What tools and system prompt are made of, written down: digests, lengths and kinds of text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from cachepoint.core.accounting.diagnosis.said import Hint, kind_in
from cachepoint.core.prompt.anatomy import Anatomy, Text, Tool, tool_fields, wholes, written
from cachepoint.core.prompt.prefix import RawBlock


@dataclass(frozen=True, slots=True)
class Head:
    """Tools and system prompt.

    Attributes:
        anatomy: What they are made of, in digests.
        fields: By tool and name of a field: what is known of its text.
        system: The texts of the system prompt likewise, each with its first block.
    """

    anatomy: Anatomy
    fields: dict[tuple[int, str], Hint]
    system: list[tuple[int, Hint]]


NO_HEAD = Head(Anatomy(), {}, [])


def packed(anatomy: Anatomy, raw: Sequence[RawBlock]) -> str:
    """A head as a text of JSON."""
    tools = [_packed_tool(tool, raw[i].payload) for i, tool in enumerate(anatomy.tools)]
    pairs = zip(anatomy.system, wholes(raw), strict=True)
    system = [[first, _written(text, _hint(whole))] for text, (first, whole) in pairs]
    return json.dumps([tools, system], separators=(",", ":"))


def unpacked(text: str) -> Head:
    """What `packed` wrote."""
    tools, system = json.loads(text)
    made = [_unpacked_tool(tool) for tool in tools]
    hints = {(i, name): hint for i, (_, fields) in enumerate(made) for name, hint in fields}
    texts = [(first, *_read(kept)) for first, kept in system]
    anatomy = Anatomy(tuple([tool for tool, _ in made]), tuple([one for _, one, _ in texts]))
    return Head(anatomy, hints, [(first, hint) for first, _, hint in texts])


def _packed_tool(tool: Tool, payload: Any) -> str:
    texts = tool_fields(payload)
    fields = [[name, _written(text, _hint(written(texts[name])))] for name, text in tool.fields]
    return json.dumps([tool.name.hex(), fields], separators=(",", ":"))


@lru_cache(maxsize=4_096)
def _unpacked_tool(packed: str) -> tuple[Tool, tuple[tuple[str, Hint], ...]]:
    name, fields = json.loads(packed)
    read = [(field, *_read(kept)) for field, kept in fields]
    tool = Tool(bytes.fromhex(name), tuple([(field, text) for field, text, _ in read]))
    return tool, tuple([(field, hint) for field, _, hint in read])


# Tools come in other orders, system prompts with another clock.
_hint = lru_cache(maxsize=1_024)(partial(Hint.of, kind=lru_cache(maxsize=1 << 16)(kind_in)))


def _written(text: Text, hint: Hint) -> list[Any]:
    return [*(part.hex() for part in (*text, hint.lengths, hint.kinds)), int(hint.is_json)]


def _read(kept: Sequence[Any]) -> tuple[Text, Hint]:
    pieces, solid, bag, lengths, kinds = map(bytes.fromhex, kept[:5])
    return Text(pieces, solid, bag), Hint(lengths, kinds, bool(kept[5]))

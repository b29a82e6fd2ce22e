"""What tools and system prompt are made of, in digests: enough to say later what changed in them.

A digest of a whole text tells that it changed. Digests of its pieces tell at which character; one of it
without white space, and one of how often each character stands in it, tell whether only blanks or only the
order moved.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, takewhile
from typing import Any, NamedTuple

from cachepoint.core.prompt.dialects.reading import as_json
from cachepoint.core.prompt.prefix import RawBlock

# Characters of a piece at most: so exactly the place is known where two texts part. A line begins a new one,
# so that what follows a line that grew is known again.
PIECE = 128
# Bytes of a digest here; characters and pieces of a text that are looked at.
_BYTES = 4
_MOST = 1 << 16
_PIECES = 1_024
# Tools looked at by field.
_TOOLS = 256
_OBJECT = 120
_ASCII = 128

Digest = Callable[[bytes], bytes]


class Text(NamedTuple):
    """A text in digests: of its pieces, of it without white space, and of it in any order."""

    pieces: bytes
    solid: bytes
    bag: bytes

    def parts(self, before: "Text", text: str) -> int:
        """The character from which on it, whose text is at hand, may differ from another, to the piece."""
        return sum(map(len, pieces(text)[: parting(self, before)]))

    def like(self, before: "Text") -> bool:
        """Whether it is another state of the same text: it begins alike, or a quarter of it was there."""
        one, other = _each(self.pieces), _each(before.pieces)
        shared = sum((Counter(one) & Counter(other)).values())
        return one[:1] == other[:1] or 4 * shared >= max(len(one), len(other))


def parting(now: Text, before: Text) -> int:
    """How many pieces the two begin with alike."""
    pairs = zip(_each(now.pieces), _each(before.pieces), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class Tool(NamedTuple):
    """A tool in digests: its name, and its fields by name."""

    name: bytes
    fields: tuple[tuple[str, Text], ...]


class Anatomy(NamedTuple):
    """What tools and system prompt are made of; `weight` is rough bytes in memory."""

    tools: tuple[Tool, ...] = ()
    system: tuple[Text, ...] = ()
    weight: int = 0


NO_ANATOMY = Anatomy()


def anatomy(raw: Sequence[RawBlock], key: bytes, tool: Callable[[Any], "Tool"] | None = None) -> Anatomy:
    """That of the blocks of tools and system.

    Args:
        raw: The blocks.
        key: The key of the digests.
        tool: What a tool is made of, for whoever knows it already; None: it is looked at.
    """
    digest = _keyed(key)
    each = partial(tool_of, key=key) if tool is None else tool
    tools = tuple(each(b.payload) for b in raw if b.layer == "tools")[:_TOOLS]
    system = tuple(_text(text, digest) for _, text in wholes(raw))
    texts = (*system, *(text for tool in tools for _, text in tool.fields))
    return Anatomy(tools, system, sum(_OBJECT + len(text.pieces) for text in texts))


def wholes(raw: Sequence[RawBlock]) -> Iterator[tuple[int, str]]:
    """The texts of the system prompt, uncut: the first block of each, and the text."""
    system = ((i, block) for i, block in enumerate(raw) if block.layer == "system")
    for _, pieces in groupby(system, key=lambda one: one[1].path[0]):
        (first, block), *more = pieces
        yield first, "".join([written(block.payload), *(written(piece.payload) for _, piece in more)])


def tool_name(payload: Any) -> str:
    """The name of a tool; where it has none, its kind."""
    inner = _fields(payload)
    return str(inner.get("name") or inner.get("type") or "")


def tool_fields(payload: Any) -> Mapping[str, Any]:
    """A tool's fields but its name."""
    return {name: value for name, value in _fields(payload).items() if name != "name"}


def written(value: Any) -> str:
    """A block or a field as text."""
    return value if isinstance(value, str) else as_json(value)


def _fields(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, Mapping):
        return {}
    inner = next(iter(payload.values()), None) if len(payload) == 1 else payload
    return inner if isinstance(inner, Mapping) else {}


def tool_of(payload: Any, key: bytes) -> Tool:
    """What a tool is made of.

    Args:
        payload: The tool as it is sent.
        key: The key of the digests.
    """
    digest = _keyed(key)
    fields = tool_fields(payload).items()
    return Tool(
        digest(tool_name(payload).encode("utf-8", "surrogatepass")),
        tuple((name, _text(written(value), digest, _sorted(value))) for name, value in fields),
    )


def _sorted(value: Any) -> bytes:
    """A field with its keys in order: far quicker than to count characters, for what is JSON as a whole."""
    return as_json(value, in_order=True).encode() if isinstance(value, Mapping) else b""


def _text(text: str, digest: Digest, in_order: bytes | None = None) -> Text:
    whole = text[:_MOST].encode("utf-8", "surrogatepass")
    return Text(
        pieces=b"".join([digest(p.encode("utf-8", "surrogatepass")) for p in pieces(text)]),
        solid=digest(b"".join(whole.split())),
        bag=digest(_counts(whole) if in_order is None else in_order or whole),
    )


def _counts(whole: bytes) -> bytes:
    """How often each character stands in a text."""
    return repr([(i, whole.count(i)) for i in sorted(set(whole)) if i < _ASCII]).encode()


def pieces(text: str) -> list[str]:
    """A text in pieces, as its digests have it."""
    lines = text[:_MOST].splitlines(keepends=True)
    return [line[i : i + PIECE] for line in lines for i in range(0, len(line), PIECE)][:_PIECES]


def _keyed(key: bytes) -> Digest:
    return lambda data: hashlib.blake2b(data, key=key, digest_size=_BYTES).digest()


def _each(pieces: bytes) -> list[bytes]:
    return [pieces[i : i + _BYTES] for i in range(0, len(pieces), _BYTES)]

"""The layout of what was sent, for snapshots: what stands where, how large, its digest; no text."""

from collections.abc import Iterator
from hashlib import blake2b

from cachepoint.core.drawing.words import counted
from cachepoint.testing.calls import CacheCall
from cachepoint.testing.conversations import common
from cachepoint.testing.prompts import Block, Prompt, written

# The same in every run and on every machine, or no snapshot would hold. It hides nothing from someone who has
# a text: he can tell whether a snapshot is of it.
_KEY = b"cachepoint.testing.layout"


def drawn(call: CacheCall, before: CacheCall | None) -> str:
    """One call: a line for each setting and block; of those that `before` begins with, the marked ones."""
    title = f"call {call.number}: {call.operation} {call.model_id}"
    if before is None:
        return "\n  ".join((title, *_lines(call.prompt, 0)))
    shared = common(before.prompt.blocks, call.prompt.blocks)
    same = f"{counted(shared, 'block')} as in call {before.number}"
    return "\n  ".join((title, same, *_lines(call.prompt, shared)))


def _lines(prompt: Prompt, shared: int) -> Iterator[str]:
    for name, value in sorted(prompt.settings.items()):
        yield _line(name, "setting", written(value))
    for index, block in enumerate(prompt.blocks):
        if index >= shared or block.ttl:
            yield _line(block.where, _what(block), block.written, block.ttl)


def _what(block: Block) -> str:
    return " ".join(filter(None, (block.role, block.kind, block.name)))


def _line(where: str, what: str, text: str, ttl: str | None = None) -> str:
    data = text.encode("utf-8", "surrogatepass")
    digest = blake2b(data, key=_KEY, digest_size=6).hexdigest()
    point = f"  checkpoint {ttl}" if ttl else ""
    return f"{where:<24} {what:<28} {len(data):>7,} bytes  {digest}{point}"

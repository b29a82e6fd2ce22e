"""Draws one prompt of `shaping.py` before and after, as Bedrock's cache took it.

    python benchmarks/shaping_picture.py [docs/images/shaping.svg]

It is the third call of a conversation whose system prompt begins with a clock. What was read, written and
paid in full is what the emulator said of both; the widths are tokens.
"""

import sys
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shaping import SHAPES, mark, stream
from simulate import MODEL, Bedrock, Request

from cachepoint import PromptCache, Usage
from cachepoint.core.prompt.documents import changing

WIDTH, LEFT, BAR, HEAD = 460, 6, 30, 30
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 12px } .full { fill: #d0d7de } .write { fill: #f2cc60 } .read { fill: #7ee2a8 }
.changes { fill: #ff8a80 } .line { stroke: #57606a; stroke-width: 1; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .full { fill: #484f58 } .write { fill: #9e7700 } .read { fill: #238f57 }
  .changes { fill: #b3423a } .line { stroke: #8b949e }
}
"""


class Sent(NamedTuple):
    """A request as it was asked, and what Bedrock said of it."""

    request: Request
    usage: Usage


class Part(NamedTuple):
    """A stretch of a prompt: what it is, how large, and whether it changes by the call."""

    name: str
    size: int
    changes: bool = False


def sent(form: str, number: int = 2) -> Sent:
    """One call of the first conversation that has a clock, in one of the forms."""
    calls = list(stream("start"))
    clocked = next(c.conversation for c in calls if "the clock desk" in c.request["system"][0]["text"])
    calls = [c for c in calls if c.conversation == clocked]
    bedrock = Bedrock()
    cache = PromptCache(clock=bedrock.emulator.now)
    with changing.for_a_while():
        for call in calls:
            mark(call.request)
        shaped = SHAPES[form]([(c.conversation, c.request) for c in calls])
        for call, request in islice(zip(calls, shaped, strict=True), number + 1):
            bedrock.emulator.advance(call.gap)
            prepared = cache.prepare(request, model_id=MODEL)
            response = bedrock.send(prepared.request)
            cache.settle(prepared, response)
    return Sent(request, Usage.from_converse(response))


def parts(request: Request) -> list[Part]:
    """What the prompt consists of, in order; sizes in characters."""
    system = request["system"][0]["text"]
    line, _, rest = system.partition("\n\n") if system.startswith("It is") else ("", "", system)
    texts = [b["text"] for m in request["messages"][:-1] for b in m["content"]]
    asked, *moved = (b["text"] for b in request["messages"][-1]["content"])
    found = [
        Part("clock", len(line), changes=True),
        Part("rules", len(rest)),
        Part("history", sum(map(len, texts))),
        Part("question", len(asked)),
        Part("clock", sum(map(len, moved)), changes=True),
    ]
    return [part for part in found if part.size]


def bar(title: str, one: Sent, top: int) -> str:
    """A prompt as a bar: above, what it consists of; in it, what was read, written and paid in full."""
    usage, held = one.usage, parts(one.request)
    scale = (WIDTH - 2 * LEFT) / usage.input_tokens
    stretches = [("read", usage.read_tokens), ("write", usage.write_tokens), ("full", usage.uncached_tokens)]
    out = [f'<text x="{LEFT}" y="{top + 14}">{title}</text>']
    x = float(LEFT)
    for kind, tokens in stretches:
        width = tokens * scale
        out.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{top + HEAD + 18}" width="{width:.1f}" height="{BAR}"/>'
        )
        x += width
    whole, x = sum(part.size for part in held), float(LEFT)
    for part in held:
        # What changes is a dozen tokens: drawn a little wider, so that it is seen.
        width = max(part.size / whole * (WIDTH - 2 * LEFT), 7 if part.changes else 0)
        y = top + HEAD + 18
        if part.changes:
            x = min(x, WIDTH - LEFT - width)
            out.append(f'<rect class="changes" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}"/>')
        out.append(f'<path class="line" d="M{x:.1f} {y - 4} v{BAR + 8}"/>')
        end = x > WIDTH - 70
        at, side = (min(x + width, WIDTH - LEFT), "end") if end and part.changes else (x + 3, "start")
        if end and not part.changes:
            at, side = x - 3 + width, "end"
        level = y + BAR + 16 if part.changes or part.name == "history" else y - 6
        out.append(f'<text class="small" text-anchor="{side}" x="{at:.1f}" y="{level}">{part.name}</text>')
        x += width
    said = ", ".join(
        f"{tokens:,} {word}"
        for word, tokens in zip(("read", "written", "in full"), (t for _, t in stretches), strict=True)
    )
    out.append(f'<text class="small" x="{LEFT + 46}" y="{top + HEAD + 18 + BAR + 16}">{said}</text>')
    return "\n".join(out)


def drawn() -> str:
    before, after = sent("unmoved"), sent("kept")
    rows = [
        bar("The clock at the start: nothing behind it is read", before, 6),
        bar("The same clock behind the newest message", after, 126),
    ]
    legend = [
        ("read", "read: 0.1 of the price"),
        ("write", "written: 1.25"),
        ("full", "in full: 1"),
        ("changes", "changes by the call"),
    ]
    keys = [
        f'<rect class="{kind}" x="{LEFT + 180 * (n % 2)}" y="{246 + 20 * (n // 2)}" width="12" height="12"/>'
        f'<text class="small" x="{LEFT + 17 + 180 * (n % 2)}" y="{256 + 20 * (n // 2)}">{words}</text>'
        for n, (kind, words) in enumerate(legend)
    ]
    body = "\n".join([*rows, *keys])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="290" '
        f'viewBox="0 0 {WIDTH} 290" role="img">\n'
        f"<title>A prompt before and after its clock was moved</title>\n"
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/shaping.svg")
    target.write_text(drawn(), "utf-8")

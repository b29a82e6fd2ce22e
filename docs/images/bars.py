"""Draws prompts as bars: of what a request consists, where its checkpoints stand, and what calls read.

    python docs/images/bars.py

Widths are tokens. The checkpoints are those of the plan, and what was read, written and paid in full is what
the emulator said of the calls. Draws `checkpoints.svg`, `conversations.svg`, `cuts.svg` and `lifetimes.svg`.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from drawing import LEFT, WIDTH, curve, legend, line, picture, rect, save, words

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from prompts import MODEL, message, request, text
from simulate import Bedrock, cost_of_ours, system_and_tail

from cachepoint import CachePolicy, CallReport, PromptCache, Usage

INNER = WIDTH - 2 * LEFT
LAYERS = {
    "tools": "tools",
    "system": "system",
    "documents": "documents",
    "history": "history",
    "question": "newest",
}
PAID = {"read": "read: 0.1 of the price", "written": "written: 1.25", "fresh": "in full: 1"}
WHY = {
    "head": "head: for the next conversation",
    "tools": "tools: for another system prompt",
    "documents": "documents: for the next question on them",
    "again": "again: where requests part",
    "anchor": "anchor: the end of what is held",
    "previous_end": "previous_end: where the turn before ended",
    "end": "end: for the next turn",
}


class Part(NamedTuple):
    """A stretch of a bar and its tokens."""

    kind: str
    tokens: float


Calls = Iterable[tuple[float, dict[str, Any]]]


def specs() -> list[dict[str, Any]]:
    schema = {"json": {"type": "object"}}
    return [
        {"toolSpec": {"name": f"tool_{n}", "description": text(f"does {n}", 1_700), "inputSchema": schema}}
        for n in range(4)
    ]


def conversations() -> Iterator[tuple[float, dict[str, Any]]]:
    """Three people ask about the same case file, four questions each."""
    base = {"toolConfig": {"tools": specs()}, "system": [{"text": text("rules", 9_600)}]}
    documents = {"text": text("case file", 14_000)}
    for person in range(3):
        history = [message("user", documents, {"text": text(f"question {person} 0", 2_000)})]
        for turn in range(4):
            yield 45.0, {**base, "messages": [*history]}
            history += [
                message("assistant", {"text": text(f"answer {person} {turn}", 5_200)}),
                message("user", {"text": text(f"question {person} {turn + 1}", 2_000)}),
            ]


def in_one_text() -> Iterator[tuple[float, dict[str, Any]]]:
    """Five questions about a document, each in one text with it."""
    document = "\n".join(text(f"paragraph {n}", 500) for n in range(30))
    for n in range(5):
        yield 30.0, request("You read case files.", f"{document}\n\nQuestion: {text(n * 7, 2_000)}")


def ours(calls: Calls) -> list[CallReport]:
    bedrock = Bedrock()
    cache = PromptCache(clock=bedrock.emulator.now)
    reports = []
    for gap, asked in calls:
        bedrock.emulator.advance(gap)
        call = cache.prepare(asked, model_id=MODEL)
        reports.append(cache.settle(call, bedrock.send(call.request)))
    return reports


def behind_the_question(calls: Calls) -> list[Usage]:
    bedrock = Bedrock()
    used = []
    for gap, asked in calls:
        bedrock.emulator.advance(gap)
        used.append(Usage.from_converse(bedrock.send(system_and_tail(asked))))
    return used


def stretches(parts: Iterable[Part], scale: float, x: float, y: float, height: float) -> list[str]:
    """Parts side by side."""
    out = []
    for part in parts:
        width = part.tokens * scale
        out.append(rect(part.kind, x, y, width, height, f"{part.kind}: {part.tokens:,.0f} tokens"))
        x += width
    return out


def paid(usage: Usage) -> list[Part]:
    counted = (usage.read_tokens, usage.write_tokens, usage.uncached_tokens)
    return [Part(kind, tokens or 0) for kind, tokens in zip(PAID, counted, strict=True)]


def layers(report: CallReport, ends: Mapping[str, int]) -> list[Part]:
    """Of what one of the conversations' requests consists."""
    tools, system, documents = ends["tools[3]"], ends["system[0]"], ends["messages[0].content[0]"]
    asked = ends["messages[0].content[1]"] - documents
    said = report.usage.input_tokens - documents - asked
    sizes = (tools, system - tools, documents - system, said, asked)
    return [Part(kind, tokens) for kind, tokens in zip(LAYERS, sizes, strict=True)]


def checkpoints(reports: list[CallReport]) -> str:
    """The third person's second question: it has all four."""
    report = reports[9]
    ends = {point.where: point.tokens for one in reports for point in one.plan.checkpoints}
    scale, top, height = INNER / report.usage.input_tokens, 26, 34
    out, x = stretches(layers(report, ends), scale, LEFT, top, height), float(LEFT)
    for part in layers(report, ends):
        last = part.kind == "question"
        out.append(
            words(
                LAYERS[part.kind],
                WIDTH - LEFT if last else x + 3,
                top - 7,
                "small",
                "end" if last else "start",
            )
        )
        x += part.tokens * scale
    for n, point in enumerate(report.plan.checkpoints):
        at, y = LEFT + point.tokens * scale, top + height + 22 + 20 * n
        out += [
            line(at, top - 2, at, y - 4, "rule strongrule"),
            line(at - 8, y - 4, at, y - 4, "rule strongrule"),
        ]
        out.append(words(WHY[point.reason], at - 11, y, "small", "end"))
    below = top + height + 22 + 20 * len(report.plan.checkpoints) + 6
    out.append(words("What Bedrock counted", LEFT, below + 10, "strong"))
    out += stretches(paid(report.usage), scale, LEFT, below + 18, 18)
    out += legend(PAID, below + 56)
    return picture("One request: its parts, its four checkpoints, and what Bedrock counted", out, below + 64)


def calls_of(
    title: str, used: Iterable[Usage], top: float, scale: float, names: Callable[[int], str]
) -> list[str]:
    """Calls as bars below each other."""
    out = [words(title, LEFT, top + 12, "strong")] if title else []
    for n, usage in enumerate(used):
        y = top + (20 if title else 4) + 17 * n
        out.append(words(names(n), LEFT, y + 11, "small"))
        out += stretches(paid(usage), scale, LEFT + 74, y, 13)
    return out


def three_people(reports: list[CallReport]) -> str:
    scale = (INNER - 74) / max(report.usage.input_tokens for report in reports)
    out: list[str] = []
    for person in range(3):
        used = [report.usage for report in reports[4 * person : 4 * person + 4]]
        title = ("The first person", "The second, about the same documents", "The third")[person]
        out += calls_of(title, used, 100 * person, scale, lambda n: f"question {n + 1}")
    out += legend(PAID, 312)
    return picture("What each call of three conversations read, wrote and paid in full", out, 320)


def cut_or_not() -> str:
    before, after = behind_the_question(in_one_text()), [report.usage for report in ours(in_one_text())]
    scale = (INNER - 74) / max(usage.input_tokens for usage in before)

    def name(n: int) -> str:
        return f"question {n + 1}"

    out = calls_of("A checkpoint behind the question", before, 0, scale, name)
    out += calls_of("cachepoint: cut where the texts part", after, 118, scale, name)
    out += legend(PAID, 246)
    return picture("Five questions about a document, each in one text with it", out, 254)


PAUSES = (1, 4.9, 5.1, 10, 20, 40, 59, 61, 80)
LIFETIMES = {"5m": "written", "1h": "second", "auto": "ours"}
SAID = {"5m": 'ttl="5m"', "1h": 'ttl="1h"', "auto": 'ttl="auto"'}


def chat(pause: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """Four chats of ten turns, one after the other, with the same pause before each call."""
    system = [{"text": text("chat", 12_000)}]
    for number in range(4):
        history = []
        for turn in range(10):
            history.append(message("user", {"text": text(f"question {number} {turn}", 800)}))
            yield 60 * pause, {"system": system, "messages": [*history]}
            history.append(message("assistant", {"text": text(f"answer {number} {turn}", 800)}))


def costs(ttl: str) -> list[float]:
    return [cost_of_ours(chat(pause), CachePolicy(ttl=ttl)) for pause in PAUSES]


def lifetimes() -> str:
    left, top, width, height, most = 40.0, 24.0, WIDTH - 56.0, 190.0, 1.25

    def at(pause: float, cost: float) -> tuple[float, float]:
        return left + pause / PAUSES[-1] * width, top + height - cost / most * height

    out = [words("input cost over no caching", LEFT, 12, "small faint")]
    for cost in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25):
        out += [line(left, at(0, cost)[1], left + width, at(0, cost)[1])]
        out += [words(f"{cost:.2f}", left - 6, at(0, cost)[1] + 4, "small", "end")]
    for pause in (5, 20, 40, 60, 80):
        out.append(words(str(pause), at(pause, 0)[0], top + height + 16, "small", "middle"))
    out.append(
        words("minutes between the calls of a chat", left + width, top + height + 34, "small faint", "end")
    )
    for ttl, colour in LIFETIMES.items():
        out.append(curve((at(p, c) for p, c in zip(PAUSES, costs(ttl), strict=True)), colour))
    out += legend({LIFETIMES[ttl]: SAID[ttl] for ttl in LIFETIMES}, top + height + 56, left, 120)
    return picture("Input cost of chats by the pause between calls, for each TTL", out, top + height + 64)


def drawn() -> dict[str, str]:
    """The pictures by file."""
    reports = ours(conversations())
    return {
        "checkpoints.svg": checkpoints(reports),
        "conversations.svg": three_people(reports),
        "cuts.svg": cut_or_not(),
        "lifetimes.svg": lifetimes(),
    }


if __name__ == "__main__":
    for name, svg in drawn().items():
        save(name, svg)

"""Draws what `python benchmarks/compare.py` prints: a job's input cost by who places the checkpoints.

    python docs/images/costs.py

The picture of the README, for a light page, for a dark one, and with both colours for the site.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from drawing import LEFT, WIDTH, line, picture, rect, save, words

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from compare import OURS, ratios

JOBS = {
    "agent": "An agent, a tool a step",
    "desk": "A chat with pauses of minutes",
    "clock": "A chat with a clock in its system prompt",
    "casefile": "Questions about a document",
    "letters": "Calls that have nothing in common",
}
SHOWN = {
    OURS: "cachepoint",
    "langchain-aws": "langchain-aws' middleware",
    "LiteLLM": "LiteLLM's layout",
    "LlamaIndex": "LlamaIndex' flags",
}
START, SCALE, BAR, HEAD = 172.0, 190.0, 13, 26
FILES = {"costs-light.svg": "light", "costs-dark.svg": "dark", "costs.svg": "both"}
TITLE = "Input cost over no caching, by who places the checkpoints"


def group(title: str, found: Mapping[str, float], top: float) -> list[str]:
    """A job: its name, and a bar for each."""
    out = [words(title, LEFT, top + 14, "strong")]
    for n, (name, said) in enumerate(SHOWN.items()):
        ratio, y = found[name], top + 22 + n * (BAR + 4)
        kind = "ours" if name == OURS else "other"
        out += [
            words(said, LEFT, y + BAR - 2, "small" if name != OURS else "small strong"),
            rect(kind, START, y, min(ratio, 1) * SCALE, BAR),
            rect("worse", START + SCALE, y, (ratio - 1) * SCALE, BAR) if ratio > 1 else "",
            words(f"{ratio:.2f}", START + ratio * SCALE + 5, y + BAR - 2, "small"),
        ]
    return out


def drawn(table: Mapping[str, Mapping[str, float]], theme: str) -> str:
    each = 22 + len(SHOWN) * (BAR + 4) + 12
    bottom = HEAD + len(JOBS) * each
    parts = [part for n, job in enumerate(JOBS) for part in group(JOBS[job], table[job], HEAD + n * each)]
    marks = [
        line(START + SCALE, HEAD - 4, START + SCALE, bottom - 8),
        words("no caching: 1.00", START + SCALE, HEAD - 10, "small faint", "middle"),
        words("of the input's price; lower is better", WIDTH - LEFT, bottom + 8, "small faint", "end"),
    ]
    return picture(TITLE, [*marks, *parts], bottom + 16, theme)


def measured() -> dict[str, dict[str, float]]:
    return {job: ratios(job) for job in JOBS}


if __name__ == "__main__":
    table = measured()
    for file, theme in FILES.items():
        save(file, drawn(table, theme))

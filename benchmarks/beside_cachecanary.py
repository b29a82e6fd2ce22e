"""What `cachecanary diff` and `cachepoint explain` say of the same pairs of requests.

CacheCanary is a checker of others (github.com/Haarris/cachecanary); it needs a Python of its own:

    python -m venv /tmp/canary && /tmp/canary/bin/pip install cachecanary
    python benchmarks/beside_cachecanary.py /tmp/canary/bin/cachecanary

It prints a table in Markdown, and ends with an error where CacheCanary finds a cause that is not found here,
or names its place more exactly.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "core")]

from cachepoint.cli.check.saved import load  # noqa: E402
from cachepoint.cli.explain import explain  # noqa: E402
from tests.cli.pairs import PAIRS, Pair, written  # noqa: E402

MODEL = "us.anthropic.claude-sonnet-4-6"
# What it says where it found no reason in the requests, or one that only costs.
NO_CAUSE = {"prefix-identical", "checkpoint-not-moved"}
# It says "entries are keyed by TTL"; recorded Converse calls of req_llm read an entry of an hour with a
# checkpoint of five minutes. Of a system prompt that is gone it names what took its place.
KNOWN = {"another TTL", "system prompt removed"}


def main() -> None:
    canary = sys.argv[1]
    rows = [row(canary, pair) for pair in PAIRS]
    print("| the second request | CacheCanary | at | cachepoint | at |\n|---|---|---|---|---|")
    for name, theirs, ours in rows:
        print(f"| {name} | {theirs[0]} | {code(theirs[1])} | {ours[0]} | {code(ours[1])} |")
    compared = [each for each in rows if each[0] not in KNOWN]
    worse = [name for name, theirs, ours in compared if theirs[0] and not ours[0]]
    vague = [name for name, theirs, ours in compared if theirs[1] and not ours[1].startswith(theirs[1])]
    found = [sum(bool(side[0]) for side in sides) for sides in zip(*[row[1:] for row in rows], strict=True)]
    print(f"\nfound: CacheCanary {found[0]}, cachepoint {found[1]} of {len(rows)} pairs")
    if worse or vague:
        sys.exit(f"not found: {worse}; at another place: {vague}")


def row(canary: str, pair: Pair) -> tuple[str, tuple[str, str], tuple[str, str]]:
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("before.json", "after.json")]
        for file, request in zip(files, (pair.before, pair.after), strict=True):
            file.write_text(written(request), "utf-8")
        theirs = next(said(canary, files), ("", ""))
        found = explain(*[load(file, MODEL) for file in files])
    ours = ("", "") if found is None else (f"{found.cause}: {found.detail}", found.where)
    return pair.name, theirs, ours


def said(canary: str, files: list[Path]) -> Iterator[tuple[str, str]]:
    named = "modelId" in files[0].read_text("utf-8")
    command = [canary, "--json", "diff", *(() if named else ("--model", MODEL)), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    reasons: list[dict[str, Any]] = json.loads(done.stdout)
    for reason in reasons:
        if reason["code"] not in NO_CAUSE:
            yield reason["code"], (reason["location"] or "").removeprefix("toolConfig.")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    main()

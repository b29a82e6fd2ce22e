"""What caching does to the time to the first token: the demo's agent through a stream, without and with it.

The emulator takes as long to begin as Anthropic measured (`cachepoint.cli.demo.bench.LATENCY` has it). All of
it goes ten times as fast, and is printed as if it did not. `of hits` and `of misses` are the session's.

    python benchmarks/latency.py [--speed 10] [--json]

It ends with an error where the agent does not begin sooner with caching, or where the session and the
callbacks differ.
"""

import argparse
import json
import logging
import statistics
import sys
from dataclasses import asdict
from typing import Any

from cachepoint.cli.demo import langchain_jobs
from cachepoint.cli.demo.bench import LATENCY
from cachepoint.cli.demo.places import Local
from cachepoint.langchain import CacheUsageCallbackHandler
from cachepoint.reporting.session import session

MODEL = "us.anthropic.claude-sonnet-4-6"
MODES = {"without": "off", "with": "auto"}


def run(mode: str, speed: float) -> dict[str, Any]:
    """Seconds to the first token of each call, and what the session and the callbacks say of them."""
    place = Local(**{f"latency_{name}": seconds / speed for name, seconds in LATENCY.items()})
    usage, seen = CacheUsageCallbackHandler(), []
    with place.open("agent") as stage, session() as counted:
        model = langchain_jobs.cached(stage, MODEL, {"mode": mode})
        model.prompt_cache.observers.append(lambda report: seen.append(report.first_token_seconds * speed))
        langchain_jobs.streamed_agent(model, [usage])
    return {
        "calls": len(seen),
        "median": statistics.median(seen),
        "longest": max(seen),
        "session": said(counted.first_tokens, speed),
        "callbacks": said(usage.first_tokens, speed),
    }


def said(first: Any, speed: float) -> dict[str, float | None]:
    return {kind: None if s is None else s * speed for kind, s in asdict(first).items()}


def wrong(found: dict[str, dict[str, Any]]) -> list[str]:
    faults = []
    if not found["with"]["median"] < found["without"]["median"]:
        faults.append("the agent does not begin sooner with caching")
    if any(row["session"] != row["callbacks"] for row in found.values()):
        faults.append("the session and the callbacks differ")
    return faults


def table(found: dict[str, dict[str, Any]]) -> str:
    heads = ("calls", "median", "longest", "of hits", "of misses")
    rows = [f"{'seconds':10}" + "".join(f"{head:>12}" for head in heads)]
    for name, row in found.items():
        times = (row["median"], row["longest"], row["session"]["hits"], row["session"]["misses"])
        cells = [str(row["calls"]), *("" if s is None else f"{s:.2f}" for s in times)]
        rows.append(f"{name:10}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--speed", type=float, default=10)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    logging.getLogger("langchain_aws").setLevel(logging.ERROR)
    found = {name: run(mode, chosen.speed) for name, mode in MODES.items()}
    print(json.dumps(found) if chosen.json else table(found))
    if faults := wrong(found):
        sys.exit("; ".join(faults))


if __name__ == "__main__":
    main()

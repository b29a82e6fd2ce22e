"""How much later an empty run of pytest starts where the package is installed: with its plugin, and without.

The two take turns, the first one too, and each pair is compared: what else the machine does falls on both,
and where it changes its speed in between, on few. Each run is a process of its own in
an empty folder, with its bytecode at hand, as an installer leaves it. Other plugins are left out of both:
one that is installed here for other tests takes a second, give or take more than all that is measured.

    python benchmarks/plugin_start.py [--runs 20] [--json]

It ends with an error where the median of the differences is more than 20 ms.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import entry_points
from pathlib import Path

BOUND_MS = 20.0
PLUGIN = "cachepoint"
OPTIONS = {"with": (), "without": ("-p", f"no:{PLUGIN}")}
_OTHERS = [f"-pno:{found.name}" for found in entry_points(group="pytest11") if found.name != PLUGIN]
_NO_TESTS = 5


def start(folder: str, *options: str) -> tuple[float, float]:
    """Seconds of one run by the clock, and of the CPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_OTHERS, *options]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))
    cpu, began = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    took, spent = time.perf_counter() - began, os.times()
    if done.returncode != _NO_TESTS:
        raise SystemExit(done.stdout + done.stderr)
    used = spent.children_user + spent.children_system - cpu.children_user - cpu.children_system
    return took, used


def measure(runs: int) -> dict[str, list[tuple[float, float]]]:
    """So many runs with the plugin and without, after one of each that is not counted."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in OPTIONS}
    with tempfile.TemporaryDirectory() as folder:
        if PLUGIN not in entry_points(group="pytest11").names:
            raise SystemExit('the plugin is not installed: pip install -e ".[testing]"')
        for turn in range(runs + 1):
            for name in sorted(OPTIONS, reverse=turn % 2 == 1):
                taken = start(folder, *OPTIONS[name])
                if turn:
                    found[name].append(taken)
    return found


def later(found: dict[str, list[tuple[float, float]]]) -> float:
    """The median of the differences, in milliseconds by the clock."""
    pairs = zip(found["with"], found["without"], strict=True)
    return 1_000 * statistics.median(ours[0] - theirs[0] for ours, theirs in pairs)


def medians(taken: list[tuple[float, float]]) -> dict[str, float]:
    clock, cpu = (statistics.median(values) * 1_000 for values in zip(*taken, strict=True))
    return {"clock_ms": clock, "cpu_ms": cpu}


def main() -> int:
    parser = argparse.ArgumentParser(description="How much later pytest starts with the plugin.")
    parser.add_argument("--runs", type=int, default=20, help="of each kind")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    taken = measure(given.runs)
    found, more = {name: medians(runs) for name, runs in taken.items()}, later(taken)
    if given.json:
        print(json.dumps({**found, "later_ms": more}))
    else:
        for name, row in found.items():
            print(f"{name:8} {row['clock_ms']:8.1f} ms by the clock, {row['cpu_ms']:8.1f} ms of CPU")
        print(f"later    {more:8.1f} ms, at most {BOUND_MS:.0f}")
    return 0 if more <= BOUND_MS else 1


if __name__ == "__main__":
    sys.exit(main())

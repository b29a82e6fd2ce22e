"""What an audit takes, beside what DuckDB alone takes to read the same files, every column, into a table.

    python benchmarks/audit.py [--records 100000] [--folder FOLDER] [--dask] [--replay] [--json]

The log is made in FOLDER unless it is there (benchmarks/invocation_logs.py; 1,000,000 records take some 5 GB
and a quarter of an hour). Each runs in a process of its own, one after the other; memory is that of the
process and its children together, sampled twice a second, Linux only. It ends with an error where the audit
takes 2 GB or more, where its figures are not those that the local Bedrock counted, and of 1,000,000 records
or more where it takes more than three times as long: with fewer the start of the processes weighs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from invocation_logs import write

BOUND, MOST_MB, MANY = 3.0, 2_048, 1_000_000

ALONE = """
import sys, duckdb
files, place, threads = sys.argv[3:], sys.argv[1], int(sys.argv[2])
connection = duckdb.connect(f"{place}/alone.duckdb", config={"memory_limit": "1600MB", "threads": threads})
connection.execute("SET enable_progress_bar = false")
connection.execute(f"SET temp_directory = '{place}/sorting'")
connection.execute(
    "CREATE TABLE log AS SELECT * FROM"
    " read_json(?, format = 'newline_delimited', maximum_object_size = 67108864)",
    [files],
)
print(connection.execute("SELECT count(*) FROM log").fetchone()[0])
"""


def run(command: list[str]) -> tuple[float, float, str]:
    """Seconds, megabytes at most, and what it printed."""
    began, most = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            most = max(most, held(watched))
            time.sleep(0.5)
        seconds = time.perf_counter() - began
        out.seek(0)
        if process.returncode:
            raise SystemExit(f"{command[:4]} ended with {process.returncode}")
        return seconds, most / 2**20, out.read()


def held(process: psutil.Process) -> int:
    """Bytes of a process and its children; what they share counts once."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        pass
    return total


def measured(folder: Path, *, dask: bool, replay: bool) -> dict[str, Any]:
    logs, cores = folder / "AWSLogs", str(len(os.sched_getaffinity(0)))
    files = sorted(str(path) for path in logs.rglob("*.json.gz"))
    with tempfile.TemporaryDirectory() as place:
        alone, alone_mb, count = run([sys.executable, "-c", ALONE, place, cores, *files])
    command = [sys.executable, "-m", "cachepoint.cli", "audit", str(logs), "--json"]
    command += ["--dask", "local"] if dask else []
    command += ["--replay"] if replay else []
    seconds, megabytes, printed = run(command)
    found = json.loads(printed)
    return {
        "records": int(count),
        "alone_seconds": round(alone, 1),
        "alone_mb": round(alone_mb),
        "audit_seconds": round(seconds, 1),
        "audit_mb": round(megabytes),
        "ratio": round(seconds / alone, 2),
        "same": same(found, json.loads((folder / "ledger.json").read_text())),
        "hit_share": found["hit_share"],
        "cost_usd": found["cost_usd"],
        "replay": found["replay"],
        "replay_bound": found["replay_bound"],
    }


def same(found: dict[str, Any], ledger: dict[str, Any]) -> bool:
    """Whether the tokens of each model are those that were counted."""
    names = {
        "uncached_tokens": "inputTokens",
        "read_tokens": "cacheReadInputTokens",
        "write_tokens": "cacheWriteInputTokens",
        "output_tokens": "outputTokens",
    }
    models = found["models"]
    return models.keys() == ledger.keys() and all(
        models[model]["usage"][ours] == counts[theirs]
        for model, counts in ledger.items()
        for ours, theirs in names.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dask", action="store_true")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if not (folder / "ledger.json").exists():
            write(folder, given.records)
        found = measured(folder, dask=given.dask, replay=given.replay)
    print(json.dumps(found, indent=2) if given.json else "\n".join(f"{k:<14} {v}" for k, v in found.items()))
    whole = found["records"] >= MANY and not (given.dask or given.replay)
    slow = whole and found["ratio"] > BOUND
    if slow or found["audit_mb"] >= MOST_MB or not found["same"]:
        raise SystemExit("too slow, too large, or other figures than were counted")


if __name__ == "__main__":
    main()

"""Input cost of each layout of checkpoints on recorded workloads, over no caching. Lower is better.

    python benchmarks/layouts.py [--workloads ../workloads] [--json] [workload ...]

Each workload is a file `<name>.jsonl` in the folder that `--workloads` names.
"""

import argparse
import json
from pathlib import Path

from simulate import LAYOUTS, cost, cost_of_ours, workload

WORKLOADS = ("tau_airline", "agentdojo", "mt_rag", "mt_bench")
BESIDE = Path(__file__).parents[2] / "workloads"


def one_text(calls):
    """Each message as a single text, the way the frameworks render passages and question."""
    for gap, request in calls:
        messages = [
            {**m, "content": [{"text": "\n\n".join(b["text"] for b in m["content"])}]}
            for m in request["messages"]
        ]
        yield gap, {**request, "messages": messages}


def calls_of(file: Path):
    calls = workload(file)
    return list(one_text(calls) if file.stem == "mt_rag" else calls)


def ratios(file: Path) -> dict[str, float]:
    calls = calls_of(file)
    table = {layout: cost(calls, place) for layout, place in LAYOUTS.items()}
    return {**table, "cachepoint": cost_of_ours(calls)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="workload", default=WORKLOADS)
    options.add_argument("--workloads", type=Path, default=BESIDE, metavar="FOLDER")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    table = {name: ratios(chosen.workloads / f"{name}.jsonl") for name in chosen.names}
    if chosen.json:
        print(json.dumps(table))
        return
    print("input cost over no caching".ljust(26), *(n.rjust(12) for n in table))
    for layout in table[chosen.names[0]]:
        print(layout.ljust(26), *(f"{table[n][layout]:12.4f}" for n in table))


if __name__ == "__main__":
    main()

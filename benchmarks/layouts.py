"""Input cost of each layout of checkpoints on recorded workloads, over no caching. Lower is better.

python benchmarks/layouts.py [--json] [workload ...]
"""

import json
import sys

from simulate import LAYOUTS, cost, cost_of_ours, workload

WORKLOADS = ("tau_airline", "agentdojo", "mt_rag", "mt_bench")


def one_text(calls):
    """Each message as a single text, the way the frameworks render passages and question."""
    for gap, request in calls:
        messages = [
            {**m, "content": [{"text": "\n\n".join(b["text"] for b in m["content"])}]}
            for m in request["messages"]
        ]
        yield gap, {**request, "messages": messages}


def calls_of(name: str):
    calls = workload(name)
    return list(one_text(calls) if name == "mt_rag" else calls)


def ratios(name: str) -> dict[str, float]:
    calls = calls_of(name)
    table = {layout: cost(calls, place) for layout, place in LAYOUTS.items()}
    return {**table, "cachepoint": cost_of_ours(calls)}


def main() -> None:
    names = [a for a in sys.argv[1:] if not a.startswith("-")] or list(WORKLOADS)
    table = {name: ratios(name) for name in names}
    if "--json" in sys.argv:
        print(json.dumps(table))
        return
    print("input cost over no caching".ljust(26), *(n.rjust(12) for n in names))
    for layout in table[names[0]]:
        print(layout.ljust(26), *(f"{table[n][layout]:12.4f}" for n in names))


if __name__ == "__main__":
    main()

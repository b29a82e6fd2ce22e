"""`cachepoint report` beside a plain read and parse of the same file, on a run that the emulator answered.

2,000 calls of a help desk go through `CachingClient` to the emulator: conversations that grow, breaks for
lunch that outlast the TTL, a clock in some system prompts, histories that are cut, a provider that now and
then re-routes. For the large file their lines come again and again, as later conversations.

    python benchmarks/report.py [--calls 1000000] [--json]
    python benchmarks/report.py --run calls.jsonl      # the 2,000 calls alone
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import boto3

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.observers import jsonl

MODELS = ("us.anthropic.claude-sonnet-4-6", "us.anthropic.claude-haiku-4-5-20251001-v1:0")
WORDS = "the customer asks about an order that is late and the desk looks it up in the manual of returns "
START = 1_795_392_000.0  # Monday, 2026-11-23
CALLS = 2_000

# What the engine of `report` (the standard library's json, line by line) needs to read and parse the file.
PARSE = "import json, sys\nfor line in open(sys.argv[1], 'rb'):\n    json.loads(line)"
REPORT = (sys.executable, "-m", "cachepoint.cli", "report")


class Desk:
    """Conversations with their habits: `plain` ones, some with a `clock`, some that `cut` their history."""

    def __init__(self, seed: int = 5) -> None:
        self.random = random.Random(seed)
        self.manuals = [text(f"manual {n}", 9_000 + 5_000 * n) for n in range(3)]
        self.open: list[dict] = []
        self.begun = 0

    def request(self, hour: float) -> tuple[dict, dict]:
        if len(self.open) < 12 or self.random.random() < 0.04:
            self.open.append(self.new())
        talk = self.random.choice(self.open)
        talk["turns"].append(("user", f"question {len(talk['turns'])} of {talk['name']}: {self.some(300)}"))
        turns = talk["turns"]
        if talk["habit"] == "cut" and len(turns) > 12:
            turns = turns[-11:]
        system = talk["manual"]
        if talk["habit"] == "clock":
            system = f"It is {hour:.2f} hours.\n{system}"
        if len(talk["turns"]) > 40 or self.random.random() < 0.015:
            self.open.remove(talk)
        return {
            "modelId": talk["model"],
            "system": [{"text": system}],
            "messages": [{"role": role, "content": [{"text": said}]} for role, said in turns],
        }, talk

    def new(self) -> dict:
        self.begun += 1
        return {
            "name": f"customer {self.begun}",
            "habit": self.random.choices(["plain", "clock", "cut"], [30, 1, 2])[0],
            "manual": self.random.choice(self.manuals),
            "model": self.random.choices(MODELS, [4, 1])[0],
            "turns": [],
        }

    def some(self, about: int) -> str:
        return text("", self.random.randrange(about, 6 * about))


def text(tag: str, size: int) -> str:
    return (f"{tag} " + WORDS * (size // len(WORDS) + 1))[:size]


def run(path: Path, calls: int = CALLS) -> None:
    """Append the reports of a day at the desk."""
    desk = Desk()
    answers = random.Random(6)
    with BedrockEmulator(
        responder=lambda _: Reply.text(text("answer", answers.randrange(400, 2_400))),
        reroute=0.01,
        clock=lambda: START + 9 * 3_600,
    ) as bedrock:
        cache = PromptCache(CachePolicy(head_ttl="1h"), bedrock.now, observers=[jsonl(path)])
        client = CachingClient(
            boto3.client(
                "bedrock-runtime",
                endpoint_url=bedrock.url,
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            ),
            cache=cache,
        )
        for number in range(calls):
            hour = (bedrock.now() - START) / 3_600
            # Lunch: what is in the cache expires.
            bedrock.advance(2_700 if number == calls // 2 else desk.random.expovariate(1 / 9))
            request, talk = desk.request(hour)
            answer = client.converse(**request)["output"]["message"]["content"][0]["text"]
            talk["turns"].append(("assistant", answer))


def repeat(source: Path, path: Path, calls: int) -> None:
    """The lines again and again, each time as other conversations of a later day."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    with path.open("w") as file:
        for number in range(calls):
            day, at = divmod(number, len(lines))
            line = lines[at]
            started = datetime.fromisoformat(line["started"]) + timedelta(days=day)
            name = line["conversation"] and f"{line['conversation'][:6]}{day:06x}"
            changed = {**line, "started": started.isoformat(timespec="milliseconds"), "conversation": name}
            file.write(json.dumps(changed, separators=(",", ":")) + "\n")


def measured(command: list[str]) -> tuple[float, float]:
    """(seconds, peak MB) of a process."""
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, _peak(child.pid))
        time.sleep(0.02)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - began, peak


def _peak(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.run:
        run(asked.run)
        return
    with tempfile.TemporaryDirectory() as folder:
        small, large, page = (Path(folder, name) for name in ("run.jsonl", "calls.jsonl", "out.html"))
        run(small)
        repeat(small, large, asked.calls)
        commands = {
            "parse": [sys.executable, "-c", PARSE, str(large)],
            "report": [*REPORT, str(large)],
            "report_html": [*REPORT, str(large), "--html", str(page)],
        }
        # Side by side: the rounds go through all of them, and the quickest of each counts.
        spent = {name: [] for name in commands}
        for _ in range(asked.rounds):
            for name, command in commands.items():
                spent[name].append(measured(command))
        best = {name: min(times) for name, times in spent.items()}
        figures = {
            "calls": asked.calls,
            "file_mb": round(large.stat().st_size / 1e6),
            "page_kb": round(page.stat().st_size / 1e3),
            **{f"{name}_seconds": round(seconds, 2) for name, (seconds, _) in best.items()},
            **{f"{name}_peak_mb": round(max(mb for _, mb in spent[name])) for name in commands},
            "ratio": round(best["report"][0] / best["parse"][0], 2),
            "ratio_html": round(best["report_html"][0] / best["parse"][0], 2),
        }
    if asked.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<22}{value:>12,}")


if __name__ == "__main__":
    main()

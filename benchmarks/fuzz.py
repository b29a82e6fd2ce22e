"""Whatever is sent to the emulator is answered, in time, and costs it no memory.

200,000 bodies of random bytes and 50,000 requests that are right, by a seed, through HTTP with connections
that are kept, some bodies in chunks; the emulator is a process of its own.

    python benchmarks/fuzz.py [--random 200000] [--valid 50000] [--seed 0] [--json]

It ends with an error where a request that is right gets anything but 200, where a status is none of 200, 400,
403, 404, 408, 413, 424 and 429, where an answer takes more than a second three times in a row, or where the
emulator's resident memory grows by more than 64 MB from the first hundredth of the requests on. Linux only.
"""

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

from fuzz_bodies import Sent, noise, valid
from measure import resident

ALLOWED = {200, 400, 403, 404, 408, 413, 424, 429}
BOUND_SECONDS, BOUND_MB = 1.0, 64.0
CLIENTS, TRIES = 2, 3
SERVER = """
import sys
from cachepoint.emulator import BedrockEmulator
with BedrockEmulator() as bedrock:
    print(bedrock.port, flush=True)
    sys.stdin.read()
"""


@dataclass(slots=True)
class Found:
    """What came of it: how many answers of each status, the longest, and what should not have been."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, sent: Sent, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.slowest = max(self.slowest, seconds)
        if seconds > BOUND_SECONDS or status not in ({200} if sent.valid else ALLOWED):
            self.wrong.append(
                f"{status} after {seconds:.2f} s: {sent.operation} {sent.model} {sent.body[:2_000]!r}"
            )

    def join(self, other: "Found") -> None:
        self.statuses += other.statuses
        self.slowest = max(self.slowest, other.slowest)
        self.wrong += other.wrong


@contextmanager
def emulator() -> Iterator[tuple[int, int]]:
    """An emulator in a process of its own: its port and the process's id."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline()), process.pid
        process.stdin.close()


def send(connection: http.client.HTTPConnection, sent: Sent, *, chunked: bool) -> int:
    """One request, its answer read to the end: the status."""
    path = f"/model/{quote(sent.model, safe='')}/{sent.operation}"
    body = iter([sent.body[:7], sent.body[7:]]) if chunked and len(sent.body) > 7 else sent.body
    connection.request("POST", path, body, {"Content-Type": "application/json"}, encode_chunked=False)
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def timed(connection: http.client.HTTPConnection, sent: Sent, *, chunked: bool) -> tuple[int, float]:
    """Status and seconds. What took too long is sent again: the machine may have been busy."""
    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        status = send(connection, sent, chunked=chunked)
        best = min(best, time.perf_counter() - started)
        if best <= BOUND_SECONDS:
            break
    return status, best


def client(port: int, noises: int, valids: int, seed: int) -> Found:
    """One connection after the other, as long as the emulator keeps each."""
    found, random = Found(), Random(seed)
    makers = [noise] * noises + [valid] * valids
    random.shuffle(makers)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        for n, make in enumerate(makers):
            sent = make(random)
            found.add(sent, *timed(connection, sent, chunked=n % 20 == 0))
    return found


def run(port: int, pid: int, *, noises: int, valids: int, seed: int) -> tuple[Found, float]:
    """All of it, and by how many MB the emulator grew after the first hundredth.

    Most of that is `calls`, which keeps the newest 10,000 and their bodies.
    """
    found, sizes = Found(), []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for part, share in enumerate((0.01 / CLIENTS, 0.99 / CLIENTS)):
            numbers = round(noises * share), round(valids * share)
            jobs = [pool.submit(client, port, *numbers, seed + CLIENTS * part + n) for n in range(CLIENTS)]
            for job in jobs:
                found.join(job.result())
            sizes.append(resident(pid))
    return found, sizes[1] - sizes[0]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--random", type=int, default=200_000, dest="noises")
    options.add_argument("--valid", type=int, default=50_000, dest="valids")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    started = time.monotonic()
    with emulator() as (port, pid):
        found, grown = run(port, pid, noises=chosen.noises, valids=chosen.valids, seed=chosen.seed)
    seconds = time.monotonic() - started
    figures = {
        "requests": sum(found.statuses.values()),
        "statuses": dict(sorted(found.statuses.items())),
        "slowest_s": round(found.slowest, 3),
        "grown_mb": round(grown, 1),
        "seconds": round(seconds),
    }
    print(
        json.dumps(figures)
        if chosen.json
        else "\n".join(f"{name:10} {value}" for name, value in figures.items())
    )
    for wrong in found.wrong[:5]:
        print(wrong, file=sys.stderr)
    if found.wrong or grown > BOUND_MB:
        sys.exit(f"{len(found.wrong)} wrong answers, grew by {grown:.1f} MB of {BOUND_MB:.0f}")


if __name__ == "__main__":
    main()

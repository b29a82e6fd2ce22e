"""What traffic costs that eight workers share, with a memory that they share and without; one process is 1.

`practice`: the streams of the practice bench, through eight `PromptCache`s, calls dealt at random; a cost is
that of all its calls. `workers`: eight processes that answer HTTP, with conversations that hop between them.
`at once`: 20 calls with one prefix that nobody has written, spread over eight processes, and a 21st; what the
prefix cost, in units of its price.

    python benchmarks/fleet.py [practice] [workers] [at_once] [--folder ../shared/practice]
                               [--streams wiki,ebb] [--quick] [--seed 1] [--json]

It ends with an error where the shared memory costs more than 1.02 of one process, where the prefix costs
more than 3.3 with `warm_first` or 20.3 with `single_flight`, where not exactly one of the 20 wrote it, or the
21st did not read it. It needs redis-server; without the folder, the practice streams are left out.
"""

import argparse
import json
import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from fleet_workers import PATIENCE, Worker, workers
from placement import STREAMS
from prompts import MODEL, request, text
from redis_server import KEY, RedisServer, redis_server
from simulate import cost_of_ours

from cachepoint import PromptCache, Usage, rules_for
from cachepoint.core.accounting.report import input_units
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.memory import LocalMemory, connect

WORKERS, CALLS = 8, 20
BOUND = 1.02
AT_ONCE = {"warm_first": 3.3, "single_flight": 20.3}
HOPPING = ("desk", "agent", "casefile", "passages")
FOLDER = Path(__file__).parents[2] / "shared" / "practice"
READ, WRITE = 0.1, 1.25
Memories = Callable[[], Iterator[Any]]


class Fleet:
    """Eight `PromptCache`s with the face of one: each call goes to one of them, at random."""

    def __init__(self, memories: Sequence[Any], clock: Callable[[], float], seed: int) -> None:
        self.caches = [
            PromptCache(memory=memory, clock=clock, memory_timeout=PATIENCE, key=_key(memory))
            for memory in memories
        ]
        self._chosen = random.Random(seed)
        self._of: dict[int, PromptCache] = {}

    def prepare(self, asked: Mapping[str, Any], model_id: str) -> Any:
        cache = self._chosen.choice(self.caches)
        call = cache.prepare(asked, model_id=model_id)
        self._of[id(call)] = cache
        return call

    def settle(self, call: Any, response: Mapping[str, Any]) -> Any:
        return self._of.pop(id(call)).settle(call, response)

    def abandon(self, call: Any) -> None:
        self._of.pop(id(call)).abandon(call)

    @property
    def faults(self) -> int:
        return sum(cache.faults for cache in self.caches)


def _key(memory: Any) -> bytes | None:
    return None if hasattr(memory, "key") else KEY.encode()


def practice(server: RedisServer, folder: Path, chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """By stream: the cost of one process, of the fleet with a shared memory, and without."""
    sys.path.insert(0, str(folder))
    run, streams = import_module("run"), import_module("streams")
    names = chosen.streams.split(",") if chosen.streams else [*streams.STREAMS]
    table = {}
    for name in names:
        share = streams.STREAMS[name][1] if chosen.quick else 1.0
        try:
            stream = streams.build(name, chosen.seed, share)
        except streams.MissingData as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            continue
        run.prime(stream, "sonnet")
        table[name] = {"calls": len(stream.calls), **_ratios(run, stream, server, chosen.seed)}
        print(f"  {name} {table[name]}", file=sys.stderr, flush=True)
    return table


def _ratios(run: Any, stream: Any, server: RedisServer, seed: int) -> dict[str, float]:
    with server.client() as client:
        client.flushall()
    shared = [connect(server.url, key=KEY) for _ in range(WORKERS)]
    kinds = {"one": [LocalMemory()], "shared": shared, "apart": [LocalMemory() for _ in range(WORKERS)]}
    costs = {}
    for kind, memories in kinds.items():
        tally = run.run_cache(lambda clock, m=memories: Fleet(m, clock, seed), stream, "sonnet")
        if any(tally.bad.values()):
            raise SystemExit(f"{kind}: {dict(tally.notes)}")
        costs[kind] = tally.cost / tally.total
    lost = [memory for memory in shared if not memory.is_shared]
    for memory in shared:
        memory.close()
    if lost:
        raise SystemExit(f"{len(lost)} of {WORKERS} lost the store on the way: {lost[0]!r}")
    return costs


def hopping(server: RedisServer, seed: int, names: Sequence[str] = HOPPING) -> dict[str, dict[str, float]]:
    """By stream, the same over processes."""
    found = {}
    for name in names:
        calls = list(STREAMS[name](random.Random(f"{name} {seed}")))
        with server.client() as client:
            client.flushall()
        found[name] = {
            "calls": len(calls),
            "one": cost_of_ours(calls),
            "shared": _over_processes(calls, server.url, seed),
            "apart": _over_processes(calls, None, seed),
        }
    return found


def _over_processes(calls: Sequence[tuple[float, Any]], memory: str | None, seed: int) -> float:
    chosen, units, tokens = random.Random(seed), 0.0, 0
    with (
        BedrockEmulator(responder=lambda _: Reply.text("ok"), max_calls=1) as bedrock,
        workers(WORKERS, bedrock.url, memory, KEY) as fleet,
    ):
        for gap, asked in calls:
            bedrock.advance(gap)
            answer = chosen.choice(fleet).converse({"modelId": MODEL, **asked}, now=bedrock.now())
            _no_faults(answer)
            usage = Usage.from_converse(answer)
            units += input_units(usage, rules_for(MODEL).multipliers)
            tokens += usage.input_tokens
    return units / tokens


def at_once(server: RedisServer, fan_out: str, delay: float = 1.0) -> dict[str, float]:
    """What 20 calls at the same time pay for their prefix, how many wrote it, and what a 21st pays."""
    with server.client() as client:
        client.flushall()
    with (
        BedrockEmulator(responder=lambda _: Reply.text("ok"), delay=delay, max_calls=1) as bedrock,
        workers(WORKERS, bedrock.url, server.url, KEY) as fleet,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        for worker in fleet:
            # Each has made its client and its connections, and knows nothing of the prefix.
            worker.converse({"modelId": MODEL, **request("You are somebody else.", "Who?")})
        usages = list(pool.map(lambda n: _asked(fleet[n % WORKERS], n, fan_out), range(CALLS)))
        last = _asked(fleet[CALLS % WORKERS], CALLS, fan_out)
    size = last.read_tokens or 1
    return {
        "prefix": sum(_paid(usage, size) for usage in usages),
        "writers": sum((usage.write_tokens or 0) > size / 2 for usage in usages),
        "then": _paid(last, size),
    }


def _asked(worker: Worker, number: int, fan_out: str) -> Usage:
    asked = {"modelId": MODEL, **request(text("the manual", 42_000), f"question {number}")}
    answer = worker.converse(asked, policy={"fan_out": fan_out})
    _no_faults(answer)
    return Usage.from_converse(answer)


def _no_faults(answer: Mapping[str, Any]) -> None:
    if answer["faults"]:
        raise SystemExit(f"a worker counted {answer['faults']} faults of ours")


def _paid(usage: Usage, size: int) -> float:
    """What this call paid for the first `size` tokens, in units of their price."""
    read = min(usage.read_tokens or 0, size)
    written = min(usage.write_tokens or 0, size - read)
    return (READ * read + WRITE * written + size - read - written) / size


def total(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The ratios of all streams, each weighing as much as another."""
    return {
        kind: sum(row[kind] / row["one"] for row in table.values()) / len(table)
        for kind in ("shared", "apart")
    }


def show(title: str, table: Mapping[str, Mapping[str, float]]) -> None:
    print(f"{title:24}{'calls':>7}{'one':>9}{'shared':>9}{'apart':>9}{'shared/one':>12}{'apart/one':>11}")
    for name, row in table.items():
        cells = f"{row['calls']:7.0f}" + "".join(f"{row[kind]:9.4f}" for kind in ("one", "shared", "apart"))
        print(f"{name:24}{cells}{row['shared'] / row['one']:12.4f}{row['apart'] / row['one']:11.4f}")
    print(
        f"{'mean':24}{'':34}"
        + "".join(f"{ratio:{w}.4f}" for ratio, w in zip(total(table).values(), (12, 11), strict=True))
    )


def measure(server: RedisServer, chosen: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "practice" in chosen.parts and not chosen.folder.is_dir():
        print(f"the practice streams are left out: {chosen.folder} is not there (--folder)", file=sys.stderr)
    elif "practice" in chosen.parts:
        found["practice"] = practice(server, chosen.folder, chosen)
    if "workers" in chosen.parts:
        found["workers"] = hopping(server, chosen.seed)
    if "at_once" in chosen.parts:
        found["at once"] = {fan_out: at_once(server, fan_out) for fan_out in AT_ONCE}
    return found


def wrong(found: Mapping[str, Any]) -> list[str]:
    costs = [
        f"{part} costs {ratio:.4f} of one process"
        for part in ("practice", "workers")
        if part in found and (ratio := total(found[part])["shared"]) > BOUND
    ]
    flights = [
        f"{fan_out}: {row}"
        for fan_out, row in found.get("at once", {}).items()
        if row["prefix"] > AT_ONCE[fan_out] or row["writers"] != 1 or row["then"] > READ
    ]
    return costs + flights


def main() -> None:
    parts = ("practice", "workers", "at_once")
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("parts", nargs="*", metavar="part", default=parts, help=", ".join(parts))
    options.add_argument("--folder", type=Path, default=FOLDER)
    options.add_argument("--streams", help="of the practice bench, comma separated")
    options.add_argument("--quick", action="store_true", help="a share of each of them")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    logging.getLogger("cachepoint").addHandler(logging.NullHandler())
    with redis_server() as server:
        found = measure(server, chosen)
    if chosen.json:
        print(json.dumps(found))
    else:
        for part in ("practice", "workers"):
            if part in found:
                show(part, found[part])
        for fan_out, row in found.get("at once", {}).items():
            print(f"{fan_out:24}" + "".join(f"  {name} {value:.2f}" for name, value in row.items()))
    if bad := wrong(found):
        sys.exit("; ".join(bad))


if __name__ == "__main__":
    main()

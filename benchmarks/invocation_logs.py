"""Bedrock's invocation logs, as its logging writes them, of calls that the local Bedrock answered.

Many desks talk at once, in four accounts: each has a model, a caller, a system prompt and tools, above 8 kB
in all; some do what loses a cache (a clock in the prompt, tools in another order, a history that is cut, no
checkpoint, pauses, a tool that must be called).

    python benchmarks/invocation_logs.py FOLDER [--records 10000] [--files 16] [--broken 0.0] [--large]
        [--seed 1]

Files are laid out as in S3: AWSLogs/ACCOUNT/BedrockModelInvocationLogs/REGION/YYYY/MM/DD/HH/*.json.gz, a
record a line, bodies above 100 kB in files of their own under `data`. What the local Bedrock counted is in
FOLDER/ledger.json, what was broken on purpose in FOLDER/broken.json. The form is that of AWS' user guide,
"Monitor model invocation using CloudWatch Logs and Amazon S3" (read 2026-11): no file of the service was at
hand.
"""

import argparse
import json
import os
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from heapq import heapify, heapreplace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cachepoint.emulator import CacheEngine, Reply, default_sizer
from cachepoint.emulator.service.calls import EmulatedCall, Incoming
from cachepoint.emulator.service.operations import Service

START = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
ACCOUNTS, REGION = ("111122223333", "222233334444", "333344445555", "444455556666"), "us-east-1"
MODELS = (
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "global.anthropic.claude-opus-4-7",
    "us.amazon.nova-pro-v1:0",
)
HABITS = ("well", "well", "well", "well", "clock", "shuffled", "cut", "unmarked", "slow", "forced")
LARGE = 100_000
# Stands in every text, so that a search tells whether one got out.
CANARY = "CANARY-7f3a-{}"
# What a record may be instead of one, by turns.
FAULTS = ("cut", "types", "other", "body", "gzip")
_MEMBER = 400
_Request = dict[str, Any]


@dataclass
class Desk:
    """One application and what it does wrong."""

    number: int
    account: str
    rng: random.Random
    words: list[str]
    large: bool
    habit: str = ""
    model: str = ""
    system: str = ""
    tools: list[_Request] = field(default_factory=list)
    messages: list[_Request] = field(default_factory=list)
    left: int = 0

    def __post_init__(self) -> None:
        self.habit = HABITS[self.number % len(HABITS)]
        self.model = MODELS[self.number // len(HABITS) % len(MODELS)]
        size = 120_000 if self.large else 8_000 if self.nova else 5_600
        self.system = f"{CANARY.format(self.number)} " + self.text(size)
        if not self.nova:
            self.tools = [self.tool(i) for i in range(6)]

    @property
    def nova(self) -> bool:
        return "nova" in self.model

    @property
    def arn(self) -> str:
        return f"arn:aws:sts::{self.account}:assumed-role/team-{self.number % 7}/desk-{self.number}"

    def text(self, size: int) -> str:
        found, length = [], 0
        while length < size:
            word = self.rng.choice(self.words)
            found.append(word)
            length += len(word) + 1
        return " ".join(found)

    def tool(self, i: int) -> _Request:
        schema = {"type": "object", "properties": {"q": {"type": "string", "description": self.text(120)}}}
        return {
            "toolSpec": {
                "name": f"tool_{self.number}_{i}",
                "description": self.text(420),
                "inputSchema": {"json": schema},
            }
        }

    def ask(self, now: float) -> _Request:
        """The next request of its conversation."""
        if not self.left:
            self.messages, self.left = [], self.rng.randint(4, 16)
        self.left -= 1
        self.messages.append({"role": "user", "content": [{"text": self.text(self.rng.randint(120, 700))}]})
        if self.habit == "cut" and len(self.messages) > 9:
            del self.messages[:4]
        return self.request(now)

    def request(self, now: float) -> _Request:
        clock = f"It is {datetime.fromtimestamp(now, UTC):%H:%M:%S}. " if self.habit == "clock" else ""
        point = [] if self.habit == "unmarked" else [{"cachePoint": {"type": "default"}}]
        *before, last = self.messages
        asked: _Request = {
            "system": [{"text": clock + self.system}, *point],
            "messages": [*before, {**last, "content": [*last["content"], *point]}],
            "inferenceConfig": {"maxTokens": 512},
        }
        if self.nova:
            return asked
        tools = self.rng.sample(self.tools, len(self.tools)) if self.habit == "shuffled" else self.tools
        forced = self.habit == "forced" and self.left % 3 == 0
        choice = {"toolChoice": {"any": {}}} if forced else {}
        return {**asked, "toolConfig": {"tools": [*tools, *point], **choice}}

    def answered(self, message: _Request) -> float:
        """Note the answer; how many seconds until the next question."""
        self.messages.append(message)
        return (
            self.rng.uniform(310, 900) if self.habit == "slow" and self.left % 2 else self.rng.uniform(5, 90)
        )


class Bedrock:
    """The local Bedrock without its sockets, with a clock that is set."""

    def __init__(self, seed: int) -> None:
        self.now = START
        self.last: EmulatedCall | None = None
        self.rng = random.Random(f"answers {seed}")
        self.service = Service(
            engine=CacheEngine(lambda: self.now, seed=seed),
            clock=lambda: self.now,
            responder=lambda _: Reply.text(self.words()),
            sizer=default_sizer,
            profiles={},
            record=self.record,
        )

    def words(self) -> str:
        return f"Done, {self.rng.getrandbits(64):x}. " + "The order was found and its state is open. " * 6

    def record(self, call: EmulatedCall) -> None:
        self.last = call

    def converse(self, model: str, body: bytes) -> tuple[bytes, dict[str, int]]:
        path = f"/model/{quote(model, safe='')}/converse"
        answer = self.service.answer(Incoming("POST", path, REGION, body))
        if answer.status != 200 or self.last is None or self.last.usage is None:
            raise RuntimeError(f"the local Bedrock refused: {answer.body[:200]!r}")
        return answer.body, self.last.usage


def calls(
    number: int, account: str, seed: int, *, desks: int = 40, large: bool = False
) -> Iterator[tuple[float, Desk, bytes, bytes, dict[str, int]]]:
    """When, whose, request, answer and usage, by time."""
    rng, first = random.Random(f"{account} {seed}"), ACCOUNTS.index(account) * desks
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(2_500)]
    every = {
        n: Desk(n, account, random.Random(f"{seed} {n}"), words, large and not n % 8)
        for n in range(first, first + desks)
    }
    bedrock = Bedrock(seed)
    queue = [(START + rng.uniform(0, 60), n) for n in every]
    heapify(queue)
    for _ in range(number):
        at, name = queue[0]
        bedrock.now, desk = at, every[name]
        body = json.dumps(desk.ask(at), separators=(",", ":")).encode()
        answer, usage = bedrock.converse(desk.model, body)
        yield at, desk, body, answer, usage
        heapreplace(queue, (at + desk.answered(json.loads(answer)["output"]["message"]), name))


def record(number: int, at: float, desk: Desk, given: bytes, returned: bytes, usage: dict[str, int]) -> bytes:
    """A line of the log; `given` and `returned` are the fields of both bodies."""
    head = {
        "timestamp": datetime.fromtimestamp(at, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        "accountId": desk.account,
        "identity": {"arn": desk.arn},
        "region": REGION,
        "requestId": request_id(desk, number),
        "operation": "Converse",
        "modelId": desk.model,
    }
    counts = {
        "inputTokenCount": usage["inputTokens"],
        "cacheReadInputTokenCount": usage.get("cacheReadInputTokens", 0),
        "cacheWriteInputTokenCount": usage.get("cacheWriteInputTokens", 0),
    }
    parts = (
        dumped(head)[:-1],
        b',"input":{"inputContentType":"application/json",',
        given,
        b"," + dumped(counts)[1:],
        b',"output":{"outputContentType":"application/json",',
        returned,
        b',"outputTokenCount":%d},"schemaType":"ModelInvocationLog","schemaVersion":"1.0"}\n'
        % usage["outputTokens"],
    )
    return b"".join(parts)


def request_id(desk: Desk, number: int) -> str:
    return f"{int(desk.account) % 2**32:08x}-0000-4000-8000-{number:012d}"


def dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Folder:
    """The files of one account's log, and what is in them.

    Args:
        root: The bucket.
        account: Whose.
        per_file: Records of a file.
        broken: The share of records in front of which stands one that is none.
    """

    def __init__(self, root: Path, account: str, per_file: int, broken: float = 0.0) -> None:
        self.root, self.account, self.per_file, self.broken = root, account, per_file, broken
        self.rng = random.Random(f"broken {account}")
        self.lines: list[bytes] = []
        self.members: list[bytes] = []
        self.place = root
        self.faults: list[dict[str, Any]] = []
        self.files = self.held = self.line = 0

    def add(
        self, number: int, at: float, desk: Desk, body: bytes, answer: bytes, usage: dict[str, int]
    ) -> None:
        if not self.held:
            self.begin(at)
        given = self.kept(number, desk, "input", body)
        line = record(number, at, desk, given, self.kept(number, desk, "output", answer), usage)
        if self.rng.random() < self.broken:
            self.spoil(line)
        self.lines.append(line)
        self.line += 1
        self.held += 1
        if len(self.lines) >= _MEMBER:
            self.member()
        if self.held == self.per_file:
            self.close()

    def begin(self, at: float) -> None:
        hour = datetime.fromtimestamp(at, UTC)
        folder = self.root / "AWSLogs" / self.account / "BedrockModelInvocationLogs" / REGION
        self.place = folder / f"{hour:%Y/%m/%d/%H}" / f"{hour:%Y%m%dT%H%M%S}000Z_{self.files:016x}.json.gz"
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.line = 1

    def kept(self, number: int, desk: Desk, name: str, body: bytes) -> bytes:
        """A body as the record has it: itself, or where it is."""
        if len(body) <= LARGE:
            return b'"%sBodyJson":%s' % (name.encode(), body)
        place = self.place.parent / "data" / f"{request_id(desk, number)}_{name}.json.gz"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(zipped(body))
        address = f"s3://a-bucket/{place.relative_to(self.root)}"
        return b'"%sBodyS3Path":%s' % (name.encode(), dumped(address))

    def spoil(self, line: bytes) -> None:
        """Put something in front of a record that is none."""
        kind = FAULTS[len(self.faults) % len(FAULTS)]
        if kind == "gzip":
            # What comes behind it is a member of its own.
            self.member()
            self.members.append(spoiled(zipped(line)))
        else:
            self.lines.append(_SPOILT[kind](line))
        self.faults.append({"file": str(self.place.relative_to(self.root)), "line": self.line, "kind": kind})
        self.line += 1

    def member(self) -> None:
        if self.lines:
            self.members.append(zipped(b"".join(self.lines)))
            self.lines.clear()

    def close(self) -> None:
        self.member()
        if self.members:
            self.place.write_bytes(b"".join(self.members))
        self.members.clear()
        self.files += 1
        self.held = 0


def of_other_types(line: bytes) -> bytes:
    found = json.loads(line)
    return dumped({**found, "timestamp": 17, "input": [found["input"]]}) + b"\n"


def of_another_service(_: bytes) -> bytes:
    return b'{"eventVersion":"1.11","eventSource":"s3.amazonaws.com","eventName":"PutObject"}\n'


def without_its_body(line: bytes) -> bytes:
    found = json.loads(line)
    given = {k: v for k, v in found["input"].items() if k != "inputBodyJson"}
    address = f"s3://a-bucket/gone/{found['requestId']}_input.json.gz"
    return dumped({**found, "input": {**given, "inputBodyS3Path": address}}) + b"\n"


_SPOILT = {
    "cut": lambda line: line[: len(line) // 3] + b"\n",
    "types": of_other_types,
    "other": of_another_service,
    "body": without_its_body,
}


def spoiled(member: bytes) -> bytes:
    """A member of a gzip file that can't be unpacked, from its first block on."""
    return member[:10] + b"\xff" * 32 + member[42:].replace(b"\x1f\x8b\x08", b"\x00\x00\x00")


def zipped(data: bytes) -> bytes:
    """A member of a gzip file, without a name and a time."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def write_account(
    root: Path, account: str, number: int, files: int, seed: int, broken: float, large: bool
) -> tuple[dict[str, Counter[str]], list[dict[str, Any]]]:
    folder, ledger = Folder(root, account, -(-number // files), broken), dict[str, Counter[str]]()
    for n, (at, desk, body, answer, usage) in enumerate(calls(number, account, seed, large=large)):
        folder.add(n, at, desk, body, answer, usage)
        counts = ledger.setdefault(desk.model, Counter())
        counts.update({k: v for k, v in usage.items() if isinstance(v, int)})
        counts["calls"] += 1
    folder.close()
    return ledger, folder.faults


def write(
    root: Path,
    number: int,
    files: int = 16,
    *,
    seed: int = 1,
    broken: float = 0.0,
    large: bool = False,
    processes: int | None = None,
) -> dict[str, Counter[str]]:
    """Write a log; what the local Bedrock counted, by model."""
    root.mkdir(parents=True, exist_ok=True)
    count = len(ACCOUNTS)
    each = partial(
        write_account,
        root,
        number=number // count,
        files=-(-files // count),
        seed=seed,
        broken=broken,
        large=large,
    )
    ledger, faults = dict[str, Counter[str]](), list[dict[str, Any]]()
    for of_account, found in mapped(each, ACCOUNTS, processes or os.cpu_count() or 1):
        faults += found
        for model, counts in of_account.items():
            ledger.setdefault(model, Counter()).update(counts)
    (root / "ledger.json").write_text(json.dumps(ledger, indent=2))
    (root / "broken.json").write_text(json.dumps(faults, indent=2))
    return ledger


def mapped(each: Callable[[str], Any], accounts: Sequence[str], processes: int) -> list[Any]:
    if processes == 1:
        return list(map(each, accounts))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(each, accounts))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--broken", type=float, default=0.0)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ledger = write(
        given.folder, given.records, given.files, seed=given.seed, broken=given.broken, large=given.large
    )
    print(json.dumps(ledger, indent=2))


if __name__ == "__main__":
    main()

"""Whatever is read, by a command or by a call, is read, or refused in words.

By a seed: lines of logs, files that are broken gzip, lines of reports, saved requests, answers, messages of
refusals, options, variables of the environment, bodies of InvokeModel, what comes over a socket to the
emulator, and commands with odd files and arguments.

    python benchmarks/fuzz_readers.py [NAME ...] [--inputs 600000] [--seed 0] [--json]

`--inputs` is the sum, of which each reader has its share. It ends with an error where anything leaves that is
no error of ours, where a command ends with a traceback or with another code than 0, 1 or 2, and where
anything takes more than ten seconds of CPU, or as long to be answered.
"""

import argparse
import json
import logging
import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import fuzz_lines
import odd
from fuzz_bodies import noise, valid
from fuzz_calls import answer, guarded

from cachepoint import CachePolicy, PromptCache, Usage
from cachepoint.aws import bodies
from cachepoint.cli import build
from cachepoint.cli.audit.formats import calls
from cachepoint.cli.audit.formats.logged import Logged, UnusableError
from cachepoint.cli.audit.prints import Print, Printer
from cachepoint.cli.audit.replay import _Player
from cachepoint.cli.audit.sources import Bodies, lines
from cachepoint.cli.check.rules import Checked, findings
from cachepoint.cli.check.saved import load
from cachepoint.cli.lines import Lines
from cachepoint.cli.named import model_id
from cachepoint.cli.report import _add
from cachepoint.cli.savings.measured import _call
from cachepoint.core.accounting import counts
from cachepoint.core.guard import InvalidOptionError
from cachepoint.core.models.refusals import is_refusal, read_refusal
from cachepoint.core.models.rules import known_as, rules_for
from cachepoint.core.prompt.dialects.reading import UnreadableError as NotRead
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.calls import Incoming
from cachepoint.emulator.wire.body import UnreadableError, read_body
from cachepoint.emulator.wire.eventstream import encode
from cachepoint.reporting.tally import Tally

LIMIT = 10.0
KEY = b"k" * 32
CACHE = PromptCache()


class WrongError(AssertionError):
    """What should not be."""


@dataclass(frozen=True)
class Reader:
    """What is read by something of ours.

    Attributes:
        name: For the command line.
        share: Of all inputs, in a thousand.
        make: An input.
        read: Reads it; raises where something is wrong.
    """

    name: str
    share: int
    make: Callable[[Random], Any]
    read: Callable[[Any], None]


# Logs.


def read_log(line: bytes) -> None:
    printer = Printer(KEY)
    for found in calls(line, _no_body):
        if isinstance(found, UnusableError):
            continue
        with suppress(UnusableError):
            _tabled(printer.of(found, "log:1"))


def _tabled(made: Print) -> None:
    """As a row of a table takes it: text in UTF-8, numbers of 64 bits."""
    for value in made:
        if isinstance(value, str):
            value.encode()
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise WrongError(f"{value} has no place in a table")


def _no_body(_: str) -> bytes:
    raise UnusableError("its body is in a file that is not here")


class Replaying:
    """Plays what a log tells, as `audit --replay` does."""

    def __init__(self) -> None:
        self._player = _Player()

    def __call__(self, line: bytes) -> None:
        for found in calls(line, _no_body):
            if isinstance(found, Logged):
                self._player.play(found)


class InFile:
    """Reads what is put into a file."""

    def __init__(self, read: Callable[[Path], None], path: Path) -> None:
        self._path, self._read = path, read

    def __call__(self, data: bytes) -> None:
        self._path.write_bytes(data)
        self._read(self._path)


def read_lines(path: Path) -> None:
    held = Bodies([path.parent])
    for line in lines(path):
        if line.fault is None:
            for _ in calls(line.text, held):
                pass


def report_lines(random: Random) -> bytes:
    return b"\n".join(fuzz_lines.line(random, fuzz_lines.reports()) for _ in range(3))


def read_reports(text: bytes) -> None:
    tally, found = Tally(), Lines(Path("calls.jsonl"))
    _add(tally, found, text.splitlines(keepends=True))
    json.dumps(tally.as_dict(), allow_nan=False)
    for _ in Lines(Path("calls.jsonl")).parsed(text.splitlines(), _call):
        pass


def read_saved(path: Path) -> None:
    try:
        checked = Checked.of(load(path, None))
    except (ValueError, RecursionError):
        # As the command says them.
        return
    for one in findings(checked):
        str(one)


# What a call reads.


def read_usage(response: Any) -> None:
    for read in (Usage.from_converse, Usage.from_messages):
        usage = read(response) if isinstance(response, dict) else None
        if usage is not None:
            json.dumps(usage.as_dict(), allow_nan=False)
    with suppress(ValueError):
        counts.event(response)


SAID = (
    "did not allow prompt caching",
    "support the cachePoint field",
    "Extended TTL prompt caching",
    "messages.0.content.1.type: Field required",
    "#/messages/6/content/0: extraneous key [cachePoint] is not permitted",
    "#/toolConfig/tools/3: extraneous key [cachePoint] is not permitted",
    "system.0.cache_control: Extra inputs are not permitted",
    "tools.20.custom.cache_control.ephemeral.ttl: Extra inputs are not permitted",
    "A maximum of 4 blocks with cache_control may be provided. Found 5.",
)
PLACES = ("messages", (0, 1)), ("messages", (6, 0)), ("system", (0,)), ("tools", (3,))


def message(random: Random) -> str:
    said = bytearray(random.choice(SAID) + random.choice(("", "; ", "\n")) + random.choice(SAID), "utf-8")
    for _ in range(random.randrange(4)):
        at = random.randrange(len(said))
        said[at : at + random.randrange(6)] = random.choice((b"9" * 5_000, b"\xd9\xa5", b".", b"/", b""))
    return said.decode("utf-8", "surrogateescape")


def read_message(text: str) -> None:
    found = read_refusal(text, PLACES)
    if found is not None and not found <= {"explicit", "tools", "system", "messages", "1h"}:
        raise WrongError(f"{found} says nothing of a row")
    is_refusal(text)
    read_refusal(text, ())


def body(random: Random) -> Any:
    if random.random() < 0.1:
        return odd.odd(random)
    return (noise(random) if random.random() < 0.8 else valid(random)).body


def read_body_of_ours(given: Any) -> None:
    for model, dialect in (
        ("us.anthropic.claude-sonnet-4-6", "messages"),
        ("us.amazon.nova-lite-v1:0", "nova"),
    ):
        request = {"modelId": model, "body": given}
        found = bodies.read(request, model)
        if found is None:
            continue
        text = bodies.dumped({k: v for k, v in found.items() if k not in bodies.BESIDE})
        if json.loads(text) != json.loads(given):
            raise WrongError("a body that is written anew says something else")
        taken: list[BaseException] = []
        with guarded(taken):
            call = CACHE.prepare(found, model, dialect=dialect)
        if fault := next((f for f in taken if not isinstance(f, NotRead)), None):
            raise fault
        if odd.said(json.loads(bodies.written(request, call, anew=True)["body"])) != odd.said(
            json.loads(given)
        ):
            raise WrongError("a body with checkpoints says something else")


def word(random: Random) -> Any:
    words = ("auto", "off", "5m", "1h", "learned", "OFF", " 1h ", "\ud800", "", "x" * 5_000)
    return random.choice(words) if random.random() < 0.7 else odd.odd(random)


def options(random: Random) -> Any:
    names = (
        "mode",
        "ttl",
        "head_ttl",
        "tail",
        "split",
        "documents",
        "fan_out",
        "explain",
        "mod",
        7,
        "\ud800",
    )
    if random.random() < 0.1:
        return word(random)
    return {random.choice(names): word(random) for _ in range(random.randrange(4))}


def read_options(given: Any) -> None:
    with suppress(InvalidOptionError):
        CachePolicy.of(given)
    if isinstance(given, dict):
        env = {f"CACHEPOINT_{name}".upper(): value for name, value in given.items() if isinstance(value, str)}
        CachePolicy.from_env(env)
        with suppress(InvalidOptionError):
            CachePolicy().but(**{str(name): value for name, value in given.items()})


def name(random: Random) -> str:
    parts = (
        "us.",
        "anthropic.",
        "claude-",
        "sonnet-4-6",
        "nova",
        "arn:aws:bedrock:",
        ":",
        "/",
        "-v1:0",
        "\ud800",
        "9",
    )
    return "".join(random.choice(parts) for _ in range(random.randrange(8)))


def read_name(text: str) -> None:
    with suppress(ValueError):
        model_id(text)
    rules_for(known_as(text, None))


# The emulator.


def head(random: Random) -> tuple[list[tuple[str, str]], bytes]:
    """Headers, and what comes behind them."""
    data = noise(random).body[:300]
    length = random.choice((str(len(data)), "0", "-1", "1e3", "\u0665", "9" * 20, "+5", " 5 ", ""))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(data), data) for _ in range(2)) + b"0\r\n\r\n"
    coding = random.choice(("chunked", "Chunked ", "gzip", "chunked, gzip"))
    headers = [("Content-Length", length)] * random.randrange(3)
    if random.random() < 0.5:
        return [*headers, ("Transfer-Encoding", coding)], fuzz_lines.noised(random, chunks)
    return headers, data


def read_head(sent: tuple[list[tuple[str, str]], bytes]) -> None:
    headers = Message()
    for field, value in sent[0]:
        headers[field] = value
    with suppress(UnreadableError):
        read_body(headers, BytesIO(sent[1]))


class Emulated:
    """The emulator: in this process, and over its socket."""

    def __init__(self, bedrock: BedrockEmulator) -> None:
        self.bedrock = bedrock
        self._faults: list[BaseException] = []

    def answer(self, sent: Any) -> None:
        incoming = Incoming("POST", f"/model/{sent.model}/{sent.operation}", "us-east-1", sent.body)
        answered = self.bedrock._service.answer(incoming)
        if answered.status not in {200, 400, 403, 404, 408, 413, 424, 429}:
            raise WrongError(f"{answered.status}")
        for event in answered.stream or ():
            encode(event)

    def talk(self, sent: bytes) -> None:
        """Bytes to its socket: it answers or hangs up, and goes on."""
        self.bedrock._server.handle_error = self._fault
        connected = socket.create_connection(("127.0.0.1", self.bedrock.port), timeout=LIMIT)
        with connected as connection, suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
        if self._faults:
            raise self._faults.pop()

    def _fault(self, *_: object) -> None:
        if not isinstance(error := sys.exception(), ConnectionError | TimeoutError):
            self._faults.append(error)


def bytes_on_a_wire(random: Random) -> bytes:
    sent = valid(random)
    text = b"POST /model/%b/%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (
        sent.model.encode(),
        sent.operation.encode(),
        len(sent.body),
        sent.body,
    )
    return fuzz_lines.noised(random, text) if random.random() < 0.9 else random.randbytes(200)


# Commands.


class Commands:
    """The command line, with odd files and arguments."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._app: Any = None

    def __call__(self, given: tuple[str, list[str], bytes, bytes]) -> None:
        from typer.testing import CliRunner

        self._app = self._app or build()
        command, arguments, one, other = given
        folder = self._folder
        (folder / "one.json").write_bytes(one)
        (folder / "other.json").write_bytes(other)
        places = {"ONE": str(folder / "one.json"), "OTHER": str(folder / "other.json"), "FOLDER": str(folder)}
        places["STATE"] = str(folder / "one.json")
        # What it writes stays there.
        with chdir(folder):
            found = CliRunner().invoke(self._app, [command, *(places.get(a, a) for a in arguments)])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        if found.exit_code not in {0, 1, 2}:
            raise WrongError(f"exit code {found.exit_code}")
        if found.exit_code == 2 and not found.output.strip():
            raise WrongError("no word of what is wrong")


NUMBERS = ("-1", "0", "1", "1e400", "nan", "inf", "9" * 5_000, "x", "", "0.5", "10")
ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Random], bytes]]] = {
    # What it must have, its flags, what is in its files.
    "check": (("ONE",), ("--json", "--strict", "--format", "--model"), fuzz_lines.request),
    "explain": (("ONE", "OTHER"), ("--json", "--show-text", "--model"), fuzz_lines.request),
    "report": (("ONE", "OTHER"), ("--json", "--html"), report_lines),
    "savings": (
        ("--model", "claude-sonnet-4-6"),
        *(
            (
                "--requests",
                "--prefix",
                "--user",
                "--output",
                "--reuse",
                "--rate",
                "--losses",
                "--credits",
                "--ttl",
            ),
            report_lines,
        ),
    ),
    "models": ((), ("--json",), fuzz_lines.line),
    "probe": (
        ("--model", "claude-haiku-4-5", "--dry-run"),
        ("--budget", "--resolution", "--only", "--guardrail"),
        fuzz_lines.line,
    ),
}


def command(random: Random) -> tuple[str, list[str], bytes, bytes]:
    """A command, its arguments and two files."""
    chosen = random.choice(list(ARGUMENTS))
    needed, flags, make = ARGUMENTS[chosen]
    arguments = list(needed)
    for _ in range(random.randrange(4)):
        arguments.append(random.choice(flags))
        if random.random() < 0.7:
            arguments.append(
                random.choice((*NUMBERS, "json", "sarif", "github", "claude-opus-4-8", "FOLDER"))
            )
    if chosen == "savings" and random.random() < 0.5:
        arguments += ["--from", "ONE"]
    if random.random() < 0.1 and arguments:
        arguments.pop(random.randrange(len(arguments)))
    # Standard input is not a terminal here: what names no file reads none.
    return chosen, arguments, make(random), make(random)


@contextmanager
def readers() -> Iterator[tuple[Reader, ...]]:
    """All of them, with a folder and an emulator for as long as they read."""
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"), max_calls=1)
    with bedrock, tempfile.TemporaryDirectory(dir=place) as folder:
        yield _readers(Path(folder), Emulated(bedrock))


def _readers(folder: Path, emulated: Emulated) -> tuple[Reader, ...]:
    return (
        Reader("logs", 240, fuzz_lines.line, read_log),
        Reader("replay", 10, fuzz_lines.line, Replaying()),
        Reader("files", 60, fuzz_lines.packed, InFile(read_lines, folder / "input.gz")),
        Reader("reports", 100, report_lines, read_reports),
        Reader("saved", 40, fuzz_lines.request, InFile(read_saved, folder / "input.json")),
        Reader("usage", 150, _response, read_usage),
        Reader("refusals", 150, message, read_message),
        Reader("bodies", 50, body, read_body_of_ours),
        Reader("options", 90, options, read_options),
        Reader("names", 50, name, read_name),
        Reader("heads", 40, head, read_head),
        Reader("emulator", 15, noise, emulated.answer),
        Reader("sockets", 3, bytes_on_a_wire, emulated.talk),
        Reader("commands", 2, command, Commands(folder)),
    )


def _response(random: Random) -> Any:
    return answer(random, random.choice(("converse", "messages")))


def run(reader: Reader, inputs: int, seed: int) -> list[str]:
    """So many inputs; what should not have been."""
    random, wrong = Random(f"{reader.name} {seed}"), []
    for number in range(inputs):
        given = reader.make(random)
        started = time.process_time()
        try:
            reader.read(given)
            _in_time(time.process_time() - started)
        except Exception as error:
            wrong.append(_told(reader, number, given, error))
    return wrong


def _in_time(seconds: float) -> None:
    if seconds > LIMIT:
        raise WrongError(f"took {seconds:.1f} s")


def _told(reader: Reader, number: int, given: Any, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    try:
        shown = repr(given)[:1_500]
    except Exception:
        shown = "what has no repr"
    return f"{reader.name} {number}: {type(error).__name__} at {at}: {str(error)[:200]!r}\n  {shown}"


def all_of(names: Iterable[str], inputs: int, seed: int) -> dict[str, tuple[int, float, list[str]]]:
    """By reader: inputs, seconds, what went wrong."""
    with readers() as every:
        wanted = [reader for reader in every if not names or reader.name in names]
        return {reader.name: _timed(reader, inputs * reader.share // 1_000, seed) for reader in wanted}


def _timed(reader: Reader, inputs: int, seed: int) -> tuple[int, float, list[str]]:
    number, started = max(1, inputs), time.monotonic()
    wrong = run(reader, number, seed)
    return number, time.monotonic() - started, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these readers")
    parser.add_argument("--inputs", type=int, default=600_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    found = all_of(chosen.names, chosen.inputs, chosen.seed)
    figures = {
        name: {"inputs": n, "seconds": round(s, 1), "wrong": len(w)} for name, (n, s, w) in found.items()
    }
    if chosen.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:10}{figure['inputs']:>10,}{figure['seconds']:>8.1f} s{figure['wrong']:>6} wrong")
    wrong = [each for _, _, of_one in found.values() for each in of_one]
    for each in wrong[:10]:
        print(each, file=sys.stderr)
    if wrong:
        sys.exit(f"{len(wrong)} inputs went wrong")


if __name__ == "__main__":
    main()

"""No prompt text in any file that the library writes, and in no line of its logs: canaries in all that is said.

Files are found by what the interpreter says of itself (`sys.addaudithook`): whatever is opened for writing with
a function of ours on the stack, and whatever is in a folder that ours removes. A name that the library may tell,
the profile that is called, is planted: it has to be found.
"""

import json
import logging
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import cachepoint
from cachepoint import PromptCache, documents, observers, volatile
from cachepoint.aws import CachingClient
from cachepoint.cli import build
from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply, ScriptedResponder
from tests.adapters.conftest import PRESENT
from tests.adapters.contract import Tool
from tests.conftest import boto_client

HOME = str(Path(cachepoint.__file__).parent)
CANARY = "canary-7f3a9c"
PLANTED = "planted-51d0e2"
PROFILE = f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/{PLANTED}"
MODEL = "us.anthropic.claude-sonnet-4-6"
FILLER = "The pump holds four litres; the valve is on its left side, behind the grey cover. " * 150

pytest_plugins = ["pytester"]


class Written:
    """What was written: files by their place, and what was in those that are gone."""

    def __init__(self):
        self.open, self.texts, self.on = set(), {}, False

    def hook(self, event, args):
        if not self.on:
            return
        self.on = False
        try:
            if event == "open" and _writes(args) and _ours():
                self.open.add(os.fsdecode(args[0]))
            elif event in ("os.remove", "os.rename", "os.truncate"):
                self.keep(Path(os.fsdecode(args[0])))
            elif event == "shutil.rmtree" and _ours():
                for path in Path(os.fsdecode(args[0])).rglob("*"):
                    self.keep(path, always=True)
        finally:
            self.on = True

    def keep(self, path, *, always=False):
        if path.is_file() and (always or str(path) in self.open):
            self.texts[str(path)] = _text(path)

    def all(self):
        for name in list(self.open):
            self.keep(Path(name))
        return self.texts


def _writes(args):
    path, mode, flags = args
    if not isinstance(path, str | bytes | os.PathLike) or str(path).startswith("/dev/"):
        return False
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))


def _ours():
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(HOME):
            return True
        frame = frame.f_back
    return False


def _text(path):
    if path.suffix == ".parquet":
        return str(pq.read_table(path).to_pylist())
    return path.read_bytes().decode("latin-1")


# A hook cannot be taken away again: it is put there once, and asleep outside of these tests.
_WRITTEN = []


def _hook(event, args):
    for written in _WRITTEN:
        written.hook(event, args)


sys.addaudithook(_hook)


class Lines(logging.Handler):
    """Every line of the log `cachepoint` and below, as it is written: with its values, fields and traceback."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record):
        self.lines.append(self.format(record) + repr({**record.__dict__, "exc_info": None}))


@contextmanager
def watched():
    """What is written and logged in the block, at DEBUG."""
    written, lines, logger = Written(), Lines(), logging.getLogger("cachepoint")
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    _WRITTEN.append(written)
    written.on = True
    try:
        yield written, lines.lines
    finally:
        written.on = False
        _WRITTEN.remove(written)
        logger.setLevel(level)
        logger.removeHandler(lines)


@pytest.fixture
def bedrock():
    with BedrockEmulator(profiles={PROFILE: "anthropic.claude-sonnet-4-6"}) as emulator:
        yield _Emulated(emulator)


class _Emulated:
    """As the shared emulator of the contract, with a profile."""

    def __init__(self, emulator):
        self.emulator, self._clients = emulator, {}

    def __getattr__(self, name):
        return getattr(self.emulator, name)

    def client(self, service="bedrock-runtime"):
        return self._clients.setdefault(service, boto_client(self.url, service))


def said(what):
    return f"{CANARY} in {what}. "


def nowhere(texts):
    """Whether no canary is in any of these texts; those that hold one are told by name, not shown."""
    held = [name for name, text in texts.items() if CANARY in text]
    assert held == []


def sinks(folder):
    """An observer for every sink that writes a file, and the log."""
    emf = (folder / "emf.log").open("a", encoding="utf-8")
    return emf, [
        observers.jsonl(folder / "calls.jsonl"),
        observers.emf(emf),
        observers.log(),
        observers.alarm("warn"),
    ]


def talk(adapter, model, n):
    """One call of a conversation: canaries in the system prompt, tools, documents, history and question."""
    found = documents(f"{said('a document')}{FILLER}"[:900])
    moment = volatile(f"{said('what changes')} {n}")
    tool = Tool(f"tool_{CANARY.replace('-', '_')}", said(f"a tool {n // 2}"))
    messages = [
        adapter.system(f"{said('the system prompt')} 10:{10 + n}\n{FILLER}"),
        adapter.user(f"{moment}\n{found}\n{said('a question')}"),
        adapter.assistant(said("an answer")),
        adapter.user(said(f"question {n}")),
    ]
    return adapter.ask(model, messages, tools=[adapter.tool(tool)])


@pytest.mark.parametrize("explain", ["digests", "text"])
@pytest.mark.parametrize("adapter", PRESENT, ids=lambda adapter: adapter.name)
def test_calls_of_every_adapter(adapter, explain, bedrock, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BEDROCK_BASE_URL", bedrock.url)
    # A file that is opened here is opened by no function of ours: it is looked at all the same.
    stream, observing = sinks(tmp_path)
    with stream, watched() as (written, lines), cachepoint.session("nightly") as session:
        cache = PromptCache({"explain": explain, "relocate": "marked"}, bedrock.now, observers=observing)
        model = adapter.cached(bedrock, cache=cache)
        bedrock.emulator._service._responder = lambda _: Reply.text(said("the model's own words"))
        for n in range(5):
            talk(adapter, model, n)
            bedrock.advance(1 if n < 3 else 400)
        (tmp_path / "session.html").write_text(observers.page(session.tally), "utf-8")
    files = written.all() | {str(p): _text(p) for p in tmp_path.iterdir()}
    assert {"calls.jsonl", "emf.log", "session.html"} <= {Path(name).name for name in files}
    assert CANARY in json.dumps([call.request for call in bedrock.calls])
    assert session.calls == 5
    assert any("claude" in text for text in files.values())
    assert lines
    nowhere(files | {"the log": "\n".join(lines), "JSON": session.to_json(), "text": str(session)})


REFUSED = "#/messages/0/content/1: extraneous key [cachePoint] is not permitted"


def test_calls_that_go_wrong(bedrock, tmp_path, monkeypatch):
    """What is logged where something fails: a refusal, a request that nobody can read, a fault, a sink."""
    holding = []
    holding.append(holding)
    use = {"toolUse": {"toolUseId": "1", "name": said("a name"), "input": {said("a key"): holding}}}
    unreadable = [
        use,
        {said("a kind"): said("a value")},
        {"text": [said("no text")]},
        {"text": said("a"), "b": 1},
    ]
    with watched() as (written, lines):
        cache = PromptCache(clock=bedrock.now, observers=[observers.jsonl(tmp_path / "calls.jsonl"), _broken])
        client = CachingClient(bedrock.client(), cache=cache, base_model_id=MODEL)
        refused = EmulatedError(REFUSED, code="ValidationException", status=400)
        bedrock.emulator._service._responder = ScriptedResponder([refused, said("words")])
        for content in (
            {"text": said("a question") + FILLER},
            {"text": said("another") + FILLER},
            *unreadable,
        ):
            try:
                client.converse(modelId=PROFILE, messages=[{"role": "user", "content": [content]}])
            except Exception as error:
                assert CANARY not in type(error).__name__
        monkeypatch.setattr("cachepoint.core.steps.decided", _fails)
        client.converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": said("a fault")}]}])
    text = "\n".join(lines)
    assert "the call goes on without it" in text
    assert "Bedrock refused a checkpoint" in text
    nowhere(written.all() | {"the log": text})


def _broken(report):
    raise ValueError("an observer's own words")


def _fails(*_, **__):
    return 1 / 0


def request(n):
    """A request as it is saved."""
    return {
        "modelId": MODEL,
        "system": [
            {"text": f"{said('the system prompt')} {n}\n{FILLER}"},
            {"cachePoint": {"type": "default"}},
        ],
        "messages": [{"role": "user", "content": [{"text": said("a question")}]}],
        "requestMetadata": {"user": said("metadata")},
    }


def invocation(n):
    """A record of Bedrock's log."""
    usage = {"inputTokens": 3_000, "outputTokens": 5, "totalTokens": 3_005}
    asked = {k: v for k, v in request(n).items() if k != "modelId"}
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": f"2026-10-01T10:0{n}:00Z",
        "accountId": "111122223333",
        "identity": {"arn": f"arn:aws:iam::111122223333:role/{PLANTED}"},
        "region": "us-east-1",
        "operation": "Converse",
        "modelId": MODEL,
        "input": {"inputBodyJson": asked, "inputTokenCount": 3_000},
        "output": {"outputBodyJson": {"usage": usage, "output": {"message": said("an answer")}}},
    }


def test_commands(bedrock, tmp_path, monkeypatch):
    """What commands print, write and keep for a while; what was planted is found in the same places."""
    inputs, made = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    made.mkdir()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    for n in range(2):
        (inputs / f"{n}.json").write_text(json.dumps(request(n)))
    (inputs / "bad.json").write_text(f'{{"messages": [{{"role": "{CANARY}", "content": 7}}]}}')
    log = inputs / "log.json"
    broken = json.dumps({**invocation(0), "input": {"inputBodyJson": {"messages": CANARY}}})
    log.write_text(
        "\n".join([*(json.dumps(invocation(n)) for n in range(4)), broken, CANARY, f'{{"{CANARY}": 1}}'])
    )
    calls = made / "calls.jsonl"
    with watched() as (written, lines):
        cache = PromptCache(clock=bedrock.now, observers=[observers.jsonl(calls)])
        client = CachingClient(bedrock.client(), cache=cache, base_model_id=MODEL)
        for n in range(3):
            client.converse(**{**request(n), "modelId": PROFILE})
        commands = {
            "check": ["check", inputs / "0.json"],
            "check bad": ["check", inputs / "bad.json", "--model", MODEL],
            "sarif": ["check", inputs / "0.json", "--format", "sarif"],
            "explain": ["explain", inputs / "0.json", inputs / "1.json"],
            "explain json": ["explain", inputs / "0.json", inputs / "1.json", "--json"],
            "report": ["report", calls],
            "report page": ["report", calls, "--html", made / "report.html"],
            "savings": ["savings", "--from", calls],
            "audit": ["audit", log, "--workers", "1", "--temp", made, "--html", made / "audit.html"],
            "audit json": ["audit", log, "--workers", "1", "--json", "--replay"],
            "audit of ours": ["audit", calls, "--workers", "1"],
            "probe": [
                *("probe", "--model", MODEL, "--budget", "0.05", "--endpoint-url", bedrock.url),
                *("--region", "us-east-1", "--only", "minimum", "--state", made / "state.jsonl"),
            ],
        }
        shown = {name: _run(arguments) for name, arguments in commands.items()}
    files = written.all() | {str(path): _text(path) for path in made.rglob("*") if path.is_file()}
    names = {Path(name).name for name in files}
    assert {"calls.jsonl", "report.html", "audit.html", "state.jsonl"} <= names
    assert [name for name in names if name.endswith(".parquet")]
    assert all(shown.values())
    # The search finds what is there.
    planted = [name for name, text in (files | shown).items() if PLANTED in text]
    assert {"calls.jsonl", "audit json", "report.html"} <= {Path(name).name for name in planted}
    assert any(name.endswith(".parquet") for name in planted)
    nowhere(files | shown | {"the log": "\n".join(lines)})


def _run(arguments):
    found = CliRunner().invoke(build(), [str(argument) for argument in arguments])
    assert found.exception is None or isinstance(found.exception, SystemExit), arguments
    return found.output


TESTS = """
    import os

    import boto3

    def ask(n):
        text = os.environ["SAID"] + str(n) + " The pump holds four litres. " * 400
        boto3.client("bedrock-runtime", region_name="us-east-1").converse(
            modelId="us.anthropic.claude-sonnet-4-6",
            system=[{"text": text}],
            messages=[{"role": "user", "content": [{"text": os.environ["SAID"]}]}],
        )

    def test_moves(bedrock, cache_calls):
        ask(1)
        ask(2)
        print(cache_calls.layout())
        cache_calls.assert_cached()
"""


def test_a_run_of_the_pytest_plugin(pytester, monkeypatch):
    monkeypatch.setenv("SAID", said("a test"))
    pytester.makepyfile(TESTS)
    with watched() as (written, lines):
        ran = pytester.runpytest_inprocess(
            *("-p", "no:asyncio", "-p", "no:cacheprovider", "-rA", "-o", "cachepoint_prefix_stable=true"),
            *("--tb=line", "--junitxml=junit.xml"),
        )
    ran.assert_outcomes(failed=1)
    files = {str(p): _text(p) for p in pytester.path.rglob("*") if p.is_file()}
    assert "junit.xml" in {Path(name).name for name in files}
    nowhere(written.all() | files | {"the log": "\n".join(lines), "what is shown": ran.stdout.str()})


class TestTheSearchItself:
    """A library that wrote text would be found: a function of ours is made to write and to log."""

    def test_files_and_lines(self, tmp_path):
        code = compile(WRITES, f"{HOME}/made_up.py", "exec")
        names = {"folder": str(tmp_path), "text": PLANTED}
        with watched() as (written, lines):
            exec(code, names)
            names["write"]()
        held = {Path(name).name for name, text in written.all().items() if PLANTED in text}
        assert held == {"stays", "removed", "rewritten", "inside", "low"}
        # As a value, a field, in the words of an error.
        assert sum(PLANTED in line for line in lines) == 3
        assert "others" not in str(written.all())

    def test_what_others_write_is_not_ours(self, tmp_path):
        with watched() as (written, _):
            (tmp_path / "others").write_text(PLANTED)
        assert written.all() == {}


WRITES = """
import logging, os, shutil, tempfile

def write():
    with open(os.path.join(folder, "stays"), "w") as file:
        file.write(text)
    for name in ("removed", "rewritten"):
        with open(os.path.join(folder, name), "a") as file:
            file.write(text)
    os.remove(os.path.join(folder, "removed"))
    os.rename(os.path.join(folder, "rewritten"), os.path.join(folder, "elsewhere"))
    low = os.open(os.path.join(folder, "low"), os.O_WRONLY | os.O_CREAT)
    os.write(low, text.encode())
    os.close(low)
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        os.system(f"echo {text} > {inner}/inside")
    logger = logging.getLogger("cachepoint.made_up")
    logger.debug("value %s", text)
    logger.info("field", extra={"cachepoint": {"a": text}})
    try:
        raise ValueError(text)
    except ValueError:
        logger.warning("error", exc_info=True)
"""

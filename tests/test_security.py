"""What the security page promises and a look at the code can hold: nothing is run that was read, and only this
machine is listened to."""

import ast
import socket
from pathlib import Path

import psutil
import pytest

import cachepoint
from cachepoint.emulator import BedrockEmulator
from cachepoint.testing import local_bedrock

HOME = Path(cachepoint.__file__).parent
MODULES = sorted(HOME.rglob("*.py"))
# Modules that make code or objects of any class out of bytes.
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "jsonpickle"}
# Calls that run what they are given, or read objects of any class from it.
RUNNING = {"eval", "exec", "compile", "execfile"}
READING = {
    *("marshal.load", "marshal.loads", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load"),
    *(
        "os.system",
        "os.popen",
        "os.execv",
        "os.execvp",
        "os.spawnv",
        "torch.load",
        "numpy.load",
        "runpy.run_path",
    ),
    *("tempfile.mktemp", "code.interact", "builtins.eval", "builtins.exec"),
}


def found(tree):
    """(line, what) of all that reads or runs what it should not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            yield from ((node.lineno, name) for name in names if name.split(".")[0] in UNPICKLING)
            if isinstance(node, ast.ImportFrom):
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from ((node.lineno, name) for name in whole if name in READING)
        elif isinstance(node, ast.Call):
            yield from _called(node)


def _called(node):
    name = _name(node.func)
    if name in RUNNING or name in READING:
        yield node.lineno, name
    yield from ((node.lineno, "shell=") for k in node.keywords if k.arg == "shell" and not _is_false(k.value))


def _is_false(value):
    return isinstance(value, ast.Constant) and value.value is False


def _name(node):
    if isinstance(node, ast.Name):
        return node.id
    return f"{_name(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOME)))
def test_nothing_is_run_or_unpickled(path):
    assert list(found(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, pickle as p",
        "from pickle import loads",
        "from marshal import loads",
        "import marshal\nmarshal.loads(b'')",
        "eval('1')",
        "exec('1')",
        "compile('1', '', 'eval')",
        "import builtins\nbuiltins.eval('1')",
        "import yaml\nyaml.load('')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run('ls', shell=yes)",
        "import os\nos.system('ls')",
    ],
)
def test_the_look_finds_what_it_looks_for(code):
    assert list(found(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["re.compile('a')", "marshal.dumps(1, 2)", "json.loads('1')", "run(shell=False)"]
)
def test_the_look_passes_over_the_rest(code):
    assert not list(found(ast.parse(code)))


def listening():
    """Where this process listens."""
    return {c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}


@pytest.mark.parametrize("start", [BedrockEmulator, local_bedrock], ids=["BedrockEmulator", "local_bedrock"])
def test_the_emulator_listens_on_loopback_alone(start):
    before = listening()
    with start() as bedrock:
        new = listening() - before
        assert [place.ip for place in new] == ["127.0.0.1"]
        port = bedrock.port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        # Another address of this machine, and IPv6's loopback: nobody is there.
        for family, address in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as probe:
                probe.settimeout(5)
                with pytest.raises(OSError, match=r"refused|[Aa]ddress|[Nn]etwork|[Uu]nreachable"):
                    probe.connect((address, port))
    assert listening() == before


def test_the_commands_default_is_loopback():
    from typer.testing import CliRunner

    from cachepoint.cli import build

    before = listening()
    ended = CliRunner().invoke(build(), ["emulator", "--for", "0"])
    assert ended.exit_code == 0, ended.output
    assert "http://127.0.0.1:" in ended.output
    assert "whoever reaches" not in ended.output
    assert listening() == before

"""Every command's help, on terminals that are narrow, know ASCII alone or have no colours, and in shells."""

import os
import pty
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cachepoint.cli import COMMANDS, build

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
# None: the help of all of them.
EACH = pytest.mark.parametrize("command", [None, *COMMANDS])


def helped(command, *, by="-h", columns="80", **env):
    asked = [by] if command is None else [command, by]
    result = CliRunner().invoke(build(), asked, env={"COLUMNS": columns, **env})
    assert result.exit_code == 0, result.output
    return result.stdout


def run(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "cachepoint", *arguments],
        capture_output=True,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


def options(command):
    made = build()
    import typer

    whole = typer.main.get_command(made)
    one = whole if command is None else whole.commands[command]
    return [name for param in one.params for name in param.opts if name.startswith("--")]


@EACH
def test_h_is_help(command):
    assert helped(command) == helped(command, by="--help")
    assert "-h" in helped(command)


@EACH
@pytest.mark.parametrize("columns", ["40", "60"])
def test_help_on_a_narrow_terminal_cuts_no_option_off(command, columns):
    shown = helped(command, columns=columns)
    assert max(map(len, shown.splitlines())) <= int(columns)
    assert "…" not in shown
    assert [name for name in options(command) if name not in shown] == []


def test_help_on_a_narrow_terminal_names_every_command_and_argument():
    shown = helped(None, columns="40")
    assert [name for name in COMMANDS if f"\n  {name}\n" not in shown] == []
    assert "before <path>" in helped("explain", columns="40")


@EACH
def test_help_for_a_terminal_that_knows_ascii_alone(command):
    done = run(*([] if command is None else [command]), "-h", COLUMNS="80", **ASCII)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    # A box that it cannot show would be drawn in escapes.
    assert b"\\u25" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's pipe")
@EACH
def test_help_into_a_closed_pipe_ends_quietly(command):
    line = f"{sys.executable} -m cachepoint {command or ''} -h | true"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""


def test_head_ends_it_quietly():
    line = f"{sys.executable} -m cachepoint models | head -1"
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"model ")


def on_a_terminal(*arguments, **env):
    """What a program writes that believes to write to a terminal."""
    parent, child = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    with subprocess.Popen(
        [sys.executable, "-m", "cachepoint", *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        env={**clean, "TERM": "xterm-256color", "COLUMNS": "80", **env},
        close_fds=True,
    ) as process:
        os.close(child)
        written = b""
        try:
            while piece := os.read(parent, 65_536):
                written += piece
        except OSError:
            # The other end is closed.
            pass
        os.close(parent)
        process.wait(60)
    return written.decode()


PLAIN = pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
SAID = (
    ["models", "no-such-model"],
    ["models", "claude-sonnet-4-6"],
    ["doctor", "--model", "no-such-model"],
    ["savings", "--table"],
    ["report", "-h"],
    ["savings", "--ttl", "7m", "--requests", "1"],
)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@PLAIN
@pytest.mark.parametrize("arguments", SAID, ids=" ".join)
def test_no_colours_where_none_are_wanted(arguments, env):
    """An escape may make a word bold; it gives it no colour, and on a dumb terminal there is none at all."""
    import re

    codes = re.findall(r"\x1b\[([\d;]*)m", on_a_terminal(*arguments, **env))
    colours = [c for code in codes for c in code.split(";") if c and 30 <= int(c) <= 107]
    assert colours == []
    assert env != {"TERM": "dumb"} or codes == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_colours_where_there_are_any():
    """What the test above says nothing about unless this holds."""
    assert "\x1b[31m" in on_a_terminal("models", "no-such-model")


def test_python_m_cachepoint():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"cachepoint ")
    assert b"Usage: cachepoint models" in run("models", "-h").stdout


# What a shell sends, and what it gets back: typer's own completion.


def completed(words):
    done = run(_CACHEPOINT_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    assert done.stderr == b""
    return done.stdout.decode().split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("cachepoint do", ["doctor"]),
        ("cachepoint doctor --ba", ["--base-model"]),
        (
            "cachepoint models us.anthropic.claude-opus-4-1",
            ["us.anthropic.claude-opus-4-1-20250805-v1:0"],
        ),
        ("cachepoint savings --model anthropic.claude-sonnet-4-6", ["anthropic.claude-sonnet-4-6"]),
    ],
)
def test_a_shell_completes_commands_options_and_models(words, found):
    assert completed(words) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell):
    done = run(_CACHEPOINT_COMPLETE=f"source_{shell}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"_CACHEPOINT_COMPLETE=complete_" in done.stdout


# What is missing is named with its extra, by every command that needs one.

BLOCKED = "import sys; names = {names!r}; sys.modules.update(dict.fromkeys(names)); "
MAIN = "sys.argv = ['cachepoint', *{arguments!r}]; from cachepoint.cli import main; main()"


@pytest.mark.parametrize(
    ("arguments", "names", "extra"),
    [
        (["audit", "calls.jsonl"], ["duckdb"], "audit"),
        (["audit", "calls.jsonl"], ["orjson"], "audit"),
        (["audit", "calls.jsonl"], ["pyarrow"], "audit"),
        (["audit", "calls.jsonl"], ["isal"], "audit"),
        (["audit", "calls.jsonl", "--dask", "local"], ["distributed"], "audit-dask"),
        (["demo", "--aws", "--yes"], ["boto3", "botocore"], "demo"),
        (["demo"], ["langchain_aws", "llama_index.llms.bedrock_converse"], "demo"),
        (["probe", "--model", "claude-sonnet-4-6"], ["boto3", "botocore"], "aws"),
        (["models"], ["rich"], "cli"),
    ],
)
def test_a_missing_extra_is_named(arguments, names, extra, tmp_path):
    (tmp_path / "calls.jsonl").write_text("{}\n")
    code = BLOCKED.format(names=names) + MAIN.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f'pip install "cachepoint[{extra}]"' in done.stderr
    assert extra != "audit" or f"cachepoint audit needs {names[0]}: " in done.stderr

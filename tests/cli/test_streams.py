"""C11: what the commands say to pipes, full disks and terminals, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachepoint import observers
from tests.observers.reports import talk

CACHEPOINT = f"{sys.executable} -m cachepoint.cli"
FULL = Path("/dev/full")
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
TEXT = {"text": "日本語 " * 400}
COMMANDS = (
    "report {calls} --json",
    "models",
    "savings --table",
    "savings --from {calls}",
    "--help",
    "models claude-sonnet-4-6",
    "doctor --model us.anthropic.claude-sonnet-4-6",
    "emulator --for 0",
    "check {request}",
    "explain {request} {request}",
    "audit {calls}",
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's redirections")


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    path = tmp_path_factory.mktemp("streams") / "calls.jsonl"
    for one in talk(3, conversation="日本語"):
        observers.jsonl(path)(one)
    request = {"modelId": "us.anthropic.claude-sonnet-4-6", "messages": [{"role": "user", "content": [TEXT]}]}
    (path.parent / "request.json").write_text(json.dumps(request))
    return path


def shell(line, calls, **env):
    command = f"{CACHEPOINT} {line.format(calls=calls, request=calls.parent / 'request.json')}"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )
    stderr = done.stderr.decode(errors="replace")
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    return done.returncode, done.stdout, stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_c11_a_closed_pipe_ends_it_without_a_word(command, calls):
    """C11: whoever closed the pipe has read enough."""
    assert shell(f"{command} | true", calls)[2] == ""


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", COMMANDS)
def test_c11_a_full_disk_is_said_in_one_line(command, calls):
    """C11: /dev/full."""
    code, _, stderr = shell(f"{command} > /dev/full", calls)
    assert (code, stderr) == (1, "cachepoint: No space left on device\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_c11_a_terminal_that_knows_ascii_alone(command, calls):
    """C11: what it cannot show is escaped."""
    code, stdout, stderr = shell(command, calls, **ASCII)
    assert (code, stderr) == (0, "")
    assert stdout.isascii()
    # Boxes and bars have letters for that.
    assert b"\\u25" not in stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_c11_forty_columns_cut_no_word(command, calls):
    """C11: nothing is cut off."""
    code, stdout, stderr = shell(command, calls, COLUMNS="40")
    assert (code, stderr) == (0, "")
    assert "…" not in stdout.decode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("report <&-", "cachepoint: standard input is closed; name a file of JSON lines\n"),
        ("report {calls}.no", "cachepoint: {calls}.no: No such file or directory\n"),
        ("report {calls} {calls}.no --json", "cachepoint: {calls}.no: No such file or directory\n"),
        ("report /", "cachepoint: /: Is a directory\n"),
        ("report --live /", "cachepoint: /: Is a directory\n"),
    ],
)
def test_c11_what_cannot_be_read_is_said_in_one_line(line, said, calls):
    """C11: no error number, no traceback."""
    code, _, stderr = shell(line, calls)
    assert (code, stderr) == (1, said.format(calls=calls))


@pytest.mark.parametrize("command", ["report {calls} --html -", "models"])
def test_c11_closed_output_is_no_fault(command, calls):
    """C11: `>&-`, as a service may start it."""
    assert shell(f"{command} >&-", calls)[::2] == (0, "")

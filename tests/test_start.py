"""What `docs/start.md` says, done in its order from an empty folder: the stock class, the change, the saving."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "start.md"
FENCE = re.compile(
    r"(?P<unrun><!-- not run[^\n]*\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
BIN = Path(sys.executable).parent


class Block(NamedTuple):
    language: str
    title: str | None
    body: str


def blocks():
    found = FENCE.finditer(PAGE.read_text("utf-8"))
    return [Block(b["language"], b["title"], b["body"]) for b in found if b["unrun"] is None]


class Reader:
    """Somebody with two terminals in an empty folder, who does what is written and nothing else."""

    def __init__(self, folder):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CACHEPOINT_"))}
        self.folder, self.env = folder, kept | {"COLUMNS": "80", "PATH": f"{BIN}{os.pathsep}{kept['PATH']}"}
        self.second = None
        self.port = None
        self.printed = ""

    def python(self, block):
        (self.folder / block.title).write_text(block.body, "utf-8")

    def diff(self, block):
        path = self.folder / block.title
        path.write_text(patched(path.read_text("utf-8"), block.body), "utf-8")

    def sh(self, block):
        for line in block.body.splitlines():
            words = shlex.split(line, comments=True)
            if block.title == "second terminal":
                self._serve(words)
            elif words[0] == "export":
                self.env |= dict(pair.split("=", 1) for pair in self._here(words[1:]))
            else:
                done = self._run(words)
                assert done.returncode == 0, done.stderr
                self.printed += done.stdout

    def text(self, block):
        assert self.printed.strip() == block.body.strip()
        self.printed = ""

    def _serve(self, words):
        """On a free port in place of the page's, which may be taken."""
        at = words.index("--port") + 1
        self.port, words = words[at], [*words[:at], "0", *words[at + 1 :], "--for", "300"]
        self.second = subprocess.Popen(
            words, env=self.env | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
        )
        said = self.second.stdout.readline()
        self.url = re.search(r"http://127\.0\.0\.1:\d+", said)[0]

    def _here(self, words):
        return [word.replace(f"http://127.0.0.1:{self.port}", self.url) for word in words]

    def _run(self, words):
        return subprocess.run(
            words, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=100, check=False
        )

    def close(self):
        if self.second is not None:
            self.second.terminate()
            self.second.communicate(timeout=20)


def patched(text, diff):
    """A file's text after a change that is shown without the lines around it."""
    old = "".join(line[1:] for line in diff.splitlines(keepends=True) if not line.startswith("+"))
    new = "".join(line[1:] for line in diff.splitlines(keepends=True) if not line.startswith("-"))
    assert text.count(old) == 1, f"the file has not once what the page changes: {old}"
    return text.replace(old, new)


@pytest.fixture
def reader(tmp_path):
    made = Reader(tmp_path)
    yield made
    made.close()


def test_an_app_on_the_stock_class_is_changed_and_its_saving_seen(reader):
    assert list(reader.folder.iterdir()) == []
    for block in blocks():
        getattr(reader, block.language)(block)
    app = (reader.folder / "app.py").read_text("utf-8")
    assert "from langchain_aws" not in app
    assert "from cachepoint.langchain" in app
    assert reader.printed == "", "the page shows what its last command prints"


def test_the_stock_app_reads_nothing_and_the_changed_one_does():
    """The page itself: what its outputs say."""
    shown = [block.body for block in blocks() if block.language == "text"]
    stock, changed, _ = ([int(n) for n in re.findall(r"in, (\d+) read", text)] for text in shown)
    assert stock == [0, 0, 0, 0]
    assert changed[0] == 0
    assert min(changed[1:]) > 4_000

"""What is said of other libraries' placement: each is run, in an environment of its own, and its requests looked at.

`make compare` makes the environments; langchain-aws and LlamaIndex are run where the tests are.
"""

import json
import os
import random
import re
import subprocess
import sys
from importlib import metadata
from itertools import islice
from pathlib import Path

import pytest

from cachepoint.emulator import BedrockEmulator, Reply

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from compare import KINDS  # noqa: E402
from peers import PEERS  # noqa: E402

LIBRARIES = {name: peer for name, peer in PEERS.items() if peer.package}
DRIVEN = Path(__file__).with_name("driven.py")
PAGE = ROOT / "docs" / "compare.md"
# Nothing of it could be cached.
SHORT = {"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Hello."}]}]}
# Enough of each for a first question, a later turn, tools, and far more blocks than are looked back.
CALLS = {"chat": 3, "agent": 4, "wide": 4, "casefile": 3, "letters": 2}


def environment(package):
    return ROOT / ".compare" / package / "bin" / "python"


def interpreter(peer):
    """The Python that has the library in the version that is spoken of; None: there is none."""
    own = environment(peer.package)
    if own.exists():
        return own
    try:
        return Path(sys.executable) if metadata.version(peer.package) == peer.version else None
    except metadata.PackageNotFoundError:
        return None


def asked():
    """The requests, by kind of traffic."""
    return [
        request
        for kind, most in CALLS.items()
        for _, request in islice(KINDS[kind][1](random.Random(f"{kind} 1")), most)
    ]


def points(request):
    """Where checkpoints stand: the section, and how many blocks of it are in front."""
    sections = {
        "tools": (request.get("toolConfig") or {}).get("tools") or [],
        "system": request.get("system") or [],
    }
    sections |= {f"messages[{i}]": m["content"] for i, m in enumerate(request["messages"])}
    return [
        (name, sum("cachePoint" not in b for b in blocks[:i]))
        for name, blocks in sections.items()
        for i, block in enumerate(blocks)
        if "cachePoint" in block
    ]


def sent_by(peer, python, requests, how="on"):
    with BedrockEmulator(responder=lambda _: Reply.text("ok")) as bedrock:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CACHEPOINT_"))}
        done = subprocess.run(
            [python, "-B", DRIVEN, peer.package, bedrock.url, how],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            env=env | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3_000:]
        return [call.request for call in bedrock.calls if call.operation in {"Converse", "ConverseStream"}]


@pytest.fixture(params=LIBRARIES)
def peer(request):
    return LIBRARIES[request.param]


@pytest.fixture
def python(peer):
    if (found := interpreter(peer)) is None:
        pytest.skip(reason=f"{peer.package} {peer.version} is not here: make compare")
    return found


def test_a_library_places_what_is_said_of_it(peer, python):
    """In prompts below the minimum too: none looks at it."""
    requests = [*asked(), SHORT]
    sent = sent_by(peer, python, requests)
    assert [points(s) for s in sent] == [points(peer.place(r)) for r in requests]
    assert points(sent[-1]) != []


def test_a_library_places_nothing_unasked(peer, python):
    sent = sent_by(peer, python, asked()[:2], how="off")
    assert [points(s) for s in sent] == [[], []]


def test_the_files_that_are_cited_are_in_the_version_that_is_run(peer, python):
    asks = (
        "from importlib.metadata import files, version; "
        f"print(version({peer.package!r}), *files({peer.package!r}), sep='\\n')"
    )
    told = subprocess.run([python, "-c", asks], capture_output=True, text=True, timeout=60, check=True)
    version, *files = told.stdout.splitlines()
    room = peer.file.partition("/")[0]
    cited = set(re.findall(rf"`({room}/[\w/]+\.py)`", PAGE.read_text("utf-8")))
    assert version == peer.version
    assert peer.file in cited
    assert cited <= set(files)

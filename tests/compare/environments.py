"""Makes an environment for each library that `benchmarks/peers.py` speaks of and that is not here in its version.

    python tests/compare/environments.py

They go to `.compare/`, one folder each, and stay there.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from tests.compare.test_peers import LIBRARIES, environment, interpreter  # noqa: E402

# What a library needs for Bedrock beside itself.
WITH = {"litellm": "litellm=={} boto3", "pydantic-ai-slim": "pydantic-ai-slim[bedrock]=={}"}


def make(peer):
    folder = environment(peer.package).parents[1]
    wanted = WITH.get(peer.package, peer.package + "=={}").format(peer.version).split()
    subprocess.run(["uv", "venv", "--quiet", folder], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", folder, *wanted], check=True)


if __name__ == "__main__":
    for peer in LIBRARIES.values():
        if interpreter(peer) is None:
            make(peer)

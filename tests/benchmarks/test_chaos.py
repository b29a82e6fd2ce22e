"""The chaos in its short form: as `make chaos`, in a process of its own, which its threads do not outlive."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SECONDS = 20
# Ours send each request once, where the plain classes send it three times.
MUTANT = """
import chaos, chaos_calls

whole, once = chaos_calls.our_models, []

def ours(runtime, cache, fan_out):
    if not once:
        chaos_calls.RETRIES = 1
        once.append(chaos_calls.client(runtime.meta.endpoint_url, chaos_calls.Attempts()))
    return whole(once[0], cache, fan_out)

chaos_calls.our_models = ours
chaos.main()
"""


@pytest.fixture(autouse=True)
def _both_frameworks():
    pytest.importorskip("llama_index.llms.bedrock_converse", reason="the LlamaIndex extra is not installed")
    pytest.importorskip("langchain_aws", reason="the LangChain extra is not installed")


def chaos(*command):
    arguments = ["--json", "--seconds", str(SECONDS)]
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        timeout=400,
        check=False,
    )
    assert done.stdout, done.stderr[-4_000:]
    return json.loads(done.stdout), done


def test_what_a_user_sees_is_what_the_plain_classes_show():
    found, done = chaos("chaos.py")

    assert done.returncode == 0, (found["different"][:3], done.stderr[-4_000:])
    assert (found["different"], found["claims"], found["stuck"], found["faults"]) == ([], 0, [], 0)
    assert found["calls"] >= 264
    assert found["restarts"] > 0
    # It was no fair weather: most kinds of errors were seen, of both sides alike.
    assert {"said", "ThrottlingException", "InternalServerException"} < found["outcomes"].keys()
    assert len(found["ways"]) == 17


def test_it_sees_a_client_that_does_not_retry():
    found, done = chaos("-c", MUTANT)

    assert done.returncode != 0
    assert len(found["different"]) > 10

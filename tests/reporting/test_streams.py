"""The bound of a session beside that of a bench that knows the whole of every text, its sizes and its times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_MODULE = "bounds.py"


def _found():
    """The folder that PLACEMENT_STREAMS names, or one in a folder beside the checkout."""
    beside = Path(__file__).parents[3].glob(f"*/*/{_MODULE}")
    return Path(os.environ.get("PLACEMENT_STREAMS") or next(beside, Path(_MODULE)).parent)


FOLDER = _found()
THERE = (FOLDER / _MODULE).exists()
missing = pytest.mark.skipif(not THERE, reason="no streams beside the checkout or in PLACEMENT_STREAMS")

# In a process of its own: the modules there have everyday names.
RUN = """
import json, logging, sys

sys.path.insert(0, sys.argv[1])
import bounds, run, streams
import cachepoint

logging.disable(logging.ERROR)
stream = streams.build(sys.argv[2], 1, 0.5)
run.prime(stream, "sonnet")
with cachepoint.session() as s:
    paid = run.run_cache(lambda clock: cachepoint.PromptCache(clock=clock), stream, "sonnet").cost
print(json.dumps({"theirs": paid / bounds.bound(stream, "sonnet"), "ours": s.cost_over_bound, "text": str(s)}))
"""


def of(name):
    command = [sys.executable, "-c", RUN, str(FOLDER), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@missing
@pytest.mark.parametrize("name", ["helpdesk", "swarm", "stampede", "traps", "hand_points"])
def test_where_no_text_is_cut_it_is_that_of_the_bench(name):
    found = of(name)
    assert found["ours"] == pytest.approx(found["theirs"], rel=0.03)
    assert found["ours"] >= 1
    assert f"input {found['ours']:.2f} of the lower bound; 5m alone " in found["text"]


@missing
@pytest.mark.parametrize("name", ["casefile_system", "wiki_string"])
def test_where_texts_could_be_cut_it_knows_only_the_blocks_that_were_sent(name):
    found = of(name)
    assert 1 <= found["ours"] <= found["theirs"] * 1.03

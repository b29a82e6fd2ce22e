"""A log of calls that the local Bedrock answered, with records that are none."""

import json

import pytest

from benchmarks.invocation_logs import write


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    """A bucket: AWSLogs, ledger.json, broken.json."""
    root = tmp_path_factory.mktemp("bucket")
    write(root, 1_600, 8, broken=0.02, large=True, processes=1)
    return root


@pytest.fixture(scope="session")
def ledger(log):
    return json.loads((log / "ledger.json").read_text())


@pytest.fixture(scope="session")
def broken(log):
    return json.loads((log / "broken.json").read_text())

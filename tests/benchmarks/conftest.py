"""The benchmarks are scripts: they import one another from their own folder."""

import pathlib
import sys

import pytest

FOLDER = str(pathlib.Path(__file__).parents[2] / "benchmarks")


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(FOLDER) and "." not in name:
            del sys.modules[name]

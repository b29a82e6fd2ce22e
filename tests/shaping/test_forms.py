"""The table of names: each is there, or says why it is not."""

import importlib
from pathlib import Path

import pytest

from cachepoint.shaping.forms import FORMS

PACKAGES = {
    "langchain_agents": "langchain",
    "langchain_chains": "langchain",
    "llama_index": "llama_index",
    "llama_index_agents": "llama_index",
}
PAGE = Path(__file__).parents[2] / "docs" / "shaping.md"


def named(form, field):
    name = getattr(form, field)
    return None if name.startswith("(") else name


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.what)
def test_each_name_is_there(form):
    module, _, name = form.pure.partition(".")
    assert callable(getattr(importlib.import_module(f"cachepoint.shaping.{module}"), name))
    for field, package in PACKAGES.items():
        if (given := named(form, field)) is not None:
            assert given in importlib.import_module(f"cachepoint.{package}").__all__


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.what)
def test_what_there_is_not_says_why(form):
    for field in PACKAGES:
        if named(form, field) is None:
            assert len(getattr(form, field)) > 20
            assert getattr(form, field).endswith(")")


def test_the_names_of_both_frameworks_match():
    """A name is that of the thing, with what it is in the framework behind it: RelocateMiddleware, RelocateMemory."""
    for form in FORMS:
        found = {n for field in PACKAGES if (n := named(form, field)) and n[0].isupper()}
        stems = {n.removesuffix("Middleware").removesuffix("Memory") for n in found}
        assert len(stems) == 1, stems


def test_the_page_shows_the_table():
    rows = PAGE.read_text("utf-8")
    for form in FORMS:
        row = next(line for line in rows.splitlines() if line.startswith(f"| {form.what} |"))
        for field in PACKAGES:
            if (given := named(form, field)) is not None:
                assert f"`{given}`" in row

"""The site: every page has its place, what is generated says what the code says, and pictures show what is measured.

`make docs` builds it; here nothing of mkdocs is needed.
"""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest

from cachepoint import CachePolicy
from cachepoint.cli import COMMANDS
from cachepoint.core.accounting.diagnosis import Cause
from cachepoint.core.accounting.diagnosis.remedies import remedy

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
NAV = re.findall(r"^ +- (?:[^:\n]+): (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
sys.path[:0] = [str(ROOT / "benchmarks"), str(DOCS / "images")]


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = loaded(DOCS / "hooks.py")


def page(name):
    return (DOCS / name).read_text("utf-8")


def test_every_page_has_one_place_in_the_navigation():
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages |= {name for name in hooks.FROM_ROOT if name.endswith(".md")}
    assert sorted(NAV) == sorted(pages)


@pytest.mark.parametrize(
    ("link", "on", "led"),
    [
        ("](docs/memory.md#the-clock)", "index.md", "](memory.md#the-clock)"),
        ("](SECURITY.md)", "index.md", "](project/security.md)"),
        ('src="docs/images/costs-light.svg"', "index.md", 'src="images/costs-light.svg"'),
        ("](../README.md)", "memory.md", "](index.md)"),
        ("](../SECURITY.md)", "memory.md", "](project/security.md)"),
        ("](policy.md#the-layers)", "memory.md", "](policy.md#the-layers)"),
        ("](../testing.md)", "reference/testing.md", "](../testing.md)"),
        ("](docs/audit.md)", "project/changes.md", "](../audit.md)"),
        ("](https://example.org/a.md)", "memory.md", "](https://example.org/a.md)"),
        ("](#options)", "memory.md", "](#options)"),
    ],
)
def test_a_link_leads_to_the_same_page_on_the_site(link, on, led):
    assert hooks.led(link, on) == led
    shown = SimpleNamespace(file=SimpleNamespace(src_uri=on), parent="a section")
    assert hooks.on_page_markdown(link, page=shown) == led


def test_a_page_without_a_section_has_the_room_of_the_navigation():
    shown = SimpleNamespace(file=SimpleNamespace(src_uri="misses.md"), parent=None, meta={})
    hooks.on_page_markdown("", page=shown)
    assert shown.meta == {"hide": ["navigation"]}


def test_a_long_name_in_a_table_breaks_where_its_words_end():
    cell = '<td><code>fan_out="warm_first"</code> of <code>CachedClient</code></td>'
    broken = '<td><code>fan_<wbr>out=<wbr>"warm_<wbr>first"</code> of <code>Cached<wbr>Client</code></td>'
    assert hooks.on_page_content(cell) == broken
    assert hooks.on_page_content("<p><code>fan_out</code></p>") == "<p><code>fan_out</code></p>"


def test_the_table_of_options_has_each_with_its_variable_choices_and_docstring():
    rows = hooks.filled(page("options.md"))
    said = hooks.arguments(CachePolicy.__doc__)
    for name in CachePolicy.__dataclass_fields__:
        row = next(line for line in rows.splitlines() if line.startswith(f"| **{name}**<br>"))
        assert f"`CACHEPOINT_{name.upper()}`" in row
        assert said[name] in row
        with pytest.raises(ValueError, match="use one of") as refused:
            CachePolicy(**{name: "no such choice"})
        choices = str(refused.value).partition("use one of ")[2].replace("'", "").split(", ")
        assert re.findall(r"`(\w+)`", row.split(" | ")[0])[1:] == choices
        default = CachePolicy.__dataclass_fields__[name].default
        assert f"**`{default}`**" in row


def test_the_page_of_the_command_line_has_every_command():
    told = hooks.filled(page("reference/cli.md"))
    assert set(re.findall(r"^## `cachepoint (\w+)`$", told, re.MULTILINE)) == set(COMMANDS)
    assert "--provisioned-hourly" in told
    assert not re.search(r"^\* .*\.\.\.$", told, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((DOCS / "reference").glob("*.md")), ids=lambda path: path.stem)
def test_a_reference_page_asks_for_what_its_module_exports(path):
    asked = re.findall(r"^<!-- generated: (\w+)", path.read_text("utf-8"), re.MULTILINE)
    assert asked in (["names"], ["cli"])
    assert "<!-- generated" not in hooks.filled(path.read_text("utf-8"))


def test_the_page_of_causes_has_each_and_no_other():
    causes = re.findall(r"^\| `(\w+)` \|", page("misses.md").partition("## The causes")[2], re.MULTILINE)
    assert sorted(causes) == sorted(get_args(Cause))
    filled = hooks.filled(page("misses.md"))
    for cause in get_args(Cause):
        assert f"| `{cause}` | all else | {remedy(cause)} |" in filled
    assert f"| `tools_changed` | reordered | {remedy('tools_changed', 'reordered')} |" in filled


def test_the_page_of_versions_says_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = page("versions.md")
    python = [c.rpartition(" ")[2] for c in project["classifiers"] if re.search(r":: 3\.\d", c)]
    assert text.count(", ".join(python[:-1]) + f" and {python[-1]}") == 1
    for extra in ("aws", "langchain", "llama-index", "otel", "cli"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{extra}` |"))
        for wanted in project["optional-dependencies"][extra]:
            name, bounds = re.match(r"([\w-]+)(.*)", wanted).groups()
            assert name in row
            assert all(bound in row for bound in re.findall(r"[\d.]+", bounds))


@pytest.fixture(scope="module")
def measured():
    from compare import KINDS, ratios

    return {kind: ratios(kind) for kind in KINDS}


def test_the_table_of_costs_is_what_the_command_prints(measured):
    from compare import KINDS

    rows = page("compare.md")
    for kind, found in measured.items():
        ours, *figures = [f"{ratio:.2f}" for name, ratio in found.items() if name != "nothing"]
        assert f"| {KINDS[kind][0]} | **{ours}** | {' | '.join(figures)} |" in rows


def test_the_readme_s_picture_shows_these_figures(measured):
    from costs import FILES, JOBS, SHOWN, drawn

    for file, theme in FILES.items():
        assert (DOCS / "images" / file).read_text("utf-8") == drawn(measured, theme)
    told = (ROOT / "README.md").read_text("utf-8")
    shown = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"), parent=None, meta={})
    assert "](images/costs.svg)" in hooks.on_page_markdown(told, page=shown)
    for name in SHOWN:
        figures = [f"{measured[job][name]:.2f}" for job in JOBS]
        assert f"{', '.join(figures[:-1])} and {figures[-1]}" in told


def test_what_is_said_of_traffic_of_which_nothing_is_known(measured):
    told = page("learned.md")
    for kind in ("letters", "casefile", "examples"):
        assert f"| {measured[kind]['cachepoint']:.2f} |" in told


def test_the_pictures_of_prompts_show_what_the_emulator_counts():
    from bars import drawn

    for name, svg in drawn().items():
        assert (DOCS / "images" / name).read_text("utf-8") == svg


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_is_read_in_the_dark_and_on_a_phone(path):
    svg = path.read_text("utf-8")
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert "prefers-color-scheme: dark" in svg or path.stem.endswith(("-light", "-dark"))
    # Of 390 pixels a page has 358; below 9 pixels nobody reads.
    smallest = min(float(size) for size in re.findall(r"(?:font|font-size):\s*([\d.]+)px", svg))
    assert smallest * min(1, 358 / width) >= 9

"""README and docs hold: their snippets run, their commands answer, what they name is there."""

import doctest
import json
import pkgutil
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import Settings, SummaryIndex
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import TextNode
from typer.testing import CliRunner

from cachepoint import PromptCache
from cachepoint.aws import carrier
from cachepoint.cli import build
from cachepoint.core import listeners
from cachepoint.core.accounting import pricing
from cachepoint.core.prompt.documents import changing, retrieved
from cachepoint.langchain import CachedChatBedrockConverse

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
pytest_plugins = ["pytester"]

# What is shown and not run, by page and first line. The page says why above it.
NOT_RUN = {
    (
        "README.md",
        "make demo     # an agent, a chat, documents and few-shot examples, without and with cachepoint",
    ),
    ("CONTRIBUTING.md", "make test      # makes .venv and runs the tests, on all cores"),
    ("docs/memory-shared.md", '$ python -c "import secrets; print(secrets.token_hex(32))"'),
    (
        "docs/memory-shared.md",
        "$ CACHEPOINT_MEMORY=redis://127.0.0.1:6379/0 CACHEPOINT_KEY=5e5e… gunicorn app:app",
    ),
    ("docs/doctor.md", "$ cachepoint doctor --model us.anthropic.claude-sonnet-4-6 --aws"),
    ("docs/observability.md", "from cachepoint import observers"),
    ("docs/policy.md", "$ CACHEPOINT_MODE=off python app.py"),
    (
        "docs/reports.md",
        "$ cachepoint report --live calls.jsonl            # follow a growing file; Ctrl-C ends it",
    ),
    ("docs/audit.md", '$ pip install "cachepoint[audit]"'),
    ("docs/audit.md", '$ pip install "cachepoint[audit-dask]"'),
    (
        "docs/probe.md",
        "$ cachepoint probe --model us.anthropic.claude-sonnet-4-6 --budget 5 --state probe.jsonl",
    ),
    ("docs/reports.md", "$ python benchmarks/report.py --run calls.jsonl"),
    ("docs/start.md", "python -m venv .venv && . .venv/bin/activate"),
    ("docs/start-agents.md", "from deepagents import create_deep_agent"),
}
# Run by tests of their own: tests/cli/test_savings.py holds every figure of these pages to the command above it,
# tests/test_start.py does what that page says in an empty folder.
ELSEWHERE = {
    ("docs/savings.md", "console"),
    ("docs/savings-published.md", "console"),
    ("docs/start.md", "python"),
    ("docs/start.md", "sh"),
}
# What a page shows of a program that another block is, or of what it prints.
SHOWN = {"text", "diff"}

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>[^\n]+) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    line: int
    why: str | None


def blocks(page):
    text = PAGES[page]
    return [
        Block(found["language"], found["body"], text.count("\n", 0, found.start("body")), found["why"])
        for found in FENCE.finditer(text)
    ]


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, **_):
        return [Document(MANUAL)]


MANUAL = "The pump holds four litres, and the valve is on its left side. " * 200
# What no retriever of these pages announces.
INSTRUCTIONS = MANUAL.replace("pump", "engine")
SONNET = "us.anthropic.claude-sonnet-4-6"


def read_page(page: str) -> str:
    """Read a page of the manual."""
    return MANUAL[:400]


def readers_own(bedrock):
    """What the snippets take for granted, as their reader has it."""
    model = CachedChatBedrockConverse(
        model=SONNET, client=bedrock.client(), bedrock_client=bedrock.client("bedrock")
    )
    store = InMemoryVectorStore.from_documents([Document(MANUAL)], DeterministicFakeEmbedding(size=8))
    prompt = ChatPromptTemplate.from_template("Answer from this:\n\n{context}\n\nQuestion: {input}")
    return {
        "__name__": "snippets",
        "agent": create_agent(model, [read_page]),
        "chain": prompt.partial(context=MANUAL) | model,
        "index": SummaryIndex([TextNode(text=MANUAL)]),
        "instructions": INSTRUCTIONS,
        "manual": MANUAL,
        "messages": [SystemMessage(MANUAL), HumanMessage("What does the pump hold?")],
        "name": "Ada",
        "prompt": prompt,
        "question": "What does the pump hold?",
        "questions": [{"input": "What does the pump hold?"}, {"input": "Where is the valve?"}],
        "request": {"messages": [{"role": "user", "content": [{"text": MANUAL}]}]},
        "reranker": SimilarityPostprocessor(),
        "retriever": Shelf(),
        "store": store,
        "tools": [read_page],
    }


@pytest.fixture
def reader(bedrock, monkeypatch, pytester):
    """A reader's program, pointed at the local Bedrock as `cachepoint emulator` says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bedrock.url)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(listeners._Process, "observers", ())
    monkeypatch.setattr(pricing._Own, "lists", ())
    monkeypatch.setattr(Settings, "_llm", None)
    # What one page retrieved is no document on the next.
    monkeypatch.setattr(carrier, "_SHARED", PromptCache())
    with retrieved.for_a_while(), changing.for_a_while():
        yield readers_own(bedrock) | {"pytester": pytester}


def run_python(page, block, names):
    """As it stands; a file of tests as its reader would run it."""
    if "\ndef test_" in block.body:
        names["pytester"].makepyfile(f"manual = {INSTRUCTIONS!r}\n{block.body}")
        done = names["pytester"].runpytest_inprocess("-q", "-p", "no:asyncio")
        done.assert_outcomes(passed=block.body.count("\ndef test_"))
        return
    # Tracebacks point into the page.
    exec(compile("\n" * block.line + block.body, page, "exec"), names)


def run_pycon(page, block, names):
    test = doctest.DocTestParser().get_doctest(block.body, names, page, page, block.line)
    doctest.DebugRunner().run(test, clear_globs=False)
    names.update(test.globs)


def run_commands(page, block, _):
    for line in block.body.splitlines():
        program, *arguments = shlex.split(line.removeprefix("$ "), comments=True)
        if program == "pip":
            assert_installs(arguments)
            continue
        assert program == "cachepoint", f"{page}: {line}: not one of ours"
        answer = CliRunner().invoke(build(), arguments)
        assert answer.exit_code == 0, f"{page}: {line}: {answer.output}"


def assert_installs(arguments):
    """Nothing is installed here: `make long` resolves it. The extras are there."""
    command, *packages = arguments
    assert command == "install"
    ours = [re.fullmatch(r"cachepoint(?:\[(.+)\])?", package) for package in packages]
    named = {extra for found in ours if found and found[1] for extra in found[1].split(",")}
    assert any(ours)
    assert named <= EXTRAS.keys()


EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def read_json(page, block, _):
    json.loads(block.body)


RUN = {
    "python": run_python,
    "pycon": run_pycon,
    "console": run_commands,
    "sh": run_commands,
    "json": read_json,
}


# An agent of LlamaIndex looks through all its members, deprecated ones of pydantic among them.
@pytest.mark.filterwarnings("ignore:The `(__fields__|__fields_set__|model_fields|model_computed_fields)`")
@pytest.mark.filterwarnings("ignore:Accessing the 'model_")
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_run_in_order(page, reader):
    """In one program, as a reader would type them."""
    for block in blocks(page):
        if block.why is None and block.language in RUN and (page, block.language) not in ELSEWHERE:
            RUN[block.language](page, block, reader)


def test_what_is_not_run_says_why():
    unrun = {(page, b.body.splitlines()[0]) for page in PAGES for b in blocks(page) if b.why is not None}
    assert unrun == NOT_RUN


@pytest.mark.parametrize("page", PAGES)
def test_every_snippet_names_its_language(page):
    """What is neither run nor marked would be passed over."""
    assert {b.language for b in blocks(page)} <= {*RUN, *SHOWN}
    outside = FENCE.sub("", PAGES[page])
    assert "```" not in outside
    assert not re.search(r"\n\n {4}\S", outside), "an indented block is not run"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page):
    here = (ROOT / page).parent
    for target, anchor in LINK.findall(PAGES[page]):
        path = here / target if target else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(path.read_text("utf-8")), f"{page} links to {target}#{anchor}"


LINK = re.compile(r"""(?:\]\((?!https?:)|src="|srcset=")([^)"#]*)(?:#([^)"]*))?[)"]""")


def anchors(text):
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_are_there(page):
    named = re.findall(r"\b(?:src|tests|docs|examples|benchmarks|cassettes)/[\w/.-]*\w\.\w+", PAGES[page])
    # CONTRIBUTING names them from the package on, and rooms inside the emulator's.
    rooms = re.findall(r"`(\w+/(?:\w+/)*[\w.]*)`", PAGES[page]) if page == "CONTRIBUTING.md" else []
    bases = (ROOT, ROOT / "src/cachepoint", ROOT / "src/cachepoint/emulator")
    assert [n for n in (*named, *rooms) if not any((base / n).exists() for base in bases)] == []


# A log, and what is exported under our name, are no names in Python.
EXPORTED = {"calls", "checkpoints", "conversation", "cost", "miss", "missed_calls", "rewrite_factor", "saved"}
EXPORTED |= {"cost_usd", "kind", "saved_usd", "ttl_downgraded", "waste_tokens"}


@pytest.mark.parametrize("page", PAGES)
def test_the_names_that_a_page_gives_are_there(page):
    """Dotted names of ours, in prose too."""
    for name in set(re.findall(r"(?<![\w/])cachepoint\.([A-Za-z_][\w.]*\w)", PAGES[page])):
        if name.split(".")[0] not in EXPORTED:
            assert pkgutil.resolve_name(f"cachepoint.{name}")


CITED = re.compile(
    r"bedrock-facts|placement-theory|knowledge/|peers\.md|conventions\.md|\bissue \d", re.IGNORECASE
)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_one_reading(page):
    """What a command prints and what a table of names has is looked at, not read."""
    most = 900 if page == "README.md" else 1_250
    text = PAGES[page] if page == "README.md" else FENCE.sub("", PAGES[page])
    assert len(text.split()) <= most


def test_nothing_is_cited_that_a_reader_does_not_have():
    code = [p.read_text("utf-8") for room in ("examples", "benchmarks") for p in (ROOT / room).glob("*.py")]
    assert [found for text in (*PAGES.values(), *code) for found in CITED.findall(text)] == []

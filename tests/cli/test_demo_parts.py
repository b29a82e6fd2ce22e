import copy
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest
from botocore.loaders import Loader
from rich.console import Console

from cachepoint import documents
from cachepoint.cli.demo import FRAMEWORKS, _undisturbed, sources, tools, work
from cachepoint.cli.demo.bars import Bars, widths_of
from cachepoint.cli.demo.bench import Result, Run, run_job
from cachepoint.cli.demo.estimate import estimate
from cachepoint.cli.demo.places import Local
from cachepoint.cli.demo.retrieval import Search
from cachepoint.cli.demo.script import STEPS
from cachepoint.cli.demo.tables import render
from cachepoint.core.accounting.usage import Usage

SONNET = "us.anthropic.claude-sonnet-4-6"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(1_000), (0, 0, 40)),
        (Usage(0, read_tokens=500, write_tokens=500), (20, 20, 0)),
        (Usage(3, read_tokens=0, write_tokens=996), (0, 40, 0)),
        (Usage(3, read_tokens=980, write_tokens=17), (39, 1, 0)),
        (Usage(), (0, 0, 0)),
    ],
)
def test_bar_widths(usage, expected):
    assert widths_of(usage, 1_000, 40) == expected


def test_a_bar_never_exceeds_its_share():
    for read in range(0, 1_000, 37):
        for write in range(0, 1_000 - read, 41):
            usage = Usage(1_000 - read - write, read_tokens=read, write_tokens=write)
            assert sum(widths_of(usage, 1_000, 33)) == 33
            assert min(widths_of(usage, 1_000, 33)) >= 0


@pytest.mark.parametrize("width", [40, 60, 80])
def test_c11_the_tables_fit(width):
    """C11: on 40 columns the figures were cut off."""
    jobs = [
        Result("chat", "langchain", SONNET, run(Usage(1_234_567)), run(Usage(7, 9, 1_234_000, 560, 560, 0)))
    ]
    console = Console(width=width, file=None)
    with console.capture() as capture:
        console.print(render(jobs))
    shown = capture.get()
    assert all(figure in shown for figure in ("1,234,567", "1,234,000", "560", "$4.0741", "0.10"))
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_bars_fill_the_width(width):
    console = Console(width=width, file=None)
    with console.capture() as capture:
        console.print(Bars([Usage(10), Usage(5, read_tokens=90_000, write_tokens=100)]))
    assert [len(line) for line in capture.get().splitlines()] == [width, width]


def run(*usages):
    return Run(usages, 1_793_000_000.0)


def test_ratio_is_input_cost_with_over_without():
    result = Result("chat", "x", SONNET, run(Usage(2_000)), run(Usage(0, 9, 1_000, 1_000, 1_000, 0)))
    assert result.ratio == pytest.approx((100 + 1_250) / 2_000)
    assert result.notes == ()


def test_runs_that_differ_are_noted():
    result = Result("chat", "x", SONNET, run(Usage(2_000)), run(Usage(1_500), Usage(400)))
    assert "1 call and 2,000 input tokens without, 2 calls and 1,900 with" in result.notes[0]


def test_refusals_are_noted():
    refused = Run((Usage(2_000),), 1_793_000_000.0, refused=2)
    assert Result("chat", "x", SONNET, run(Usage(2_000)), refused).notes == (
        "2 calls refused by the service",
    )


def test_estimate_names_both_ends():
    text = estimate([run(Usage(1_000_000, 0))], SONNET, 1_000, "us-east-1")
    assert "1,000,000 input tokens" in text
    assert text.count("$") == 2


def test_estimate_of_an_unknown_price():
    assert "not known" in estimate([run(Usage(10))], "nobody.model-1", 1_000, "us-east-1")


@pytest.mark.parametrize("tool", tools.TOOLS, ids=lambda tool: tool.__name__)
def test_every_tool_is_used_by_the_plan(tool):
    assert tool.__doc__
    assert tool.__name__ in {name for _, calls in STEPS for name, _ in calls}


def test_the_plan_ends_with_a_valid_request():
    named = {tool.__name__: tool for tool in tools.TOOLS}
    checks = [
        named[name](**arguments)
        for _, calls in STEPS
        for name, arguments in calls
        if name == "validate_request"
    ]
    assert len(checks) == 3
    assert "Missing required parameter" in checks[0]
    assert checks[-1] == "The request is valid."


def test_the_plan_asks_for_what_exists():
    named = {tool.__name__: tool for tool in tools.TOOLS}
    for _, calls in STEPS:
        for name, arguments in calls:
            assert not named[name](**arguments).startswith(("There is no", "No field"))
    assert any(len(calls) > 1 for _, calls in STEPS)


@pytest.mark.parametrize("name", ["describe_operation", "list_errors", "validate_request"])
def test_tools_answer_a_wrong_name(name):
    named = {tool.__name__: tool for tool in tools.TOOLS}
    arguments = {"request": {}} if name == "validate_request" else {}
    assert "'Convers'" in named[name](operation="Convers", **arguments)


def test_tools_answer_a_wrong_shape_and_word():
    assert "'Nope'" in tools.describe_shape("Nope")
    assert "'qqqq'" in tools.find_fields("qqqq")


def test_the_description_is_whole():
    """Every shape is told of, and each is reached from an operation."""
    api = sources.api()
    models = [api.operation_model(name) for name in api.operation_names]
    reached = {
        shape.name
        for m in models
        for root in (m.input_shape, m.output_shape)
        for shape in sources._within(root)
    }
    structures = {
        n for n in api.shape_names if (s := api.shape_for(n)).type_name == "structure" and s.documentation
    }
    errors = {shape.name for m in models for shape in m.error_shapes}
    assert structures <= reached | errors
    for text in (*work.documents().values(), work.agent_instructions(), work.chat_instructions()):
        assert "None" not in text.replace("NONE", "")


def old_botocore(monkeypatch):
    """A botocore whose Bedrock has no documentation, and of the cache no TTL and no details."""
    load = Loader.load_service_model

    def stripped(self, service_name, type_name, api_version=None):
        model = copy.deepcopy(load(self, service_name, type_name, api_version))
        if (service_name, type_name) == ("bedrock-runtime", "service-2"):
            shapes = model["shapes"]
            del shapes["CachePointBlock"]["members"]["ttl"], shapes["TokenUsage"]["members"]["cacheDetails"]
            for told in (*model["operations"].values(), *shapes.values()):
                told.pop("documentation", None)
        return model

    monkeypatch.setattr(Loader, "load_service_model", stripped)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)


@pytest.mark.parametrize("job", ["agent", "documents"])
def test_e5_the_figures_do_not_depend_on_the_installed_botocore(job, monkeypatch):
    """E5: the demo's text was botocore's description of the API, which grows with each version."""
    from cachepoint.cli.demo import langchain_jobs

    def told():
        for cached in (
            sources.api,
            sources.section,
            sources.sections,
            sources.glossary,
            work.agent_instructions,
        ):
            cached.cache_clear()
        with _undisturbed():
            return run_job(langchain_jobs, job, Local(), SONNET, lambda: None).as_dict()

    here = told()
    old_botocore(monkeypatch)
    assert told() == here


def test_search_finds_the_text_of_the_best_piece():
    search = Search({"a": "red fish\nblue fish", "b": "green tree\nred tree"}, str.splitlines)
    assert search.best("Which tree is green?") == "b"
    assert search.best("blue?") == "a"


def test_questions_fall_on_documents_again():
    from cachepoint.cli.demo.langchain_jobs import ApiRetriever

    retriever = ApiRetriever.over(work.documents())
    found = [retriever.invoke(question)[0].metadata["source"] for question in work.DOCUMENT_QUESTIONS]
    assert {"Converse", "ApplyGuardrail", "CountTokens"} <= {name for name in found if found.count(name) > 2}


def test_the_frameworks_retrieve_the_same_documents():
    from cachepoint.cli.demo import langchain_jobs, llama_index_jobs

    one = langchain_jobs.ApiRetriever.over(work.documents())
    other = llama_index_jobs.ApiRetriever(work.documents())
    for question in work.DOCUMENT_QUESTIONS:
        (found,), (node,) = one.invoke(question), other.retrieve(question)
        assert node.node.get_content() == found.page_content


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_chat_is_not_changed_by_what_another_job_retrieved(name):
    with _undisturbed():
        framework = import_module(f"cachepoint.cli.demo.{name}")
        documents(sources.section("ApplyGuardrail"))
        assert run_job(framework, "chat", Local(), SONNET, lambda: None).ratio < 0.23


def test_with_aioboto3_the_agent_calls_where_the_stage_is(monkeypatch):
    with _undisturbed():
        from llama_index.llms.bedrock_converse import base, utils

        from cachepoint.cli.demo import llama_index_jobs

        session = SimpleNamespace(client=lambda *_, **__: pytest.fail("a client of its own"))
        monkeypatch.setitem(sys.modules, "aioboto3", SimpleNamespace(Session=lambda **_: session))
        for module in base, utils:
            monkeypatch.setattr(module, "HAS_AIOBOTO3", True)
        result = run_job(llama_index_jobs, "agent", Local(), SONNET, lambda: None)
    assert len(result.without.usages) == len(result.cached.usages) == len(STEPS) + 1
    assert result.notes == ()
    assert result.ratio < 0.25

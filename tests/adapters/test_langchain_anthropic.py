"""What is special about the model that goes through Anthropic's own SDK."""

import asyncio
import subprocess
import sys

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from cachepoint.emulator import ToolResponder
from cachepoint.langchain import LOAD_OPTIONS, CachedChatBedrock, CachepointMiddleware
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.langchain_shapes import look_up
from tests.adapters.test_contract import points

pytest.importorskip("langchain_anthropic", reason="the extra anthropic is not installed")

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_aws import ChatAnthropicBedrock

from cachepoint.langchain import CachedChatAnthropicBedrock
from tests.adapters.anthropic_shapes import CLOSE, VERSION, of_bedrock

ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"


@pytest.fixture
def build(bedrock, cache):
    def build(model=CLAUDE, **options):
        return CachedChatAnthropicBedrock(model=model, prompt_cache=cache, **of_bedrock(options))

    return build


def upstream(**options):
    return ChatAnthropicBedrock(model=CLAUDE, **of_bedrock(options))


def report(message):
    return message.response_metadata["cachepoint"]


def run_apart(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_sdk_is_imported_when_it_is_asked_for():
    apart = run_apart(
        "import sys, cachepoint.langchain as c; assert 'anthropic' not in sys.modules;"
        "c.CachedChatAnthropicBedrock; assert 'anthropic' in sys.modules"
    )
    assert apart.returncode == 0, apart.stderr


def test_a_missing_extra_is_named():
    apart = run_apart(
        "import sys; sys.modules['langchain_anthropic'] = None\n"
        "from cachepoint.langchain import CachedChatBedrock, CachedChatAnthropicBedrock"
    )
    assert 'pip install "cachepoint[anthropic]"' in apart.stderr.splitlines()[-1]
    assert apart.stderr.splitlines()[-1].startswith("ImportError: CachedChatAnthropicBedrock needs")


def test_entries_are_those_of_chat_bedrock(build, bedrock, cache):
    written = report(build().invoke(ASK))["usage"]["write_tokens"]
    theirs = CachedChatBedrock(client=bedrock.client(), model=CLAUDE, prompt_cache=cache)
    found = report(theirs.invoke(ASK))
    assert found["usage"]["read_tokens"] == found["expected_read_tokens"] == written > 1_024


MARKED = {
    "text": ([HumanMessage([{"type": "text", "text": MANUAL, **HOUR}])], {}),
    "system": ([SystemMessage([{"type": "text", "text": MANUAL, **HOUR}]), HumanMessage("hi")], {}),
    "result": (
        [
            HumanMessage("look"),
            AIMessage("", tool_calls=[{"id": "call_1", "name": "look_up", "args": {"part": "A7"}}]),
            ToolMessage([{"type": "text", "text": MANUAL, **HOUR}], tool_call_id="call_1"),
        ],
        {"tools": [look_up]},
    ),
    "tool": (
        [HumanMessage(MANUAL)],
        {"tools": [{"name": "x", "description": MANUAL, "input_schema": {"type": "object"}, **HOUR}]},
    ),
    "call": ([HumanMessage(MANUAL)], HOUR),
}


@pytest.mark.parametrize(("messages", "options"), MARKED.values(), ids=MARKED)
def test_a_checkpoint_of_the_users_own_stays_with_its_ttl(messages, options, build, bedrock):
    bedrock.say(ToolResponder(steps=0))
    tools = options.get("tools")
    rest = {k: v for k, v in options.items() if k != "tools"}
    for model in (upstream(), build()):
        (model.bind_tools(tools) if tools else model).invoke(messages, **rest)
    theirs, ours = (list(points(call.request)) for call in bedrock.answered)
    assert theirs == [{"type": "default", "ttl": "1h"}]
    assert theirs[0] in ours
    assert len(ours) <= 4


def streamed(model, **options):
    return list(model.stream(ASK, **options))


def astreamed(model, **options):
    async def run():
        return [chunk async for chunk in model.astream(ASK, **options)]

    return asyncio.run(run())


@pytest.mark.parametrize("ask", [streamed, astreamed])
def test_a_stream_says_how_writes_split_by_ttl(ask, build):
    chunks = ask(build(cache_policy={"ttl": "1h"}))
    (found,) = (report(c) for c in chunks if "cachepoint" in c.response_metadata)
    assert found["usage"]["write_1h_tokens"] == found["usage"]["write_tokens"] > 1_024
    assert found["first_token_ms"] is not None
    said = [c.usage_metadata for c in chunks if c.usage_metadata]
    assert sum(s["input_tokens"] for s in said) == found["usage"]["input_tokens"]


@pytest.mark.parametrize("ask", [streamed, astreamed])
def test_a_stream_without_usage_still_has_its_report(ask, build):
    chunks = ask(build(), stream_usage=False)
    (found,) = (report(c) for c in chunks if "cachepoint" in c.response_metadata)
    assert found["usage"]["write_tokens"] > 1_024
    assert not any(c.usage_metadata for c in chunks)


class Told(BaseCallbackHandler):
    """What handlers are told of an answer."""

    def __init__(self):
        self.chunks = []
        self.ended = []

    def on_llm_new_token(self, token, *, chunk=None, **_):
        self.chunks.append(chunk.message)

    def on_llm_end(self, response, **_):
        self.ended.append(response.generations[0][0].message)


@pytest.mark.parametrize("ask", [streamed, astreamed])
def test_handlers_are_told_of_each_chunk_once_with_its_report(ask, build):
    told = Told()
    chunks = ask(build(), config={"callbacks": [told]})
    # LangChain itself adds an empty last chunk, where it must.
    assert [c.text for c in told.chunks if c.text] == [c.text for c in chunks if c.text]
    (found,) = (report(c) for c in told.chunks if "cachepoint" in c.response_metadata)
    assert found == report(told.ended[0])
    assert found["usage"]["write_tokens"] > 1_024


@pytest.mark.parametrize("awaited", [False, True])
def test_a_stream_that_is_left_writes_nothing_any_more(awaited, build, cache):
    model = build()
    left = []
    cache.observers.append(left.append)

    async def begin():
        coming = model.astream(ASK)
        await anext(coming)
        await coming.aclose()

    if awaited:
        asyncio.run(begin())
    else:
        coming = model.stream(ASK)
        next(coming)
        coming.close()
    assert [report.usage for report in left] == [None]
    assert cache.faults == 0


def test_a_model_taken_over_goes_through_the_clients_it_had(bedrock, cache):
    existing = upstream()
    existing.invoke("hi")
    models = [
        CachedChatAnthropicBedrock.from_model(existing, prompt_cache=cache, cache_policy={"ttl": "1h"})
        for _ in range(2)
    ]
    for model in models:
        assert report(model.invoke(ASK))["usage"] is not None
        assert model._client is existing._client
    assert models[0]._async_client is models[1]._async_client is existing._async_client
    assert "client" not in existing.__dict__


def test_calls_of_a_model_share_its_client(build):
    model = build()
    model.invoke(ASK)
    first = model._client
    model.invoke(ASK)
    assert model._client is first
    assert model.client is None


def test_a_client_is_refused(build, bedrock):
    with pytest.raises(ValueError, match="ANTHROPIC_BEDROCK_BASE_URL"):
        build(client=bedrock.client())


@pytest.mark.parametrize(("base", "marked"), [(None, False), ("anthropic.claude-sonnet-4-6", True)])
def test_the_model_behind_an_arn_is_named(base, marked, cache, monkeypatch):
    sent = []
    model = CachedChatAnthropicBedrock(
        model=ARN, prompt_cache=cache, base_model_id=base, max_tokens=9, **of_bedrock({})
    )
    monkeypatch.setattr(ChatAnthropicBedrock, "_create", lambda _, payload: sent.append(payload) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.invoke(ASK)
    assert bool(list(points(sent[0]))) is marked


@pytest.mark.parametrize("where", ["default_headers", "extra_headers"])
def test_latency_optimized_inference_gets_no_checkpoint(where, build, monkeypatch):
    """InvokeModel has this as a header, and refuses checkpoints then (boto3#4626)."""
    sent = []
    header = {"X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}
    options = {where: header} if where == "default_headers" else {"model_kwargs": {where: header}}
    monkeypatch.setattr(ChatAnthropicBedrock, "_create", lambda _, payload: sent.append(payload) or 1 / 0)
    for model in (build(**options), build()):
        with pytest.raises(ZeroDivisionError):
            model.invoke(ASK)
    assert [bool(list(points(payload))) for payload in sent] == [False, True]


def test_what_extra_body_holds_is_planned_where_it_stands(build, bedrock):
    extra = {"system": MANUAL}
    model = build(model_kwargs={"extra_body": extra})
    for _ in range(2):
        answer = model.invoke("Where is the valve?")
    assert report(answer)["usage"]["read_tokens"] > 1_024
    assert bedrock.answered[-1].request["system"][0]["text"] == MANUAL
    assert extra == {"system": MANUAL}


@pytest.mark.parametrize("policy", ["off", "auto"])
def test_the_version_of_the_api_is_what_the_sdk_says(policy, cache, bedrock):
    """Which version Bedrock is asked for is not ours: anthropic 2 asks for one that it refuses."""
    own = CachedChatAnthropicBedrock(
        model=CLAUDE, max_retries=0, default_headers=CLOSE, cache_policy=policy, prompt_cache=cache
    )
    theirs = ChatAnthropicBedrock(model=CLAUDE, max_retries=0, default_headers=CLOSE)
    ends = []
    for model in (theirs, own):
        try:
            ends.append(type(model.invoke(ASK)))
        except Exception as error:
            ends.append((type(error), str(error)))
    asked = [call.request["anthropic_version"] for call in bedrock.calls]
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert ends[0] == ends[1]


def test_the_version_that_bedrock_takes_can_be_said(build, bedrock):
    build().invoke(ASK)
    assert bedrock.answered[-1].request["anthropic_version"] == VERSION["anthropic_version"]


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("fault", ["payloads.beside", "payloads.body_of", "payloads.placed"])
def test_a_fault_anywhere_fails_no_call(fault, awaited, build, bedrock, monkeypatch):
    monkeypatch.setattr(f"cachepoint.langchain.anthropic.{fault}", lambda *_: 1 / 0)
    model = build()
    answer = asyncio.run(model.ainvoke(ASK)) if awaited else model.invoke(ASK)
    assert answer.text
    assert len(bedrock.calls) == 1
    assert not list(points(bedrock.calls[0].request))


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_a_model_is_saved_and_loaded(build):
    model = build(cache_policy={"ttl": "1h"}, base_model_id="anthropic.claude-sonnet-4-6")
    loaded = load(dumpd(model), allowed_objects="all", secrets_from_env=True, **LOAD_OPTIONS)
    assert type(loaded) is CachedChatAnthropicBedrock
    assert loaded.cache_policy == model.cache_policy
    assert loaded.base_model_id == model.base_model_id
    assert "client" not in dumpd(model)["kwargs"]


def test_the_middleware_takes_it(bedrock, cache):
    bedrock.say(ToolResponder(steps=2))
    agent = create_agent(
        upstream(),
        tools=[look_up],
        system_prompt=MANUAL,
        middleware=[CachepointMiddleware(prompt_cache=cache)],
    )
    told = agent.invoke({"messages": "Check all parts."})["messages"]
    reports = [report(m) for m in told if isinstance(m, AIMessage)]
    assert len(reports) == 3
    assert all(r["usage"]["read_tokens"] > 1_024 for r in reports[1:])


def test_the_middleware_takes_it_configured(bedrock, cache):
    model = init_chat_model(
        CLAUDE,
        model_provider="anthropic_bedrock",
        configurable_fields=["max_tokens"],
        **of_bedrock({}),
    )
    agent = create_agent(
        model, tools=[], system_prompt=MANUAL, middleware=[CachepointMiddleware(prompt_cache=cache)]
    )
    told = agent.invoke({"messages": "hi"}, {"configurable": {"max_tokens": 77}})["messages"]
    assert report(told[-1])["usage"]["write_tokens"] > 1_024
    assert bedrock.answered[-1].request["max_tokens"] == 77


def test_a_class_of_ones_own_stays(bedrock, cache):
    class Own(ChatAnthropicBedrock):
        pass

    ours = CachepointMiddleware(prompt_cache=cache)
    agent = create_agent(Own(model=CLAUDE, **of_bedrock({})), tools=[], middleware=[ours])
    with pytest.warns(UserWarning, match=r"Own would lose .*\.CachedChatAnthropicBedrock"):
        agent.invoke({"messages": MANUAL})
    assert not list(points(bedrock.answered[-1].request))

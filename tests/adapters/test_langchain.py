"""What only the LangChain adapter promises."""

import asyncio
import contextlib
import importlib
import json
import sys
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_aws import ChatBedrockConverse
from langchain_aws.middleware import BedrockPromptCachingMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import ConfigurableField, RunnableBinding, RunnableLambda, RunnableSequence
from langchain_core.tools import tool

import cachepoint.langchain
from cachepoint import CachePolicy, PromptCache
from cachepoint.core.accounting.report import CallReport
from cachepoint.emulator import BedrockEmulator, ToolResponder
from cachepoint.langchain import LOAD_OPTIONS, CachedChatBedrockConverse, get_cache_usage_callback
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL
from tests.adapters.langchain_shapes import Verdict, look_up
from tests.conftest import boto_client

ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


BUILT = CachedChatBedrockConverse


def sent(bedrock):
    return bedrock.calls[-1].request


def has_points(bedrock):
    return b"cachePoint" in bedrock.calls[-1].body


BINDS = {
    "bind-tools": lambda m: m.bind(stop=["END"], cache_policy="off").bind_tools([look_up]),
    "tools-bind": lambda m: m.bind_tools([look_up]).bind(stop=["END"], cache_policy="off"),
    "bind-tools-bind": lambda m: (
        m.bind(stop=["END"]).bind_tools([look_up]).bind(cache_policy=CachePolicy("off"))
    ),
    "bind-bind-tools": lambda m: (
        m.bind(stop=["END"]).bind(cache_policy={"mode": "off"}).bind_tools([look_up])
    ),
    "config-tools": lambda m: (
        m.with_config(tags=["a"]).bind(stop=["END"], cache_policy="off").bind_tools([look_up])
    ),
    "bind-config-tools": lambda m: (
        m.bind(stop=["END"], cache_policy="off").with_config(tags=["a"]).bind_tools([look_up])
    ),
}


@pytest.mark.parametrize("bind", BINDS.values(), ids=BINDS)
def test_binds_in_any_order(bind, llm, bedrock):
    bound = bind(llm)
    assert isinstance(bound, RunnableBinding)
    bound.invoke(ASK)
    assert sent(bedrock)["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look_up"
    assert sent(bedrock)["inferenceConfig"]["stopSequences"] == ["END"]
    assert not has_points(bedrock)
    assert "tools" not in llm.bind().kwargs


def test_later_binds_win_and_tool_choice_stays(llm):
    bound = llm.bind(tool_choice={"any": {}}, temperature=0.1).bind_tools([look_up]).bind(temperature=0.2)
    assert bound.kwargs["tool_choice"] == {"any": {}}
    assert bound.kwargs["temperature"] == 0.2
    assert bound.bind_tools([look_up], tool_choice="auto").kwargs["tool_choice"] == {"auto": {}}


def test_c13_a_policy_bound_on_another_lies_over_it(llm):
    """C13: option by option, as everywhere else."""
    bound = llm.bind(cache_policy={"ttl": "1h"}).bind_tools([look_up]).bind(cache_policy={"tail": "never"})
    assert bound.kwargs["cache_policy"] == {"ttl": "1h", "tail": "never"}
    assert bound.bind(cache_policy={"ttl": "5m"}).kwargs["cache_policy"] == {"ttl": "5m", "tail": "never"}


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "prompt_prefill"])
def test_structured_output_keeps_what_is_bound(method, build, bedrock):
    # From 4.6 on no Claude takes a prefill.
    llm = build(model="us.anthropic.claude-haiku-4-5-20251001-v1:0")
    bound = llm.bind(max_tokens=333, stop=["END"], cache_policy="off").with_config(tags=["mine"])
    seen = []

    class Tags(BaseCallbackHandler):
        def on_chat_model_start(self, *_, tags=(), **__):
            seen.extend(tags)

    structured = bound.with_structured_output(Verdict, method=method, include_raw=True)
    structured.invoke(ASK, config={"callbacks": [Tags()]})
    config = sent(bedrock)["inferenceConfig"]
    assert config["maxTokens"] == 333
    assert "END" in config["stopSequences"]
    assert not has_points(bedrock)
    assert "mine" in seen


# LangChain says so once in a process.
@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_bound_model_serialises_as_upstreams(llm):
    data = dumpd(llm.bind(cache_policy=CachePolicy(ttl="1h"), stop=["x"]))
    assert data["id"][-1] == "RunnableBinding"
    loaded = load(
        data,
        allowed_objects=[CachedChatBedrockConverse, RunnableBinding],
        valid_namespaces=["cachepoint"],
        secrets_from_env=True,
    )
    assert loaded.kwargs["stop"] == ["x"]
    assert CachePolicy.of(loaded.kwargs["cache_policy"]) == CachePolicy(ttl="1h")
    assert type(loaded.bound) is CachedChatBedrockConverse


@tool
def weigh(part: str) -> str:
    """Weigh a part."""
    return f"{part}: 3 kg"


def test_create_agent_with_25_parallel_calls(llm, bedrock):
    bedrock.say(ToolResponder(steps=3, parallel=25))
    agent = create_agent(llm, [look_up, weigh], system_prompt=MANUAL)
    with get_cache_usage_callback() as usage:
        result = agent.invoke({"messages": [HumanMessage("Check all parts.")]})
    answers = [m for m in result["messages"] if isinstance(m, AIMessage)]
    assert [len(m.tool_calls) for m in answers] == [25, 25, 25, 0]
    every_step_reads_all(bedrock)
    assert usage.calls == 4
    assert usage.total.read_tokens == sum(c.usage["cacheReadInputTokens"] for c in bedrock.calls)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_b7_beside_upstreams_middleware_ours_are_placed(way, build, bedrock):
    """B7: what it asks for at every call is not the user's hand; 25 parallel calls are beyond its reach."""

    def reads(*stack):
        bedrock.reset()
        bedrock.say(ToolResponder(steps=3, parallel=25))
        llm = build(cache_policy={"ttl": "1h"}, prompt_cache=PromptCache(clock=bedrock.now))
        agent = create_agent(llm, [look_up, weigh], system_prompt=MANUAL, middleware=stack)
        turn = {"messages": [HumanMessage("Check all parts.")]}
        _ = agent.invoke(turn) if way == "invoke" else asyncio.run(agent.ainvoke(turn))
        return [call.body for call in bedrock.calls]

    alone = reads()
    assert reads(BedrockPromptCachingMiddleware()) == alone
    every_step_reads_all(bedrock)
    assert all(b'"ttl": "1h"' in body for body in alone)


ROTE = {
    "tools": lambda control: {"tools": [look_up], "middleware": [Settings(cache_control=control)]},
    "bare": lambda control: {"middleware": [Settings(cache_control=control)]},
    "schema": lambda control: {
        "response_format": ToolStrategy(Verdict),
        "middleware": [Settings(cache_control=control)],
    },
}


class Settings(AgentMiddleware):
    def __init__(self, **settings):
        super().__init__()
        self.settings = settings

    def wrap_model_call(self, request, handler):
        return handler(request.override(model_settings={**request.model_settings, **self.settings}))


@pytest.mark.parametrize("options", ROTE.values(), ids=ROTE)
@pytest.mark.parametrize(
    ("policy", "asked", "holds"),
    [
        (None, "1h", "1h"),
        (None, "5m", "5m"),
        ({"ttl": "5m"}, "1h", "5m"),
        ({"ttl": "1h"}, "5m", "1h"),
    ],
)
def test_b7_whose_ttl_holds(options, policy, asked, holds, build, bedrock):
    bedrock.say(ToolResponder(steps=1))
    options = options({"type": "ephemeral", "ttl": asked})
    create_agent(build(cache_policy=policy), system_prompt=MANUAL, **options).invoke({"messages": ASK[1:]})
    for call in bedrock.calls:
        assert call.request["system"][-1]["cachePoint"].get("ttl", "5m") == holds


BY_HAND = {
    "bind": lambda m: m.bind(cache_control={"type": "ephemeral"}),
    "bind-config": lambda m: m.bind(cache_control={"type": "ephemeral"}).with_config(tags=["mine"]),
    "bind-bind": lambda m: m.bind(stop=["END"]).bind(cache_control={"type": "ephemeral"}),
}


@pytest.mark.parametrize("stack", [[], [Settings(cache_control={"ttl": "1h"})]], ids=["alone", "beside"])
@pytest.mark.parametrize("bind", BY_HAND.values(), ids=BY_HAND)
def test_b7_what_the_user_binds_by_hand_is_honoured(bind, stack, build, bedrock):
    """B7: also where an agent binds more on top."""
    tail = {"tail": "never"}
    agent = create_agent(bind(build(cache_policy=tail)), [weigh], system_prompt=MANUAL, middleware=stack)
    agent.invoke({"messages": [HumanMessage("Check all parts.")]})
    assert sent(bedrock)["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize("off", ["off", None])
def test_b7_where_nothing_of_ours_is_placed_theirs_stays(off, build, bedrock):
    """B7: off means off, and a model without caching gets what the base class sends."""
    options = {"model": CLAUDE if off else LLAMA}
    bodies = []
    for cls, ours in ((CachedChatBedrockConverse, {"cache_policy": off}), (ChatBedrockConverse, {})):
        agent = create_agent(
            build(cls, **options, **ours),
            system_prompt=MANUAL,
            middleware=[Settings(cache_control={"ttl": "1h"})],
        )
        with contextlib.suppress(ClientError):
            agent.invoke({"messages": ASK[1:]})
        bodies.append(bedrock.calls[-1].body)
    assert bodies[0] == bodies[1]
    assert b"cachePoint" in bodies[0]


CONFIGS = {
    "model": lambda m: m.with_config(cache_policy="off"),
    "bound": lambda m: m.bind(stop=["END"]).with_config(cache_policy="off"),
    "tools": lambda m: m.bind_tools([look_up]).with_config(cache_policy="off"),
    "dict": lambda m: m.with_config({"cache_policy": "off"}),
}


@pytest.mark.parametrize("attempt", CONFIGS.values(), ids=CONFIGS)
def test_a11_a_config_takes_no_policy(attempt, llm):
    """A11: LangChain drops it without a word."""
    with pytest.raises(ValueError, match=r"use bind\(cache_policy=\.\.\.\)"):
        attempt(llm)


def test_a11_names_near_ours_in_a_config(llm):
    with pytest.raises(ValueError, match=r"'cache_polcy' is no part of a config"):
        llm.with_config(cache_polcy="off")
    assert llm.with_config(tags=["a"], metadata={"cache_policy": "mine"}, configurable={"thread_id": 1})


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("off", CachePolicy("off")),
        ({"ttl": "1h"}, CachePolicy(ttl="1h")),
        (CachePolicy(tail="never"), CachePolicy(tail="never")),
        (None, None),
    ],
)
def test_a13_a_policy_may_be_assigned(value, policy, llm, bedrock):
    """A13: it is read as in the constructor, and the next call holds to it."""
    llm.cache_policy = value
    copy = llm.model_copy(update={"cache_policy": value})
    assert llm.cache_policy == copy.cache_policy == policy
    for model in (llm, copy):
        model.invoke(ASK)
        assert has_points(bedrock) is (value != "off")
        assert dumpd(model)["kwargs"].get("cache_policy") == (policy and policy.options())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("cache_policy", "of", "CachePolicy.mode is 'of'"),
        ("cache_policy", {"tll": "1h"}, "no option 'tll'"),
        ("prompt_cache", "x", "prompt_cache is a PromptCache"),
        ("cache_polcy", "off", "cache_polcy"),
    ],
)
def test_a13_what_is_not_valid_is_refused_where_it_is_given(name, value, says, llm, build, bedrock):
    for attempt in (
        lambda: setattr(llm, name, value),
        lambda: llm.model_copy(update={name: value}),
        lambda: build(**{name: value}),
    ):
        with pytest.raises(ValueError, match=says):
            attempt()
    assert not bedrock.calls


def test_a13_other_fields_are_assigned_as_ever(llm, bedrock):
    llm.temperature = 0.3
    llm.model_copy(update={"max_tokens": 7}).invoke(ASK)
    assert sent(bedrock)["inferenceConfig"] == {"temperature": 0.3, "maxTokens": 7}


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize(
    "options",
    [
        {"allowed_objects": "all", **LOAD_OPTIONS},
        {
            "allowed_objects": [
                CachedChatBedrockConverse,
                RunnableBinding,
                RunnableSequence,
                StrOutputParser,
            ],
            "valid_namespaces": ["cachepoint"],
        },
    ],
    ids=["all", "named"],
)
def test_a15_a_chain_that_was_dumped_loads(options, llm):
    """A15: the two ways that the docstring of the class shows."""
    llm.cache_policy = {"ttl": "1h"}
    chain = llm.bind(stop=["x"], cache_policy="off") | StrOutputParser()
    loaded = loads(dumps(chain), secrets_from_env=True, **options)
    bound = loaded.first
    assert type(bound.bound) is CachedChatBedrockConverse
    assert bound.bound.cache_policy == CachePolicy(ttl="1h")
    assert CachePolicy.of(bound.kwargs["cache_policy"]) == CachePolicy("off")
    assert "LOAD_OPTIONS" in CachedChatBedrockConverse.__doc__


def test_e3_lazy_names_are_in_dir():
    """E3: completion goes by `dir()`."""
    assert set(cachepoint.langchain.__all__) <= set(dir(cachepoint.langchain))


def imported_anew(monkeypatch):
    """Until the test ends: what is imported of it is another module, also as an attribute of the package."""
    monkeypatch.setattr(cachepoint, "langchain", cachepoint.langchain)
    for name in [n for n in sys.modules if n.startswith("cachepoint.langchain")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("there", [True, False])
def test_e3_import_star(there, monkeypatch):
    """E3: also where `langchain` is missing; what needs it is left out then."""
    imported_anew(monkeypatch)
    if not there:
        for name in [n for n in sys.modules if n.startswith("langchain.") or n == "langchain"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "langchain", None)
    names = {}
    exec("from cachepoint.langchain import *", names)
    assert {"CachedChatBedrockConverse", "trim_messages_stable", "StableDocumentOrder"} <= set(names)
    assert ("CachepointMiddleware" in names) is there


def every_step_reads_all(bedrock):
    steps = [(c.usage["cacheReadInputTokens"], c.usage["cacheWriteInputTokens"]) for c in bedrock.calls]
    assert [read for read, _ in steps[1:]] == [sum(step) for step in steps[:-1]]
    assert steps[1][0] > 1_024


async def test_async_agent(llm, bedrock):
    agent = create_agent(llm, [weigh], system_prompt=MANUAL)
    with get_cache_usage_callback() as usage:
        await agent.ainvoke({"messages": [HumanMessage("weigh the part A7")]})
    assert usage.calls == len(bedrock.calls) == 2


def test_configurable_fields(llm, bedrock):
    free = llm.configurable_fields(
        max_tokens=ConfigurableField("limit"),
        cache_policy=ConfigurableField("policy"),
        model_id=ConfigurableField("model"),
    )
    free.invoke(ASK)
    assert has_points(bedrock)
    free.with_config(configurable={"limit": 55, "policy": "off"}).invoke(ASK)
    assert sent(bedrock)["inferenceConfig"]["maxTokens"] == 55
    assert not has_points(bedrock)
    free.invoke(ASK, config={"configurable": {"model": "us.amazon.nova-lite-v1:0"}})
    assert "nova-lite" in bedrock.calls[-1].model_id
    free.bind_tools([look_up]).with_config(configurable={"limit": 56}).invoke(ASK)


def test_configurable_alternatives(llm, build, bedrock):
    either = llm.configurable_alternatives(
        ConfigurableField("llm"), default_key="cached", plain=build(ChatBedrockConverse)
    )
    either.invoke(ASK)
    assert has_points(bedrock)
    either.with_config(configurable={"llm": "plain"}).invoke(ASK)
    assert not has_points(bedrock)


def test_from_model(build, bedrock, cache, monkeypatch):
    existing = build(
        ChatBedrockConverse, temperature=0.2, default_headers={"x-team": "pumps"}, model=CLAUDE, stop=["END"]
    )
    before = dict(existing.__dict__)
    monkeypatch.setattr("langchain_aws.chat_models.bedrock_converse.create_aws_client", lambda **_: 1 / 0)
    made = CachedChatBedrockConverse.from_model(existing, cache_policy={"ttl": "1h"}, prompt_cache=cache)
    assert existing.__dict__ == before
    assert {k: v for k, v in made.__dict__.items() if k in before} == before
    assert made.client is existing.client
    assert made.bedrock_client is existing.bedrock_client
    assert made.model_fields_set == existing.model_fields_set | {"cache_policy", "prompt_cache"}
    assert not bedrock.calls
    assert made.invoke(ASK).response_metadata["cachepoint"]["usage"]["write_1h_tokens"] > 1_024
    again = CachedChatBedrockConverse.from_model(made, cache_policy="off")
    assert again.prompt_cache is cache
    assert again.cache_policy == CachePolicy("off")
    assert made.cache_policy == CachePolicy(ttl="1h")
    assert dumpd(made)["kwargs"]["temperature"] == 0.2


def test_from_model_takes_models_only():
    with pytest.raises(TypeError, match="not RunnableBinding"):
        CachedChatBedrockConverse.from_model(RunnableLambda(str).bind())


def test_client_stays_what_it_was(llm, bedrock):
    client = llm.client
    llm.invoke(ASK)
    list(llm.stream(ASK))
    assert llm.client is client is bedrock.client()


def test_report_is_plain_data_and_nothing_else_of_ours_is_in_the_message(llm, build):
    ours, theirs = llm.invoke(ASK), build(ChatBedrockConverse).invoke(ASK)
    assert set(ours.response_metadata) == {*theirs.response_metadata, "cachepoint"}
    assert json.loads(json.dumps(ours.response_metadata)) == ours.response_metadata
    assert "cachepoint" not in ours.response_metadata["ResponseMetadata"]
    assert set(ours.usage_metadata) == set(theirs.usage_metadata)
    assert ours.content == theirs.content


def test_tokens_are_told_without_our_objects(llm):
    told = []

    class Ear(BaseCallbackHandler):
        raise_error = True

        def on_llm_new_token(self, token, *, chunk=None, **_):
            told.append(json.dumps(chunk.message.response_metadata))

    llm.model_copy(update={"streaming": True}).invoke(ASK, config={"callbacks": [Ear()]})
    assert sum('"cachepoint"' in metadata for metadata in told) == 1


def test_stream_events_v3_carries_the_report(llm):
    events = list(llm.stream_events(ASK, version="v3"))
    assert events[-1]["metadata"]["cachepoint"]["usage"]["write_tokens"] > 1_024
    assert not any(isinstance(v, CallReport) for v in events[-1]["metadata"]["ResponseMetadata"].values())


def test_what_a_stream_wrote_that_was_left_early_is_expected(llm):
    """Bedrock has written a prefix when the answer begins."""
    stream = llm.stream(ASK)
    next(stream)
    stream.close()
    report = llm.invoke(ASK).response_metadata["cachepoint"]
    assert report["expected_read_tokens"] == pytest.approx(report["usage"]["read_tokens"], rel=0.05)
    assert report["usage"]["read_tokens"] > 1_024


def test_raw_blocks_stay_as_they_are(build, bedrock):
    blocks = [{"role": "user", "content": [{"text": MANUAL}, {"text": "hi"}]}]
    model = build(raw_blocks=blocks)
    for _ in range(2):
        model.invoke("ignored", cache_control={"type": "ephemeral"})
    assert blocks == [{"role": "user", "content": [{"text": MANUAL}, {"text": "hi"}]}]
    assert bedrock.calls[-1].usage["cacheReadInputTokens"] > 1_024


def test_cache_control_is_honoured(llm, bedrock):
    llm.invoke(ASK, cache_control={"type": "ephemeral", "ttl": "1h"})
    assert sent(bedrock)["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert sent(bedrock)["system"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_application_inference_profile(cache):
    with BedrockEmulator(profiles={ARN: "anthropic.claude-sonnet-4-6"}) as bedrock:
        clients = {"client": boto_client(bedrock.url), "bedrock_client": boto_client(bedrock.url, "bedrock")}
        model = CachedChatBedrockConverse(
            model=ARN, provider="anthropic", prompt_cache=PromptCache(clock=bedrock.now), **clients
        )
        model.invoke(ASK)
        answer = model.invoke(ASK)
        assert answer.response_metadata["cachepoint"]["usage"]["read_tokens"] > 1_024
        assert [c.operation for c in bedrock.calls] == ["GetInferenceProfile", "Converse", "Converse"]
        made = CachedChatBedrockConverse.from_model(
            ChatBedrockConverse(model=ARN, provider="anthropic", **clients)
        )
        assert made.base_model_id == "anthropic.claude-sonnet-4-6"
        assert len(bedrock.calls) == 4
        for client in clients.values():
            client.close()


class ScriptedClient:
    """Some people test with a client that is no more than this."""

    def converse(self, **_):
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        }


def test_scripted_client(build):
    answers = [
        build(cls, client=ScriptedClient()).invoke("hi")
        for cls in (CachedChatBedrockConverse, ChatBedrockConverse)
    ]
    assert answers[0].response_metadata.pop("cachepoint")
    assert answers[0].response_metadata == answers[1].response_metadata


def test_a18_the_stubs_of_upstreams_own_tests(build):
    """A18: a mock whose stream is a mere iterator, and whose 1h point is nobody's but the caller's."""
    client = mock.MagicMock()
    client.converse.return_value = ScriptedClient().converse()
    client.converse_stream.return_value = {"stream": iter([{"messageStart": {"role": "assistant"}}])}
    llm = build(client=client)
    # Upstream's word for a stream that ends too soon, on which people retry.
    with pytest.raises(ConnectionError):
        list(llm.stream("hi"))
    llm.invoke("hi", cache_control={"type": "ephemeral", "ttl": "1h"})
    content = client.converse.call_args.kwargs["messages"][-1]["content"]
    assert content[-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_errors_show_no_credentials():
    with pytest.raises(ValueError, match="did you mean cache_policy=") as caught:
        CachedChatBedrockConverse(model=CLAUDE, aws_secret_access_key="hunter2", cache_polcy="off")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["top_k", "thinking", "anthropic_beta", "reasoning_config", "detail", "node"]
)
def test_fields_of_models_are_upstreams_business(name, build, bedrock):
    with pytest.warns(UserWarning, match=name):
        model = build(**{name: {}})
    assert model.additional_model_request_fields == {name: {}}


def test_without_langchain_aws(monkeypatch):
    imported_anew(monkeypatch)
    monkeypatch.setitem(sys.modules, "langchain_aws", None)
    with pytest.raises(ImportError, match=r'pip install "cachepoint\[langchain\]"'):
        importlib.import_module("cachepoint.langchain")


def test_fallbacks_take_tools_as_upstreams_do(llm, build, bedrock):
    for model in (llm, llm.bind(stop=["END"])):
        tooled = model.with_fallbacks([build(ChatBedrockConverse)]).bind_tools([look_up])
        tooled.invoke(ASK)
        assert sent(bedrock)["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look_up"
    assert sent(bedrock)["inferenceConfig"]["stopSequences"] == ["END"]


def test_retries_keep_what_is_bound(llm, bedrock):
    llm.bind(stop=["END"]).bind_tools([look_up]).with_retry(stop_after_attempt=2).invoke(ASK)
    assert sent(bedrock)["inferenceConfig"]["stopSequences"] == ["END"]
    assert has_points(bedrock)

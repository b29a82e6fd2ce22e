"""What only the LlamaIndex adapter promises."""

import asyncio
import copy
import json
import logging
import sys

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.bedrock_converse import BedrockConverse

import cachepoint
from cachepoint import CachePolicy
from cachepoint.aws import ttl
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import guard
from cachepoint.emulator import BedrockEmulator
from cachepoint.llama_index import CachedBedrockConverse, CacheUsageLegacyHandler
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import _WAYS, LlamaIndexAdapter, where
from tests.adapters.llama_index_shapes import TOOLS, Verdict, called, message, point, result
from tests.adapters.test_contract import points
from tests.conftest import boto_client

MODES = LlamaIndexAdapter.modes
NEW = "us.anthropic.claude-fable-5-1"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
ASK = [message("system", MANUAL), message("user", "Where is the valve?")]
HOUR = {"cachePoint": {"type": "default", "ttl": "1h"}}


@pytest.fixture
def build(bedrock, cache):
    return lambda model=CLAUDE, **options: CachedBedrockConverse(
        **{**where(bedrock), "model": model, "prompt_cache": cache, **options}
    )


def ask(model, messages, mode="chat", tools=(), **call):
    way, with_tools = _WAYS[mode]
    if tools:
        return way(getattr(model, with_tools), list(tools), chat_history=messages, **call)
    return way(getattr(model, mode), messages, **call)


def sent(bedrock):
    return bedrock.answered[-1].request


@pytest.mark.parametrize("kind", ["default", "ephemeral"])
@pytest.mark.parametrize("mode", MODES)
def test_an_hour_stays_an_hour_everywhere(mode, kind, build, bedrock):
    messages = [
        message("system", MANUAL, point("1h", kind)),
        message("user", "First: " + MANUAL, point("1h", kind)),
        message("assistant", *called("a")),
        result("a", MANUAL, point("1h", kind)),
    ]
    before = copy.deepcopy(messages)
    ask(build(), messages, mode, TOOLS)
    request = sent(bedrock)
    assert request["system"][1] == HOUR
    assert request["messages"][0]["content"][1] == HOUR
    tool_message = request["messages"][2]["content"]
    assert [next(iter(block)) for block in tool_message] == ["toolResult", "cachePoint"]
    assert tool_message[1] == HOUR
    assert not list(points(tool_message[0]))
    assert messages == before


@pytest.mark.parametrize("mode", MODES)
def test_five_minutes_stay_five_minutes(mode, build, bedrock):
    ask(build(cache_policy={"tail": "never"}), [message("system", MANUAL, point()), *ASK[1:]], mode)
    assert sent(bedrock)["system"][1:] == [{"cachePoint": {"type": "default"}}]


def test_a_botocore_that_knows_no_ttl_sends_it_all_the_same(build, bedrock, monkeypatch):
    monkeypatch.setattr(ttl, "knows_ttl", lambda _: False)
    client = boto_client(bedrock.url)
    checked = []
    client.meta.events.register(
        "provide-client-params.bedrock-runtime.*", lambda params, **_: checked.extend(points(params))
    )
    llm = build(client=client, cache_policy={"ttl": "1h"})
    for mode in ("chat", "stream_chat"):
        ask(llm, [*ASK, message("assistant", mode), message("user", mode)], mode, TOOLS, tool_caching=True)
        assert len(list(points(sent(bedrock)))) > 2
        assert {p.get("ttl") for p in points(sent(bedrock))} == {"1h"}
    assert {p.get("ttl") for p in checked} == {None}
    llm.chat(ASK, cache_policy="off")
    assert not list(points(sent(bedrock)))
    client.close()


def places(bedrock):
    request = sent(bedrock)
    return (
        [i for i, t in enumerate(request["toolConfig"]["tools"]) if "cachePoint" in t],
        [i for i, t in enumerate(request["system"]) if "cachePoint" in t],
    )


@pytest.mark.parametrize("mode", MODES)
def test_flags_lead_to_one_plan(mode, build, bedrock):
    llm = build(system_prompt_caching=True, tool_caching=True, cache_policy={"ttl": "1h"})
    for call in ({}, {"tool_caching": True}, {}):
        ask(llm, ASK, mode, TOOLS, **call)
        assert places(bedrock) == ([2], [1])
        assert {p.get("ttl") for p in points(sent(bedrock))} == {"1h"}
    ask(build(), ASK, mode, TOOLS, tool_caching=True)
    assert places(bedrock) == ([2], [1])


@pytest.mark.parametrize("mode", MODES)
def test_flags_double_no_point_of_the_callers(mode, build, bedrock):
    messages = [message("system", MANUAL, point("1h")), *ASK[1:]]
    ask(build(system_prompt_caching=True), messages, mode)
    assert [p for p in sent(bedrock)["system"] if "cachePoint" in p] == [HOUR]


def test_flags_of_a_model_without_caching_are_upstreams(build, bedrock):
    llm = build("us.meta.llama3-3-70b-instruct-v1:0", system_prompt_caching=True)
    with pytest.raises(Exception, match="did not allow prompt caching"):
        llm.chat(ASK)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("model", "window"),
    [
        (NEW, 1_000_000),
        ("amazon.nova-2-lite-v1:0", 1_000_000),
        ("global.anthropic.claude-mythos-5-2", 1_000_000),
        ("us.anthropic.claude-sonnet-5-5", 1_000_000),
        ("us.amazon.nova-2-lite-v1:0", 1_000_000),
        (f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{CLAUDE}", 1_000_000),
    ],
)
def test_models_that_upstream_does_not_know(mode, model, window, build, bedrock):
    llm = build(model)
    assert llm.metadata.context_window == window
    assert llm.metadata.model_name == llm.model == model
    assert llm.metadata.is_function_calling_model
    response = ask(llm, [message("system", MANUAL, point()), *ASK[1:]], mode, TOOLS)
    assert bedrock.answered[-1].model_id == model
    assert any("cachePoint" in block for block in sent(bedrock)["system"])
    assert response.additional_kwargs["cachepoint"]["model_id"] == model
    assert ask(llm, ASK, mode, cache_policy="off").message.content


def test_a_new_model_takes_what_upstream_knows_of_its_like(build, bedrock):
    build(NEW, thinking={"type": "adaptive"}).chat([message("user", "hi")])
    assert sent(bedrock)["additionalModelRequestFields"] == {"thinking": {"type": "adaptive"}}
    assert "temperature" not in sent(bedrock)["inferenceConfig"]


def test_a_model_that_nobody_knows_raises_as_upstream_does(build, bedrock):
    options = {**where(bedrock), "model": "us.acme.anvil-9"}
    raised = []
    for cls in (BedrockConverse, CachedBedrockConverse):
        with pytest.raises(ValueError, match="anvil") as caught:
            cls(**options)
        raised.append(str(caught.value))
    assert raised[0] == raised[1]


def test_an_application_inference_profile_is_the_model_it_is_named_with(cache):
    with BedrockEmulator(profiles={ARN: "anthropic.claude-sonnet-4-6"}) as bedrock:
        client = boto_client(bedrock.url)
        llm = CachedBedrockConverse(CLAUDE, client=client, application_inference_profile_arn=ARN)
        for _ in range(2):
            report = llm.chat(ASK).additional_kwargs["cachepoint"]
        assert report["usage"]["read_tokens"] > 1_024
        assert bedrock.calls[-1].path.count("application-inference-profile")
        client.close()


def test_serialises_and_comes_back(build, bedrock):
    llm = build(cache_policy={"ttl": "1h", "tail": "never"}, temperature=0.3)
    data = json.loads(json.dumps(llm.to_dict()))
    assert data["class_name"] == CachedBedrockConverse.class_name() == "CachedBedrockConverse"
    assert "example" not in str(data)
    again = CachedBedrockConverse.from_dict(data, **where(bedrock))
    assert again.cache_policy == CachePolicy(ttl="1h", tail="never")
    assert again.to_dict() == data


def test_the_object_stays_what_it_was(build, bedrock):
    llm = build(system_prompt_caching=True)
    client, before = bedrock.client(), llm.to_dict()
    assert llm._client is client
    llm.chat(ASK)
    list(llm.stream_chat(ASK))
    asyncio.run(llm.achat(ASK))
    assert llm._client is client
    assert llm.to_dict() == before


@pytest.mark.parametrize("mode", MODES)
def test_the_report_is_plain_data_and_raw_is_bedrocks(mode, build, bedrock):
    response = ask(build(), ASK, mode)
    json.dumps(response.additional_kwargs)
    ledger = bedrock.answered[-1].usage
    assert response.additional_kwargs["prompt_tokens"] == ledger["inputTokens"]
    assert response.additional_kwargs["cache_creation_input_tokens"] == ledger["cacheWriteInputTokens"]
    seen = [response.raw]
    for value in seen:
        assert not isinstance(value, CallReport)
        seen += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []


class Events(BaseEventHandler):
    names: list[str] = []
    models: list[str] = []

    def handle(self, event, **_):
        self.names.append(event.class_name())
        if hasattr(event, "model_dict"):
            self.models.append(event.model_dict["model_name"])


@pytest.fixture
def watched():
    root = get_dispatcher()
    before = (root.event_handlers, root.span_handlers)
    events, spans = Events(names=[], models=[]), SimpleSpanHandler()
    root.event_handlers, root.span_handlers = [*before[0], events], [*before[1], spans]
    yield events, spans
    root.event_handlers, root.span_handlers = before


@pytest.mark.parametrize("model", [CLAUDE, NEW])
@pytest.mark.parametrize("mode", MODES)
def test_events_and_spans_once(mode, model, build, watched):
    ask(build(model), [message("system", MANUAL, point()), *ASK[1:]], mode)
    events, spans = watched
    assert events.names.count("LLMChatStartEvent") == events.names.count("LLMChatEndEvent") == 1
    assert events.models == [model]
    assert len(spans.completed_spans) == 1
    assert spans.completed_spans[0].id_.startswith(f"CachedBedrockConverse.{mode}-")


def test_settings_and_the_default_of_the_process(build, bedrock, monkeypatch):
    monkeypatch.setattr(Settings, "_llm", None)
    monkeypatch.setattr(Settings, "_callback_manager", None)
    usage = CacheUsageLegacyHandler()
    Settings.callback_manager = CallbackManager([usage])
    Settings.llm = build()
    cachepoint.configure(mode="off")
    Settings.llm.chat(ASK)
    assert not list(points(sent(bedrock)))
    cachepoint.configure(ttl="1h")
    Settings.llm.chat(ASK)
    assert {p.get("ttl") for p in points(sent(bedrock))} == {"1h"}
    assert usage.calls == 2


def test_environment(build, bedrock, monkeypatch):
    monkeypatch.setenv("CACHEPOINT_MODE", "off")
    build().chat(ASK)
    assert not list(points(sent(bedrock)))


WAYS = {
    "complete": lambda m, **kw: m.complete(MANUAL, **kw),
    "stream_complete": lambda m, **kw: list(m.stream_complete(MANUAL, **kw)),
    "acomplete": lambda m, **kw: asyncio.run(m.acomplete(MANUAL, **kw)),
    "predict_and_call": lambda m, **kw: m.predict_and_call(
        TOOLS, chat_history=[*ASK], user_msg="Is it in stock?", tool_required=True, **kw
    ),
    "structured": lambda m, **kw: m.structured_predict(
        Verdict, PromptTemplate(MANUAL + "{it}"), it="?", llm_kwargs=kw
    ),
    "structured_llm": lambda m, **kw: m.as_structured_llm(Verdict).chat(ASK, **kw),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_is_cached_and_takes_a_policy(way, build, bedrock):
    llm = build(cache_policy={"tail": "always"})
    for _ in range(2):
        way(llm)
    assert bedrock.answered[-1].usage["cacheReadInputTokens"] > 1_024
    way(llm, cache_policy="off")
    assert not list(points(sent(bedrock)))


def test_chat_with_tools_leaves_the_callers_history(build):
    history = list(ASK)
    build().chat_with_tools(TOOLS, user_msg="And the pump?", chat_history=history)
    assert history == ASK


def test_a_point_with_nothing_before_it_is_mended(build, bedrock):
    build().chat([message("user", point(), "hi")])
    assert sent(bedrock)["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]


def test_a_fault_in_reading_fails_no_call(build, bedrock, monkeypatch, caplog):
    monkeypatch.setattr(guard, "faults", 0)
    monkeypatch.setattr("cachepoint.llama_index.seam.with_ttls", lambda _: 1 / 0)
    with caplog.at_level(logging.WARNING, "cachepoint"):
        assert build().chat(ASK).message.content
    assert "failed at arranging a request" in caplog.text
    assert MANUAL[:20] not in caplog.text


def test_without_llama_index_the_extra_is_named(monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("cachepoint.llama_index", "llama_index.llms"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llama_index.llms.bedrock_converse", None)
    with pytest.raises(ImportError, match=r'pip install "cachepoint\[llama-index\]"'):
        __import__("cachepoint.llama_index")


def test_text_blocks_alone_are_passed_on_as_they_are(build):
    messages = [ChatMessage(role="user", blocks=[TextBlock(text="hi")])]
    bound, given, _ = build()._for_one_call(messages, None, {})
    assert given[0] is messages[0]
    assert type(bound) is CachedBedrockConverse

"""What only CachedChatBedrock promises; the contract has the rest."""

import asyncio
import json

import pytest
from botocore.exceptions import ClientError
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField

from cachepoint import CachePolicy
from cachepoint.core.guard import InvalidOptionError
from cachepoint.emulator import EmulatedError, ScriptedResponder
from cachepoint.langchain import LOAD_OPTIONS, CachedChatBedrock, CachedChatBedrockConverse
from tests.adapters.contract import CLAUDE, LLAMA, MANUAL
from tests.adapters.langchain_shapes import Verdict, look_up
from tests.adapters.test_contract import points

ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
FIVE, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
NOVA = "us.amazon.nova-lite-v1:0"


def text(words, control=None):
    return {"type": "text", "text": words, **({} if control is None else {"cache_control": control})}


BUILT = CachedChatBedrock


def sent(bedrock):
    return bedrock.calls[-1].request


def controls(blocks):
    return [block.get("cache_control") for block in blocks]


def test_the_ttl_of_a_text_arrives(llm, build, bedrock):
    messages = [SystemMessage([text(MANUAL, HOUR)]), HumanMessage([text(MANUAL, HOUR), text("Where?")])]
    build(ChatBedrock).invoke(messages)
    assert controls(sent(bedrock)["system"]) == [FIVE]
    bedrock.advance(301)
    answer = llm.invoke(messages)
    assert controls(sent(bedrock)["system"]) == [HOUR]
    assert controls(sent(bedrock)["messages"][0]["content"])[0] == HOUR
    assert answer.response_metadata["cachepoint"]["usage"]["write_1h_tokens"] > 1_024
    list(llm.stream(messages))
    assert controls(sent(bedrock)["system"]) == [HOUR]


def test_the_ttl_is_that_of_the_text(llm, bedrock):
    """Upstream drops blank texts. A checkpoint in the result of a tool is sent as that of the result."""
    use = {"name": "look_up", "args": {"part": "A7"}, "id": "c1", "type": "tool_call"}
    history = [
        SystemMessage([text(f"Be brief. {MANUAL}", HOUR)]),
        HumanMessage([text(" \n", FIVE), text(f"Hello. {MANUAL}", HOUR), text("Well?", FIVE)]),
        AIMessage("", tool_calls=[use]),
        ToolMessage([text(f"Three. {MANUAL}", FIVE)], tool_call_id="c1"),
    ]
    llm.invoke(history)
    asked = sent(bedrock)
    assert controls(asked["system"]) == [HOUR]
    assert controls(asked["messages"][0]["content"]) == [HOUR, FIVE]
    assert controls(asked["messages"][2]["content"]) == [FIVE]


def test_the_ttl_stays_beside_the_cache_control_of_a_call(llm, bedrock):
    llm.invoke([SystemMessage([text(MANUAL, HOUR)]), HumanMessage("Where?")], cache_control=FIVE)
    assert controls(sent(bedrock)["system"]) == [HOUR]
    assert controls(sent(bedrock)["messages"][0]["content"]) == [FIVE]


def test_the_same_text_twice_has_each_its_own_ttl(llm, bedrock):
    llm.invoke(
        [SystemMessage([text(MANUAL, HOUR)]), HumanMessage([text(MANUAL, FIVE)])], cache_policy={"ttl": "5m"}
    )
    assert controls(sent(bedrock)["system"]) == [HOUR]
    assert controls(sent(bedrock)["messages"][0]["content"]) == [FIVE]


@pytest.mark.parametrize("policy", ["off", "auto"])
def test_where_no_hour_is_taken_the_call_is_answered(policy, build, bedrock):
    """Off is upstream's bytes; Claude Sonnet 4 takes no 1h (AWS user guide, prompt caching, 2026-11)."""
    model = CLAUDE if policy == "off" else "us.anthropic.claude-sonnet-4-20250514-v1:0"
    messages = [SystemMessage([text(MANUAL, HOUR)]), HumanMessage("Where?")]
    answer = build(model=model).invoke(messages, cache_policy=policy)
    assert answer.text
    assert controls(bedrock.answered[-1].request["system"]) == [FIVE]


def converse(build, **options):
    return build(beta_use_converse_api=True, **options)


WAYS = {
    "invoke": lambda m: m.invoke(ASK),
    "ainvoke": lambda m: asyncio.run(m.ainvoke(ASK)),
    "stream": lambda m: sum_of(m.stream(ASK)),
    "bind": lambda m: m.bind(max_tokens=9).invoke(ASK),
    "tools": lambda m: m.bind_tools([look_up]).invoke(ASK),
    "bound tools": lambda m: m.bind(stop=["END"]).bind_tools([look_up]).invoke(ASK),
    "structured": lambda m: m.with_structured_output(Verdict, include_raw=True).invoke(ASK)["raw"],
}


def sum_of(chunks):
    first, *rest = chunks
    return sum(rest, start=first)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_on_its_way_to_converse_a_call_is_cached(way, streaming, build, bedrock):
    answer = way(converse(build, streaming=streaming))
    assert bedrock.calls[-1].operation in {"Converse", "ConverseStream"}
    assert list(points(sent(bedrock)))
    report = answer.response_metadata["cachepoint"]
    assert report["usage"]["write_tokens"] == bedrock.calls[-1].usage["cacheWriteInputTokens"] > 1_024


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_through_invoke_model_each_way_reports(way, streaming, build, bedrock):
    answer = way(build(streaming=streaming))
    assert bedrock.calls[-1].operation in {"InvokeModel", "InvokeModelWithResponseStream"}
    report = answer.response_metadata["cachepoint"]
    assert report["usage"]["write_tokens"] == bedrock.calls[-1].usage["cacheWriteInputTokens"] > 1_024
    assert len(bedrock.calls) == 1


def test_what_was_bound_stays_on_the_way_to_converse(build, bedrock):
    bound = converse(build).bind(stop=["END"], cache_policy={"ttl": "1h"})
    bound.bind_tools([look_up]).invoke(ASK)
    assert sent(bedrock)["inferenceConfig"]["stopSequences"] == ["END"]
    assert {p["ttl"] for p in points(sent(bedrock))} == {"1h"}
    bound.bind_tools([look_up]).invoke(ASK, cache_policy="off")
    assert not list(points(sent(bedrock)))


def test_the_policy_of_the_model_holds_on_the_way_to_converse(build, bedrock):
    model = converse(build, cache_policy="off")
    model.invoke(ASK)
    assert not list(points(sent(bedrock)))
    model.invoke(ASK, cache_policy={"mode": "auto", "ttl": "1h"})
    assert {p["ttl"] for p in points(sent(bedrock))} == {"1h"}
    with pytest.raises(InvalidOptionError, match="ttl"):
        model.invoke(ASK, cache_policy={"ttl": "2h"})


HIDDEN = "arn:aws:bedrock:us-east-1:123456789012:custom-model-deployment/pumps01"


# Upstream's binding loses what was bound before tools.
@pytest.mark.parametrize("way", [name for name in WAYS if name != "bound tools"])
def test_a_base_model_is_known_on_the_way_to_converse_and_changes_nothing_of_upstreams(way, build):
    """Upstream hands it on to nobody: its own class then asks, and names, the id that is called."""
    told = []
    for cls, ours in (
        (ChatBedrock, {}),
        (CachedChatBedrock, {"cache_policy": "off"}),
        (CachedChatBedrock, {}),
    ):
        client = Stub()
        model = build(
            cls,
            model=HIDDEN,
            client=client,
            base_model="anthropic.claude-opus-4-20250514-v1:0",
            provider="anthropic",
            beta_use_converse_api=True,
            **ours,
        )
        answer = WAYS[way](model)
        told.append((client.asked, answer.response_metadata["model_name"]))
    stock, off, cached = told
    assert off == stock
    assert cached[1] == stock[1] == HIDDEN
    assert list(points(cached[0]))


class Stub:
    """Keeps what it is asked, and answers alike."""

    def __init__(self):
        self.asked = []

    def converse(self, **request):
        self.asked.append(request)
        message = {"role": "assistant", "content": [{"text": "On the left."}]}
        return {"output": {"message": message}, "stopReason": "end_turn", "usage": COUNTED}

    def converse_stream(self, **request):
        self.asked.append(request)
        events = (
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "On the left."}}},
            {"messageStop": {"stopReason": "end_turn"}},
            {"metadata": {"usage": COUNTED, "metrics": {"latencyMs": 1}}},
        )
        return {"stream": iter(events)}


COUNTED = {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}


def test_nova_goes_to_converse_by_itself(build, bedrock):
    build(model=NOVA).invoke(ASK)
    assert bedrock.calls[-1].operation == "Converse"
    assert list(points(sent(bedrock)))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("through", ["invoke", "converse"])
@pytest.mark.parametrize("awaited", [False, True])
def test_warm_writes_a_system_prompt_alone(awaited, through, streaming, build, bedrock):
    model = build(streaming=streaming, beta_use_converse_api=through == "converse").bind_tools([look_up])
    alone = [SystemMessage(MANUAL)]
    report = asyncio.run(model.awarm(alone)) if awaited else model.warm(alone)
    assert report.usage.write_tokens == bedrock.calls[-1].usage["cacheWriteInputTokens"] > 1_024
    assert report.usage.output_tokens == 1
    answer = model.invoke(ASK)
    assert answer.response_metadata["cachepoint"]["usage"]["read_tokens"] > 1_024
    assert len(bedrock.calls) == 2


@pytest.mark.parametrize("through", ["invoke", "converse"])
def test_a_model_that_streams_sends_nothing_where_nothing_would_be_written(through, build, bedrock):
    model = build(streaming=True, beta_use_converse_api=through == "converse")
    report = model.warm([SystemMessage("too short"), HumanMessage("Where?")])
    assert report.usage is None
    assert not bedrock.calls


def test_warming_twice_reads(llm, bedrock):
    llm.warm(ASK)
    again = llm.warm(ASK)
    assert again.usage.write_tokens == 0
    assert again.usage.read_tokens == bedrock.calls[0].usage["cacheWriteInputTokens"]


def test_from_model(build, bedrock, cache, monkeypatch):
    existing = build(ChatBedrock, temperature=0.2, model_kwargs={"top_k": 5}, stop=["END"])
    before = dict(existing.__dict__)
    monkeypatch.setattr("langchain_aws.llms.bedrock.create_aws_client", lambda **_: 1 / 0)
    made = CachedChatBedrock.from_model(existing, cache_policy={"ttl": "1h"}, prompt_cache=cache)
    assert existing.__dict__ == before
    assert {k: v for k, v in made.__dict__.items() if k in before} == before
    assert not bedrock.calls
    answer = made.invoke(ASK)
    assert answer.response_metadata["cachepoint"]["usage"]["write_1h_tokens"] > 1_024
    assert sent(bedrock)["top_k"] == 5
    assert made.client is existing.client


def test_from_model_takes_its_own_class_alone(build):
    with pytest.raises(TypeError, match="takes a ChatBedrock, not ChatBedrockConverse"):
        CachedChatBedrock.from_model(build(ChatBedrockConverse))
    with pytest.raises(TypeError, match="takes a ChatBedrockConverse, not ChatBedrock"):
        CachedChatBedrockConverse.from_model(build(ChatBedrock))


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("bound", [False, True])
def test_a_chain_that_was_dumped_loads(bound, bedrock, monkeypatch):
    """With the clients of the process that loads it."""
    for service in ("BEDROCK_RUNTIME", "BEDROCK"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", bedrock.url)
    model = CachedChatBedrock(model=CLAUDE, region_name="us-east-1", cache_policy={"ttl": "1h"})
    chain = ChatPromptTemplate([("system", MANUAL), ("human", "{x}")]) | (
        model.bind(stop=["END"]) if bound else model
    )
    written = dumps(chain)
    loaded = loads(written, allowed_objects="all", secrets_from_env=True, **LOAD_OPTIONS)
    last = loaded.last.bound if bound else loaded.last
    assert type(last) is CachedChatBedrock
    assert last.cache_policy == CachePolicy(ttl="1h")
    assert last.region_name == "us-east-1"
    assert dumps(loaded) == written
    loaded.invoke({"x": "hi"})
    assert {p["ttl"] for p in points(sent(bedrock))} == {"1h"}


def test_a_binding_stays_where_no_tools_are_bound(build):
    """ChatBedrock binds none for Llama, and answers with the bare model."""
    bound = build(model=LLAMA).bind(stop=["END"])
    tooled = bound.bind_tools([look_up])
    assert tooled.kwargs == {"stop": ["END"]}
    assert tooled.bind(max_tokens=7).kwargs == {"stop": ["END"], "max_tokens": 7}


def test_configurable_fields(llm, bedrock):
    free = llm.configurable_fields(
        max_tokens=ConfigurableField("limit"), cache_policy=ConfigurableField("policy")
    )
    free.invoke(ASK)
    assert list(points(sent(bedrock)))
    free.with_config(configurable={"limit": 55, "policy": "off"}).invoke(ASK)
    assert sent(bedrock)["max_tokens"] == 55
    assert not list(points(sent(bedrock)))


def test_thinking_is_read_again(build, bedrock):
    """Its blocks go back in the history of an agent, and the prefix that holds them is read."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
    model = build(max_tokens=2_000, model_kwargs=thinking)
    history = [
        *ASK,
        AIMessage([{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, text("On the left.")]),
        HumanMessage("And the pump?"),
    ]
    first = model.invoke(history).response_metadata["cachepoint"]["usage"]
    second = model.invoke(history).response_metadata["cachepoint"]["usage"]
    assert second["read_tokens"] == first["write_tokens"] > 1_024
    assert sent(bedrock)["thinking"] == thinking["thinking"]


DENIED = EmulatedError("You don't have access.", code="AccessDeniedException", status=403)


class Ear(BaseCallbackHandler):
    raise_error = True

    def __init__(self):
        self.chunks, self.errors = [], []

    def on_llm_new_token(self, token, *, chunk=None, **_):
        self.chunks.append(chunk)

    def on_llm_error(self, error, **_):
        self.errors.append(error)


@pytest.mark.parametrize("through", ["invoke", "converse"])
def test_the_run_manager_is_told_of_a_chunk_with_its_report(through, build, bedrock):
    ear = Ear()
    model = build(beta_use_converse_api=through == "converse")
    chunks = list(model.stream(ASK, config={"callbacks": [ear]}))
    assert [c.message.content for c in ear.chunks] == [c.content for c in chunks][: len(ear.chunks)]
    carrying = [c for c in ear.chunks if "cachepoint" in c.message.response_metadata]
    assert len(carrying) == 1
    assert carrying[0].message.usage_metadata["input_tokens"] == sum(
        bedrock.calls[-1].usage[k] for k in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    )


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_the_run_manager_is_told_of_errors_as_by_upstream(way, build, bedrock):
    said = []
    for cls in (ChatBedrock, CachedChatBedrock):
        ear = Ear()
        bedrock.say(ScriptedResponder([DENIED]))
        with pytest.raises(ClientError, match="You don't have access") as caught:
            list(getattr(build(cls), way)(ASK, config={"callbacks": [ear]}))
        said.append((type(caught.value).__name__, [type(e).__name__ for e in ear.errors]))
    assert said[0] == said[1]
    assert said[0][1]


def test_the_report_is_plain_data_and_the_message_upstreams_else(llm, build, bedrock):
    ours = llm.invoke(ASK)
    bedrock.advance(301)
    theirs = build(ChatBedrock).invoke(
        [SystemMessage([text(MANUAL, FIVE)]), HumanMessage([text("Where is the valve?", FIVE)])]
    )
    report = ours.response_metadata.pop("cachepoint")
    assert json.loads(json.dumps(report)) == report
    assert ours.response_metadata == theirs.response_metadata
    assert ours.additional_kwargs == theirs.additional_kwargs
    assert ours.usage_metadata == theirs.usage_metadata


def test_client_stays_what_it_was(llm, bedrock):
    client = llm.client
    llm.invoke(ASK)
    list(llm.stream(ASK))
    assert llm.client is client is bedrock.client()

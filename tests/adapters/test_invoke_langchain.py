"""What only `CachedChatBedrock` promises."""

import pytest
from botocore.exceptions import ClientError
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser

from cachepoint import CachePolicy
from cachepoint.emulator import BedrockEmulator, Guardrail
from cachepoint.langchain import (
    LOAD_OPTIONS,
    CachedChatBedrock,
    CachedChatBedrockConverse,
    CacheUsageCallbackHandler,
)
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.langchain_shapes import HISTORY, Verdict, look_up
from tests.conftest import boto_client

ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
NOVA = "us.amazon.nova-pro-v1:0"
POINT = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


@pytest.fixture
def build(bedrock, cache):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}

    def build(cls=CachedChatBedrock, model=CLAUDE, **options):
        ours = {} if cls is ChatBedrock else {"prompt_cache": cache}
        return cls(**{**clients, **ours, "model": model, **options})

    return build


def text(control):
    return {"type": "text", "text": MANUAL, "cache_control": control}


def operations(bedrock):
    return [call.operation for call in bedrock.calls]


def controls(request):
    """Every `cache_control` of a body, in the order of the prompt."""
    system = request.get("system") or []
    contents = [system, *(m["content"] for m in request["messages"])]
    blocks = [b for blocks in contents if isinstance(blocks, list) for b in blocks]
    return [b["cache_control"] for b in blocks if "cache_control" in b]


def usage(message):
    return message.response_metadata["cachepoint"]["usage"]


def whole(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


WRITTEN = {
    "system": ([SystemMessage([text(HOUR)]), HumanMessage("hi")], [HOUR]),
    "user": ([HumanMessage([text(HOUR)])], [HOUR]),
    "both": ([SystemMessage([text(HOUR)]), HumanMessage([text(HOUR)])], [HOUR, HOUR]),
    "hour-then-minutes": ([SystemMessage([text(HOUR)]), HumanMessage([text(POINT)])], [HOUR, POINT]),
    "minutes": ([SystemMessage([text(POINT)]), HumanMessage("hi")], [POINT]),
}


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(("messages", "asked"), WRITTEN.values(), ids=WRITTEN)
def test_the_ttl_of_a_text_arrives(messages, asked, way, build, bedrock):
    """Upstream writes `{"type": "ephemeral"}` whatever was asked for (`_format_anthropic_messages`)."""
    llm = build(cache_policy={"tail": "never"})
    answer = llm.invoke(messages) if way == "invoke" else whole(llm.stream(messages))
    assert controls(bedrock.calls[-1].request)[: len(asked)] == asked
    assert (usage(answer)["write_1h_tokens"] > 1_024) == (HOUR in asked)
    build(ChatBedrock).invoke(messages)
    assert controls(bedrock.calls[-1].request) == [POINT] * len(asked)


AROUND = {
    "point-of-the-call": ([HumanMessage("hi")], {"cache_control": POINT}),
    "empty-text": ([HumanMessage([{**text(POINT), "text": " "}, {"type": "text", "text": "hi"}])], {}),
    "point-on-a-result": (
        [
            *HISTORY,
            HumanMessage(
                [
                    {"type": "tool_result", "tool_use_id": call["id"], "content": [], "cache_control": POINT}
                    for call in HISTORY[-1].tool_calls
                ]
            ),
        ],
        {},
    ),
    "the-same-text": ([HumanMessage([text(POINT)])], {}),
}


@pytest.mark.parametrize(("rest", "options"), AROUND.values(), ids=AROUND)
def test_the_ttl_of_a_text_arrives_whatever_points_upstream_adds_or_drops(rest, options, build, bedrock):
    build().bind_tools([look_up]).invoke([SystemMessage([text(HOUR)]), *rest], **options)
    first, *others = controls(bedrock.calls[-1].request)
    assert first == HOUR
    assert HOUR not in others


def test_messages_stay_as_they_are(build):
    messages = [SystemMessage([text(HOUR)]), HumanMessage([text(HOUR)])]
    before = [m.model_dump() for m in messages]
    build().invoke(messages)
    assert [m.model_dump() for m in messages] == before


class TestConverse:
    @pytest.fixture
    def llm(self, build):
        return build(beta_use_converse_api=True)

    def test_tools(self, llm, bedrock):
        bound = llm.bind_tools([look_up]).bind(cache_policy={"ttl": "1h"})
        assert usage(bound.invoke(ASK))["write_1h_tokens"] > 1_024
        assert operations(bedrock) == ["Converse"]
        assert bedrock.calls[-1].request["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look_up"

    def test_bound_before_tools_stays_bound(self, llm, bedrock):
        llm.bind(cache_policy="off", stop=["END"]).bind_tools([look_up]).invoke(ASK)
        assert b"cachePoint" not in bedrock.calls[-1].body
        assert bedrock.calls[-1].request["inferenceConfig"]["stopSequences"] == ["END"]
        assert "toolConfig" in bedrock.calls[-1].request

    @pytest.mark.parametrize("first", [{}, {"cache_policy": {"ttl": "1h"}}], ids=["plain", "bound"])
    def test_structured_output(self, first, llm, bedrock):
        runnable = llm.bind(**first).with_structured_output(Verdict, include_raw=True)
        answer = runnable.invoke(ASK)
        assert isinstance(answer["parsed"], Verdict)
        assert usage(answer["raw"])["write_1h_tokens" if first else "write_5m_tokens"] > 1_024
        assert operations(bedrock) == ["Converse"]

    def test_stream(self, llm, bedrock):
        assert usage(whole(llm.stream(ASK)))["write_tokens"] > 1_024
        assert usage(llm.invoke(ASK))["read_tokens"] > 1_024
        assert operations(bedrock) == ["ConverseStream", "Converse"]

    @pytest.mark.parametrize("streaming", [False, True])
    def test_warm(self, streaming, build, bedrock):
        llm = build(beta_use_converse_api=True, streaming=streaming)
        report = llm.warm(ASK[:1])
        assert operations(bedrock) == ["Converse"]
        assert bedrock.calls[-1].request["inferenceConfig"]["maxTokens"] == 1
        assert report.usage.write_tokens > 1_024
        assert usage(llm.invoke(ASK))["read_tokens"] > 1_024

    def test_a_policy_of_the_model_lies_under_that_of_a_call(self, build, bedrock):
        llm = build(beta_use_converse_api=True, cache_policy={"ttl": "1h"})
        assert usage(llm.invoke(ASK, cache_policy={"tail": "never"}))["write_1h_tokens"] > 1_024
        llm.invoke(ASK, cache_policy="off")
        assert b"cachePoint" not in bedrock.calls[-1].body

    def test_nova_goes_there_by_itself(self, build, bedrock):
        assert usage(build(model=NOVA).invoke(ASK))["write_tokens"] > 1_024
        assert operations(bedrock) == ["Converse"]

    def test_its_entries_are_not_those_of_invoke_model(self, llm, build):
        llm.invoke(ASK)
        other = usage(build().invoke(ASK))
        assert (other["read_tokens"], other["write_tokens"] > 1_024) == (0, True)


@pytest.mark.parametrize("streaming", [False, True])
def test_warm(streaming, build, bedrock):
    llm = build(streaming=streaming)
    report = llm.bind_tools([look_up]).warm(ASK[:1])
    assert operations(bedrock) == ["InvokeModel"]
    assert bedrock.calls[-1].request["max_tokens"] == 1
    assert report.usage.write_tokens > 1_024
    assert usage(llm.bind_tools([look_up]).invoke(ASK))["read_tokens"] > 1_024


def test_from_model(build, bedrock, cache):
    existing = build(ChatBedrock, temperature=0.2, model_kwargs={"top_k": 5}, stop=["END"])
    before = dict(existing.__dict__)
    made = CachedChatBedrock.from_model(existing, cache_policy={"ttl": "1h"}, prompt_cache=cache)
    assert existing.__dict__ == before
    assert {k: v for k, v in made.__dict__.items() if k in before} == before
    assert made.client is existing.client
    assert usage(made.invoke(ASK))["write_1h_tokens"] > 1_024
    sent = bedrock.calls[-1].request
    assert (sent["temperature"], sent["top_k"]) == (0.2, 5)
    again = CachedChatBedrock.from_model(made, cache_policy="off")
    assert again.prompt_cache is cache
    assert (again.cache_policy, made.cache_policy) == (CachePolicy("off"), CachePolicy(ttl="1h"))


class Loud(ChatBedrock):
    def _generate(self, messages, *rest, **kwargs):
        return super()._generate([HumanMessage(m.text.upper()) for m in messages], *rest, **kwargs)


@pytest.mark.parametrize(
    ("cls", "cached", "says"),
    [
        (Loud, CachedChatBedrock, "would lose what Loud overrides: let it subclass CachedChatBedrock"),
        (ChatBedrockConverse, CachedChatBedrock, "takes a ChatBedrock, not ChatBedrockConverse"),
        (ChatBedrock, CachedChatBedrockConverse, "takes a ChatBedrockConverse, not ChatBedrock"),
    ],
)
def test_from_model_refuses_what_it_would_lose(cls, cached, says, bedrock):
    existing = cls(model=CLAUDE, client=bedrock.client(), bedrock_client=bedrock.client("bedrock"))
    with pytest.raises(TypeError, match=says):
        cached.from_model(existing)


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("converse", [False, True])
def test_a_chain_that_was_dumped_loads(converse, build):
    llm = build(cache_policy={"ttl": "1h"}, model_kwargs={"top_k": 5}, beta_use_converse_api=converse)
    text = dumps(llm.bind(stop=["x"], cache_policy="off") | StrOutputParser())
    loaded = loads(text, secrets_from_env=True, allowed_objects="all", **LOAD_OPTIONS)
    bound = loaded.first
    assert type(bound.bound) is CachedChatBedrock
    assert bound.bound.cache_policy == CachePolicy(ttl="1h")
    assert bound.bound.beta_use_converse_api is converse
    assert bound.bound.model_kwargs == {"top_k": 5}
    assert CachePolicy.of(bound.kwargs["cache_policy"]) == CachePolicy("off")
    assert bound.kwargs["stop"] == ["x"]
    assert dumps(loaded) == text


class Ear(BaseCallbackHandler):
    raise_error = True

    def __init__(self):
        self.chunks, self.ends, self.errors = [], [], []

    def on_llm_new_token(self, token, *, chunk=None, **_):
        self.chunks.append(chunk.message.model_copy(deep=True))

    def on_llm_end(self, response, **_):
        self.ends.append(response.generations[0][0].message)

    def on_llm_error(self, error, **told):
        self.errors.append((str(error), told))


CONVERSE = pytest.mark.parametrize("converse", [False, True], ids=["invoke-model", "converse"])


@CONVERSE
def test_streaming_gives_one_report(converse, build, bedrock):
    meter, ear = CacheUsageCallbackHandler(), Ear()
    llm = build(streaming=True, beta_use_converse_api=converse)
    answer = llm.invoke(ASK, config={"callbacks": [meter, ear]})
    assert operations(bedrock) == ["ConverseStream" if converse else "InvokeModelWithResponseStream"]
    assert type(answer) in {AIMessage, AIMessageChunk}
    assert usage(answer)["write_tokens"] > 1_024
    assert [usage(m) for m in ear.ends] == [usage(answer)]
    assert (meter.calls, meter.total.write_tokens) == (1, usage(answer)["write_tokens"])
    assert sum("cachepoint" in c.response_metadata for c in ear.chunks) == 1


@CONVERSE
@pytest.mark.parametrize("policy", ["off", {"ttl": "1h"}], ids=["off", "hour"])
def test_what_a_call_asks_for_holds_where_upstream_streams_by_itself(policy, converse, build):
    llm = build(streaming=True, disable_streaming=True, beta_use_converse_api=converse)
    written = usage(llm.invoke(ASK, cache_policy=policy))
    assert (written["write_1h_tokens"] > 1_024, written["write_5m_tokens"]) == (policy != "off", 0)


@CONVERSE
def test_a_handler_hears_the_report_with_its_chunk(converse, build):
    ear, llm = Ear(), build(beta_use_converse_api=converse)
    chunks = list(llm.stream(ASK, {"callbacks": [ear]}))
    assert [c.text for c in ear.chunks] == [c.text for c in chunks]
    carrying = [c for c in ear.chunks if "cachepoint" in c.response_metadata]
    assert [usage(c) for c in carrying] == [usage(whole(chunks))]
    assert carrying[0].usage_metadata


def managed(llm, ear):
    """The chunks of `_stream`, with a run manager, which LangChain itself hands on no longer."""
    manager = CallbackManager.configure([ear]).on_chat_model_start({}, [ASK])[0]
    return whole(c.message for c in llm._stream(ASK, run_manager=manager))


def asked(llm, ear):
    return llm.invoke(ASK, {"callbacks": [ear]})


# The options of a model, and how it is asked.
WAYS = {
    "invoke": ({}, asked),
    # LangChain streams of itself, unless told not to: then upstream's `_generate` does.
    "streaming": ({"streaming": True, "disable_streaming": True}, asked),
    "managed": ({}, managed),
}


@pytest.fixture
def guarded():
    """Builds models with a guardrail that blocks the question."""
    guardrails = {"g1": Guardrail(words=("valve",), blocked_input="Not in.")}
    with BedrockEmulator(guardrails=guardrails) as bedrock:
        clients = {"client": boto_client(bedrock.url), "bedrock_client": boto_client(bedrock.url, "bedrock")}
        yield lambda cls, name="g1", **options: cls(
            model=CLAUDE,
            guardrails={"guardrailIdentifier": name, "guardrailVersion": "1", "trace": True},
            **clients,
            **options,
        )
        for client in clients.values():
            client.close()


def test_an_intervention_of_a_guardrail_is_told_as_an_error(guarded):
    """Upstream tells it of whole answers of Claude only; in streams it looks at texts of other models."""
    theirs, ours = Ear(), Ear()
    assert asked(guarded(ChatBedrock), theirs).text == "Not in."
    assert asked(guarded(CachedChatBedrock), ours).text == "Not in."
    (error, told), *more = ours.errors
    assert (error, more) == ("Error raised by bedrock service: GUARDRAIL_INTERVENED", [])
    assert told["reason"] == "GUARDRAIL_INTERVENED"
    assert told["trace"]["guardrail"]["inputAssessment"]["g1"]
    assert told["trace"] == theirs.errors[0][1]["trace"]


@pytest.mark.parametrize(("options", "ask"), WAYS.values(), ids=WAYS)
def test_errors_are_told_as_by_upstream(options, ask, guarded):
    theirs, ours = Ear(), Ear()
    for cls, ear in ((ChatBedrock, theirs), (CachedChatBedrock, ours)):
        model = guarded(cls, "unknown", **options)
        with pytest.raises(ClientError, match="guardrail identifier or version"):
            ask(model, ear)
    assert ours.errors[0][0].startswith("An error occurred (ValidationException)")
    assert [e for e, _ in ours.errors] == [e for e, _ in theirs.errors]


@CONVERSE
@pytest.mark.parametrize("way", ["streaming", "managed"])
def test_a_run_manager_is_told_of_every_chunk_once(way, converse, build):
    options, ask = WAYS[way]
    told = {}
    for cls in (ChatBedrock, CachedChatBedrock):
        ear = told[cls] = Ear()
        ask(build(cls, beta_use_converse_api=converse, **options), ear)
    theirs, ours = (told[cls].chunks for cls in (ChatBedrock, CachedChatBedrock))
    assert [c.text for c in ours] == [c.text for c in theirs]
    assert sum("cachepoint" in c.response_metadata for c in ours) == 1


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_thinking_of_model_kwargs(way, build, bedrock):
    llm = build(model_kwargs=THINKING, max_tokens=2_000)
    answer = llm.invoke(ASK) if way == "invoke" else whole(llm.stream(ASK))
    assert usage(answer)["write_tokens"] > 1_024
    sent = bedrock.calls[-1].request
    assert (sent["thinking"], sent["max_tokens"]) == (THINKING["thinking"], 2_000)
    assert llm.model_kwargs == THINKING
    later = llm.invoke([*ASK, answer, HumanMessage("And the cover?")])
    assert usage(later)["read_tokens"] >= usage(answer)["write_tokens"]


def test_warming_keeps_the_budget_of_thinking(build, bedrock):
    report = build(model_kwargs=THINKING, max_tokens=2_000).warm(ASK[:1])
    sent = bedrock.calls[-1].request
    assert sent["thinking"] == THINKING["thinking"]
    assert sent["max_tokens"] > THINKING["thinking"]["budget_tokens"]
    assert report.usage.write_tokens > 1_024

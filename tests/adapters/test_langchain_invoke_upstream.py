"""What `ChatBedrock` does of itself: it streams, tells of errors, adds and drops checkpoints."""

import pytest
from botocore.exceptions import ClientError
from langchain_aws import ChatBedrock
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage

from cachepoint.emulator import BedrockEmulator, Guardrail
from cachepoint.langchain import CachedChatBedrock, CacheUsageCallbackHandler
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.langchain_shapes import HISTORY, look_up
from tests.conftest import boto_client

ASK = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
POINT = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


@pytest.fixture
def build(bedrock, cache):
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}

    def build(cls=CachedChatBedrock, **options):
        ours = {} if cls is ChatBedrock else {"prompt_cache": cache}
        return cls(model=CLAUDE, **clients, **ours, **options)

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


def test_the_two_operations_share_no_entries(build):
    build(beta_use_converse_api=True).invoke(ASK)
    other = usage(build().invoke(ASK))
    assert (other["read_tokens"], other["write_tokens"] > 1_024) == (0, True)


def test_warming_keeps_the_budget_of_thinking(build, bedrock):
    report = build(model_kwargs=THINKING, max_tokens=2_000).warm(ASK[:1])
    sent = bedrock.calls[-1].request
    assert sent["thinking"] == THINKING["thinking"]
    assert sent["max_tokens"] > THINKING["thinking"]["budget_tokens"]
    assert report.usage.write_tokens > 1_024

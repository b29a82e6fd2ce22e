"""Langfuse's and LangSmith's exports, read as calls."""

import json

import pytest
from langchain.agents import create_agent
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from cachepoint.cli.audit.formats import langfuse, langsmith
from cachepoint.cli.audit.formats.logged import UnusableError
from cachepoint.core.accounting.usage import Usage
from cachepoint.langchain import CachedChatBedrockConverse
from tests.cli.audit.exports import (
    MODEL,
    PROFILE,
    PROJECT,
    access,
    as_in_blob_storage,
    observations,
    traced,
)

MANUAL = "Turn the left screw until the lamp is green. " * 300
CANARY = "canary-7f3a"


@tool
def search(query: str) -> str:
    """Search the manual."""
    return query


def beside(address):
    raise AssertionError(f"nothing of an export is elsewhere: {address}")


def smith(run):
    return langsmith.read(run, beside)


def fuse(row):
    return langfuse.read(row, beside)


def conversation(head):
    use = {"name": "search", "args": {"query": "lamp"}, "id": "tooluse_1"}
    in_content = {"type": "tool_use", "id": use["id"], "name": use["name"], "input": use["args"]}
    return [
        SystemMessage(head),
        HumanMessage("Which lamp is red?"),
        AIMessage([{"type": "text", "text": "I look."}, in_content], tool_calls=[use]),
        ToolMessage("The left one.", tool_call_id="tooluse_1"),
    ]


MARKED = {
    ChatBedrockConverse: [
        {"type": "text", "text": MANUAL},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ],
    ChatBedrock: [{"type": "text", "text": MANUAL, "cache_control": {"type": "ephemeral"}}],
}


@pytest.mark.parametrize("chat", MARKED)
def test_a_runs_tokens_are_those_that_the_emulator_counted(chat):
    with traced() as (bedrock, client, config):
        llm = chat(model=MODEL, **access(bedrock)).bind_tools([search])
        llm.invoke(conversation(MARKED[chat]), config=config)
        list(llm.stream(conversation(MARKED[chat]), config=config))
        ledger = [Usage.from_converse({"usage": call.usage}) for call in bedrock.calls]
    found = [smith(run).usage for run in client.runs_as_exported()]
    assert [summed(usage) for usage in found] == [summed(usage) for usage in ledger]
    assert found[0].write_tokens > 1_000
    assert found[1].read_tokens == found[0].write_tokens


def summed(usage):
    """What every form tells; ChatBedrock's drops how writes split by TTL (langchain-aws 1.9.1)."""
    return usage.uncached_tokens, usage.read_tokens, usage.write_tokens, usage.output_tokens


def test_a_run_tells_how_its_writes_split_by_ttl():
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model=MODEL, **access(bedrock)).bind_tools([search])
        llm.invoke(conversation(MARKED[ChatBedrockConverse]), config=config)
    usage = smith(*client.runs_as_exported()).usage
    assert (usage.write_5m_tokens, usage.write_1h_tokens) == (0, usage.write_tokens)


def test_the_request_of_a_run_is_what_was_sent():
    """With tools, their choice, thinking and checkpoints, which LangChain's messages hold."""
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(
            model=MODEL,
            additional_model_request_fields={"thinking": {"type": "disabled"}},
            **access(bedrock),
        ).bind_tools([search], tool_choice="any")
        llm.invoke(conversation(MARKED[ChatBedrockConverse]), config=config)
        (sent,) = [call.request for call in bedrock.calls]
    request = smith(*client.runs_as_exported()).request
    assert request == {name: sent[name] for name in request}
    assert set(request) == {"messages", "system", "toolConfig", "additionalModelRequestFields"}


def test_what_was_said_again_gives_the_same_blocks():
    """A streamed answer is a list of blocks, in the next request as in its own run."""
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model=MODEL, **access(bedrock)).bind_tools([search])
        said = [SystemMessage(MANUAL), HumanMessage("Which lamp is red?")]
        for _ in range(3):
            llm.invoke(said, config=config)
            *_, answer = accumulated(llm.stream(said, config=config))
            said = [*said, answer, HumanMessage("And then?")]
        sent = [call.request["messages"] for call in bedrock.calls]
    found = [smith(run).request["messages"] for run in client.runs_as_exported()]
    assert found == sent
    assert [len(messages) for messages in found] == [1, 1, 3, 3, 5, 5]
    assert found[5][:3] == found[3]


def accumulated(stream):
    whole = None
    for piece in stream:
        whole = piece if whole is None else whole + piece
        yield whole


THINKING = {
    "additional_model_request_fields": {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
    "max_tokens": 4_000,
}
PICTURES = [
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
    {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
    {"type": "image", "source_type": "base64", "data": "iVBORw0KGgo=", "mime_type": "image/png"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_version": "v1"},
        THINKING,
        {**THINKING, "output_version": "v1"},
        {**THINKING, "streaming": True},
    ],
    ids=["plain", "v1", "thinking", "thinking, v1", "thinking, streamed"],
)
def test_the_requests_of_an_agent_are_what_was_sent(options):
    with traced() as (bedrock, client, config):
        agent = create_agent(
            ChatBedrockConverse(model=MODEL, **options, **access(bedrock)), [search], system_prompt=MANUAL
        )
        said = []
        for question in ("Use the search tool for lamps.", PICTURES, "Use search again."):
            said = agent.invoke({"messages": [*said, HumanMessage(question)]}, config=config)["messages"]
        calls = list(bedrock.calls)
    runs = [run for run in client.runs_as_exported() if run["run_type"] == "llm"]
    found = [smith(run) for run in runs]
    assert len(found) == len(calls) >= 4
    for call, sent in zip(found, calls, strict=True):
        assert call.request == {name: sent.request[name] for name in call.request}
        assert summed(call.usage) == summed(Usage.from_converse({"usage": sent.usage}))
    assert len(found[-1].request["messages"]) == 2 * len(found) - 1


def test_a_run_tells_when_where_and_who():
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model=MODEL, **access(bedrock))
        list(llm.stream("Hello", config={**config, "metadata": {"user_id": "ada"}}))
        llm.invoke("Hello", config=config)
    first, second = map(smith, client.runs_as_exported())
    started = min(run["start_time"] for run in client.kept.values())
    assert first.at == pytest.approx(started.timestamp(), abs=1e-3)
    assert 0 < first.first_token < first.lag
    assert (first.identity, second.identity) == ("ada", PROJECT)
    assert (second.region, second.account, second.first_token) == ("us-east-1", "", None)
    assert first.model == MODEL


@pytest.mark.parametrize("chat", MARKED)
def test_a_profiles_arn_tells_its_account_and_what_was_named_as_its_model(chat):
    with traced() as (bedrock, client, config):
        llm = chat(
            model=PROFILE,
            provider="anthropic",
            base_model_id="anthropic.claude-sonnet-4-6",
            **access(bedrock),
        )
        llm.invoke("Hello", config=config)
    call = smith(*client.runs_as_exported())
    assert (call.model, call.account) == (PROFILE, "123456789012")
    assert call.base == "anthropic.claude-sonnet-4-6"


def test_our_checkpoints_are_not_in_a_run_and_its_tokens_are():
    with traced() as (bedrock, client, config):
        llm = CachedChatBedrockConverse(model=MODEL, **access(bedrock))
        for _ in range(2):
            llm.invoke([SystemMessage(MANUAL), HumanMessage("Which lamp is red?")], config=config)
        assert "cachePoint" in str(bedrock.calls[0].request)
    first, second = map(smith, client.runs_as_exported())
    assert first.request["system"] == [{"text": MANUAL.strip()}] or first.request["system"] == [
        {"text": MANUAL}
    ]
    assert second.usage.read_tokens == first.usage.write_tokens > 1_000


def test_a_call_that_was_refused_is_none():
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model="anthropic.no-such-model", **access(bedrock))
        with pytest.raises(Exception, match="model"):
            llm.invoke("Hello", config=config)
    with pytest.raises(UnusableError, match=r"^no answer$"):
        smith(*client.runs_as_exported())


def test_what_came_from_langchains_own_cache_is_no_call_of_bedrocks():
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model=MODEL, cache=InMemoryCache(), **access(bedrock))
        for _ in range(2):
            llm.invoke("Hello", config=config)
        assert len(bedrock.calls) == 1
    first, second = client.runs_as_exported()
    assert smith(first).usage.output_tokens > 0
    with pytest.raises(UnusableError, match="no call of Bedrock's"):
        smith(second)


def test_a_run_that_was_selected_without_its_answer_has_langsmiths_own_counts():
    run = {
        "run_type": "LLM",
        "start_time": "2026-11-01T10:00:00Z",
        "end_time": "2026-11-01T10:00:02.500Z",
        "metadata": {"ls_provider": "amazon_bedrock", "ls_model_name": MODEL},
        "prompt_tokens": 1_100,
        "completion_tokens": 10,
        "total_tokens": 1_110,
        "prompt_token_details": {"raw": {"cache_read": 600, "cache_creation": 400}},
        "project_id": PROJECT,
    }
    call = smith(run)
    assert call.usage == Usage(100, 10, 600, 400)
    assert (call.at, call.lag, call.request, call.identity) == (1_793_527_200.0, 2.5, None, PROJECT)


def test_a_row_of_the_bulk_export_has_its_objects_as_text():
    with traced() as (bedrock, client, config):
        ChatBedrockConverse(model=MODEL, **access(bedrock)).invoke("Hello", config=config)
    (run,) = client.runs_as_exported()
    row = {name: json.dumps(v) if isinstance(v, dict | list) else v for name, v in run.items()}
    row["start_time"] = row["start_time"].replace("T", " ").removesuffix("Z")
    assert isinstance(row["inputs"], str)
    assert smith(row) == smith(run)


@pytest.mark.parametrize("form", [dict, as_in_blob_storage], ids=["api", "blob storage"])
def test_an_observations_tokens_are_those_that_the_emulator_counted(form):
    rows = [(form(row), sent) for row, sent in observations()]
    assert len(rows) == 6
    for row, sent in rows:
        assert summed(fuse(row).usage) == summed(Usage.from_converse({"usage": sent["usage"]}))
    writes = [fuse(row).usage for row, _ in rows][::2]
    assert [(u.write_5m_tokens, u.write_1h_tokens) for u in writes] == [
        (0, writes[0].write_tokens),
        (None, None),  # ChatBedrock does not say.
        (0, writes[2].write_tokens),
    ]


@pytest.mark.parametrize("form", [dict, as_in_blob_storage], ids=["api", "blob storage"])
def test_an_observation_tells_what_when_where_and_who(form):
    for n, (row, sent) in enumerate(observations()):
        call = fuse(form(row))
        assert call.model == MODEL
        assert call.identity == ("project" if n % 2 else "ada")
        assert call.region == ("us-east-1" if n < 2 else "")
        assert 1_793_000_000 < call.at < 1_800_000_000
        assert 0 < call.lag < 10
        assert (call.first_token is not None) == bool(n % 2)
        if n < 2:
            assert call.request == {name: sent["request"][name] for name in call.request}
        assert call.request == fuse(row).request
        assert call.request["toolConfig"]["tools"][0]["toolSpec"]["name"] == "search"


def generation(**fields):
    return {
        "type": "GENERATION",
        "traceId": "t",
        "startTime": "2026-11-01T10:00:00.000Z",
        "model": MODEL,
        **fields,
    }


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        # LangChain's sums, which count the writes once.
        (
            {"input": 34, "output": 6, "total": 1_040, "input_cache_read": 400, "input_cache_creation": 600},
            (34, 400, 600, 6),
        ),
        # An integration whose `input` is all of it: counted once.
        (
            {
                "input": 1_034,
                "output": 6,
                "total": 1_040,
                "cache_read_input_tokens": 400,
                "cache_creation_input_tokens": 600,
            },
            (34, 400, 600, 6),
        ),
        # Anthropic's, with the sum and its parts.
        (
            {
                "input": 34,
                "output": 6,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 600,
                "cache_creation_ephemeral_5m_input_tokens": 600,
                "cache_creation_ephemeral_1h_input_tokens": 0,
            },
            (34, 0, 600, 6),
        ),
        # Langfuse's own names; reasoning stands beside the output.
        (
            {"input": 34, "output": 6, "output_reasoning": 4, "input_cached_tokens": 400},
            (34, 400, None, 10),
        ),
        # boto3's, as Langfuse's cookbook sends it: what was cached is not told.
        ({"input": 34, "output": 6, "total": 40}, (34, None, None, 6)),
        # LlamaIndex's by way of OpenInference: 34 less what was cached, which Langfuse stops at 0.
        (
            {
                "input": 0,
                "output": 6,
                "total": 1_040,
                "input_cached_tokens": 400,
                "input_cache_creation": 600,
            },
            (34, 400, 600, 6),
        ),
        # The same before Langfuse knew those names (langfuse#13571).
        (
            {
                "input": 34,
                "output": 6,
                "total": 1_040,
                "prompt_details.cache_read": 400,
                "prompt_details.cache_write": 600,
            },
            (34, 400, 600, 6),
        ),
        # A stream with thinking: the writes twice in LangChain's sum (langchain-aws#983).
        (
            {
                "input": 634,
                "output": 6,
                "total": 640,
                "input_cache_read": 0,
                "input_cache_creation": 0,
                "input_ephemeral_5m_input_tokens": 600,
            },
            (34, 0, 600, 6),
        ),
    ],
)
def test_no_token_is_counted_twice(told, usage):
    assert summed(fuse(generation(usageDetails=told)).usage) == usage


def test_an_observation_that_does_not_say_its_tokens_says_so():
    assert fuse(generation(usageDetails={})).usage is None
    # The sums of Langfuse's older field mix what was read with what was not.
    assert fuse(generation(usage={"input": 412, "output": 87, "total": 499})).usage is None
    with pytest.raises(UnusableError, match=r"^no answer$"):
        fuse(generation(usageDetails={}, level="ERROR"))


def test_a_call_of_boto3_that_was_traced_by_hand():
    """Langfuse and LangSmith both show how: the keyword arguments as input."""
    given = {
        "system": [{"text": "Be kind."}, {"cachePoint": {"type": "default"}}],
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}]},
    }
    usage = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 107, "cacheReadInputTokens": 100}
    assert fuse(generation(input=json.dumps(given))).request == given
    run = {
        "run_type": "llm",
        "start_time": 1_793_527_200_000,
        "inputs": given,
        "outputs": {"output": {}, "usage": usage},
        "extra": {"metadata": {"ls_provider": "amazon_bedrock", "ls_model_name": MODEL}},
    }
    call = smith(run)
    assert call.request == given
    assert call.usage == Usage(5, 2, 100, None)
    assert call.at == 1_793_527_200.0


@pytest.mark.parametrize(
    "given", [None, "Hello", [], {"prompts": ["Hello"]}, [{"role": "poet"}], [7], {"messages": 7}]
)
def test_an_input_without_messages_is_no_request(given):
    assert fuse(generation(input=given)).request is None


@pytest.mark.parametrize(
    ("message", "block"),
    [
        (
            {"type": "image", "source": {"type": "base64", "data": "aGk="}},
            {"image": {"source": {"type": "base64", "data": "aGk="}}},
        ),
        ({"type": "document", "document": {"format": "pdf"}}, {"document": {"format": "pdf"}}),
        (
            {"type": "reasoning_content", "reasoning_content": {"text": "Hm", "signature": "s"}},
            {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
        ),
        ({"type": "thinking", "thinking": "Hm"}, {"reasoningContent": {"reasoningText": {"text": "Hm"}}}),
        (
            {"type": "tool_use", "id": "i", "name": "n", "input": '{"a": 1}', "index": 1},
            {"toolUse": {"toolUseId": "i", "name": "n", "input": {"a": 1}}},
        ),
        (
            {"type": "tool_result", "tool_use_id": "i", "content": "done"},
            {"toolResult": {"toolUseId": "i", "content": [{"text": "done"}]}},
        ),
    ],
)
def test_blocks_of_other_kinds(message, block):
    request = fuse(generation(input=[{"role": "user", "content": [message]}])).request
    assert request == {"messages": [{"role": "user", "content": [block]}]}


def test_an_input_that_is_nested_too_deeply_is_no_request():
    block = {"type": "text", "text": "Hello"}
    for _ in range(2_000):
        block = {"type": "tool_result", "tool_use_id": "i", "content": [block]}
    assert fuse(generation(input=[{"role": "user", "content": [block]}])).request is None


@pytest.mark.parametrize(
    "message",
    [
        {"type": "ai", "data": {"content": "Yes"}},
        {"lc": 1, "id": ["langchain", "schema", "messages", "AIMessageChunk"], "kwargs": {"content": "Yes"}},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes", "index": 0}]},
        {"type": "ai", "content": "Yes", "tool_calls": []},
    ],
)
def test_a_message_is_the_same_in_every_serialisation(message):
    request = fuse(generation(input=[{"role": "user", "content": "So?"}, message])).request
    assert request["messages"][1] == {"role": "assistant", "content": [{"text": "Yes"}]}


@pytest.mark.parametrize(
    "record",
    [
        generation(type="SPAN"),
        generation(type="TOOL"),
        generation(type=None),
        generation(model="gpt-4.1"),
        generation(model="claude-sonnet-4-6"),
        generation(metadata={"ls_provider": "openai", "ls_model_name": "openai.gpt-oss-120b-1:0"}),
    ],
)
def test_an_observation_of_something_else_is_none_of_bedrocks(record):
    with pytest.raises(UnusableError, match=r"^no call of Bedrock's$"):
        fuse(record)


def test_a_call_of_bedrocks_that_names_no_model_says_so():
    with pytest.raises(UnusableError, match=r"^no model$"):
        fuse(generation(model=None, metadata={"ls_provider": "amazon_bedrock"}))


@pytest.mark.parametrize(
    ("kind", "provider", "model"),
    [
        ("chain", "amazon_bedrock", MODEL),
        ("tool", "amazon_bedrock", MODEL),
        ("embedding", "amazon_bedrock", MODEL),
        ("llm", "openai", "gpt-4.1"),
        ("llm", "anthropic", "claude-sonnet-4-6"),
        ("llm", None, "gemini-2.5-pro"),
        (None, "amazon_bedrock", MODEL),
    ],
)
def test_a_run_of_something_else_is_none_of_bedrocks(kind, provider, model):
    metadata = {"ls_provider": provider, "ls_model_name": model}
    with pytest.raises(UnusableError, match=r"^no call of Bedrock's$"):
        smith({"run_type": kind, "start_time": "2026-11-01T10:00:00", "extra": {"metadata": metadata}})


@pytest.mark.parametrize(
    "time", [None, "", "yesterday", True, {}, [], float("nan"), -1, "0001-01-01T00:00:00", "9" * 400]
)
def test_a_record_without_a_time_says_so(time):
    with pytest.raises(UnusableError, match=r"^no time$"):
        fuse(generation(startTime=time))


WRONG = [
    None,
    True,
    7,
    -1.5,
    CANARY,
    "{" + CANARY,
    [CANARY],
    {CANARY: CANARY},
    [[{CANARY: [CANARY]}]],
    {"messages": [CANARY]},
]


def broken(record):
    """The record with each of its values, to the third level, replaced by those of other types."""
    for name, value in record.items():
        for wrong in WRONG:
            yield {**record, name: wrong}
        if isinstance(value, dict):
            yield from ({**record, name: inner} for inner in broken(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from ({**record, name: [inner, *value[1:]]} for inner in broken(value[0]))


def test_whatever_is_wrong_is_said_in_a_few_words_without_its_text():
    with traced() as (bedrock, client, config):
        llm = ChatBedrockConverse(model=MODEL, **access(bedrock)).bind_tools([search])
        list(llm.stream([SystemMessage(CANARY), HumanMessage(CANARY)], config=config))
    (run,) = client.runs_as_exported()
    row = next(row for row, _ in observations())
    row["input"] = json.loads(row["input"])
    reasons = {reason_of(smith, one) for one in broken(run)} | {reason_of(fuse, one) for one in broken(row)}
    assert reasons == {None, "no call of Bedrock's", "no time"}


def reason_of(read, record):
    try:
        read(record)
    except UnusableError as fault:
        assert CANARY not in str(fault)
        return fault.reason
    return None


def test_which_records_are_whose():
    row, _ = next(observations())
    with traced() as (bedrock, client, config):
        ChatBedrockConverse(model=MODEL, **access(bedrock)).invoke("Hello", config=config)
    (run,) = client.runs_as_exported()
    assert [langfuse.is_langfuse(one) for one in (row, as_in_blob_storage(row), run)] == [True, True, False]
    assert [langsmith.is_langsmith(one) for one in (row, as_in_blob_storage(row), run)] == [
        False,
        False,
        True,
    ]

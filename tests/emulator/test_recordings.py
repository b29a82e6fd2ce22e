"""Held to the real service: published recordings, sent in order through boto3."""

import json
from typing import Any

import pytest

from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire
from tests.emulator.recorded import PATH, RecordedSizer, for_boto3, load, load_invoked, rules

FILES, INVOKED = load(), load_invoked()

pytestmark = pytest.mark.skipif(not FILES, reason="BEDROCK_RECORDINGS names no calls.jsonl of recordings")

_REUSE = "langchain-aws/test_converse_single_cache_point_reuse"
_CHOICE = "pydantic-ai/test_bedrock_single_tool_choice_preserves_cache"

# The entry is older than the recording. `test_a_warm_start…` gives the emulator that entry first.
WARM = {
    (f"{_REUSE}[global.anthropic.claude-haiku-4-5-20251001-v1-0].yaml", 0),
    (f"{_REUSE}[global.anthropic.claude-opus-4-8].yaml", 0),
    ("pydantic-ai/test_bedrock_cache_usage_includes_cache_tokens.yaml", 0),
    (f"{_CHOICE}[anthropic].yaml", 0),
}
# Sonnet 4.5 before cacheDetails came, with the 1h TTL, on 2026-01-26: read and write are held, the split is not there.
BEFORE_CACHE_DETAILS = {
    ("pydantic-ai/test_bedrock_cache_point_adds_cache_control[claude-sonnet-4-5].yaml", 0),
    ("pydantic-ai/test_bedrock_cache_write_and_read.yaml", 0),
}
# Nova read 2,098 tokens of an entry of 2,492 and wrote nothing: a partial read, which the emulator does not know.
NOVA_PARTIAL_READ = {(f"{_CHOICE}[nova].yaml", 3)}

CALLS = [(name, call["n"]) for name, calls in FILES.items() for call in calls]


def figures(usage: dict[str, Any]) -> dict[str, Any]:
    details = {one["ttl"]: one["inputTokens"] for one in usage.get("cacheDetails", ())}
    return {
        "read": usage["cacheReadInputTokens"],
        "write": usage["cacheWriteInputTokens"],
        "input": usage["inputTokens"],
        "details": details,
    }


def send(client, call: dict[str, Any], request: dict[str, Any] | None = None) -> dict[str, Any]:
    arguments = for_boto3(request or call["request"])
    if call["operation"] == "converse":
        return client.converse(modelId=call["model"], **arguments)["usage"]
    events = list(client.converse_stream(modelId=call["model"], **arguments)["stream"])
    return events[-1]["metadata"]["usage"]


@pytest.fixture(scope="module")
def replayed():
    return {
        (name, call["n"]): (call["usage"], usage)
        for name, calls in FILES.items()
        for call, usage in zip(calls, replay(calls), strict=True)
    }


def replay(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with BedrockEmulator(sizer=RecordedSizer(calls)) as bedrock:
        client = wire.client(bedrock)
        usages = [send(client, call) for call in calls]
        client.close()
    return usages


@pytest.mark.parametrize(
    "key", [k for k in CALLS if k not in WARM | BEFORE_CACHE_DETAILS | NOVA_PARTIAL_READ]
)
def test_every_cache_figure_comes_out_exactly(key, replayed):
    recorded, emulated = replayed[key]
    assert figures(emulated) == figures(recorded)


@pytest.mark.parametrize("key", sorted(BEFORE_CACHE_DETAILS))
def test_before_cache_details_read_and_write_come_out_exactly(key, replayed):
    recorded, emulated = replayed[key]
    assert "cacheDetails" not in recorded
    assert figures(emulated) | {"details": {}} == figures(recorded)
    assert figures(emulated)["details"] == {"5m": recorded["cacheWriteInputTokens"]}


@pytest.mark.parametrize("key", sorted(WARM))
def test_a_warm_start_comes_out_exactly_once_its_entry_is_there(key):
    calls = FILES[key[0]]
    first = calls[key[1]]
    with BedrockEmulator(sizer=RecordedSizer(calls)) as bedrock:
        client = wire.client(bedrock)
        send(client, first, {**first["request"], "messages": warm_messages(first)})
        emulated = send(client, first)
        client.close()
    assert figures(emulated) == figures(first["usage"])


def warm_messages(call: dict[str, Any]) -> list[dict[str, Any]]:
    whole_was_read = call["usage"]["cacheWriteInputTokens"] == 0
    return call["request"]["messages"] if whole_was_read else [wire.user({"text": "earlier"})]


@pytest.mark.parametrize("key", sorted(NOVA_PARTIAL_READ))
def test_a_partial_read_on_nova_is_not_modelled(key, replayed):
    recorded, emulated = replayed[key]
    assert figures(recorded)["read"] == 2098
    assert figures(emulated)["read"] == 2492


def test_the_exceptions_are_few_and_the_recordings_are_all_there():
    assert len(CALLS) == 41
    assert len(WARM | BEFORE_CACHE_DETAILS | NOVA_PARTIAL_READ) == 7


def test_usage_carries_the_keys_that_were_recorded(replayed):
    for recorded, emulated in replayed.values():
        assert recorded.keys() - {"cacheDetails", "serverToolUsage"} >= emulated.keys() - {"cacheDetails"}


@pytest.mark.parametrize("name", FILES)
def test_the_sizes_alone_do_not_settle_what_is_read(name):
    """Without entries every call writes: what is read comes from the emulator, not from the sizer."""
    for call in FILES[name]:
        (usage,) = replay_alone(FILES[name], call)
        assert usage["cacheReadInputTokens"] == 0
        assert rules(call).explicit


def replay_alone(calls, call):
    with BedrockEmulator(sizer=RecordedSizer(calls)) as bedrock:
        client = wire.client(bedrock)
        usage = send(client, call)
        client.close()
    return [usage]


class TestInvokeModel:
    """Two calls of one file. The entry that the first reads is older than the recording, and given first."""

    @pytest.fixture
    def recorded(self):
        (calls,) = INVOKED.values()
        assert len(calls) == 2
        return calls

    def test_both_come_out_exactly_in_body_and_headers(self, recorded):
        with BedrockEmulator(sizer=RecordedSizer(recorded)) as bedrock:
            client = wire.client(bedrock, region="eu-central-1")
            invoke(client, recorded[0])
            for call in recorded:
                body, headers = invoke(client, call)
                usage = {**body["usage"], "output_tokens": call["usage"]["body"]["output_tokens"]}
                assert usage == call["usage"]["body"]
                assert body.keys() == ANSWER
                assert (body["model"], body["role"], body["type"]) == (
                    "claude-haiku-4-5-20251001",
                    "assistant",
                    "message",
                )
                assert {name: headers[name] for name in COUNTED} == {
                    name: str(call["usage"][key]) for name, key in COUNTED.items()
                }
            client.close()

    def test_both_come_out_exactly_as_streams(self, recorded):
        with BedrockEmulator(sizer=RecordedSizer(recorded)) as bedrock:
            client = wire.client(bedrock, region="eu-central-1")
            invoke(client, recorded[0])
            for call in recorded:
                body = json.dumps(call["body"])
                answer = client.invoke_model_with_response_stream(modelId=call["model"], body=body)
                events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
                told = [events[0]["message"]["usage"], events[-2]["usage"]]
                for usage in told:
                    assert usage | {"output_tokens": 0} == call["usage"]["body"] | {"output_tokens": 0}
            client.close()

    def test_the_sizes_alone_do_not_settle_what_is_read(self, recorded):
        for call in recorded:
            with BedrockEmulator(sizer=RecordedSizer(recorded)) as bedrock:
                client = wire.client(bedrock, region="eu-central-1")
                body, _ = invoke(client, call)
                client.close()
            assert body["usage"]["cache_read_input_tokens"] == 0


ANSWER = {"content", "id", "model", "role", "stop_reason", "stop_sequence", "type", "usage"}
COUNTED = {
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokens",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokens",
    "x-amzn-bedrock-input-token-count": "inputTokens",
}


def invoke(client, call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    answer = client.invoke_model(modelId=call["model"], body=json.dumps(call["body"]))
    return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]


def test_every_recorded_call_is_sent():
    calls = [json.loads(line) for line in PATH.read_text("utf-8").splitlines()]
    assert len(calls) == len(CALLS) + sum(map(len, INVOKED.values()))

"""The bodies of InvokeModel, through the cache and the emulator: nothing is lost against Converse."""

import json

import pytest

from cachepoint import PromptCache
from cachepoint.emulator import BedrockEmulator
from tests.emulator import wire
from tests.emulator.bodies import TOOL, body, words

SYSTEM = words(3_000, "sys")


def converse(client, cache, history, tools):
    request = {
        "system": [{"text": SYSTEM}],
        "messages": [{"role": role, "content": [{"text": said}]} for role, said in history],
        **({"toolConfig": {"tools": [wire.TOOL]}} if tools else {}),
    }
    call = cache.prepare(request, model_id=wire.SONNET)
    cache.settle(call, client.converse(modelId=wire.SONNET, **call.request))


def invoke(client, cache, history, tools, **more):
    said = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in history]
    request = body(*said, system=SYSTEM, **({"tools": [TOOL]} if tools else {}), **more)
    call = cache.prepare(request, model_id=wire.SONNET, dialect="messages")
    answer = client.invoke_model(modelId=wire.SONNET, body=json.dumps(call.request))
    return cache.settle(call, json.loads(answer["body"].read()))


def chat(ask, tools):
    """What each of ten turns read, wrote and paid in full."""
    with BedrockEmulator() as bedrock:
        client, cache = wire.client(bedrock), PromptCache(clock=bedrock.now)
        history = [("user", words(300, "q"))]
        for turn in range(10):
            ask(client, cache, history, tools)
            history += [("assistant", words(200, f"a{turn}")), ("user", words(250, f"u{turn}"))]
            bedrock.advance(20)
        client.close()
        counts = ("cacheReadInputTokens", "cacheWriteInputTokens", "inputTokens")
        return [tuple(call.usage[name] for name in counts) for call in bedrock.calls]


@pytest.mark.parametrize("tools", [False, True])
def test_a_chat_costs_what_it_costs_through_converse(tools):
    turns = chat(invoke, tools)
    assert turns == chat(converse, tools)
    assert sum(read for read, _, _ in turns) > 5 * sum(written for _, written, _ in turns)


@pytest.mark.parametrize(
    "place",
    ["output_config", "output_format"],
)
def test_b9_another_output_schema_is_expected_to_read_nothing(place):
    """B9: a schema is a setting of the prefix: a call with another one is not expected to read what was written."""

    def asking(name):
        schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
        wanted = {"type": "json_schema", "schema": schema}
        return {place: wanted if place == "output_format" else {"format": wanted}}

    with BedrockEmulator() as bedrock:
        client, cache = wire.client(bedrock), PromptCache(clock=bedrock.now)
        history = [("user", "What now?")]
        for name in ("a", "a", "b"):
            report = invoke(client, cache, history, tools=False, **asking(name))
        client.close()
    assert report.usage.read_tokens == 0
    assert not report.plan.expected_read_tokens


def test_a_model_of_5m_is_sent_no_ttl():
    """A body of InvokeModel for a Claude before 4.5 has no ttl, not even 5m (earendil-works/pi#1570, 2026-02)."""
    control = {"type": "ephemeral", "ttl": "5m"}
    request = body(system=[{"type": "text", "text": SYSTEM, "cache_control": control}])
    sent = PromptCache().prepare(request, model_id=wire.SONNET_4, dialect="messages").request
    assert sent["system"][0]["cache_control"] == {"type": "ephemeral"}
    kept = PromptCache().prepare(request, model_id=wire.SONNET, dialect="messages").request
    assert kept["system"][0]["cache_control"] == control

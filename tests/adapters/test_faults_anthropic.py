"""Law 5 where the calls go through Anthropic's own SDK."""

import asyncio
from types import SimpleNamespace

import pytest

pytest.importorskip("langchain_anthropic", reason="the extra anthropic is not installed")

from anthropic.types import Message, RawMessageStreamEvent
from langchain_aws import ChatAnthropicBedrock
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import TypeAdapter

from cachepoint import PromptCache
from cachepoint.langchain import CachedChatAnthropicBedrock
from tests.adapters import test_faults_langchain as theirs
from tests.adapters.contract import CLAUDE
from tests.faults import are_short, check

MODEL = "cachepoint.langchain.anthropic.chat_model:CachedChatAnthropicBedrock"
CARRYING = "cachepoint.langchain.anthropic.payloads"
# What upstream calls: each holds a guard, keeps what it is given, or hands on.
OWN = (
    f"{MODEL}._agenerate",
    f"{MODEL}._astream",
    f"{MODEL}._create",
    f"{MODEL}._acreate",
    f"{MODEL}._client",
    f"{MODEL}._async_client",
    f"{MODEL}._each",
    f"{MODEL}._aeach",
    f"{MODEL}._make_message_chunk_from_anthropic_event",
    "cachepoint.langchain.anthropic.chat_model:_AsyncUntold.on_llm_new_token",
    f"{CARRYING}:Payloads.through",
    f"{CARRYING}:PayloadClient.invoke_model",
    f"{CARRYING}:PayloadClient._made",
    f"{CARRYING}:AsyncPayloadClient.invoke_model",
    f"{CARRYING}:AsyncPayloadClient._made",
)
ENTRIES = (*theirs.ENTRIES, *OWN)
SAID = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [{"type": "text", "text": theirs.SAYS}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": theirs.TOLD,
}
EVENT = TypeAdapter(RawMessageStreamEvent)


class Sdk:
    """Answers all alike and at once, as the SDK's clients do."""

    base_url, aws_region, timeout = "https://bedrock-runtime.us-east-1.amazonaws.com/", "us-east-1", 600.0

    def __init__(self):
        self.messages = SimpleNamespace(with_raw_response=self)

    def create(self, *, messages, stream=False, **_):
        assert messages
        answer = self.events() if stream else Message.model_validate(SAID)
        return SimpleNamespace(parse=lambda: answer)

    def events(self):
        opened = {**SAID, "content": [], "stop_reason": None}
        for event in ({"type": "message_start", "message": opened}, *theirs.EVENTS[1:]):
            ended = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}}
            yield EVENT.validate_python({**event, **(ended if event["type"] == "message_delta" else {})})


class AsyncSdk(Sdk):
    async def create(self, **request):
        return super().create(**request)

    async def events(self):
        for event in super().events():
            yield event


def plain():
    model = ChatAnthropicBedrock(model=CLAUDE, region_name="us-east-1")
    model.__dict__.update(_client=Sdk(), _async_client=AsyncSdk())
    return model


def cached():
    return CachedChatAnthropicBedrock.from_model(
        plain(), prompt_cache=PromptCache(), cache_policy={"ttl": "1h"}
    )


ASK = theirs.ASK
WAYS = {
    **{way: theirs.WAYS[way] for way in theirs.WHOLE},
    "points": lambda m: [m.invoke([HumanMessage([theirs.HOUR])]).text],
    "twice": lambda m: [m.invoke([*ASK, AIMessage(m.invoke(ASK).text), HumanMessage("And?")]).text],
    "batch": lambda m: [answer.text for answer in asyncio.run(m.abatch([ASK, ASK]))],
}


@pytest.mark.parametrize("way", WAYS)
def test_a5_a_fault_of_ours_never_fails_a_call_through_the_sdk(way):
    run = WAYS[way]
    tried = check(run, run(plain()), make=cached, modules=(*theirs.HERE, "cachepoint.aws"), entries=ENTRIES)
    assert len(tried) > 30


def test_entry_points_are_short():
    are_short(set(OWN) - {f"{MODEL}._client", f"{MODEL}._async_client"})

"""What is looked at is the request that upstream would send, whatever the model's options are."""

import json

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import ContextChatEngine
from pydantic import BaseModel

from cachepoint import PromptCache
from cachepoint.langchain import CachedChatBedrock, CachedChatBedrockConverse
from cachepoint.langchain import foreseeing as langchain
from cachepoint.llama_index import CachedBedrockConverse
from cachepoint.llama_index import foreseeing as llama_index
from cachepoint.llama_index.seam import texts_of
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import where
from tests.adapters.llama_index_shapes import TOOLS
from tests.adapters.test_llama_engines import SYSTEM, ByWord

SAID = [SystemMessage(MANUAL), HumanMessage("Where is the valve?")]
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
GUARDRAIL = {"guardrailIdentifier": "gr123", "guardrailVersion": "1"}


class Part(BaseModel):
    """Looks a part up."""

    number: str


OF_LANGCHAIN = {
    "converse": (CachedChatBedrockConverse, {}, {}),
    "converse, thinking": (CachedChatBedrockConverse, {"additional_model_request_fields": THINKING}, {}),
    "converse, guardrail": (CachedChatBedrockConverse, {"guardrail_config": GUARDRAIL}, {}),
    "converse, system": (CachedChatBedrockConverse, {"system": [MANUAL]}, {}),
    "converse, streaming": (CachedChatBedrockConverse, {"disable_streaming": "tool_calling"}, {}),
    "converse, options": (CachedChatBedrockConverse, {}, {"stop": ["END"], "temperature": 0.5}),
    "invoke": (CachedChatBedrock, {}, {}),
    "invoke, thinking": (CachedChatBedrock, {"model_kwargs": THINKING, "max_tokens": 2_000}, {}),
    "invoke, streaming": (CachedChatBedrock, {"streaming": True}, {}),
    "invoke, options": (CachedChatBedrock, {}, {"stop": ["END"], "temperature": 0.5}),
    "invoke, as converse": (CachedChatBedrock, {"beta_use_converse_api": True}, {}),
    "invoke, as converse, streaming": (
        CachedChatBedrock,
        {"beta_use_converse_api": True, "streaming": True},
        {},
    ),
}


def body(request):
    if "body" in request:
        return json.loads(request["body"])
    return json.loads(json.dumps({name: value for name, value in request.items() if name != "modelId"}))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("way", OF_LANGCHAIN)
def test_langchain(way, bedrock, cache):
    cls, options, of_call = OF_LANGCHAIN[way]
    clients = {"client": bedrock.client(), "bedrock_client": bedrock.client("bedrock")}
    model = cls(model=CLAUDE, region_name="us-east-1", prompt_cache=cache, **clients, **options)
    for runnable in (model, model.bind_tools([Part]), model.bind(cache_policy={"ttl": "1h"})):
        bound = getattr(runnable, "kwargs", {})
        _, request = langchain._asked(model, SAID, **bound, **of_call)
        try:
            runnable.bind(cache_policy="off").invoke(SAID, **of_call)
        except Exception as error:
            assert "guardrail" in str(error)
        assert body(request) == json.loads(bedrock.calls[-1].body)
        assert runnable.cache_outlook(SAID, **of_call).input_tokens > 1_024
    assert cache.faults == 0


def test_a_schema_counts(bedrock, cache):
    model = CachedChatBedrockConverse(
        client=bedrock.client(), bedrock_client=bedrock.client("bedrock"), model=CLAUDE, prompt_cache=cache
    )
    structured = model.with_structured_output(Part).first
    assert structured.cache_outlook(SAID).input_tokens > model.cache_outlook(SAID).input_tokens


OF_LLAMA_INDEX = {
    "plain": {},
    "thinking": {"thinking": THINKING["thinking"], "temperature": 1, "max_tokens": 2_000},
    "flags": {"system_prompt_caching": True, "tool_caching": True},
    "additional": {"additional_kwargs": {"requestMetadata": {"team": "pumps"}}},
    "profile": {
        "application_inference_profile_arn": f"arn:aws:bedrock:us-east-1::inference-profile/{CLAUDE}"
    },
}


@pytest.mark.parametrize("tools", [(), tuple(TOOLS)], ids=["alone", "with tools"])
@pytest.mark.parametrize("way", OF_LLAMA_INDEX)
def test_llama_index(way, tools, bedrock, cache):
    model = CachedBedrockConverse(**where(bedrock), model=CLAUDE, prompt_cache=cache, **OF_LLAMA_INDEX[way])
    said = [ChatMessage(role="system", content=MANUAL), ChatMessage("Where is the valve?")]
    _, request = llama_index._asked(model, said, tools, "off", {"serviceTier": {"type": "flex"}})
    options = {"cache_policy": "off", "serviceTier": {"type": "flex"}}
    if tools:
        model.chat_with_tools(tools, chat_history=said, **options)
    else:
        model.chat(said, **options)
    assert body(request) == json.loads(bedrock.calls[-1].body)
    assert model.cache_outlook(said, tools=tools).input_tokens > 1_024


@pytest.mark.parametrize("reorder", ["off", "stable_first"])
def test_a_look_teaches_nothing_of_system_texts(reorder, bedrock, caplog):
    """Where a context engine puts changing text in front, what stays is learned from calls alone."""

    def sent(look):
        bedrock.reset()
        caplog.clear()
        cache = PromptCache(clock=bedrock.now, key=b"the same")
        model = CachedBedrockConverse(
            **where(bedrock), model=CLAUDE, prompt_cache=cache, cache_policy={"reorder": reorder}
        )
        engine = ContextChatEngine.from_defaults(ByWord(), llm=model, system_prompt=SYSTEM * 2)
        for part in ("pump", "valve", "cover", "filter", "motor"):
            for other in ("hose", part) if look else ():
                said = f"{other}: about the {other}\n{SYSTEM * 2}"
                seen = model.cache_outlook(
                    [ChatMessage(role="system", content=said), ChatMessage(f"How is the {part} serviced?")]
                )
                assert seen.input_tokens > 1_024
            engine.chat(f"How is the {part} serviced?")
        assert cache.faults == 0
        warned = [record.message for record in caplog.records if "stays behind" in record.message]
        return [json.loads(call.body) for call in bedrock.calls], len(texts_of(cache)), warned

    with_looks, without = sent(look=True), sent(look=False)
    assert with_looks == without
    assert bool(without[2]) is (reorder == "off")


def test_a_front_that_changes_is_foreseen_as_it_will_be_sent(bedrock, cache):
    """The checkpoints that are spared then are spared in the outlook."""
    model = CachedBedrockConverse(**where(bedrock), model=CLAUDE, prompt_cache=cache)
    answers, seen = [], []
    for n in range(6):
        said = [
            ChatMessage(role="system", content=f"Passage {n} of the day.\n{SYSTEM * 2}"),
            ChatMessage("And now?"),
        ]
        seen.append(model.cache_outlook(said))
        answers.append(model.chat(said).additional_kwargs["cachepoint"]["usage"])
    assert answers[-1]["write_tokens"] == answers[-1]["read_tokens"] == 0
    assert (seen[-1].read_tokens or 0, seen[-1].write_tokens or 0) == (0, 0)
    assert seen[-1].price_cold is not None

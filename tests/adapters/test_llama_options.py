"""What may be given to the LlamaIndex model, where it is refused, and what a copy of it keeps."""

import asyncio
import copy
from types import MappingProxyType

import pytest
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.accounting.report import CallReport
from cachepoint.core.guard import InvalidOptionError, guard
from cachepoint.llama_index import CachedBedrockConverse, StableDocumentOrder, StableTrimMemory
from tests.adapters.contract import CLAUDE, MANUAL
from tests.adapters.llama_index_adapter import _WAYS, LlamaIndexAdapter, where
from tests.adapters.llama_index_shapes import TOOLS, message
from tests.adapters.test_contract import points

ASK = [message("system", MANUAL), message("user", "Where is the valve?")]
HOUR = CachePolicy(ttl="1h")


@pytest.fixture
def build(bedrock, cache):
    return lambda **options: CachedBedrockConverse(
        CLAUDE, **{**where(bedrock), "prompt_cache": cache, **options}
    )


def sent(bedrock):
    return bedrock.answered[-1].request


def ttls(bedrock):
    return {p.get("ttl") for p in points(sent(bedrock))}


@pytest.mark.parametrize("given", ["x", 1, PromptCache, {"policy": "off"}], ids=repr)
def test_a4_what_is_no_prompt_cache_is_refused_when_built(given, build, bedrock):
    """A4: `prompt_cache="x"` was taken, and every call raised AttributeError."""
    with pytest.raises(InvalidOptionError, match="prompt_cache is"):
        build(prompt_cache=given)
    with pytest.raises(InvalidOptionError, match="prompt_cache is"):
        CachedBedrockConverse.from_model(BedrockConverse(CLAUDE, **where(bedrock)), prompt_cache=given)


@pytest.mark.parametrize("written", ["off", {"mode": "off"}, CachePolicy(mode="off")], ids=repr)
def test_a13_a_policy_that_is_assigned_is_read_as_in_the_constructor(written, build, bedrock):
    """A13: `llm.cache_policy = "off"`, or a dict, or in `model_copy`, then a call."""
    llm = build()
    llm.cache_policy = written
    copied = build().model_copy(update={"cache_policy": written})
    for model in (llm, copied):
        assert model.cache_policy == CachePolicy(mode="off")
        model.chat(ASK)
        assert not list(points(sent(bedrock)))
        assert CachedBedrockConverse.from_dict(model.to_dict(), **where(bedrock)).cache_policy.mode == "off"


def test_a13_a_policy_that_is_none_is_refused_where_it_is_assigned(build):
    """A13: what is no policy is refused there, and nothing changes."""
    llm = build(cache_policy=HOUR)
    for wrong in ("of", {"tll": "1h"}, {"ttl": "2h"}, 3):
        with pytest.raises(InvalidOptionError):
            llm.cache_policy = wrong
        with pytest.raises(InvalidOptionError):
            llm.model_copy(update={"cache_policy": wrong})
    assert llm.cache_policy == HOUR
    llm.cache_policy = None
    assert llm.cache_policy is None


def test_a13_a_copy_keeps_what_is_private(build, bedrock, cache):
    """A13: a copy remembers with the same cache and calls through the same client."""
    llm = build(cache_policy=HOUR)
    for copied in (llm.model_copy(), llm.model_copy(update={"temperature": 0.5}), copy.copy(llm)):
        assert copied.prompt_cache is cache
        assert copied.cache_policy == HOUR
        copied.chat(ASK)
        assert ttls(bedrock) == {"1h"}


MISSPELT = {
    "cache_polcy": lambda build: build(cache_polcy="off"),
    "promt_cache": lambda build: build(promt_cache=None),
    "in additional_kwargs": lambda build: build(additional_kwargs={"cache_polcy": "off"}),
    "not of a request": lambda build: build(additional_kwargs={"cache_policy": "off"}),
    "memory": lambda build: StableTrimMemory(token_limt=3),
    "memory from defaults": lambda build: StableTrimMemory.from_defaults(token_limt=3),
    "order": lambda build: StableDocumentOrder(rank=True),
}


@pytest.mark.parametrize("make", MISSPELT.values(), ids=MISSPELT)
def test_a11_an_option_that_is_misspelt_is_refused_when_built(make, build):
    """A11: nothing that was misspelt is passed over in silence, or sent to AWS."""
    with pytest.raises(InvalidOptionError, match=r"polic|cache|limt|rank"):
        make(build)


def test_e4_a_model_that_is_built_already_is_cached(bedrock, cache):
    """E4: `from_model`, as LangChain's."""
    stock = BedrockConverse(CLAUDE, **where(bedrock), temperature=0.3, max_tokens=77)
    before = stock.to_dict()
    llm = CachedBedrockConverse.from_model(stock, cache_policy={"ttl": "1h"}, prompt_cache=cache)
    assert type(llm) is CachedBedrockConverse
    assert llm._client is stock._client
    for _ in range(2):
        report = llm.chat(ASK).additional_kwargs["cachepoint"]
    assert report["usage"]["read_tokens"] > 1_024
    assert ttls(bedrock) == {"1h"}
    assert sent(bedrock)["inferenceConfig"] == {"maxTokens": 77, "temperature": 0.3}
    assert stock.to_dict() == before
    stock.chat(ASK)
    assert not list(points(sent(bedrock)))


@pytest.mark.parametrize("mode", LlamaIndexAdapter.modes)
def test_e4_a_model_from_a_model_works_in_every_way(mode, bedrock, cache):
    """E4: sync, async and streamed."""
    llm = CachedBedrockConverse.from_model(BedrockConverse(CLAUDE, **where(bedrock)), prompt_cache=cache)
    way, with_tools = _WAYS[mode]
    assert way(getattr(llm, with_tools), TOOLS, chat_history=ASK).additional_kwargs["cachepoint"]
    assert list(points(sent(bedrock)))


def test_e4_a_cached_one_keeps_its_own_unless_told_otherwise(build, cache):
    """E4: from a model of ours, too."""
    llm = build(cache_policy=HOUR)
    again = CachedBedrockConverse.from_model(llm)
    assert (again.cache_policy, again.prompt_cache) == (HOUR, cache)
    other = CachedBedrockConverse.from_model(llm, cache_policy="off", prompt_cache=PromptCache())
    assert other.cache_policy.mode == "off"
    assert other.prompt_cache is not cache
    assert (llm.cache_policy, llm.prompt_cache) == (HOUR, cache)


def test_e4_what_would_be_lost_is_refused(bedrock):
    """E4: a subclass with ways of its own, or something else."""

    class Own(BedrockConverse):
        pass

    with pytest.raises(TypeError, match="what Own overrides"):
        CachedBedrockConverse.from_model(Own(CLAUDE, **where(bedrock)))
    with pytest.raises(TypeError, match="not str"):
        CachedBedrockConverse.from_model("us.anthropic.claude-sonnet-4-6")


class Stub:
    """A client whose responses are as they come."""

    def __init__(self, change, exceptions):
        self.change = change
        self.exceptions = exceptions

    def converse(self, **request):
        usage = {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}
        return self.change(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
                "usage": usage,
                "ResponseMetadata": {"RequestId": "r"},
            }
        )


CHANGES = {
    "plain": dict,
    "read-only": MappingProxyType,
    "read-only metadata": lambda r: r | {"ResponseMetadata": MappingProxyType(r["ResponseMetadata"])},
    "no metadata": lambda r: r | {"ResponseMetadata": None},
    "metadata left out": lambda r: {k: v for k, v in r.items() if k != "ResponseMetadata"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a5_a_response_of_any_kind_reaches_the_caller(change, build, client):
    """A5: a read-only mapping, `ResponseMetadata: None`."""
    response = build(client=Stub(change, client.exceptions)).chat([message("user", "hi")])
    assert response.message.content == "yes"
    assert response.additional_kwargs["prompt_tokens"] == 9
    assert "cachepoint" not in str(response.raw)


async def _all(method, *args, **kwargs):
    return [chunk async for chunk in await method(*args, **kwargs)]


PLAIN = {
    "chat": lambda f, *a, **kw: f(*a, **kw),
    "achat": lambda f, *a, **kw: asyncio.run(f(*a, **kw)),
    "stream_chat": lambda f, *a, **kw: list(f(*a, **kw))[-1],
    "astream_chat": lambda f, *a, **kw: asyncio.run(_all(f, *a, **kw))[-1],
}


@pytest.mark.parametrize("mode", LlamaIndexAdapter.modes)
def test_a5_pricing_that_raises_fails_no_call(mode, build, bedrock, monkeypatch, caplog):
    """A5: what raises of ours after the 200 costs the report, not the answer."""
    monkeypatch.setattr(guard, "faults", 0)
    monkeypatch.setattr(CallReport, "as_dict", lambda _: 1 / 0)
    answer = PLAIN[mode](getattr(build(), mode), ASK)
    assert answer.message.content
    assert answer.additional_kwargs["prompt_tokens"] == bedrock.answered[-1].usage["inputTokens"]
    assert "cachepoint" not in answer.additional_kwargs
    assert guard.faults == 1
    assert MANUAL[:20] not in caplog.text


FLAGS = {"none": {}, "system": {"system_prompt_caching": True}, "tools": {"tool_caching": True}}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
@pytest.mark.parametrize("mode", LlamaIndexAdapter.modes)
def test_a5_where_arranging_and_planning_fail_the_request_is_the_base_class_s(
    mode, flags, build, bedrock, monkeypatch
):
    """A5: with upstream's own checkpoints, where its flags ask for them."""
    name = _WAYS[mode][1]
    stock = BedrockConverse(CLAUDE, **where(bedrock), **flags)
    PLAIN[mode](getattr(stock, name), TOOLS, chat_history=[*ASK])
    base = sent(bedrock)
    monkeypatch.setattr("cachepoint.llama_index.seam.with_ttls", lambda _: 1 / 0)
    # Where the core plans.
    for method in ("_planned", "_preparing"):
        monkeypatch.setattr(PromptCache, method, lambda *_: 1 / 0, raising=False)
    PLAIN[mode](getattr(build(**flags), name), TOOLS, chat_history=[*ASK])
    assert sent(bedrock) == base

"""`bedrock` and `cache_calls`: one clock, nothing leaves the machine, every call is seen."""

import os

import boto3
import pytest
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.messages import HumanMessage, SystemMessage
from llama_index.core.llms import ChatMessage
from llama_index.llms.bedrock_converse import BedrockConverse

from cachepoint import PromptCache
from cachepoint.aws import CachingClient, shared_cache
from cachepoint.core import config
from cachepoint.langchain import CachedChatBedrockConverse
from cachepoint.llama_index import CachedBedrockConverse
from cachepoint.testing import local_bedrock
from tests.testing.builders import MANUAL, SONNET, caching, marked, request

BUILT_BEFORE = boto3.client(
    "bedrock-runtime", region_name="us-west-2", aws_access_key_id="early", aws_secret_access_key="early"
)


def langchain(model):
    return lambda: model().invoke([SystemMessage(MANUAL), HumanMessage("What does it hold?")])


def llama_index(model):
    return lambda: model().chat([ChatMessage(MANUAL, role="system"), ChatMessage("What does it hold?")])


def boto(client):
    return lambda: client().converse(**request("What does it hold?"))


def plain():
    return boto3.client("bedrock-runtime")


WAYS = {
    "plain boto3": (boto(plain), False),
    "a client of a module": (boto(lambda: BUILT_BEFORE), False),
    "CachingClient": (boto(lambda: CachingClient(plain())), True),
    "LangChain": (langchain(lambda: ChatBedrockConverse(model=SONNET)), False),
    "LangChain, InvokeModel": (langchain(lambda: ChatBedrock(model=SONNET, max_tokens=99)), False),
    "LangChain, cached": (langchain(lambda: CachedChatBedrockConverse(model=SONNET)), True),
    "LlamaIndex": (llama_index(lambda: BedrockConverse(model=SONNET)), False),
    "LlamaIndex, cached": (llama_index(lambda: CachedBedrockConverse(model=SONNET)), True),
}


@pytest.mark.parametrize(("call", "ours"), WAYS.values(), ids=WAYS)
def test_a_call_that_names_no_endpoint_is_seen(call, ours, cache_calls):
    call()
    (seen,) = cache_calls
    assert (seen.number, seen.model_id) == (1, SONNET)
    assert seen.usage.input_tokens > 1_000
    assert (seen.report is not None) == ours
    assert seen.prompt.system[0].written == MANUAL


def test_two_frameworks_and_boto3_are_seen_in_order(cache_calls):
    names = ["LangChain, cached", "plain boto3", "LlamaIndex, cached", "LangChain", "CachingClient"]
    for name in names:
        WAYS[name][0]()
    assert [call.report is not None for call in cache_calls] == [WAYS[name][1] for name in names]
    assert [call.number for call in cache_calls] == [1, 2, 3, 4, 5]
    assert cache_calls.usage.input_tokens == sum(call.usage.input_tokens for call in cache_calls)


def test_a_client_that_was_built_before_keeps_its_region(bedrock):
    BUILT_BEFORE.converse(**request("hi"))
    assert [(call.region, call.status) for call in bedrock.calls] == [("us-west-2", 200)]


async def test_a_stream_and_an_async_call_are_seen(cache_calls):
    client = CachingClient(plain())
    for _ in client.converse_stream(**request("What does it hold?"))["stream"]:
        pass
    await CachedChatBedrockConverse(model=SONNET).ainvoke("hi")
    assert [call.operation for call in cache_calls] == ["ConverseStream", "Converse"]
    assert all(call.report.usage == call.usage for call in cache_calls)


HOSTS = {
    "bedrock-runtime.us-east-1.amazonaws.com": True,
    "bedrock.eu-central-1.amazonaws.com": True,
    "bedrock-runtime-fips.us-east-1.amazonaws.com": True,
    "vpce-0a.bedrock-runtime.us-east-1.vpce.amazonaws.com": True,
    "bedrock-runtime.us-east-1.api.aws": True,
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": True,
    "bedrock-agent-runtime.us-east-1.amazonaws.com": False,
    "s3.us-east-1.amazonaws.com": False,
    "bedrock-runtime.example.com": False,
    "127.0.0.1": False,
}


@pytest.mark.parametrize(("host", "turned"), HOSTS.items(), ids=HOSTS)
def test_what_would_go_to_bedrock_is_turned_back(host, turned):
    from cachepoint.testing.local import _turned

    class Request:
        url = f"https://{host}/model/x/converse?a=1"

    _turned(lambda _session, request: request, "http://127.0.0.1:4242")(None, Request)
    assert Request.url == f"{'http://127.0.0.1:4242' if turned else f'https://{host}'}/model/x/converse?a=1"


def test_what_was_refused_is_no_call(cache_calls, bedrock):
    client = plain()
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId=SONNET, messages=[])
    assert not cache_calls
    assert len(bedrock.calls) == 1


@pytest.mark.parametrize("cache", [lambda: None, PromptCache], ids=["the shared cache", "one of its own"])
def test_the_emulator_s_clock_is_the_library_s(cache, bedrock, cache_calls):
    """With two clocks this was `evicted_or_rerouted`."""
    client = CachingClient(plain(), cache=cache())
    for _ in range(2):
        client.converse(**request("What does it hold?"))
    bedrock.advance(301)
    client.converse(**request("What does it hold?"))
    _, read, late = cache_calls
    assert read.usage.read_tokens > 1_000
    assert late.usage.read_tokens == 0
    assert late.miss.cause == "expired"


def test_a_cache_that_is_given_a_clock_keeps_it(bedrock):
    bedrock.advance(1_000)
    assert PromptCache(clock=lambda: 7.0).now() == 7.0
    assert PromptCache().now() == pytest.approx(bedrock.now(), abs=5)


def test_all_is_as_it_was_behind_it(monkeypatch):
    before, shared = dict(os.environ), shared_cache()
    with local_bedrock() as bedrock:
        assert os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == bedrock.url
        assert os.environ["AWS_ENDPOINT_URL_BEDROCK"] == bedrock.url
        assert os.environ["AWS_ACCESS_KEY_ID"] == "local"
        assert os.environ["AWS_REGION"] == "us-east-1"
        assert not {"AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"} & os.environ.keys()
        assert shared_cache() is not shared
        bedrock.advance(10_000)
        assert config.now() == pytest.approx(bedrock.now(), abs=5)
    assert dict(os.environ) == before
    assert shared_cache() is shared
    assert config.now() < bedrock.now() - 9_000


def test_the_region_that_is_set_stays(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with local_bedrock():
        assert boto3.client("bedrock-runtime").meta.region_name == "eu-central-1"


def test_what_a_test_announced_is_forgotten_behind_it():
    from cachepoint import documents
    from cachepoint.core.prompt.documents import retrieved

    early, late = (
        "What was announced before any test began, to stay.",
        "What only this test announced to all.",
    )
    documents(early)
    with local_bedrock():
        documents(late * 2)
        assert retrieved.spans(late * 2)
    assert not retrieved.spans(late * 2)
    assert retrieved.spans(early)


class TestOptions:
    @pytest.fixture
    def bedrock_options(self):
        return {"min_tokens": 100_000}

    def test_the_emulator_takes_what_the_fixture_says(self, cache_calls):
        plain().converse(**marked(request("hi")))
        assert cache_calls[0].usage.write_tokens == 0


def test_a_report_finds_its_call_among_others_of_its_kind(cache_calls):
    client = caching(plain())
    plain().converse(**request("hi"))
    client.converse(**request("hi"))
    client.converse(**request("hi"))
    assert [call.report is not None for call in cache_calls] == [False, True, True]
    assert [call.miss and call.miss.cause for call in cache_calls] == [None, "first_write", None]


def test_a_slice_and_a_choice_are_calls_too(cache_calls):
    for number in range(3):
        plain().converse(**request(f"question {number}"))
    assert [call.number for call in cache_calls[1:]] == [2, 3]
    assert [call.number for call in cache_calls.only(lambda call: call.number != 2)] == [1, 3]
    assert cache_calls[-1].number == 3
    assert MANUAL[:20] not in repr([cache_calls, *cache_calls])


def test_a_client_that_was_built_without_credentials_is_answered(monkeypatch):
    """A model of a module, in a CI job without an AWS account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    built = boto3.Session().client("bedrock-runtime", region_name="us-east-1")
    with local_bedrock() as bedrock:
        built.converse(**request("hi"))

    assert [call.status for call in bedrock.calls] == [200]
    assert built._request_signer._credentials is None

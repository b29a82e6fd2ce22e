"""What is refused when a client is built, or called with a misspelt option."""

import pytest

from cachepoint import PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core.guard import InvalidOptionError
from tests.aws.stubs import Answering, Awaited, AwaitedAnswering, boto, chat


@pytest.mark.parametrize("client", [AwaitedAnswering(), AsyncCachingClient(AwaitedAnswering())])
def test_a11_an_awaited_client_is_refused_naming_the_class_that_takes_it(client):
    """A11: it would answer with coroutines."""
    with pytest.raises(InvalidOptionError, match="AsyncCachingClient"):
        CachingClient(client)


def test_a11_a_client_of_boto3_is_refused_by_the_async_one(bedrock):
    """A11: the reverse."""
    plain = boto(bedrock.url)
    for client in (plain, CachingClient(plain)):
        with pytest.raises(InvalidOptionError, match="use CachingClient"):
            AsyncCachingClient(client)
    with pytest.raises(InvalidOptionError, match="AsyncCachingClient"):
        CachingClient(Awaited(plain))


def test_a11_clients_of_aioboto3_are_told_from_those_of_boto3(bedrock):
    """A11: their methods are plain functions that give coroutines."""
    plain = boto(bedrock.url)

    class Aio(type(plain)):
        def __init__(self):
            self.__dict__ = plain.__dict__

        async def __aenter__(self):
            return self

    with pytest.raises(InvalidOptionError, match="AsyncCachingClient"):
        CachingClient(Aio())
    assert AsyncCachingClient(Aio()).meta is plain.meta


def test_a11_a_client_that_is_not_open_yet_is_refused():
    """A11: what aioboto3's `session.client(...)` gives is no client, but opens one."""

    class Opener:
        async def __aenter__(self):
            raise AssertionError

        async def __aexit__(self, *_):
            raise AssertionError

    with pytest.raises(InvalidOptionError, match="async with"):
        AsyncCachingClient(Opener())


def test_a11_the_client_of_another_service_is_refused(bedrock):
    """A11: `bedrock` is not `bedrock-runtime`."""
    with pytest.raises(InvalidOptionError, match="'bedrock'; give one of 'bedrock-runtime'"):
        CachingClient(boto(bedrock.url, "bedrock"))


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("cache_polcy", "did you mean policy=?"),
        ("cache_policy", "did you mean policy=?"),
        ("polcy", "did you mean policy=?"),
        ("prompt_cache", "did you mean cache=?"),
        ("base_model", "did you mean base_model_id=?"),
        ("ttl", "write policy={'ttl': ...}"),
        ("region", "there are "),
    ],
)
@pytest.mark.parametrize("client", [CachingClient, AsyncCachingClient])
def test_a11_a_misspelt_option_of_a_client_is_refused(client, option, hint):
    """A11: naming the one that was meant."""
    with pytest.raises(InvalidOptionError) as caught:
        client(None, **{option: "off"})
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"policy": "never"}, "'never'"),
        ({"policy": {"tll": "1h"}}, "'tll'"),
        ({"policy": 7}, "int"),
        ({"cache": "x"}, "'x'; give a PromptCache"),
        ({"base_model_id": 7}, "7; give the id"),
        ({"control": "x"}, "give a client of `bedrock`"),
    ],
    ids=repr,
)
def test_a11_values_that_are_not_valid_are_refused_when_it_is_built(options, says):
    with pytest.raises(InvalidOptionError) as caught:
        CachingClient(Answering(), **options)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["cache_polcy", "cachepolicy", "cache_polices", "prompt_cache", "ttl"])
def test_a11_a_misspelt_option_of_a_call_is_refused_before_anything_is_sent(name):
    """A11: by stubs, too, which would take anything."""
    stub = Answering()
    with pytest.raises(InvalidOptionError, match=r"did you mean|it belongs|write cache_policy"):
        CachingClient(stub, cache=PromptCache()).converse(**chat("a"), **{name: "off"})
    assert stub.requests == []


def test_what_the_client_knows_is_no_misspelling_of_ours(tmp_path, monkeypatch, bedrock):
    """AWS may yet name a field so that it looks like an option of ours."""
    from tests.aws.stubs import old_boto

    def learn(shapes):
        for name in ("ConverseRequest", "ConverseStreamRequest"):
            shapes[name]["members"]["cachePolicy"] = {"shape": "String"}
        shapes["String"] = {"type": "string"}

    client = CachingClient(old_boto(bedrock.url, tmp_path, monkeypatch, learn), cache=PromptCache())
    with pytest.raises(Exception, match="Invalid type for parameter cachePolicy"):
        client.converse(**chat("a"), cachePolicy=7)

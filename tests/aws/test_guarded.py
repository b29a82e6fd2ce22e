"""A fault of ours, or an answer of an unusual make, never fails a call."""

import asyncio
from types import MappingProxyType
from unittest.mock import MagicMock

import pytest
from botocore.exceptions import ClientError
from builders import marks, point

from cachepoint import CachePolicy, CallReport, PromptCache, configure
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.client import Carrier
from tests.aws.stubs import Answering, Awaited, AwaitedAnswering, answer, boto, chat, events, streamed


@pytest.fixture
def told():
    seen = []
    configure(observers=[seen.append])
    yield seen
    configure(observers=[])


def refusal(message="This model doesn't support the cachePoint field. Remove cachePoint from your request."):
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "Converse")


def broken(*_, **__):
    raise RuntimeError("a fault of ours")


class Aclient:
    """AsyncCachingClient, called as the sync one is."""

    def __init__(self, stub, **options):
        awaited = AwaitedAnswering()
        awaited.__dict__ = stub.__dict__
        self._client = AsyncCachingClient(awaited, **options)

    def converse(self, **request):
        return asyncio.run(self._client.converse(**request))

    def converse_stream(self, **request):
        return asyncio.run(self._client.converse_stream(**request))


each = pytest.mark.parametrize("client", [CachingClient, Aclient])


ODD = {
    "as usual": answer,
    "read-only": lambda: MappingProxyType(answer()),
    "read-only within": lambda: MappingProxyType(answer(ResponseMetadata=MappingProxyType({}))),
    "no metadata": lambda: answer(ResponseMetadata=None),
    "read-only and without": lambda: MappingProxyType({"usage": answer()["usage"]}),
    "no usage": lambda: answer(usage=None),
    "empty": dict,
    "a list": list,
    "none": lambda: None,
}


@each
@pytest.mark.parametrize("odd", ODD)
def test_a5_the_answer_reaches_the_caller_as_it_came(client, odd, told, faults):
    """A5: a response that is read-only, or has no metadata."""
    response = ODD[odd]()
    before = repr(response)
    made = client(Answering(response, response), cache=PromptCache())
    for number in (1, 2):
        got = made.converse(**chat("a"))
        assert got is response
        assert len(told) == number
        report = (got.get("ResponseMetadata") or {}).get("cachepoint") if hasattr(got, "get") else None
        assert report is None or report is told[-1]
        assert report is not None or repr(response) == before
    assert faults() == 0


@each
def test_a5_a_mapping_that_refuses_fails_nothing(client, faults):
    class Sealed(dict):
        def __setitem__(self, *_):
            raise TypeError("sealed")

    response = answer(ResponseMetadata=Sealed())
    assert client(Answering(response), cache=PromptCache()).converse(**chat("a")) is response
    assert faults() == 1


def test_a5_a_read_only_answer_streams_too():
    response = MappingProxyType({"stream": events(), "ResponseMetadata": MappingProxyType({})})
    got = CachingClient(Answering(response), cache=PromptCache()).converse_stream(**chat("a"))
    assert list(got["stream"]) == events()


@each
def test_a5_a_clock_that_raises(client, faults):
    """A5: before and after the answer."""
    ticks = iter([1.0])

    def clock():
        return next(ticks)  # then StopIteration

    for policy in ("auto", "off"):
        stub = Answering(answer(), answer())
        made = client(stub, cache=PromptCache(clock=clock), policy=policy)
        assert made.converse(**chat("a"))["stopReason"] == "end_turn"
        assert made.converse(**chat("a"))["stopReason"] == "end_turn"
        assert len(stub.requests) == 2


def test_a5_a_clock_that_raises_in_a_stream():
    def clock():
        raise OSError("no clock")

    client = CachingClient(Answering(streamed(events())), cache=PromptCache(clock=clock))
    assert list(client.converse_stream(**chat("a"))["stream"]) == events()


@each
@pytest.mark.parametrize("step", ["_prepare", "_finish", "_fitted", "_question"])
def test_a5_what_breaks_before_the_sending_sends_the_plain_request_once(
    client, step, monkeypatch, caplog, faults
):
    for name in (step, f"_a{step[1:]}"):
        if hasattr(Carrier, name):
            monkeypatch.setattr(Carrier, name, broken)
    stub = Answering(answer(), answer())
    request = chat("a")
    made = client(stub, cache=PromptCache())
    made.converse(**request)
    made.converse(**request)

    assert stub.requests == [request, request]
    assert faults() == 2
    assert caplog.text.count("the call goes on without it") == 1


@each
def test_a5_a_fault_while_an_error_is_looked_at_leaves_the_error(client, monkeypatch):
    error = refusal()
    cache = PromptCache()
    for name in ("refused", "arefused", "abandon", "aabandon"):
        monkeypatch.setattr(cache, name, broken, raising=False)
    stub = Answering(error)
    with pytest.raises(ClientError) as caught:
        client(stub, cache=cache).converse(**chat("a"))

    assert caught.value is error
    assert error.__context__ is None
    assert len(stub.requests) == 1


@each
@pytest.mark.parametrize("response", [None, {}, {"Error": None}, {"Error": {}}, "text"], ids=repr)
def test_errors_of_any_make_go_on(client, response):
    error = ValueError("no answer")
    error.response = response
    with pytest.raises(ValueError) as caught:
        client(Answering(error), cache=PromptCache()).converse(**chat("a"))
    assert caught.value is error


class Watching(PromptCache):
    """Notes what it is told."""

    def __init__(self):
        super().__init__(CachePolicy())
        self.told = []

    def began(self, call):
        self.told.append("began")

    def settle(self, call, response, **more):
        self.told.append("settled")
        return super().settle(call, response, **more)

    def abandon(self, call):
        self.told.append("abandoned")

    async def abegan(self, call):
        self.began(call)

    async def asettle(self, call, response, **more):
        return self.settle(call, response, **more)

    async def aabandon(self, call):
        self.abandon(call)


@each
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError(), refusal("busy")]
)
def test_a_call_that_ends_without_an_answer_is_abandoned(client, error):
    cache = Watching()
    with pytest.raises(type(error)):
        client(Answering(error), cache=cache).converse(**chat("a"))
    assert cache.told == ["abandoned"]


def test_a_task_that_is_cancelled_abandons_its_call():
    class Slow(AwaitedAnswering):
        async def converse(self, **_):
            await asyncio.sleep(60)

    async def body():
        task = asyncio.create_task(AsyncCachingClient(Slow(), cache=cache).converse(**chat("a")))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    cache = Watching()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(body())
    assert cache.told == ["abandoned"]


def test_a_stream_begins_with_its_first_event_and_is_settled_by_its_usage():
    cache = Watching()
    response = CachingClient(Answering(streamed(events())), cache=cache).converse_stream(**chat("a"))
    said = [list(cache.told) for _ in response["stream"]]
    assert said == [["began"]] * 3 + [["began", "settled"]]
    assert isinstance(response["ResponseMetadata"]["cachepoint"], CallReport)
    assert cache.told == ["began", "settled"]


@pytest.mark.parametrize(
    "stream", [events(), tuple(events()), iter(events()), (e for e in events())], ids=type
)
def test_a6_a_stream_may_be_anything_that_can_be_iterated(stream):
    """A6: no `close`."""
    response = CachingClient(Answering(streamed(stream)), cache=PromptCache()).converse_stream(**chat("a"))
    with response["stream"] as events_of:
        assert list(events_of) == events()
    response["stream"].close()
    assert response["ResponseMetadata"]["cachepoint"].usage.write_tokens == 2_540


def test_a6_the_error_of_a_stream_comes_through():
    """A6: retries rely on it."""

    def torn():
        yield events()[0]
        raise ConnectionError("torn")

    cache = Watching()
    response = CachingClient(Answering(streamed(torn())), cache=cache).converse_stream(**chat("a"))
    with pytest.raises(ConnectionError, match="torn"):
        try:
            list(response["stream"])
        finally:
            response["stream"].close()
    assert cache.told == ["began", "settled"]


@pytest.mark.parametrize("event", [None, 7, "metadata", MagicMock(), MappingProxyType({"x": 1})], ids=type)
def test_events_of_any_make_pass(event):
    response = CachingClient(Answering(streamed([event, event])), cache=PromptCache()).converse_stream(
        **chat("a")
    )
    assert list(response["stream"]) == [event, event]


def test_a_read_only_event_reports_too():
    response = streamed([MappingProxyType(e) for e in events()])
    got = CachingClient(Answering(response), cache=PromptCache()).converse_stream(**chat("a"))
    list(got["stream"])
    assert got["ResponseMetadata"]["cachepoint"].usage.write_tokens == 2_540


@pytest.mark.parametrize("name", ["began", "settle", "abandon", "now"])
def test_a5_a_stream_goes_on_over_a_fault_of_ours(name, monkeypatch, faults):
    cache = PromptCache()
    ends = (events(), iter(events()[:2]), iter(()))
    client = CachingClient(Answering(*map(streamed, ends)), cache=cache)
    whole, half, none = (client.converse_stream(**chat("a"))["stream"] for _ in range(3))
    monkeypatch.setattr(cache, name, broken)
    assert list(whole) == events()
    assert list(half) == events()[:2]
    assert list(none) == []
    assert faults() > 0


def test_a14_a_stub_is_let_alone():
    """A14: a MagicMock has every attribute, and is no old botocore."""
    stub = MagicMock()
    stub.converse.return_value = answer()
    CachingClient(stub, cache=PromptCache(), policy={"ttl": "1h"}).converse(**chat("a"))
    assert marks(stub.converse.call_args.kwargs) == ["system@1h", "messages[0]@1h"]
    assert not stub.meta.events.register.called


def test_a14_stubs_share_what_they_know():
    """A14: a stub has no endpoint; its `repr` is none."""
    cache = PromptCache()
    reads = []
    for turns in ("a", "ab"):
        stub = MagicMock()
        stub.converse.return_value = answer()
        response = CachingClient(stub, cache=cache).converse(**chat(*turns))
        reads.append(response["ResponseMetadata"]["cachepoint"].plan.expected_read_tokens)
    assert reads[0] is None
    assert reads[1] > 0


def test_a10_a_field_that_is_none_is_refused_as_by_boto3(bedrock, cache):
    """A10: nothing was sent, and it is boto3 that says why."""
    plain = boto(bedrock.url)
    said = []
    for client in (plain, CachingClient(plain, cache=cache)):
        with pytest.raises(Exception, match="toolConfig") as caught:
            client.converse(**chat("a"), toolConfig=None)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]
    assert bedrock.calls == ()


def stubborn(request, refusals, responder):
    from cachepoint.emulator import EmulatedError

    if str(request.body).count("cachePoint") > 1 and not refusals:
        refusals.append(1)
        raise EmulatedError(
            "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point.",
            code="ValidationException",
            status=400,
        )
    return responder(request)


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_b5_the_callers_own_checkpoint_is_sent_again(awaited):
    """B5: a refused checkpoint of ours beside the caller's own legal one."""
    from cachepoint.emulator import BedrockEmulator, TextResponder

    refusals, responder = [], TextResponder()
    request = chat("a")
    request["system"].append(point("1h"))
    with BedrockEmulator(responder=lambda r: stubborn(r, refusals, responder)) as bedrock:
        cache = PromptCache(CachePolicy(), bedrock.now)
        if awaited:
            client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache)
            asyncio.run(client.converse(**request))
        else:
            CachingClient(boto(bedrock.url), cache=cache).converse(**request)
        assert [c.status for c in bedrock.calls] == [400, 200]
        assert marks(bedrock.calls[0].request) == ["system@1h", "messages[0]"]
        assert marks(bedrock.calls[1].request) == ["system@1h"]

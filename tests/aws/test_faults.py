"""Every function of ours that a call through boto3 reaches is made to raise, one by one: no call fails."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO

import pytest
from botocore.exceptions import ClientError
from builders import marks

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.core import flights
from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply, TextResponder
from tests.aws.stubs import (
    APP_PROFILE,
    Answering,
    Awaited,
    AwaitedAnswering,
    answer,
    boto,
    chat,
    old_boto,
    without_points,
    without_ttl,
)
from tests.emulator.bodies import body, user, words
from tests.faults import CLIENTS as ENTRIES
from tests.faults import MODULES, are_short, check, made_to_raise, ours, reached

ASK = chat("a")
BUSY = chat("too much")


def busy(request):
    """Has too much to do, if it is told so."""
    if "too much" in str(request.body):
        raise EmulatedError("Too many requests.", code="ThrottlingException", status=429)
    return Reply.text("It is on the left.")


class Refusing(TextResponder):
    """Refuses checkpoints of ours, as a model does whose row is wrong."""

    def __call__(self, request, /):
        if "cachePoint" in str(request.body):
            raise EmulatedError(
                "This model doesn't support the cachePoint field. Remove cachePoint from your request.",
                code="ValidationException",
                status=400,
            )
        return super().__call__(request)


@pytest.fixture(scope="module")
def emulators():
    profiles = {APP_PROFILE: "anthropic.claude-sonnet-4-6"}
    with (
        BedrockEmulator(profiles=profiles, responder=busy) as bedrock,
        BedrockEmulator(responder=Refusing()) as refusing,
    ):
        yield bedrock, refusing


class Carried:
    """A client of boto3, as it is or in one of ours, and how many requests came of it."""

    policy = CachePolicy(ttl="1h")

    def __init__(self, bedrock, client, wrap=lambda client, _: client):
        self._bedrock = bedrock
        self._before = len(bedrock.calls)
        self.client = wrap(client, {"cache": PromptCache(self.policy)})

    @property
    def sent(self):
        return len(self._bedrock.calls) - self._before


def sync(client, options):
    return CachingClient(client, **options)


def awaited(client, options):
    return AsyncCachingClient(Awaited(client), **options)


def converse(carried):
    return carried.client.converse(**ASK)["output"], carried.sent


def converse_stream(carried):
    return list(carried.client.converse_stream(**ASK)["stream"])[:-1], carried.sent


BODY = {
    "modelId": ASK["modelId"],
    "body": json.dumps(body(user(words(40)), system=words(2_500), temperature=1e-7)),
}


def answer_of(raw):
    """What a body says, but for its id and its usage."""
    return {key: value for key, value in json.loads(raw).items() if key not in {"id", "usage"}}


def invoke(carried):
    return answer_of(carried.client.invoke_model(**BODY)["body"].read()), carried.sent


def invoke_in_pieces(carried):
    with carried.client.invoke_model(**BODY)["body"] as answered:
        buffer = bytearray(10)
        size = answered.readinto(buffer)
        return answer_of(buffer[:size] + answered.read(20) + b"".join(answered.readlines())), carried.sent


def invoke_and_leave(carried):
    answered = carried.client.invoke_model(**BODY)["body"]
    first = answered.read(1)
    answered.close()
    return first, carried.sent


def invoke_a_file(carried):
    file = BytesIO(b"..." + BODY["body"].encode())
    file.seek(3)
    return answer_of(carried.client.invoke_model(**{**BODY, "body": file})["body"].read()), carried.sent


def deltas(said):
    return [one["delta"] for one in map(json.loads, said) if "delta" in one]


def invoke_stream(carried):
    events = carried.client.invoke_model_with_response_stream(**BODY)["body"]
    return deltas(event["chunk"]["bytes"] for event in events), carried.sent


async def ainvoke(carried):
    response = await carried.client.invoke_model(**BODY)
    return answer_of(await response["body"].read()), carried.sent


async def ainvoke_stream(carried):
    events = (await carried.client.invoke_model_with_response_stream(**BODY))["body"]
    return deltas([event["chunk"]["bytes"] async for event in events]), carried.sent


def leave(carried):
    stream = carried.client.converse_stream(**ASK)["stream"]
    first = next(iter(stream))
    stream.close()
    return first, carried.sent


def fail(carried):
    with pytest.raises(ClientError) as caught:
        carried.client.converse(**BUSY)
    return str(caught.value), carried.sent


def misspell(carried):
    """Refused before anything is sent, or, where that fails, by boto3."""
    with pytest.raises(Exception, match="cache_polcy"):
        carried.client.converse(**ASK, cache_polcy="off")
    return carried.sent


def refused(carried, ask):
    try:
        ask()
    except ClientError as error:
        assert "cachePoint" in str(error)
        assert carried.sent == 1
        return "refused"
    assert carried.sent <= 2
    return "answered"


def refuse(carried):
    return refused(carried, lambda: carried.client.converse(**chat("a")))


def refuse_a_body(carried):
    return refused(carried, lambda: carried.client.invoke_model(**BODY))


def arefuse(carried):
    return refused(carried, lambda: asyncio.run(carried.client.converse(**chat("a"))))


def arefuse_a_body(carried):
    return refused(carried, lambda: asyncio.run(carried.client.invoke_model(**BODY)))


async def aconverse(carried):
    return (await carried.client.converse(**ASK))["output"], carried.sent


async def aconverse_stream(carried):
    events = (await carried.client.converse_stream(**ASK))["stream"]
    return [e async for e in events][:-1], carried.sent


async def aleave(carried):
    stream = (await carried.client.converse_stream(**ASK))["stream"]
    first = await anext(aiter(stream))
    stream.close()
    return first, carried.sent


async def afail(carried):
    with pytest.raises(ClientError) as caught:
        await carried.client.converse(**BUSY)
    return str(caught.value), carried.sent


def running(way):
    return lambda carried: asyncio.run(way(carried))


WAYS = {
    "converse": (converse, sync, converse),
    "converse_stream": (converse_stream, sync, converse_stream),
    "leave": (leave, sync, leave),
    "fail": (fail, sync, fail),
    "misspell": (misspell, sync, lambda _: 0),
    "invoke_model": (invoke, sync, invoke),
    "invoke_model in pieces": (invoke_in_pieces, sync, invoke_in_pieces),
    "invoke_model and leave": (invoke_and_leave, sync, invoke_and_leave),
    "invoke_model of a file": (invoke_a_file, sync, invoke_a_file),
    "invoke_model_with_response_stream": (invoke_stream, sync, invoke_stream),
    "async invoke_model": (running(ainvoke), awaited, invoke),
    "async invoke_model_with_response_stream": (running(ainvoke_stream), awaited, invoke_stream),
    "async converse": (running(aconverse), awaited, converse),
    "async converse_stream": (running(aconverse_stream), awaited, converse_stream),
    "async leave": (running(aleave), awaited, leave),
    "async fail": (running(afail), awaited, fail),
}


# All of ours, the core included; the other ways reach no more of it than these.
WHOLE = ("converse", "converse_stream", "async converse", "async converse_stream", "invoke_model")


def never_fails(bedrock, client, run, wrap, base, modules=("cachepoint.aws",)):
    return check(
        run,
        base(Carried(bedrock, client)),
        make=lambda: Carried(bedrock, client, wrap),
        modules=modules,
        entries=ENTRIES,
    )


@pytest.mark.parametrize("way", WAYS)
def test_a5_a_fault_of_ours_never_fails_a_call(emulators, way):
    """A5: the plain request is sent once, the plain answer comes back."""
    bedrock, _ = emulators
    modules = MODULES if way in WHOLE else ("cachepoint.aws",)
    assert len(never_fails(bedrock, boto(bedrock.url), *WAYS[way], modules)) > 3


@pytest.mark.parametrize("forget", [without_ttl, without_points])
def test_a7_a_fault_of_ours_never_fails_a_call_through_an_old_botocore(
    emulators, forget, tmp_path, monkeypatch
):
    # What it says every time is no fault.
    monkeypatch.setattr("cachepoint.aws.carrier.say_old", lambda: None)
    bedrock, _ = emulators
    never_fails(bedrock, old_boto(bedrock.url, tmp_path, monkeypatch, forget), converse, sync, converse)


class Beside(Carried):
    """One in whose cache another call is writing the same prefix. It fails while ours waits for it."""

    policy = CachePolicy(ttl="1h", fan_out="warm_first")

    def __init__(self, bedrock, client, wrap, *, elsewhere):
        super().__init__(bedrock, client, wrap)
        with ThreadPoolExecutor(1) as pool:
            self._call = pool.submit(self.client._prepare, ASK, None).result()
        if elsewhere:
            flights._aloft.anew()

    @contextmanager
    def failing(self):
        """Within the block, it fails."""
        other = threading.Timer(0.02, self._fail)
        other.start()
        try:
            yield
        finally:
            other.join()

    def _fail(self):
        with suppress(RuntimeError):
            self.client._cache.abandon(self._call)


def waiting(run):
    def beside(carried):
        with carried.failing():
            return run(carried)

    return beside


# What a call that waits reaches beyond one that does not.
WAITING = ("cachepoint.aws", "cachepoint.core.flights", "cachepoint.core.agreeing", "cachepoint.core.cache")


@pytest.mark.parametrize(
    ("way", "wrap", "elsewhere", "modules"),
    [
        (converse, sync, False, MODULES),
        (converse, sync, True, WAITING),
        (running(aconverse), awaited, False, WAITING),
        (running(aconverse), awaited, True, WAITING),
    ],
    ids=["sync, here", "sync, elsewhere", "async, here", "async, elsewhere"],
)
def test_a5_a_fault_of_ours_never_fails_a_call_that_waits_for_another(
    emulators, way, wrap, elsewhere, modules, monkeypatch
):
    """A5: with `warm_first`, also where who is waited for fails to say that it has ended."""
    monkeypatch.setattr("cachepoint.aws.waiting.WAIT_SECONDS", 0.15)
    monkeypatch.setattr("cachepoint.aws.waiting.POLL_SECONDS", 0.01)
    bedrock, _ = emulators
    client = boto(bedrock.url)
    places = check(
        waiting(way),
        converse(Carried(bedrock, client)),
        make=lambda: Beside(bedrock, client, wrap, elsewhere=elsewhere),
        modules=modules,
        entries=ENTRIES,
    )
    reached = {str(place) for place in places}
    assert f"cachepoint.aws.waiting:{'waited' if wrap is sync else 'awaited'}" in reached
    assert "cachepoint.core.agreeing:again" in reached


def each_raising(run, make, modules):
    """What `run(make())` returns with each of the places that it reaches made to raise."""
    functions, first = ours(), make()
    for place in reached(lambda: run(first), modules):
        subject = make()
        if str(place) not in ENTRIES:
            with made_to_raise(place, functions):
                yield run(subject)


@pytest.mark.parametrize(
    ("way", "wrap"),
    [(refuse, sync), (arefuse, awaited), (refuse_a_body, sync), (arefuse_a_body, awaited)],
    ids=["sync", "async", "a body, sync", "a body, async"],
)
def test_a5_a_fault_of_ours_never_hides_a_refusal(emulators, way, wrap):
    """A5: it is sent again without; or, where our reading of it fails, the refusal goes on."""
    _, bedrock = emulators
    client = boto(bedrock.url)
    answers = list(each_raising(way, lambda: Carried(bedrock, client, wrap), ("cachepoint.aws",)))
    assert set(answers) == {"answered", "refused"}
    assert len(answers) > 10


@pytest.mark.parametrize(
    ("way", "client", "stub"),
    [(lambda made: made, CachingClient, Answering), (asyncio.run, AsyncCachingClient, AwaitedAnswering)],
    ids=["sync", "async"],
)
def test_a5_a_fault_of_ours_in_asking_for_a_profile_never_fails_a_call(emulators, way, client, stub):
    control = boto(emulators[0].url, "bedrock")
    request = chat("a", model=APP_PROFILE)

    def run(made):
        assert way(made.converse(**request))["stopReason"] == "end_turn"
        (sent,) = made.requests
        return sent

    def make():
        return client(stub(answer()), cache=PromptCache(), control=control)

    assert marks(run(make()))
    requests = list(each_raising(run, make, ("cachepoint.aws.profiles",)))
    assert requests == [request] * len(requests)
    assert len(requests) > 4


def test_the_entry_points_are_short():
    are_short(ENTRIES)

"""What no request may do, tried on the emulator's own rules."""

import base64
import copy
import json
from urllib.parse import quote

import messages_requests
import nova_requests
from converse_requests import DOCUMENT, bare, conversations, joined
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages_requests import bodies
from nova_requests import nova_bodies

from cachepoint import CachePolicy, PromptCache
from cachepoint.core.prompt.documents import retrieved
from cachepoint.emulator import BedrockEmulator, Reply
from cachepoint.emulator.service.operations import Incoming

CONVERSATIONS = 1_000
POLICIES = st.builds(
    CachePolicy,
    ttl=st.sampled_from(["auto", "5m", "1h"]),
    head_ttl=st.sampled_from([None, "auto", "5m", "1h"]),
    fan_out=st.sampled_from(["single_flight", "warm_first", "off"]),
    tail=st.sampled_from(["auto", "always", "never"]),
    split=st.sampled_from(["learned", "documents", "off"]),
    documents=st.sampled_from(["auto", "shared", "off"]),
)
tried: list[str] = []


def send(bedrock, model, request, operation="converse"):
    body = json.dumps(request, default=lambda b: base64.b64encode(b).decode()).encode()
    path = f"/model/{quote(model, safe='')}/{operation}"
    return bedrock._service.answer(Incoming("POST", path, "us-east-1", body))


def points(request):
    return json.dumps(request, default=lambda b: "").count('"cachePoint"')


@settings(
    max_examples=CONVERSATIONS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(conversations(), POLICIES, st.lists(st.sampled_from([1, 200, 400]), min_size=4, max_size=4))
def test_no_request_is_refused_changed_or_overfull(conversation, policy, gaps):
    model, requests = conversation
    bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"))
    cache = PromptCache(policy=policy, clock=bedrock.now)
    retrieved.announce([DOCUMENT])
    for request, gap in zip(requests, gaps, strict=False):
        tried.append(model)
        plain = send(bedrock, model, bare(request))
        assert plain.status == 200, plain.body
        before = copy.deepcopy(request)

        call = cache.prepare(request, model_id=model)

        assert request == before
        assert joined(bare(call.request)) == joined(bare(request))
        assert call.request.keys() == request.keys()
        assert points(call.request) <= 4
        answer = send(bedrock, model, call.request)
        assert answer.status == 200, answer.body
        cache.settle(call, json.loads(answer.body))
        bedrock.advance(gap)
    assert cache.faults == 0


def test_enough_requests_were_tried():
    assert len(tried) >= 2_000


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_off_is_the_request_itself(conversation):
    model, requests = conversation
    cache = PromptCache(policy=CachePolicy(mode="off"))
    for request in requests:
        assert cache.prepare(request, model_id=model).request == request


def made(number):
    """So many conversations, the same ones in each run."""
    large = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=number, deadline=None, derandomize=True, suppress_health_check=large)


class TestInvokeModel:
    @made(150)
    @given(bodies(), POLICIES, st.lists(st.sampled_from([1, 200, 400]), min_size=4, max_size=4))
    def test_no_body_is_refused_changed_or_overfull(self, conversation, policy, gaps):
        _try(messages_requests, "messages", conversation, policy, gaps)

    @made(80)
    @given(nova_bodies(), POLICIES, st.lists(st.sampled_from([1, 200, 400]), min_size=4, max_size=4))
    def test_no_body_of_novas_is_refused_changed_or_overfull(self, conversation, policy, gaps):
        _try(nova_requests, "nova", conversation, policy, gaps)


def _try(form, dialect, conversation, policy, gaps):
    model, requests = conversation
    bedrock = BedrockEmulator(responder=lambda _: Reply.text("ok"))
    cache = PromptCache(policy=policy, clock=bedrock.now)
    retrieved.announce([DOCUMENT])
    for request, gap in zip(requests, gaps, strict=False):
        plain = send(bedrock, model, form.bare(request), "invoke")
        assert plain.status == 200, plain.body
        before = copy.deepcopy(request)

        call = cache.prepare(request, model_id=model, dialect=dialect)

        assert request == before
        assert form.joined(form.bare(call.request)) == form.joined(form.bare(request))
        # A `cache_control` at the top goes where the last block has one of another TTL.
        assert call.request.keys() | {"cache_control"} == request.keys() | {"cache_control"}
        answer = send(bedrock, model, call.request, "invoke")
        assert answer.status == 200, answer.body
        cache.settle(call, json.loads(answer.body))
        bedrock.advance(gap)
    assert cache.faults == 0

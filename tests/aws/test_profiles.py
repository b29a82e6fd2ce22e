"""Which ids are asked for with GetInferenceProfile, how often, and what is remembered of it."""

import asyncio
import logging
import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError
from builders import marks

from cachepoint.aws import AsyncCachingClient, CachingClient
from cachepoint.aws.profiles import Profiles
from cachepoint.core.models.rules import base_model, is_hidden, known_as
from tests.aws.stubs import APP_PROFILE, Answering, Awaited, answer, boto, chat

ARN = "arn:aws:bedrock:us-east-1:123456789012:{}"
BASE = "anthropic.claude-sonnet-4-6"
OTHERS = [
    ARN.format("prompt/ABC123:1"),
    ARN.format("provisioned-model/abc123"),
    ARN.format("custom-model/amazon.nova-lite-v1:0:300k/abc123"),
    ARN.format("custom-model-deployment/abc123"),
    ARN.format("imported-model/abc123"),
    ARN.format("prompt-router/abc123"),
    ARN.format("default-prompt-router/anthropic.claude:1"),
    "arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine",
]
SEEN = [
    "us." + BASE,
    ARN.format("inference-profile/us." + BASE),
    "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/" + BASE,
]


class Control:
    """Tells the base model; at first it raises what it was given."""

    def __init__(self, *errors, models=(BASE,)):
        self.errors = list(errors)
        self.models = models
        self.asked = []

    def get_inference_profile(self, *, inferenceProfileIdentifier):
        self.asked.append(inferenceProfileIdentifier)
        if self.errors:
            raise self.errors.pop(0)
        return {"models": [{"modelArn": ARN.format(f"foundation-model/{m}")} for m in self.models]}


class AwaitedControl(Control):
    async def get_inference_profile(self, **asked):
        return super().get_inference_profile(**asked)


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def throttled(code="ThrottlingException"):
    return ClientError({"Error": {"Code": code, "Message": "Rate exceeded"}}, "GetInferenceProfile")


def plain(profiles, arn):
    return profiles.base_model(arn)


def awaited(profiles, arn):
    return asyncio.run(profiles.abase_model(arn))


each = pytest.mark.parametrize("ask", [plain, awaited], ids=["sync", "async"])


@each
@pytest.mark.parametrize("model_id", [*OTHERS, *SEEN, ""])
def test_c10_only_an_application_profile_is_asked_for(ask, model_id, caplog):
    """C10: of the others GetInferenceProfile knows nothing."""
    control = Control()
    assert not is_hidden(model_id)
    assert ask(Profiles(control), model_id) is None
    assert control.asked == []
    assert caplog.text == ""


def test_c10_the_kinds_of_arn():
    assert {base_model(i) for i in SEEN} == {BASE}
    assert {base_model(i) for i in (*OTHERS, APP_PROFILE)} == {None}
    assert is_hidden(APP_PROFILE)


@pytest.mark.parametrize("called", [APP_PROFILE, *OTHERS])
def test_c10_a_provisioned_model_has_no_caching_whoever_names_its_base(called, cache):
    """C10: "on-demand inference only"."""
    provisioned = "provisioned" in called
    assert known_as(called, BASE) == (called if provisioned else BASE)
    assert known_as(called, None) == called
    stub = Answering(answer())
    CachingClient(stub, cache=cache, base_model_id=BASE).converse(**chat("a", model=called))
    assert bool(marks(stub.requests[0])) is not provisioned
    assert bool(marks(cache.prepare(chat("a", model=called), model_id=BASE).request)) is not provisioned


def test_a_base_says_nothing_of_an_id_that_names_its_model():
    assert [known_as(i, "amazon.nova-lite-v1:0") for i in SEEN] == SEEN


@pytest.mark.parametrize(
    ("ask", "control"),
    [(plain, Control), (awaited, Control), (awaited, AwaitedControl)],
    ids=["sync", "async over sync", "async"],
)
def test_c10_a_throttled_one_is_asked_again_later(ask, control, caplog):
    """C10: and not unknown for good."""
    clock, control = Clock(), control(throttled(), throttled())
    profiles = Profiles(control, clock)
    assert ask(profiles, APP_PROFILE) is None
    assert ask(profiles, APP_PROFILE) is None
    assert len(control.asked) == 1
    clock.now += 61
    assert ask(profiles, APP_PROFILE) is None
    clock.now += 61
    assert ask(profiles, APP_PROFILE) == BASE
    assert len(control.asked) == 3
    assert caplog.text.count("allow bedrock:GetInferenceProfile or give base_model_id=") == 1


def test_c10_what_takes_long_to_fail_is_asked_seldom():
    """C10: no route to the control plane, say."""
    clock = Clock()

    class Slow(Control):
        def get_inference_profile(self, **asked):
            clock.now += 30
            return super().get_inference_profile(**asked)

    control = Slow(throttled("ConnectTimeout"))
    profiles = Profiles(control, clock)
    assert profiles.base_model(APP_PROFILE) is None
    clock.now += 599
    assert profiles.base_model(APP_PROFILE) is None
    clock.now += 2
    assert profiles.base_model(APP_PROFILE) == BASE


@pytest.mark.parametrize("profile", [{}, {"models": None}, {"models": [{}]}, None, 7], ids=repr)
def test_an_answer_that_says_nothing_is_no_fault(profile, faults):
    class Odd:
        def get_inference_profile(self, **_):
            return profile

    assert Profiles(Odd()).base_model(APP_PROFILE) is None
    assert faults() == 0


def test_d7_what_is_remembered_is_bounded_in_age():
    """D7: a day; and what was known once outlives a control plane that fails then."""
    clock, control = Clock(), Control()
    profiles = Profiles(control, clock)
    assert profiles.base_model(APP_PROFILE) == BASE
    clock.now += 86_399
    profiles.base_model(APP_PROFILE)
    assert len(control.asked) == 1
    clock.now += 2
    control.errors.append(throttled())
    assert profiles.base_model(APP_PROFILE) == BASE
    assert len(control.asked) == 2


def test_d7_what_is_remembered_is_bounded_in_count():
    """D7"""
    control = Control()
    profiles = Profiles(control)
    for i in range(1_500):
        assert profiles.base_model(f"{APP_PROFILE}{i}") == BASE
    assert len(profiles._known) == 1_024
    profiles.base_model(f"{APP_PROFILE}1499")
    assert len(control.asked) == 1_500


CHILD = """
import os, threading
from cachepoint import PromptCache
from cachepoint.aws import CachingClient
from tests.aws.stubs import APP_PROFILE, Answering, answer, chat

asking, done = threading.Event(), threading.Event()

class Control:
    def get_inference_profile(self, **_):
        asking.set()
        done.wait(20)
        return {"models": []}

control = Control()
client = CachingClient(Answering(answer(), answer()), cache=PromptCache(), control=control)
call = lambda: client.converse(**chat("a", model=APP_PROFILE))
thread = threading.Thread(target=call)
thread.start()
asking.wait()
child = os.fork()
if not child:
    done.set()
    ours = threading.Thread(target=call)
    ours.start()
    ours.join(10)
    os._exit(ours.is_alive())
status = os.waitpid(child, 0)[1]
done.set()
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a8_a_child_that_was_forked_while_a_thread_asks_does_not_wait_for_it():
    """A8: nothing is asked under a lock."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD],
        check=False,
        timeout=40,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.returncode == 0, ran.stderr


def test_it_is_asked_of_bedrock_once(bedrock, cache):
    control = boto(bedrock.url, "bedrock")
    asked = []
    control.meta.events.register("before-call.bedrock.GetInferenceProfile", lambda **_: asked.append(1))
    client = CachingClient(boto(bedrock.url), cache=cache, control=control)
    for _ in range(3):
        client.converse(**chat("a", model=APP_PROFILE))

    assert len(asked) == 1
    assert bedrock.calls[-1].usage["cacheReadInputTokens"] > 0


def test_an_awaited_client_takes_a_control_of_either_kind(bedrock, cache):
    for control in (boto(bedrock.url, "bedrock"), AwaitedControl()):
        client = AsyncCachingClient(Awaited(boto(bedrock.url)), cache=cache, control=control)
        asyncio.run(client.converse(**chat("a", model=APP_PROFILE)))
        where = [mark.partition("@")[0] for mark in marks(bedrock.calls[-1].request)]
        assert where == ["system", "messages[0]"]


def test_a_profile_that_may_not_be_asked_for_is_said_once(bedrock, cache, caplog):
    caplog.set_level(logging.WARNING, "cachepoint")
    control = Control(*[PermissionError("AccessDenied")] * 9)
    client = CachingClient(boto(bedrock.url), cache=cache, control=control)
    for _ in range(2):
        client.converse(**chat("a", model=APP_PROFILE))

    assert caplog.text.count("allow bedrock:GetInferenceProfile or give base_model_id=") == 1
    assert marks(bedrock.calls[-1].request) == []


def test_a_base_model_may_be_named(bedrock, cache):
    client = CachingClient(boto(bedrock.url), cache=cache, base_model_id=BASE)
    client.converse(**chat("a", model=APP_PROFILE))

    assert marks(bedrock.calls[-1].request) == ["system@1h", "messages[0]"]

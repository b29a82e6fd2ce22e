"""A script that holds each request to what its step expects."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest
from botocore.exceptions import ClientError

from cachepoint.emulator import BedrockEmulator, EmulatedError, Reply, Script, Step
from tests.emulator import wire
from tests.emulator.wire import SONNET, user


def ask(script, *questions):
    with BedrockEmulator(responder=script) as bedrock, closing(wire.client(bedrock)) as client:
        return [
            client.converse(modelId=SONNET, messages=[user({"text": text})])["output"]["message"]["content"]
            for text in questions
        ]


def asks_for(word):
    def check(request):
        assert word in request.last_user_text, f"no {word}"

    return check


def test_steps_whose_checks_hold_are_answered():
    with Script(
        Step("one", asks_for("first")), "two", Step(Reply.text("three"), lambda request: request.tools)
    ) as script:
        said = ask(script, "the first", "anything", "the third")
    assert said == [[{"text": "one"}], [{"text": "two"}], [{"text": "three"}]]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (asks_for("nothing"), "The check of step 2 of 2 failed: AssertionError: no nothing"),
        (lambda request: request.no_such_thing, "The check of step 2 of 2 failed: AttributeError"),
        (lambda request: len(request.messages) == 9, "The check of step 2 of 2 failed: it returned False"),
    ],
)
def test_a_check_that_fails_refuses_the_call_and_fails_the_test(check, message):
    script = Script("one", Step("two", check))
    with pytest.raises(ClientError, match=message) as caught:
        ask(script, "the first", "the second")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "\n" not in caught.value.response["Error"]["Message"]
    with pytest.raises(AssertionError, match=message):
        script.done()


def test_a_failure_that_the_program_swallows_is_raised_at_the_end():
    with (
        pytest.raises(AssertionError, match="no nothing") as caught,
        Script(Step("one", asks_for("nothing"))) as script,
        suppress(ClientError),
    ):
        ask(script, "something")
    assert isinstance(caught.value.__cause__, AssertionError)


def test_it_stands_in_front_of_what_the_program_made_of_it():
    with (
        pytest.raises(AssertionError, match="no nothing") as caught,
        Script(Step("one", asks_for("nothing"))) as script,
    ):
        ask(script, "something")
    assert isinstance(caught.value.__context__, ClientError)


def test_a_call_too_many_is_refused():
    script = Script("one")
    with pytest.raises(ClientError, match="Call 2 is one too many: the script has 1 steps"):
        ask(script, "a", "b")
    with pytest.raises(AssertionError, match="one too many"):
        script.done()


def test_a_step_too_many_is_told():
    with (
        pytest.raises(AssertionError, match="1 of the script's 2 steps were called"),
        Script("one", "two") as script,
    ):
        ask(script, "a")


def test_another_error_is_not_hidden_behind_steps_that_are_left():
    with pytest.raises(KeyError), Script("one"):
        raise KeyError("mine")


def test_an_error_is_a_step():
    with Script(EmulatedError("slow down"), "one") as script:
        with pytest.raises(ClientError, match="slow down"):
            ask(script, "a")
        assert ask(script, "b") == [[{"text": "one"}]]


def test_every_failure_of_calls_that_overlap_is_told():
    script = Script(*[Step("never", lambda request: False)] * 8)
    with BedrockEmulator(responder=script) as bedrock, ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: wire.post(bedrock, {"messages": [user({"text": "a"})]})[0], range(8))
        )
    assert answers == [400] * 8
    with pytest.raises(AssertionError) as caught:
        script.done()
    assert len(str(caught.value).splitlines()) == 8

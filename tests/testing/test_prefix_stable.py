"""`assert_prefix_stable`: what moved a prefix is named, by conversation, and nothing else is."""

import json

import boto3
import pytest

from tests.testing.builders import MANUAL, SONNET, request, said, tool

SEARCH, STOCK, MAIL = tool("search"), tool("stock"), tool("mail")
CLOCKED = "It is {}. " + MANUAL
EDITED = {**SEARCH, "toolSpec": {**SEARCH["toolSpec"], "description": "Looks far."}}
LONG = ("u1", "a1", "u2", "a2", "u3", "a3", "u4")


def turned(spec):
    """Its keys in another order."""
    return {"toolSpec": dict(reversed(spec["toolSpec"].items()))}


@pytest.fixture
def send(bedrock):
    client = boto3.client("bedrock-runtime")

    def sent(*requests):
        for asked in requests:
            client.converse(**asked)

    return sent


def used(result, *more):
    """A question, a tool's call and its result, and what came after."""
    asked = request("How many pumps?", tools=[SEARCH])
    use = {"toolUse": {"toolUseId": "t1", "name": "search", "input": {"part": "pump"}}}
    answer = {"toolResult": {"toolUseId": "t1", "content": [{"text": result}]}}
    asked["messages"] += [
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [answer]},
        *more,
    ]
    return asked


# What moved, and what is said of it.
MOVED = {
    "tools changed places": (
        request("hi", tools=[SEARCH, STOCK, MAIL]),
        request("hi", "ho", "hi", tools=[STOCK, SEARCH, MAIL]),
        "tools changed places: tools[0] is 'stock' and was 'search', tools[1] is 'search' and was 'stock'",
    ),
    "a tool is new": (
        request("hi", tools=[SEARCH]),
        request("hi", "ho", "hi", tools=[SEARCH, STOCK]),
        "tools are not the same: 'stock' new",
    ),
    "a tool is gone": (
        request("hi", tools=[SEARCH, STOCK]),
        request("hi", "ho", "hi", tools=[SEARCH]),
        "tools are not the same: 'stock' gone",
    ),
    "a tool was edited": (
        request("hi", tools=[SEARCH]),
        request("hi", "ho", "hi", tools=[EDITED]),
        "tool 'search' was edited: toolSpec.description",
    ),
    "the keys of a schema changed places": (
        request("hi", tools=[SEARCH]),
        request("hi", "ho", "hi", tools=[turned(SEARCH)]),
        "tool 'search' was edited: the order of keys in toolSpec",
    ),
    "a clock, in one conversation": (
        request("hi", system=CLOCKED.format("10:41:07")),
        request("hi", "ho", "hi", system=CLOCKED.format("10:41:09")),
        "system[0] differs from character 13 on: a time of day",
    ),
    "a clock, in two conversations": (
        request("What is a pump?", system=CLOCKED.format("10:41:07")),
        request("What is a valve?", system=CLOCKED.format("10:41:09")),
        "system[0] differs from character 13 on: a time of day",
    ),
    "a UUID": (
        request("hi", system=CLOCKED.format("00000000-0000-4000-8000-000000000001")),
        request("ho", system=CLOCKED.format("00000000-0000-4000-8000-000000000002")),
        "system[0] differs from character 41 on: a UUID",
    ),
    "a date": (
        request("hi", system=CLOCKED.format("2026-11-26")),
        request("ho", system=CLOCKED.format("2026-11-27")),
        "system[0] differs from character 15 on: a date",
    ),
    "white space": (
        request("hi", system=MANUAL),
        request("ho", system=MANUAL + "\n"),
        f"system[0] differs from character {len(MANUAL):,} on: white space",
    ),
    "a sliding window": (
        request(*LONG[:5]),
        request(*LONG[2:]),
        "2 blocks of history gone from messages[0].content[0] on: it was trimmed",
    ),
    "a summary": (
        request(*LONG[:5]),
        request("Summary: all is well.", *LONG[3:]),
        "messages[0].content[0] differs from character 0 on",
    ),
    "an edit": (
        request("u1", "a1 at 10:41", "u2"),
        request("u1", "a1 at 10:42", "u2", "a2", "u3"),
        "messages[1].content[0] differs from character 10 on: a time of day",
    ),
    "a cleared tool result": (
        used("There are 3 of them."),
        used("[cleared]", said("assistant", "Three."), said("user", "And valves?")),
        "messages[2].content[0] differs from character",
    ),
}
STABLE = {
    "a conversation that goes on": (request("u1"), request("u1", "a1", "u2"), request(*LONG)),
    "another question on the same prompt": (request("u1"), request("v1"), request("u1", "a1", "u2")),
    "the same call again": (request("u1"), request("u1")),
    "two conversations in turn": (
        request("u1", "a", "u2"),
        request("v1", "a", "v2"),
        request("u1", "a", "u2", "a", "u3"),
        request("v1", "a", "v2", "a", "v3"),
    ),
    "two branches in turn": (
        request(*LONG[:3]),
        request("u1", "a1", "v2"),
        request(*LONG[:5]),
        request("u1", "a1", "v2", "b2", "v3"),
    ),
    "a sub-agent with its own prompt and the same tools": (
        request("u1", tools=[SEARCH]),
        request("Look it up.", system="You find parts in the stock, nothing else.", tools=[SEARCH]),
        request("u1", "a1", "u2", tools=[SEARCH]),
    ),
    "an agent with other tools on the same prompt": (
        request("u1", tools=[SEARCH, STOCK]),
        request("v1", tools=[MAIL]),
    ),
    "a text that a checkpoint parted": (
        request("u1"),
        {
            **request("u1", "a1", "u2"),
            "system": [
                {"text": MANUAL[:3_000]},
                {"cachePoint": {"type": "default"}},
                {"text": MANUAL[3_000:]},
            ],
        },
    ),
    "another model": (
        request("u1"),
        {**request("u1", system="x"), "modelId": SONNET.replace("4-6", "4-5-20250929-v1:0")},
    ),
}


@pytest.mark.parametrize(("before", "now", "says"), MOVED.values(), ids=MOVED)
def test_what_moved_is_named(before, now, says, send, cache_calls):
    send(before, now)
    with pytest.raises(AssertionError) as failed:
        cache_calls.assert_prefix_stable()
    said = str(failed.value)
    assert said.startswith("1 call changed the prefix of what came before.")
    assert f"call 2 against call 1: {says}" in said
    assert "do: " in said


@pytest.mark.parametrize("requests", STABLE.values(), ids=STABLE)
def test_what_did_not_move_is_no_alarm(requests, send, cache_calls):
    send(*requests)
    assert len(cache_calls) == len(requests)
    cache_calls.assert_prefix_stable()


def test_no_text_is_shown_unless_it_is_asked_for(send, cache_calls):
    send(*(request("hi", system=CLOCKED.format(f"10:41:0{n}")) for n in (7, 9)))
    with pytest.raises(AssertionError) as failed:
        cache_calls.assert_prefix_stable()
    assert "pump" not in str(failed.value)
    assert "10:41" not in str(failed.value)
    with pytest.raises(AssertionError, match=r"was: 'It is 10:41:07\. The pump") as failed:
        cache_calls.assert_prefix_stable(text=True)
    assert "is:  'It is 10:41:09. The pump" in str(failed.value)


def test_the_piece_that_differs_is_named_where_a_checkpoint_parted_a_text(send, cache_calls):
    def parted(clock):
        pieces = [{"text": MANUAL}, {"cachePoint": {"type": "default"}}, {"text": f"It is {clock}."}]
        return {**request("hi"), "system": pieces}

    send(parted("10:41"), parted("10:42"))
    with pytest.raises(AssertionError, match=r"system\[2\] differs from character 10 on: a time of day"):
        cache_calls.assert_prefix_stable()


def test_bodies_of_invoke_model_are_read(bedrock, cache_calls):
    client = boto3.client("bedrock-runtime")
    for clock in ("10:41", "10:42"):
        body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "system": CLOCKED.format(clock)}
        body["messages"] = [{"role": "user", "content": "hi"}]
        client.invoke_model(modelId=SONNET, body=json.dumps(body))
    with pytest.raises(AssertionError, match=r"system\[0\] differs from character 10 on: a time of day"):
        cache_calls.assert_prefix_stable()


def test_of_many_calls_the_first_five_are_named(send, cache_calls):
    send(*(request("hi", system=CLOCKED.format(f"10:4{n}")) for n in range(8)))
    with pytest.raises(AssertionError, match=r"^7 calls changed") as failed:
        cache_calls.assert_prefix_stable()
    assert str(failed.value).count("against call") == 5
    assert str(failed.value).endswith("and 2 more")


def test_no_call_is_no_success(cache_calls):
    with pytest.raises(AssertionError, match="No call reached the local Bedrock"):
        cache_calls.assert_prefix_stable()

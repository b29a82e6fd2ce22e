"""`assert_cached`: which call read too little, what it missed and where, what to do."""

import boto3
import pytest

from cachepoint import PromptCache
from cachepoint.aws import CachingClient
from tests.testing.builders import MANUAL, SONNET, marked, request, tool


@pytest.fixture
def plain(bedrock):
    return boto3.client("bedrock-runtime")


@pytest.fixture
def client(plain):
    return CachingClient(plain, cache=PromptCache())


def fails(calls, **options):
    with pytest.raises(AssertionError) as failed:
        calls.assert_cached(**options)
    return str(failed.value)


def test_a_conversation_that_reads_is_cached(client, cache_calls):
    client.converse(**request("u1"))
    client.converse(**request("u1", "a1", "u2"))
    cache_calls.assert_cached()


def test_a_plain_client_with_its_own_checkpoint_is_cached(plain, cache_calls):
    for question in ("u1", "v1"):
        plain.converse(**marked(request(question)))
    cache_calls.assert_cached(min_hit=0.99)


def test_the_call_its_miss_and_the_remedy_are_named(client, cache_calls):
    search, stock = tool("search"), tool("stock")
    client.converse(**request("u1", tools=[search, stock]))
    client.converse(**request("u1", "a1", "u2", tools=[search, stock]))
    client.converse(**request("u1", "a1", "u2", "a2", "u3", tools=[stock, search]))
    said = fails(cache_calls)
    third = cache_calls[2]
    assert said.startswith(
        "1 of 3 calls read too little: after call 1 each should have read 90% of its input."
    )
    assert f"call 3, {SONNET}: read 0 of {third.usage.input_tokens:,} tokens (0%)" in said
    assert "miss: tools_changed at tools[0]" in said
    assert "against call 2: tools changed places: tools[0] is 'stock' and was 'search'" in said
    assert "do: Give every call the same tools, in the same order." in said
    assert "pump" not in said


def test_an_entry_that_expired_is_said_to_be(client, cache_calls, bedrock):
    client.converse(**request("u1"))
    bedrock.advance(301)
    client.converse(**request("u1"))
    said = fails(cache_calls)
    assert "miss: expired" in said
    assert "longer than the entry's TTL" in said


def test_a_plain_client_without_a_checkpoint_is_told_of_one(plain, cache_calls):
    for question in ("u1", "v1"):
        plain.converse(**request(question))
    assert "do: No checkpoint was sent" in fails(cache_calls)


def test_what_is_new_is_no_miss(plain, cache_calls):
    plain.converse(**marked(request("u1")))
    plain.converse(**marked(request(MANUAL * 2)))
    assert "do: Nothing was missed" in fails(cache_calls)
    cache_calls.assert_cached(min_hit=0.3)


def test_another_prompt_is_told_apart_by_choosing(client, cache_calls):
    other = "You write letters to customers of a bank, and close each with thanks. " * 200
    for question, system in (("u1", MANUAL), ("v1", other), ("u2", MANUAL), ("v2", other)):
        client.converse(**request(question, system=system))
    assert "miss: first_write" in fails(cache_calls)
    cache_calls.assert_cached(after=2)
    for system in (MANUAL, other):
        cache_calls.only(lambda call, own=system: call.prompt.system[0].written == own).assert_cached()


@pytest.mark.parametrize(("calls", "options", "says"), [
    (0, {}, "No call reached the local Bedrock"),
    (1, {}, "No call is left to look at, of 1 call with after=1"),
    (2, {"after": 2}, "No call is left to look at, of 2 calls with after=2"),
])  # fmt: skip
def test_nothing_to_look_at_is_no_success(calls, options, says, client, cache_calls):
    for _ in range(calls):
        client.converse(**request("u1"))
    assert says in fails(cache_calls, **options)


@pytest.mark.parametrize(
    "options", [{"min_hit": 1.1}, {"min_hit": 90}, {"min_hit": "0.9"}, {"after": -1}, {"after": 0.5}]
)
def test_what_makes_no_sense_is_refused(options, cache_calls):
    (value,) = options.values()
    with pytest.raises(ValueError, match=repr(value)):
        cache_calls.assert_cached(**options)


class TestGuardrail:
    @pytest.fixture
    def bedrock_options(self):
        from cachepoint.emulator import Guardrail

        return {"guardrails": {"g": Guardrail(words=("bomb",))}}

    def test_a_turn_that_was_kept_out_is_passed_over(self, client, cache_calls):
        guarded = {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}}
        for question in ("u1", "a bomb", "u1"):
            client.converse(**request(question), **guarded)
        assert cache_calls[1].usage.input_tokens == 0
        cache_calls.assert_cached()

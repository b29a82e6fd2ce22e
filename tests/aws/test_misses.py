"""What a call that read too little says of it, through the client and the emulator."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from botocore.exceptions import ClientError
from builders import SONNET, assistant, point, result, text, tool, usage, use, user

from cachepoint import CachePolicy, PromptCache
from cachepoint.aws import CachingClient
from cachepoint.core.accounting.diagnosis import Cause
from cachepoint.core.prompt.digests import Memo
from cachepoint.emulator import BedrockEmulator, EmulatedError, Guardrail, Reply
from tests.aws.stubs import boto

OPUS = "us.anthropic.claude-opus-4-8"
TOOLS = {"toolConfig": {"tools": [tool("a", 300), tool("b", 300)]}}
SYSTEM = {"system": [text(1_500)]}
SCHEMA = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "additionalProperties": False}


def talk(turns, *, model=SONNET, **more):
    """A request after so many turns of 500 tokens each."""
    messages = []
    for i in range(turns):
        messages += [user(text(500, f"question {i} ")), assistant(text(500, f"answer {i} "))]
    return {
        "modelId": model,
        **SYSTEM,
        **TOOLS,
        "messages": [*messages, user(text(500, f"question {turns} "))],
        **more,
    }


def schema(**properties):
    written = json.dumps({**SCHEMA, "properties": {**SCHEMA["properties"], **properties}})
    format_ = {"type": "json_schema", "structure": {"jsonSchema": {"schema": written, "name": "verdict"}}}
    return {"outputConfig": {"textFormat": format_}}


def fields(**more):
    return {"additionalModelRequestFields": more}


def choice(**chosen):
    return {"toolConfig": {**TOOLS["toolConfig"], "toolChoice": chosen}}


THINKING = fields(thinking={"type": "enabled", "budget_tokens": 1_024})
SETTINGS = {
    "thinking": ({}, THINKING, "thinking: all of it is lost"),
    "thinking-off": (THINKING, {}, "thinking: all of it is lost"),
    "effort": ({}, fields(output_config={"effort": "low"}), "output_config.effort: all of it is lost"),
    "schema": ({}, schema(), "output_config.textFormat: all of it is lost"),
    "another-schema": (
        schema(),
        schema(why={"type": "string"}),
        "output_config.textFormat: all of it is lost",
    ),
    "forced-choice": ({}, choice(any={}), "tool_choice: the messages are lost"),
    "choice-set-free": (choice(tool={"name": "a"}), choice(auto={}), "tool_choice: the messages are lost"),
}
HARMLESS = {
    "temperature": {"inferenceConfig": {"temperature": 0.1}},
    "max-tokens": {"inferenceConfig": {"maxTokens": 77}},
    "stop": {"inferenceConfig": {"stopSequences": ["x"]}},
    "metadata": {"requestMetadata": {"who": "me"}},
    "choice-auto": choice(auto={}),
    "thinking-disabled": fields(thinking={"type": "disabled"}),
    "top-k": fields(top_k=7),
    "effort-high": fields(output_config={"effort": "high"}),
}


@pytest.fixture
def client(bedrock, cache):
    return CachingClient(boto(bedrock.url), cache=cache, policy={"ttl": "5m"})


@pytest.fixture
def ask(client, bedrock):
    def ask(request, by=client):
        bedrock.advance(5)
        return by.converse(**request)["ResponseMetadata"]["cachepoint"]

    return ask


class TestSettings:
    @pytest.mark.parametrize("name", SETTINGS)
    def test_a_setting_is_named_with_what_it_throws_away(self, ask, name):
        before, after, said = SETTINGS[name]
        ask(talk(1, **before))
        ask(talk(2, **before))
        miss = ask(talk(3, **after)).miss

        assert (miss.cause, miss.detail) == ("settings_changed", said)
        assert miss.tokens > 1_000

    @pytest.mark.parametrize("name", HARMLESS)
    def test_what_is_harmless_is_no_break(self, ask, name):
        ask(talk(1))
        ask(talk(2))

        assert ask(talk(3, **HARMLESS[name])).miss is None

    def test_how_an_answer_is_sampled_is_never_blamed(self, clock_cache):
        cache = clock_cache
        cache.settle(cache.prepare(talk(1, **fields(top_k=5)), SONNET), usage(write=3_300))
        miss = cache.settle(cache.prepare(talk(2, **fields(top_k=7)), SONNET), usage(write=4_300)).miss

        assert (miss.cause, miss.detail) == ("evicted_or_rerouted", None)

    def test_one_that_nobody_knows_is_named_where_the_read_falls_short(self, clock_cache):
        cache = clock_cache
        cache.settle(cache.prepare(talk(1), SONNET), usage(write=3_300))
        more = talk(2, newField={"a": 1})
        hit = cache.settle(cache.prepare(more, SONNET), usage(read=3_300, write=1_000))
        again = talk(3, newField={"a": 2})
        miss = cache.settle(cache.prepare(again, SONNET), usage(write=5_300)).miss

        assert hit.miss is None
        assert (miss.cause, miss.detail) == ("settings_changed", "newField")


@pytest.fixture
def clock_cache():
    return PromptCache(CachePolicy(ttl="5m"), lambda: 1_795_000_000.0)


class TestElsewhere:
    def test_another_region(self, ask, bedrock, cache):
        there = CachingClient(boto(bedrock.url, region="us-west-2"), cache=cache)
        ask(talk(1))
        miss = ask(talk(2), there).miss

        assert (miss.cause, miss.detail) == ("model_changed", "another Region or endpoint")

    def test_another_profile(self, ask):
        ask(talk(1))
        miss = ask(talk(2, model="global.anthropic.claude-sonnet-4-6")).miss

        assert (miss.cause, miss.detail) == ("model_changed", "another model")

    def test_a_fallback_and_back(self, ask, bedrock):
        """What the first model holds is read when it comes back."""
        ask(talk(1))
        away = ask(talk(2, model=OPUS))
        back = ask(talk(3))

        assert away.miss.cause == "model_changed"
        assert back.miss is None
        assert back.usage.read_tokens > 3_000

    def test_another_api(self, ask, client):
        request = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "system": text(1_500)["text"]}
        ask({"modelId": SONNET, **SYSTEM, "messages": talk(1)["messages"]})
        messages = [
            {"role": m["role"], "content": [{"type": "text", **c} for c in m["content"]]}
            for m in talk(2)["messages"]
        ]
        body = json.dumps({**request, "messages": messages})
        response = client.invoke_model(modelId=SONNET, body=body)
        response["body"].read()
        miss = response["ResponseMetadata"]["cachepoint"].miss

        assert (miss.cause, miss.detail) == ("model_changed", "another API")


class TestAgents:
    STEPS = [
        m
        for i in range(4)
        for m in (
            assistant(use("a", f"x{i}"), use("b", f"y{i}")),
            user(result(f"x{i}", 400), result(f"y{i}", 400)),
        )
    ]

    def request(self, messages):
        return {"modelId": SONNET, **SYSTEM, **TOOLS, "messages": [user(text(40, "task")), *messages]}

    def test_parallel_results_in_another_order(self, ask):
        ask(self.request(self.STEPS[:4]))
        turned = [*self.STEPS[:3], user(*self.STEPS[3]["content"][::-1]), *self.STEPS[4:6]]
        miss = ask(self.request(turned)).miss

        assert (miss.cause, miss.where) == ("messages_changed", "messages[4].content[0]")
        assert miss.detail == "parallel results in another order"

    def test_cleared_results(self, ask):
        ask(self.request(self.STEPS[:6]))
        cleared = user(
            {"toolResult": {"toolUseId": "x0", "content": [{"text": "[cleared]"}]}},
            self.STEPS[1]["content"][1],
        )
        miss = ask(self.request([self.STEPS[0], cleared, *self.STEPS[2:8]])).miss

        assert (miss.cause, miss.where) == ("messages_changed", "messages[2].content[0]")
        assert miss.detail == "tool results cleared"

    def test_a_result_that_was_cut_short(self, ask):
        ask(self.request(self.STEPS[:6]))
        short = user(result("x0", 20), self.STEPS[1]["content"][1])
        miss = ask(self.request([self.STEPS[0], short, *self.STEPS[2:8]])).miss

        assert (miss.cause, miss.where) == ("messages_changed", "messages[2].content[0]")
        assert miss.detail == "a tool result edited"

    def test_arguments_that_were_serialised_anew(self, ask):
        ask(self.request(self.STEPS[:6]))
        other = {"toolUse": {"toolUseId": "x0", "name": "a", "input": {"x": 1, "y": None}}}
        again = assistant(other, self.STEPS[0]["content"][1])
        miss = ask(self.request([again, *self.STEPS[1:8]])).miss

        assert (miss.cause, miss.where) == ("messages_changed", "messages[1].content[0]")
        assert miss.detail == "an answer rendered otherwise than it was sent"

    def test_a_sub_agent_with_its_own_prompt_is_a_first_write(self, ask):
        ask(self.request(self.STEPS[:2]))
        own = {"modelId": SONNET, "system": [text(1_500, "You look parts up. ")], **TOOLS}
        miss = ask({**own, "messages": [user(text(40, "task"))]}).miss

        assert miss.cause == "first_write"

    def test_a_side_chain_is_no_break(self, ask):
        ask(self.request(self.STEPS[:4]))
        ask({"modelId": SONNET, **SYSTEM, **TOOLS, "messages": [user(text(600, "aside"))]})

        assert ask(self.request(self.STEPS[:6])).miss is None


class TestSingleCalls:
    """Calls that are no conversation are known by the tools or the system prompt that they share."""

    def single(self, i, system="", tools=TOOLS):
        head = {"system": [text(1_500, system)], **tools}
        return {"modelId": SONNET, **head, "messages": [user(text(400, f"item {i}"))]}

    def test_shuffled_tools(self, ask):
        ask(self.single(0))
        miss = ask(self.single(1, tools={"toolConfig": {"tools": TOOLS["toolConfig"]["tools"][::-1]}})).miss

        assert (miss.cause, miss.where) == ("tools_changed", "tools[0]")
        assert miss.detail == "reordered: b, a"

    def test_a_clock_in_the_system_prompt(self, ask):
        rules = "Rule: read the manual first.\n" * 200
        requests = [self.single(i) for i in range(3)]
        for i, request in enumerate(requests):
            request["system"] = [{"text": f"Now it is 10:3{i}:07.\n{rules}"}]
        misses = [ask(request).miss for request in requests]

        assert [m.cause for m in misses[1:]] == ["system_changed"] * 2
        assert {m.detail for m in misses[1:]} == {"a time of day"}

    def test_another_agent_with_the_same_tools(self, ask):
        """Its own prompt is new, and nothing was changed."""
        ask(self.single(0, "You cook. "))
        ask(self.single(1, "You cook. "))
        other = {**self.single(2), "system": [{"text": "Poems are what you write.\n" * 300}]}

        assert ask(other).miss.cause == "first_write"


class TestLimits:
    def test_a_first_write(self, ask):
        assert ask(talk(0)).miss.cause == "first_write"

    def test_below_the_minimum(self, ask):
        assert ask({"modelId": SONNET, "messages": [user(text(50))]}).miss.cause == "below_minimum"

    def test_expired_entries(self, ask, bedrock):
        ask(talk(1))
        bedrock.advance(600)
        miss = ask(talk(2)).miss

        assert (miss.cause, miss.detail) == ("expired", "605 s after the last request, 305 s too late")

    def test_beyond_the_lookback(self, ask):
        """Four checkpoints of the caller's, the first of them 22 blocks behind the last entry."""
        parts = [text(60, f"part {i} ") for i in range(40)]

        def request(*marked):
            content = [
                part for i, p in enumerate(parts[: marked[-1]], 1) for part in (p, *[point()] * (i in marked))
            ]
            return {"modelId": SONNET, "messages": [user(text(1_500, "start "), *content)]}

        ask(request(4))
        miss = ask(request(26, 27, 28, 29)).miss

        assert (miss.cause, miss.where) == ("lookback_exceeded", "messages[0].content[4]")
        assert miss.tokens > 1_500

    def test_written_by_a_parallel_call(self, bedrock):
        cache = PromptCache(CachePolicy(ttl="5m"), bedrock.now)
        one, two = cache.prepare(talk(1)), cache.prepare(talk(1))
        cache.settle(one, usage(write=3_400))
        report = cache.settle(two, usage(fresh=3_410))

        assert report.miss.cause == "in_flight"

    def test_evicted(self):
        with BedrockEmulator(responder=lambda _: Reply.text("ok"), eviction=1.0) as bedrock:
            client = CachingClient(boto(bedrock.url), cache=PromptCache(CachePolicy(ttl="5m"), bedrock.now))
            client.converse(**talk(1))
            bedrock.advance(61)
            miss = client.converse(**talk(2))["ResponseMetadata"]["cachepoint"].miss

        assert miss.cause == "evicted_or_rerouted"
        assert miss.tokens > 2_500

    def test_not_marked(self, bedrock, cache):
        client = CachingClient(boto(bedrock.url), cache=cache, policy={"tail": "never"})
        request = {"modelId": SONNET, "messages": talk(1)["messages"]}

        assert client.converse(**request)["ResponseMetadata"]["cachepoint"].miss.cause == "not_marked"


class TestSilence:
    def test_a_turn_that_a_guardrail_blocked_says_nothing_and_forgets_nothing(self, cache):
        blocked = {"g1": Guardrail(words=("bomb",))}
        guard = {"guardrailConfig": {"guardrailIdentifier": "g1", "guardrailVersion": "1"}}
        with BedrockEmulator(responder=lambda _: Reply.text("ok"), guardrails=blocked) as bedrock:
            cache = PromptCache(CachePolicy(ttl="5m"), bedrock.now)
            client = CachingClient(boto(bedrock.url), cache=cache)

            def ask(request):
                return client.converse(**request, **guard)["ResponseMetadata"]["cachepoint"]

            ask(talk(1))
            bad = talk(2)
            bad["messages"][-1] = user({"text": "a bomb"})
            miss, after = ask(bad).miss, ask(talk(2))

        assert miss is None
        assert after.miss is None
        assert after.usage.read_tokens > 2_000

    def test_a_usage_without_the_cache_is_no_verdict(self, clock_cache):
        cache = clock_cache
        cache.settle(cache.prepare(talk(1), SONNET), usage(write=3_300))
        bare = {"usage": {"inputTokens": 4_300, "outputTokens": 5, "totalTokens": 4_305}}

        assert cache.settle(cache.prepare(talk(2), SONNET), bare).miss is None

    def test_a_read_within_five_percent_is_a_hit(self, clock_cache):
        cache = clock_cache
        cache.settle(cache.prepare(talk(1), SONNET), usage(write=3_300))
        answer = usage(read=3_140, write=1_160)

        assert cache.settle(cache.prepare(talk(2), SONNET), answer).miss is None

    def test_a_failed_call_left_nothing_to_miss(self):
        def busy(request):
            if len(bedrock.calls) == 0:
                raise EmulatedError("Too many requests.", code="ThrottlingException", status=429)
            return Reply.text("ok")

        with BedrockEmulator(responder=busy) as bedrock:
            client = CachingClient(boto(bedrock.url), cache=PromptCache(clock=bedrock.now))
            with pytest.raises(ClientError):
                client.converse(**talk(1))
            miss = client.converse(**talk(1))["ResponseMetadata"]["cachepoint"].miss

        assert miss.cause == "first_write"


class TestTexts:
    """`explain="text"`: the miss shows what moved. Else no text of the prompt is in it."""

    RULES = "Rule: read the manual first, then ask.\n" * 150

    def asked(self, bedrock, cache, **policy):
        client = CachingClient(boto(bedrock.url), cache=cache, policy={"ttl": "5m", **policy})

        def ask(turns, name, **more):
            request = talk(turns, **more)
            request["system"] = [{"text": f"{self.RULES}You help {name}.\n{self.RULES}"}]
            return client.converse(**request)["ResponseMetadata"]["cachepoint"]

        return ask

    def test_the_characters_that_differ_are_shown(self, bedrock, cache):
        ask = self.asked(bedrock, cache, explain="text")
        ask(1, "Ada")
        report = ask(2, "Bob")

        assert report.miss.cause == "system_changed"
        assert report.miss.at == len(self.RULES) + len("You help ")
        assert "Ada" in report.miss.before
        assert "Bob" in report.miss.after
        assert "Bob" in str(report)
        assert "Bob" not in json.dumps(report.as_dict())

    def test_no_text_is_shown_unasked(self, bedrock, cache):
        ask = self.asked(bedrock, cache)
        ask(1, "Ada")
        report = ask(2, "Bob")

        assert report.miss.cause == "system_changed"
        assert 0 <= len(self.RULES) - report.miss.at < 128
        assert (report.miss.before, report.miss.after) == (None, None)
        assert "Bob" not in str(report)

    def test_a_report_prints_as_a_few_lines(self, bedrock, cache):
        ask = self.asked(bedrock, cache)
        ask(1, "Ada")
        lines = str(ask(2, "Bob")).splitlines()

        assert len(lines) == 5
        assert lines[0].startswith(f"{SONNET}: ")
        assert "saved" in lines[1] or "more than without a cache" in lines[1]
        assert lines[2].startswith("  checkpoints: ")
        assert lines[3].startswith("  miss: system_changed at system[0], character ")
        assert lines[3].count("$") == 1
        assert lines[4].endswith(".")

    def test_what_a_miss_wasted_is_what_it_cost_more_than_a_hit(self, bedrock, cache):
        ask = self.asked(bedrock, cache)
        ask(1, "Ada")
        report = ask(2, "Bob")
        written, lost = report.usage.write_tokens, report.miss.tokens
        # Read at 0.1 instead of written at 1.25 or sent at 1.0; $3.30 a million tokens (us. profiles, 2026).
        more = (written * 1.15 + (lost - written) * 0.9) * 3.30 / 1_000_000

        assert 0 < written < lost
        assert float(report.wasted) == pytest.approx(more, rel=1e-6)


def test_the_page_has_every_cause():
    page = (Path(__file__).parents[2] / "docs" / "misses.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)

    assert sorted(rows) == sorted(get_args(Cause))


def test_another_question_after_the_same_answer_is_no_break(ask):
    """A question that is asked again in other words, and branches that start from one conversation."""
    ask(talk(2))
    other = talk(2)
    other["messages"][-1] = user(text(900, "in other words "))

    assert ask(other).miss is None


def test_what_is_lost_on_the_first_model_is_no_setting(clock_cache):
    """A fallback and back: the entry of the first model is gone, and nothing that was set otherwise took it."""
    cache = clock_cache
    cache.settle(cache.prepare(talk(1), SONNET), usage(write=3_300))
    cache.settle(cache.prepare(talk(2, model=OPUS), OPUS), usage(write=4_600))
    miss = cache.settle(cache.prepare(talk(3), SONNET), usage(write=5_500)).miss

    assert (miss.cause, miss.detail) == ("evicted_or_rerouted", None)


def test_a_clock_put_into_a_text_of_one_line_is_no_other_prompt(ask):
    """All that stands behind it has moved; that it begins alike tells."""
    rules = text(1_500)["text"]
    ask(talk(1))
    clocked = [{"text": f"{rules[:300]} It is 10:31:07. {rules[300:]}"}]
    miss = ask(talk(2) | {"system": clocked}).miss

    assert (miss.cause, miss.detail) == ("system_changed", "a time of day")
    assert miss.at == 256


def test_the_texts_that_are_kept_are_bounded(bedrock, cache):
    """In bytes: what is looked at again and again counts as often as it is kept anew."""
    client = CachingClient(boto(bedrock.url), cache=cache, policy={"explain": "text"})
    cache._texts = Memo(20_000)
    for i in range(12):
        request = {"modelId": SONNET, "messages": [user(text(1_500, f"{i % 2} "))]}
        client.converse(**request)

    kept = (*cache._texts._young.values(), *cache._texts._old.values())
    assert 0 < sum(len(block.payload) for raw, _ in kept for block in raw) <= 40_000

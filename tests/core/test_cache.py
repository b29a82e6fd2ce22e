"""prepare / settle / abandon: what is remembered, reported and survived."""

import json
import logging
import pickle
import threading
from decimal import Decimal

import pytest
from builders import SONNET, assistant, marks, result, text, tool, usage, use, user

from cachepoint import CachePolicy, PromptCache, configure, session
from cachepoint.core import steps
from cachepoint.memory import Limit, LocalMemory, Table

APP_PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


@pytest.fixture
def clock():
    return [1_795_000_000.0]


@pytest.fixture
def cache(clock):
    return PromptCache(policy=CachePolicy(ttl="5m"), clock=lambda: clock[0])


def chat(*said, system=2_000, turn=40):
    messages = [user(text(turn, said[0]))]
    for one in said[1:]:
        messages += [assistant({"text": "well"}), user(text(turn, one))]
    return {"system": [text(system)], "messages": messages}


def run(cache, request, response, **options):
    return cache.settle(cache.prepare(request, model_id=SONNET, **options), response)


class TestModels:
    def test_the_model_may_stand_in_the_request(self, cache):
        call = cache.prepare({"modelId": SONNET, **chat("a")})

        assert marks(call.request) == ["system", "messages[0]"]
        assert call.request["modelId"] == SONNET

    def test_a_named_model_opens_an_application_profile(self, cache):
        request = {"modelId": APP_PROFILE, **chat("a")}

        assert marks(cache.prepare(request).request) == []
        assert marks(cache.prepare(request, model_id=SONNET).request) == ["system", "messages[0]"]

    def test_no_model_is_an_error(self, cache):
        with pytest.raises(ValueError, match="no model is named: give model_id="):
            cache.prepare(chat("a"))

    def test_an_unknown_model_is_said_once(self, cache, caplog):
        caplog.set_level(logging.INFO, "cachepoint")
        for _ in range(3):
            cache.prepare(chat("a"), model_id="made.up-model")

        assert [r.message for r in caplog.records] == [
            "made.up-model: no explicit prompt caching is known; no checkpoint is placed"
        ]

    def test_models_share_nothing(self, cache):
        run(cache, chat("a"), usage(write=2_040))
        call = cache.prepare(chat("a"), model_id="global.anthropic.claude-sonnet-4-6")

        assert call.plan.expected_read_tokens is None

    def test_regions_share_nothing(self, cache):
        run(cache, chat("a"), usage(write=2_040), region="us-east-1")

        call = cache.prepare(chat("a"), model_id=SONNET, region="us-west-2")
        assert call.plan.expected_read_tokens is None
        call = cache.prepare(chat("a"), model_id=SONNET, region="us-east-1")
        assert call.plan.expected_read_tokens == 2_040


class TestReports:
    def test_money_and_tokens(self, cache):
        report = run(cache, chat("a"), usage(write=2_000, fresh=0))

        # us. profile of Sonnet 4.6: $3.30 input, $4.125 written, $16.50 output per million.
        assert report.usage.write_tokens == 2_000
        assert report.cost == Decimal("0.00825") + 5 * Decimal("0.0000165")
        assert report.saved == Decimal("0.0066") - Decimal("0.00825")
        assert report.input_units == 2_500

    def test_an_unknown_price_is_none(self, cache):
        call = cache.prepare(chat("a"), model_id="made.up-model")
        report = cache.settle(call, usage(fresh=2_000))

        assert (report.cost, report.saved) == (None, None)
        assert report.usage.input_tokens == 2_000

    def test_it_is_json(self, cache):
        written = json.dumps(run(cache, chat("secret words"), usage(write=2_040)).as_dict())

        assert "secret" not in written
        assert json.loads(written)["checkpoints"][0] == {
            "where": "system[0]",
            "ttl": "5m",
            "reason": "head",
            "tokens": 2_000,
        }

    def test_observers_get_every_report_and_cannot_break_a_call(self, cache, caplog):
        got = []
        cache.observers += [lambda r: 1 / 0, got.append]
        report = run(cache, chat("a"), usage(write=2_040))

        assert got == [report]
        assert "cachepoint failed at telling an observer of a call" in caplog.text


class TestMisses:
    def cause(self, cache, request, response, **options):
        miss = run(cache, request, response, **options).miss
        return miss and (miss.cause, miss.where)

    def test_first_write_then_hit(self, cache):
        assert self.cause(cache, chat("a"), usage(write=2_040)) == ("first_write", None)
        assert self.cause(cache, chat("a", "b"), usage(read=2_040, write=50)) is None

    def test_expired(self, cache, clock):
        run(cache, chat("a"), usage(write=2_040))
        clock[0] += 301

        assert self.cause(cache, chat("a", "b"), usage(write=2_090)) == (
            "expired",
            "messages[0].content[0]",
        )

    def test_evicted_or_rerouted(self, cache):
        run(cache, chat("a"), usage(write=2_040))
        report = run(cache, chat("a", "b"), usage(write=2_090))

        assert report.miss.cause == "evicted_or_rerouted"
        assert report.miss.tokens == 2_040

    def test_below_minimum(self, cache):
        assert self.cause(cache, chat("a", system=100), usage(fresh=140)) == ("below_minimum", None)

    def test_in_flight(self, cache):
        cache.prepare(chat("a"), model_id=SONNET)

        cause, _ = self.cause(cache, chat("a"), usage(write=2_040))
        assert cause == "in_flight"

    def test_system_changed(self, cache):
        run(cache, chat("a"), usage(write=2_040))
        request = {**chat("a", "b"), "system": [text(2_000, "now it is noon")]}

        assert self.cause(cache, request, usage(write=2_090)) == ("system_changed", "system[0]")

    def test_tools_changed(self, cache):
        tools = [tool("a"), tool("b")]
        run(cache, {**chat("a"), "toolConfig": {"tools": tools}}, usage(write=2_100))
        request = {**chat("a", "b"), "toolConfig": {"tools": tools[::-1]}}

        assert self.cause(cache, request, usage(write=2_150)) == ("tools_changed", "tools[0]")

    def test_messages_changed(self, cache):
        run(cache, chat("a", "b", turn=2_000), usage(write=6_000))
        request = chat("a", "x", "c", turn=2_000)

        assert self.cause(cache, request, usage(read=4_000, write=4_000)) == (
            "messages_changed",
            "messages[2].content[0]",
        )

    def test_settings_changed(self, cache):
        run(cache, chat("a"), usage(write=2_040))
        fields = {"thinking": {"type": "enabled", "budget_tokens": 1_024}}
        request = {**chat("a", "b"), "additionalModelRequestFields": fields}

        assert self.cause(cache, request, usage(write=2_090))[0] == "settings_changed"

    def test_thinking_left_out_is_thinking_disabled(self, cache):
        """Measured: absent and disabled share entries (CacheCanary, 2026-10)."""
        run(cache, chat("a"), usage(write=2_040))
        request = {**chat("a"), "additionalModelRequestFields": {"thinking": {"type": "disabled"}}}

        assert cache.prepare(request, model_id=SONNET).plan.expected_read_tokens == 2_040

    def test_model_changed(self, cache):
        run(cache, chat("a"), usage(write=2_040))
        call = cache.prepare(chat("a", "b"), model_id="us.anthropic.claude-opus-4-8")

        assert cache.settle(call, usage(write=2_500)).miss.cause == "model_changed"

    def test_not_marked(self, cache):
        run(cache, {"messages": [user(text(5_000))]}, usage(write=5_000))
        request = {"messages": [user(text(5_000, "another"))]}

        assert self.cause(cache, request, usage(fresh=5_000)) == ("not_marked", None)


class TestFailures:
    def test_an_abandoned_write_is_not_expected(self, cache):
        cache.abandon(cache.prepare(chat("a"), model_id=SONNET))
        report = run(cache, chat("a"), usage(write=2_040))

        assert report.miss.cause == "first_write"

    def test_a_refused_checkpoint_is_taken_out_and_remembered(self, cache, caplog):
        request = {"toolConfig": {"tools": [tool("a", 2_000)]}, "messages": [user(text(40))]}
        call = cache.prepare(request, model_id=SONNET)
        message = (
            "Malformed input request: #/toolConfig/tools/0: extraneous key [cachePoint] is not permitted"
        )
        plain = cache.refused(call, message)

        assert plain.request == request
        assert marks(cache.prepare(request, model_id=SONNET).request) == ["messages[0]"]
        assert "Bedrock refused a checkpoint" in caplog.text

    def test_another_refusal_is_not_ours(self, cache):
        call = cache.prepare(chat("a"), model_id=SONNET)

        assert cache.refused(call, "Input is too long for requested model.") is None

    def test_a_request_we_cannot_read_goes_out_as_it_came(self, cache, caplog):
        request = {"messages": [{"role": "user", "content": 3}]}
        call = cache.prepare(request, model_id=SONNET)

        assert call.request == request
        assert cache.faults == 1
        assert "cachepoint failed at planning" in caplog.text
        assert cache.settle(call, usage(fresh=3)).usage.input_tokens == 13 - 10

    def test_a_fault_is_said_once(self, cache, monkeypatch, caplog):
        monkeypatch.setattr(steps, "decided", lambda *_: 1 / 0)
        for _ in range(3):
            cache.prepare(chat("a"), model_id=SONNET)

        assert cache.faults == 3
        assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1

    def test_a_response_without_usage_is_unknown(self, cache):
        report = run(cache, chat("a"), {})

        assert (report.usage, report.saved) == (None, None)


class TestState:
    def test_calls_overlap(self, cache):
        every = {"fan_out": "off"}
        calls = [cache.prepare(chat(f"q{i}"), model_id=SONNET, policy=every) for i in range(20)]
        for call in reversed(calls):
            cache.settle(call, usage(write=2_040))

        report = run(cache, chat("q7", "more"), usage(read=2_040, write=50))
        assert report.plan.expected_read_tokens == 2_040

    def test_threads(self, cache):
        failures = []

        def work(n):
            try:
                for i in range(30):
                    run(cache, chat(f"{n}-{i}"), usage(read=2_000, write=40))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

        assert not failures
        assert cache.faults == 0

    def test_the_store_is_bounded(self, clock):
        memory = LocalMemory({Table.PLACES: Limit(50, 3_600.0, 1 << 20)})
        cache = PromptCache(CachePolicy(), lambda: clock[0], memory=memory)
        for i in range(200):
            run(cache, chat(f"q{i}"), usage(write=2_040))

        assert memory.sizes()[Table.PLACES][0] == 50

    def test_no_text_is_kept(self, cache):
        run(cache, chat("a very secret question"), usage(write=2_040))

        assert b"secret" not in pickle.dumps([rows._rows for rows in cache.memory._tables.values()])

    def test_digests_are_keyed(self, clock):
        a, b = (LocalMemory(), LocalMemory())
        for memory in (a, b):
            run(PromptCache(CachePolicy(), lambda: clock[0], memory=memory), chat("a"), usage(write=2_040))

        for table in Table:
            assert not set(a._tables[table]._rows) & set(b._tables[table]._rows)

    def test_workers_with_one_store_and_key_share(self, clock):
        memory = LocalMemory()
        one, two = (PromptCache(CachePolicy(), lambda: clock[0], memory=memory, key=b"k") for _ in range(2))
        run(one, chat("a"), usage(write=2_040))

        assert two.prepare(chat("a"), model_id=SONNET).plan.expected_read_tokens == 2_040

    def test_a_key_too_long_is_an_error(self):
        with pytest.raises(ValueError, match="has 65 bytes; use 1 to 64"):
            PromptCache(key=b"x" * 65)

    def test_it_pickles_without_its_memory(self):
        copy = pickle.loads(pickle.dumps(PromptCache(CachePolicy(ttl="1h"))))

        assert copy.policy == CachePolicy(ttl="1h")

    def test_sizes_are_calibrated(self, cache):
        """A text that the estimate takes for 900 tokens turns out to be 1,300."""
        run(cache, {"messages": [user(text(9_000, "x"))]}, usage(fresh=13_000))
        request = {"system": [text(900)], "messages": [user(text(10))]}

        assert marks(cache.prepare(request, model_id=SONNET).request) == ["system", "messages[0]"]


class TestForecast:
    def test_questions_that_nobody_follows_are_soon_not_written(self, cache):
        """The head is read; the end of each question is written only until it is clear that nobody reads it."""
        written = [
            "messages[0]" in marks(cache.prepare(chat(f"q{i}"), model_id=SONNET).request) for i in range(10)
        ]

        assert written[0]
        assert not any(written[5:])

    def test_a_system_prompt_that_never_returns_is_soon_not_written(self, cache):
        written = [
            marks(cache.prepare({**chat("q"), "system": [text(2_000, f"{i}")]}, model_id=SONNET).request)
            for i in range(20)
        ]

        assert written[0]
        assert not any(written[8:])

    def test_it_is_learned_again(self, cache, clock):
        for i in range(10):
            cache.prepare(chat(f"q{i}"), model_id=SONNET)
        for i in range(10, 20):
            cache.prepare(chat(f"q{i}"), model_id=SONNET)
            clock[0] += 10
            cache.prepare(chat(f"q{i}", "more"), model_id=SONNET)

        assert "messages[0]" in marks(cache.prepare(chat("new"), model_id=SONNET).request)


class TestProcess:
    def test_observers_of_the_process_and_sessions_get_every_report(self, cache):
        got = []
        configure(observers=[got.append])
        try:
            with session("nightly") as nightly:
                report = run(cache, chat("a"), usage(write=2_040))
        finally:
            configure(observers=())
        run(cache, chat("b"), usage(write=2_040))

        assert got == [report]
        assert nightly.calls == 1
        assert nightly.usage == report.usage

    def test_the_first_token_is_timed(self, cache, clock):
        call = cache.prepare(chat("a"), model_id=SONNET)
        clock[0] += 2
        report = cache.settle(call, usage(write=2_040), first_token=cache.now() - 1.5)

        assert (report.seconds, report.first_token_seconds) == (2.0, 0.5)
        assert report.as_dict()["first_token_ms"] == 500


class TestRewriting:
    def test_cleared_tool_results_are_named(self, cache):
        tools = {"toolConfig": {"tools": [tool("a", 1_500)]}}
        old = [user(text(40)), assistant(use("a", "t")), user(result("t", 300))]
        run(cache, {**tools, "messages": old}, usage(write=1_900))
        cleared = user({"toolResult": {"toolUseId": "t", "content": [{"text": "[cleared]"}]}})
        more = [*old[:2], cleared, assistant({"text": "so"}), user(text(9))]
        miss = run(cache, {**tools, "messages": more}, usage(read=1_500, write=80)).miss

        assert (miss.cause, miss.where, miss.detail) == (
            "messages_changed",
            "messages[2].content[0]",
            "tool results cleared",
        )

    def test_a_summary_is_named(self, cache):
        run(cache, chat("a", "b"), usage(write=2_090))
        summary = {"text": "Here is a summary of the conversation to date:\n\nmuch was said"}
        request = {
            "system": [text(2_000)],
            "messages": [user(summary), assistant({"text": "ok"}), user(text(9))],
        }
        miss = run(cache, request, usage(read=2_000, write=600)).miss

        assert (miss.cause, miss.detail) == ("messages_changed", "history summarised")

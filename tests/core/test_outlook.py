"""What a request would read, write and cost, before it is sent: right, and without a trace."""

import asyncio
import copy
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from builders import SONNET, assistant, point, text, usage, user
from converse_requests import DOCUMENT, conversations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from looking import Looking, known, states, wrong
from memories import Raising
from messages_requests import bodies
from nova_requests import nova_bodies
from traffic import Run, prose

from benchmarks.simulate import workload
from cachepoint import CachePolicy, Outlook, PromptCache
from cachepoint.core.prompt.documents import retrieved
from cachepoint.memory import LocalMemory

OTHER_MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
HEAD = {"text": prose(3_000, "head")}


def asking(*said):
    """A growing chat, its user's words given."""
    turns = [user({"text": said[0]})]
    for one in said[1:]:
        turns += [assistant({"text": "ok"}), user({"text": one})]
    return {"system": [HEAD], "messages": turns}


def near(one, other, rel):
    """Prices are Decimals, of which pytest wants tolerances in Decimal."""
    return float(one) == pytest.approx(float(other), rel=rel)


@pytest.fixture
def run():
    return Run()


class TestStates:
    def test_nothing_is_known_of_a_stream_that_nobody_sent(self, run):
        seen = run.cache.outlook(asking("Where?"), SONNET)
        assert seen.state == "unknown"
        assert (seen.read_tokens, seen.write_tokens, seen.price_now, seen.until) == (None, None, None, None)
        assert seen.reported_tokens == 0
        assert any("not told of" in said for said in seen.assumed)
        assert near(seen.price_cold, run.call(asking("Where?")).cost, 0.05)

    def test_what_was_written_is_warm_until_its_ttl_ends(self, run):
        first = run.call(asking("Where?"))
        run.bedrock.advance(100)
        seen = run.cache.outlook(asking("Where?", "How?"), SONNET)
        assert seen.state == "warm"
        assert seen.until == first.started + 300
        assert near(seen.seconds_left, 200, 0.01)
        assert seen.expires.timestamp() == pytest.approx(seen.until, abs=1e-3)
        assert seen.read_tokens == seen.reported_tokens == first.usage.write_tokens
        assert seen.input_tokens == seen.read_tokens + seen.write_tokens + seen.uncached_tokens

    def test_what_has_expired_is_cold(self, run):
        run.call(asking("Where?"))
        run.bedrock.advance(280)
        assert run.cache.outlook(asking("Where?"), SONNET).state == "warm"
        run.bedrock.advance(21)
        seen = run.cache.outlook(asking("Where?"), SONNET)
        assert (seen.state, seen.read_tokens, seen.until) == ("cold", 0, None)
        assert seen.price_now == seen.price_cold
        assert run.call(asking("Where?"), gap=0).usage.read_tokens == 0

    def test_a_head_that_conversations_share_is_warm_for_a_new_one(self, run):
        for question in ("Where is the valve?", "How large is it?"):
            run.call(asking(question))
        seen = run.cache.outlook(asking("Who made it?"), SONNET)
        assert seen.state == "warm"
        assert run.call(asking("Who made it?")).usage.read_tokens == pytest.approx(seen.read_tokens, rel=0.05)

    def test_what_is_too_small_is_cold_and_says_why(self, run):
        small = {"messages": [user({"text": "Hello there. " * 30})]}
        run.call(small)
        seen = run.cache.outlook(small, SONNET)
        assert (seen.state, seen.read_tokens, seen.write_tokens) == ("cold", 0, 0)
        assert "below the minimum" in seen.note

    def test_what_another_call_is_writing_is_cold_as_of_now(self):
        run = Run(fan_out="warm_first")
        call = run.cache.prepare(asking("Where?"), SONNET)
        seen = run.cache.outlook(asking("Where?"), SONNET)
        assert (seen.state, seen.write_tokens, seen.note) == ("cold", 0, "another call is writing it")
        run.cache.began(call)
        assert run.cache.outlook(asking("Where?"), SONNET).state == "warm"

    def test_an_hour_is_an_hour(self):
        run = Run(ttl="1h")
        first = run.call(asking("Where?"))
        run.bedrock.advance(3_000)
        seen = run.cache.outlook(asking("Where?"), SONNET)
        assert (seen.state, seen.until) == ("warm", first.started + 3_600)


class TestMoney:
    def test_the_price_is_what_the_input_then_costs(self, run):
        run.call(asking("Where?"))
        request = asking("Where?", prose(900, "more"))
        seen = run.cache.outlook(request, SONNET)
        report = run.call(request, gap=0)
        out = report.usage.output_tokens * Decimal("16.5") / 1_000_000
        assert near(seen.price_now, report.cost - out, 0.05)

    @pytest.mark.parametrize("ttl", ["auto", "5m", "1h"])
    def test_the_price_once_cold_is_what_it_costs_when_all_has_expired(self, ttl):
        run = Run(ttl=ttl)
        run.call(asking("Where?"))
        seen = run.cache.outlook(asking("Where?", "How?"), SONNET)
        run.bedrock.advance(seen.seconds_left)
        report = run.call(asking("Where?", "How?"), gap=5)
        assert report.usage.read_tokens == 0
        assert near(seen.price_cold, report.cost, 0.05)
        assert seen.price_now < seen.price_cold / 5

    def test_another_model_has_its_own_entries_and_prices(self, run):
        run.call(asking("Where?"))
        seen = run.cache.outlook(asking("Where?"), SONNET, also=OTHER_MODEL)
        assert (seen.also.model_id, seen.also.state) == (OTHER_MODEL, "unknown")
        assert seen.also.price_now is None
        assert seen.price_also == seen.also.price_cold
        assert near(seen.price_also, run.call(asking("Where?"), model=OTHER_MODEL).cost, 0.1)
        again = run.cache.outlook(asking("Where?"), SONNET, also=OTHER_MODEL)
        assert again.also.state == "warm"
        assert again.price_also == again.also.price_now < seen.price_also / 5

    def test_an_unknown_price_is_none(self, run):
        seen = run.cache.outlook(asking("Where?"), SONNET, also="acme.unheard-of-v1:0")
        assert seen.price_also is None
        assert seen.also.input_tokens > 3_000
        assert run.cache.outlook(asking("Where?"), SONNET).price_also is None

    def test_the_service_tier_of_the_request_is_priced(self, run):
        plain = run.cache.outlook(asking("Where?"), "us.amazon.nova-pro-v1:0").price_cold
        flex = run.cache.outlook(
            {**asking("Where?"), "serviceTier": {"type": "flex"}}, "us.amazon.nova-pro-v1:0"
        ).price_cold
        assert flex == plain / 2


class TestLeftAlone:
    def test_off_is_unknown_and_costs_what_it_costs_uncached(self, run):
        run.call(asking("Where?"))
        seen = run.cache.outlook(asking("Where?"), SONNET, policy="off")
        assert (seen.state, seen.note, seen.price_now) == ("unknown", "mode is off", None)
        assert near(seen.price_cold, run.call(asking("Where?")).uncached_cost, 0.05)

    def test_what_points_of_the_callers_do_then_has_no_price(self, run):
        request = {"system": [HEAD, point()], "messages": [user({"text": "Where?"})]}
        assert run.cache.outlook(request, SONNET, policy="off").price_cold is None

    def test_a_model_without_caching(self, run):
        seen = run.cache.outlook(asking("Where?"), LLAMA)
        assert (seen.state, seen.read_tokens) == ("unknown", None)
        assert "takes no checkpoints" in seen.note
        assert seen.price_cold > 0

    def test_a_request_that_refuses_checkpoints(self, run):
        request = {**asking("Where?"), "performanceConfig": {"latency": "optimized"}}
        seen = run.cache.outlook(request, SONNET)
        assert (seen.state, seen.note) == ("unknown", "latency-optimized inference refuses checkpoints")


class TestFaults:
    def test_a_fault_of_ours_is_counted_and_unknown(self, run, monkeypatch):
        monkeypatch.setattr("cachepoint.core.steps.decide", lambda *_: 1 / 0)
        assert run.cache.outlook(asking("Where?"), SONNET) == Outlook(SONNET)
        assert run.cache.faults == 1

    def test_a_memory_that_raises_means_that_nothing_is_known(self):
        cache = PromptCache(memory=Raising())
        seen = cache.outlook(asking("Where?"), SONNET)
        assert (seen.state, cache.faults) == ("unknown", 1)
        assert seen.price_cold > 0

    def test_a_clock_that_gives_no_time(self):
        cache = PromptCache(clock=lambda: 1 / 0)
        seen = cache.outlook(asking("Where?"), SONNET)
        assert (seen.state, seen.price_cold, seen.now) == ("unknown", None, None)

    @pytest.mark.parametrize(
        "wrongly",
        [
            {},
            {"model_id": SONNET, "dialect": "converze"},
            {"model_id": SONNET, "policy": {"tll": "1h"}},
            {"model_id": SONNET, "also": 7},
            {"model_id": SONNET, "also": ""},
        ],
        ids=str,
    )
    def test_wrong_arguments_are_refused(self, run, wrongly):
        with pytest.raises(ValueError, match=r"model|dialect|tll"):
            run.cache.outlook(asking("Where?"), **wrongly)
        with pytest.raises(ValueError, match=r"model|dialect|tll"):
            asyncio.run(run.cache.aoutlook(asking("Where?"), **wrongly))
        assert run.cache.faults == 0


def test_awaited_it_says_the_same(run):
    run.call(asking("Where?"))
    now = run.bedrock.now()
    run.cache._clock = lambda: now
    request = asking("Where?", "How?")
    assert asyncio.run(run.cache.aoutlook(request, SONNET, also=OTHER_MODEL)) == run.cache.outlook(
        request, SONNET, also=OTHER_MODEL
    )


def test_it_is_plain_data_and_readable_lines(run):
    run.call(asking("Where?"))
    seen = run.cache.outlook(asking("Where?"), SONNET, also=OTHER_MODEL)
    plain = json.loads(json.dumps(seen.as_dict()))
    assert plain["state"] == "warm"
    assert plain["also"]["state"] == "unknown"
    assert plain["price_cold"] == float(seen.price_cold)
    assert plain["price_also"] == plain["also"]["price_cold"]
    assert plain["uncached_tokens"] == seen.uncached_tokens
    assert plain["expires"] == seen.expires.isoformat(timespec="milliseconds")
    lines = str(seen).splitlines()
    assert lines[0] == f"{SONNET}: warm for {seen.seconds_left:.0f} s"
    assert f"{seen.read_tokens:,} tokens to be read" in lines[1]
    assert OTHER_MODEL in lines[3]
    assert "unknown" in str(run.cache.outlook({"messages": "?"}, SONNET))
    assert HEAD["text"][:20] not in repr(seen)


def test_what_is_finished_elsewhere_counts(run):
    """An adapter may take checkpoints away."""
    run.call(asking("Where?"))
    bare = run.cache.prepare({"messages": []}, SONNET, policy="off").plan
    seen = run.cache.outlook(asking("Where?"), SONNET, finish=lambda call: replace(call, plan=bare))
    assert (seen.state, seen.write_tokens) == ("cold", 0)
    assert seen.note == "an entry lives where no checkpoint's lookback reaches"


POLICIES = st.builds(
    CachePolicy,
    ttl=st.sampled_from(["auto", "5m", "1h"]),
    fan_out=st.sampled_from(["single_flight", "warm_first"]),
    tail=st.sampled_from(["auto", "always"]),
    split=st.sampled_from(["learned", "learned", "documents", "off"]),
    documents=st.sampled_from(["auto", "shared", "off"]),
)
GAPS = st.lists(st.sampled_from([1, 200, 400]), min_size=4, max_size=4)
# When it is looked ahead: at what comes, at what has been, at what never comes, or not at all.
LOOKS = st.lists(st.sets(st.sampled_from(["next", "last", "other"])), min_size=4, max_size=4)
HURRIED = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ],
}


class TestNothingFollows:
    """The same stream, with and without looks between: the same requests, the same memory."""

    @settings(max_examples=150, **HURRIED)
    @given(conversations(), POLICIES, GAPS, LOOKS)
    def test_converse(self, conversation, policy, gaps, looks):
        _both("converse", conversation, policy, gaps, looks)

    @settings(max_examples=60, **HURRIED)
    @given(bodies(), POLICIES, GAPS, LOOKS)
    def test_bodies(self, conversation, policy, gaps, looks):
        _both("messages", conversation, policy, gaps, looks)

    @settings(max_examples=40, **HURRIED)
    @given(nova_bodies(), POLICIES, GAPS, LOOKS)
    def test_bodies_of_nova(self, conversation, policy, gaps, looks):
        _both("nova", conversation, policy, gaps, looks)

    @pytest.mark.parametrize("kind", ["clock", "items"])
    def test_texts_that_are_cut_where_they_were_seen_to_change(self, kind):
        """Where a text is cut is learned from the texts before it, and a look is none of these."""
        text = {
            "clock": lambda n: prose(2_000, "a") + f"\nIt is {10 + n}:0{n}.\n" + prose(1_500, "b"),
            "items": lambda n: prose(2_000, "shots") + f"\nItem {n}: " + prose(40, str(n)),
        }[kind]
        where = {
            "clock": lambda n: {"system": [{"text": text(n)}], "messages": [user({"text": f"{n}?"})]},
            "items": lambda n: {"messages": [user({"text": text(n)})]},
        }[kind]
        requests = [where(n) for n in range(8)]
        sets = [{"next", "last", "other"}] * 8
        _both("converse", (SONNET, requests), CachePolicy(), [10] * 8, sets)


OTHER = {
    "converse": {"messages": [user(text(2_500, "another "))]},
    "messages": {"messages": [{"role": "user", "content": text(2_500, "another ")["text"]}], "max_tokens": 9},
    "nova": {"messages": [user(text(2_500, "another "))]},
}


def _both(dialect, conversation, policy, gaps, looks):
    model, requests = conversation
    retrieved.announce([DOCUMENT])
    with_looks, without = (_sent(dialect, model, requests, policy, gaps, each) for each in (looks, [()] * 8))
    assert with_looks == without


def _sent(dialect, model, requests, policy, gaps, looks):
    """The requests as they leave, and how much is remembered."""
    now = [1_000_000.0]
    memory = LocalMemory()
    cache = PromptCache(policy, lambda: now[0], memory=memory, key=b"the same")
    sent, before = [], None
    for request, gap, look in zip(requests, gaps, looks, strict=False):
        untouched = copy.deepcopy(request)
        for what in sorted(look):
            asked = {"next": request, "last": before, "other": OTHER[dialect]}[what]
            if asked is not None:
                sizes = memory.sizes()
                cache.outlook(asked, model, dialect=dialect, also=OTHER_MODEL)
                assert memory.sizes() == sizes
        assert request == untouched
        call = cache.prepare(request, model, dialect=dialect)
        sent.append((json.dumps(call.request, default=repr), call.plan))
        size = call.plan.checkpoints[-1].tokens if call.plan.checkpoints else 0
        cache.settle(call, usage(write=size, fresh=50) if dialect != "messages" else _body_usage(size))
        now[0] += gap
        before = request
    assert cache.faults == 0
    return sent, memory.sizes()


def _body_usage(size):
    return {
        "usage": {
            "input_tokens": 50,
            "output_tokens": 5,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": size,
        }
    }


# A folder of recorded workloads beside the checkout, or in a folder beside it.
RECORDED = next(
    (
        found.parent
        for base in Path(__file__).parents[2:5]
        for where in ("workloads/", "*/workloads/")
        for found in base.glob(f"{where}tau_airline.jsonl")
    ),
    None,
)


@pytest.mark.skipif(RECORDED is None, reason="the recorded workloads are not beside this checkout")
@pytest.mark.parametrize("name", ["tau_airline", "agentdojo", "mt_rag", "mt_bench"])
def test_it_is_right_over_recorded_workloads(name):
    """Every 40th call comes after the entries have expired."""
    run = Run()
    run.cache = Looking(clock=run.bedrock.now)
    for n, (gap, request) in enumerate(workload(RECORDED / f"{name}.jsonl")):
        run.call(request, gap=400.0 if n % 40 == 39 else gap)
    seen = run.cache.seen
    assert wrong(seen) == []
    assert states(seen).keys() <= {("unknown", False), ("cold", False), ("warm", True)}
    assert len(known(seen)) >= 0.5 * len(seen)
    assert run.cache.faults == 0

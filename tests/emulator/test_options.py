"""Each option through boto3: what it is by default, what it does, and which values are refused."""

import json
import time
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachepoint.emulator import (
    BedrockEmulator,
    EmulatedError,
    Options,
    Reply,
    default_sizer,
    read_prompt,
    resolve,
)
from tests.emulator.test_engine import World, ask
from tests.emulator.wire import HOUR, NOVA, OPUS_48, POINT, SONNET, cached, client, text, user

ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
HEAD = text(1500)
ANSWER = Reply.text("ok")


@pytest.fixture
def start():
    """Starts emulators with options; gives each and a client."""
    running = []

    def begin(**options):
        bedrock = BedrockEmulator(responder=lambda _: ANSWER, **options).start()
        running.append(bedrock)
        return bedrock, client(bedrock)

    yield begin
    for bedrock in running:
        bedrock.stop()


def say(runtime, *system, tail=(), model=SONNET, **more):
    """Read and written tokens of one call."""
    messages = [user(*tail, {"text": "How?"})]
    return cached(runtime.converse(modelId=model, system=list(system), messages=messages, **more)["usage"])


def refusal(call):
    with pytest.raises(Exception, match="An error occurred") as caught:
        call()
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def test_by_default_it_is_bedrock_as_it_is_known():
    assert Options() == Options(
        min_tokens=None,
        lookback=None,
        lifetime_5m=300,
        lifetime_1h=3_600,
        refresh=True,
        over_5m="own",
        implicit=0,
        eviction=0,
        reroute=0,
        tokens_per_minute=None,
        requests_per_minute=None,
        cut_streams=0,
        latency_base=0,
        latency_uncached=0,
        latency_write=0,
        latency_read=0,
    )


def test_the_minimum(start):
    _, runtime = start()
    assert say(runtime, HEAD, POINT) == (0, 1500)
    _, runtime = start(min_tokens=1_501)
    assert say(runtime, HEAD, POINT) == (0, 0)
    _, runtime = start(min_tokens=100)
    assert say(runtime, text(100), POINT) == (0, 100)
    assert say(runtime, text(99), POINT) == (0, 0)


def test_the_lookback(start):
    def read_over(runtime, blocks):
        say(runtime, HEAD, POINT)
        return say(runtime, HEAD, *[text(1)] * blocks, POINT)[0]

    assert read_over(start()[1], 21) == 1500
    assert read_over(start()[1], 22) == 0
    assert read_over(start(lookback=2)[1], 2) == 1500
    assert read_over(start(lookback=2)[1], 3) == 0
    assert read_over(start(lookback=30)[1], 30) == 1500


@pytest.mark.parametrize(
    ("options", "point", "alive", "gone"),
    [
        ({}, POINT, 299, 300),
        ({"lifetime_5m": 20}, POINT, 19, 20),
        ({}, HOUR, 3_599, 3_600),
        ({"lifetime_1h": 40.5}, HOUR, 40, 41),
        ({"lifetime_5m": 20}, HOUR, 3_599, 3_600),
    ],
)
def test_the_lifetimes(start, options, point, alive, gone):
    for seconds, read in ((alive, 1500), (gone, 0)):
        now = [0.0]
        _, runtime = start(clock=lambda now=now: now[0], **options)
        say(runtime, HEAD, point)
        now[0] = seconds
        assert say(runtime, HEAD, point)[0] == read


@pytest.mark.parametrize(("refresh", "read"), [(True, 1500), (False, 0)])
def test_whether_a_read_refreshes(start, refresh, read):
    bedrock, runtime = start(refresh=refresh)
    say(runtime, HEAD, POINT)
    bedrock.advance(200)
    assert say(runtime, HEAD, POINT)[0] == 1500
    bedrock.advance(200)
    assert say(runtime, HEAD, POINT)[0] == read


@pytest.mark.parametrize(
    ("over_5m", "whole", "head"),
    [("own", 2500, 0), ("5m", 0, 0), ("1h", 2500, 1500)],
)
def test_what_1h_on_top_of_5m_keeps(start, over_5m, whole, head):
    """P1 of the open questions: a 1h checkpoint behind a prefix that was written for 5m."""
    for asked, read in (((HEAD, text(1000), HOUR), whole), ((HEAD, POINT), head)):
        bedrock, runtime = start(over_5m=over_5m)
        say(runtime, HEAD, POINT)
        bedrock.advance(60)
        assert say(runtime, HEAD, text(1000), HOUR) == (1500, 1000)
        bedrock.advance(400)
        assert say(runtime, *asked)[0] == read


def test_a_1h_checkpoint_on_a_5m_entry_itself(start):
    for over_5m, read in (("own", 0), ("5m", 0), ("1h", 1500)):
        bedrock, runtime = start(over_5m=over_5m)
        say(runtime, HEAD, POINT)
        assert say(runtime, HEAD, HOUR) == (1500, 0)
        bedrock.advance(400)
        assert say(runtime, HEAD, HOUR)[0] == read


def test_implicit_caching_reads_without_a_checkpoint(start):
    _, runtime = start(implicit=1)
    assert say(runtime, HEAD, model=OPUS_48) == (0, 0)
    read, written = say(runtime, HEAD, text(10), model=OPUS_48)
    assert read > 1500
    assert written == 0
    usage = runtime.converse(modelId=OPUS_48, system=[HEAD, text(20)], messages=[user({"text": "How?"})])[
        "usage"
    ]
    assert usage["cacheReadInputTokens"] == read
    assert usage["inputTokens"] + read + usage["outputTokens"] == usage["totalTokens"]


def test_implicit_caching_is_off_by_default_and_only_of_models_that_have_it(start):
    for options, model in (({}, OPUS_48), ({"implicit": 1}, SONNET)):
        _, runtime = start(**options)
        assert [say(runtime, HEAD, model=model) for _ in range(2)] == [(0, 0)] * 2


def test_implicit_caching_has_the_minimum_and_ends(start):
    bedrock, runtime = start(implicit=1)
    for _ in range(2):
        assert say(runtime, text(200), model=OPUS_48) == (0, 0)
    say(runtime, HEAD, model=OPUS_48)
    bedrock.advance(301)
    assert say(runtime, HEAD, model=OPUS_48) == (0, 0)


def test_implicit_caching_leaves_checkpoints_alone(start):
    _, runtime = start(implicit=1)
    say(runtime, HEAD, model=OPUS_48)
    read, written = say(runtime, HEAD, POINT, model=OPUS_48)
    assert read == 0
    assert written > 1500


def test_implicit_caching_is_seeded():
    def found(seed):
        world = World(implicit=0.5, seed=seed)
        return [world.call(ask(system=[HEAD]), OPUS_48).read > 0 for _ in range(200)][1:]

    assert found(1) == found(1) != found(2)
    assert 70 < sum(found(1)) < 130


def test_an_entry_may_be_lost_before_its_time(start):
    assert say(start()[1], HEAD, POINT) == (0, 1500)
    _, runtime = start(eviction=1)
    assert [say(runtime, HEAD, POINT) for _ in range(2)] == [(0, 1500)] * 2


def test_eviction_is_a_hazard_by_idle_minutes():
    def share(minutes, uses):
        """Of 400 entries those that are left, with so many uses in between."""
        world = World(eviction=0.2, seed=5)
        requests = [ask(system=[text(1500, str(n)), {"text": str(n)}, POINT]) for n in range(400)]
        for _ in range(uses):
            for request in requests:
                world.call(request)
            world.now += 60 * minutes / uses
        return sum(world.begin(request).read > 0 for request in requests) / 400

    assert share(1, 1) == pytest.approx(0.8, abs=0.06)
    assert share(4, 1) == pytest.approx(0.8**4, abs=0.06)
    assert share(4, 4) == pytest.approx(0.8, abs=0.06)


def test_eviction_is_seeded():
    def left(seed):
        world = World(eviction=0.3, seed=seed)
        requests = [ask(system=[text(1500, str(n)), {"text": str(n)}, POINT]) for n in range(60)]
        for request in requests:
            world.call(request)
        world.now += 60
        return [world.begin(request).read > 0 for request in requests]

    assert left(1) == left(1) != left(2)


def test_requests_per_minute(start):
    bedrock, runtime = start(requests_per_minute=2)
    for _ in range(2):
        say(runtime, HEAD, POINT)
    assert refusal(lambda: say(runtime, HEAD, POINT)) == (
        429,
        "ThrottlingException",
        "Too many requests, please wait before trying again.",
    )
    assert (bedrock.calls[-1].status, bedrock.calls[-1].error) == (429, "ThrottlingException")
    bedrock.advance(60)
    assert say(runtime, HEAD, POINT)[0] == 1500


def test_tokens_per_minute_take_what_may_be_said_and_give_back_what_was_read(start):
    """1,500 written and some; then 1,500 that are read and given back, as often as one likes."""
    limit = {"inferenceConfig": {"maxTokens": 100}}
    _, runtime = start(tokens_per_minute=3_500)
    say(runtime, HEAD, POINT, **limit)
    for _ in range(5):
        assert say(runtime, HEAD, POINT, **limit) == (1500, 0)
    # Uncached they stay taken.
    assert say(runtime, HEAD, **limit) == (0, 0)
    words = (429, "ThrottlingException", "Too many tokens, please wait before trying again.")
    assert refusal(lambda: say(runtime, HEAD, **limit)) == words
    assert refusal(lambda: say(runtime, HEAD, POINT, **limit)) == words


def test_a_call_that_names_no_limit_takes_the_longest_answer_there_is(start):
    _, runtime = start(tokens_per_minute=60_000)
    assert refusal(lambda: say(runtime, HEAD))[0] == 429
    assert say(runtime, HEAD, inferenceConfig={"maxTokens": 100}) == (0, 0)


def test_output_burns_a_quota_down(start):
    """Five tokens of the quota for one of Sonnet 4.6's output, fifteen for one of Opus 4.8's."""
    for model, burndown in ((SONNET, 5), (OPUS_48, 15)):
        bedrock, runtime = start(tokens_per_minute=1_000)
        limit = {"inferenceConfig": {"maxTokens": 1}}
        say(runtime, model=model, **limit)
        usage = bedrock.calls[0].usage
        taken = usage["inputTokens"] + burndown * usage["outputTokens"]
        asked = usage["inputTokens"] + 1
        for _ in range((1_000 - asked) // taken):
            say(runtime, model=model, **limit)
        assert refusal(lambda: say(runtime, model=model, **limit))[0] == 429  # noqa: B023 -- called at once


def test_a_quota_is_of_a_model_and_a_region_and_of_every_api(start):
    bedrock, runtime = start(requests_per_minute=1, profiles={ARN: SONNET})
    elsewhere = client(bedrock, region="us-west-2")
    say(runtime, HEAD)
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "How?"}],
    }
    assert refusal(lambda: runtime.invoke_model(modelId=SONNET, body=json.dumps(body)))[0] == 429
    assert refusal(lambda: say(runtime, HEAD, model=ARN))[0] == 429
    say(elsewhere, HEAD)
    say(runtime, HEAD, model=OPUS_48)


def test_what_is_refused_for_another_reason_takes_no_tokens(start):
    def faulty(request):
        raise EmulatedError("Not now.", code="ServiceUnavailableException", status=503)

    with BedrockEmulator(responder=faulty, tokens_per_minute=1_200) as bedrock:
        runtime = client(bedrock)
        for _ in range(3):
            assert refusal(lambda: say(runtime, inferenceConfig={"maxTokens": 1_000}))[0] == 503


def test_a_throttled_call_reads_and_refreshes_nothing(start):
    bedrock, runtime = start(models={SONNET: {"requests_per_minute": 1}})
    say(runtime, HEAD, POINT)
    bedrock.advance(50)
    assert refusal(lambda: say(runtime, HEAD, POINT))[0] == 429
    bedrock.advance(251)
    assert say(runtime, HEAD, POINT) == (0, 1500)


def streamed(runtime, **more):
    answer = runtime.converse_stream(modelId=SONNET, messages=[user({"text": "How?"})], **more)
    return [next(iter(event)) for event in answer["stream"]]


def test_a_stream_may_end_early(start):
    _, runtime = start()
    assert streamed(runtime)[-2:] == ["messageStop", "metadata"]
    bedrock, runtime = start(cut_streams=1)
    for _ in range(10):
        kinds = streamed(runtime)
        assert kinds[0] == "messageStart"
        assert not {"messageStop", "metadata"} & set(kinds)
    assert {(call.status, call.error, call.usage) for call in bedrock.calls} == {(200, "StreamCut", None)}
    assert runtime.converse(modelId=SONNET, messages=[user({"text": "How?"})])["stopReason"] == "end_turn"


def test_a_stream_that_was_cut_has_written_its_entry(start):
    _, runtime = start(cut_streams=1)
    streamed(runtime, system=[HEAD, POINT])
    assert say(runtime, HEAD, POINT)[0] == 1500


def test_a_stream_of_invoke_model_ends_early_too(start):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "How?"}],
    }
    _, runtime = start(cut_streams=1)
    answer = runtime.invoke_model_with_response_stream(modelId=SONNET, body=json.dumps(body))
    kinds = [json.loads(event["chunk"]["bytes"])["type"] for event in answer["body"]]
    assert kinds[0] == "message_start"
    assert "message_delta" not in kinds


def test_a_stream_of_novas_body_ends_early_too(start):
    body = {"messages": [{"role": "user", "content": [{"text": "How?"}]}]}
    kinds = {}
    for cut in (0, 1):
        _, runtime = start(cut_streams=cut)
        answer = runtime.invoke_model_with_response_stream(modelId=NOVA, body=json.dumps(body))
        kinds[cut] = [next(iter(json.loads(event["chunk"]["bytes"]))) for event in answer["body"]]
    assert kinds[0][-2:] == ["messageStop", "metadata"]
    assert kinds[1][0] == "messageStart"
    assert not {"messageStop", "metadata"} & set(kinds[1])


def test_which_streams_are_cut_is_seeded(start):
    def cut(seed):
        bedrock, runtime = start(cut_streams=0.5, seed=seed)
        for _ in range(30):
            streamed(runtime)
        return [call.error is not None for call in bedrock.calls]

    assert cut(1) == cut(1) != cut(2)
    assert 5 < sum(cut(1)) < 25


def first_event(runtime, *system):
    began = time.perf_counter()
    answer = runtime.converse_stream(modelId=SONNET, system=list(system), messages=[user({"text": "How?"})])
    next(iter(answer["stream"]))
    seconds = time.perf_counter() - began
    list(answer["stream"])
    return seconds


def test_the_time_to_the_first_token_is_by_what_was_read_and_written(start):
    _, runtime = start(latency_base=0.05, latency_uncached=0.3, latency_write=0.2, latency_read=0.02)
    # Of 1,500 tokens: 0.45 s uncached, 0.3 s written, 0.03 s read.
    spent = [first_event(runtime, *blocks) for blocks in ([HEAD], [HEAD, POINT], [HEAD, POINT])]
    for seconds, least in zip(spent, (0.50, 0.35, 0.08), strict=True):
        assert least <= seconds < least + 0.25
    assert spent[0] > spent[1] > spent[2]


def test_an_answer_that_is_no_stream_waits_as_long_and_says_so(start):
    _, runtime = start(latency_base=0.2)
    began = time.perf_counter()
    answer = runtime.converse(modelId=SONNET, messages=[user({"text": "How?"})])
    assert time.perf_counter() - began >= 0.2
    assert answer["metrics"]["latencyMs"] >= 200


def test_latency_by_thousands_of_tokens():
    options = Options(latency_base=0.5, latency_uncached=0.1, latency_write=0.2, latency_read=0.01)
    assert options.latency(1_000, 2_000, 10_000) == pytest.approx(0.5 + 0.1 + 0.4 + 0.1)
    assert Options().latency(1_000, 2_000, 10_000) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_tokens", -1),
        ("min_tokens", 1.5),
        ("min_tokens", "2048"),
        ("min_tokens", True),
        ("lookback", -1),
        ("lifetime_5m", -1),
        ("lifetime_1h", float("inf")),
        ("lifetime_5m", None),
        ("refresh", 1),
        ("refresh", "no"),
        ("over_5m", "2h"),
        ("over_5m", ["5m"]),
        ("implicit", 1.1),
        ("eviction", -0.1),
        ("reroute", 2),
        ("reroute", float("nan")),
        ("tokens_per_minute", 0),
        ("requests_per_minute", 0),
        ("requests_per_minute", 2.5),
        ("cut_streams", True),
        ("latency_base", -1),
        ("latency_uncached", "1"),
        ("latency_write", float("nan")),
        ("latency_read", 1e12),
    ],
)
def test_a_value_that_is_not_valid_is_refused_and_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} is ") as caught:
        BedrockEmulator(**{name: value})
    assert repr(value) in str(caught.value)
    with pytest.raises(ValueError, match=f"^{SONNET}: {name} is "):
        BedrockEmulator(models={SONNET: {name: value}})


def test_an_option_that_there_is_not_is_refused_and_the_others_are_named():
    with pytest.raises(ValueError, match="there is no option 'minimum'") as caught:
        BedrockEmulator(minimum=5)
    assert all(field.name in str(caught.value) for field in fields(Options))


def test_options_by_model_lie_over_the_others(start):
    models = {
        "anthropic.claude-sonnet-4-6": {"min_tokens": 100, "lookback": 0},
        SONNET: {"min_tokens": 200},
        ARN: {"min_tokens": 300},
    }
    _, runtime = start(min_tokens=5_000, models=models, profiles={ARN: SONNET})
    for model, least in (
        ("global.anthropic.claude-sonnet-4-6", 100),
        (SONNET, 200),
        (ARN, 300),
    ):
        assert say(runtime, text(least), POINT, model=model) == (0, least)
        assert say(runtime, text(least - 1), POINT, model=model) == (0, 0)
    assert say(runtime, text(4_000), POINT, model=OPUS_48) == (0, 0)


@pytest.mark.parametrize("model", ["us.anthropic.claude-sonet-4-6", "", ARN])
def test_options_of_a_model_that_there_is_not_are_refused(model):
    with pytest.raises(ValueError, match="is no model's id") as caught:
        BedrockEmulator(models={model: {"min_tokens": 5}})
    assert repr(model) in str(caught.value)


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "min_tokens": st.integers(0, 3_000),
            "lookback": st.integers(0, 5),
            "lifetime_5m": st.floats(0, 600),
            "lifetime_1h": st.floats(0, 600),
            "refresh": st.booleans(),
            "over_5m": st.sampled_from(["own", "5m", "1h"]),
            "implicit": st.floats(0, 1),
            "eviction": st.floats(0, 1),
            "reroute": st.floats(0, 1),
        },
    ),
    turns=st.lists(st.tuples(st.integers(0, 60), st.sampled_from([(), (POINT,), (HOUR,)])), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_set_the_parts_add_up_to_the_prompt(options, turns):
    world, blocks = World(**options), [HEAD]
    rules = resolve(OPUS_48)
    for size, mark in turns:
        blocks.append(text(size + 1, f"{size}"))
        request = ask(user(*blocks, *mark), system=[])
        outcome = world.call(request, OPUS_48, cross_region=True)
        whole = sum(default_sizer(read_prompt(request, rules), rules))
        assert outcome.read + outcome.write + outcome.uncached == whole
        assert sum(tokens for _, tokens in outcome.details) == outcome.write
        assert min(outcome.read, outcome.write, outcome.uncached) >= 0
        world.now += size


def test_reset_forgets_what_was_taken_of_a_quota(start):
    bedrock, runtime = start(requests_per_minute=1)
    say(runtime, HEAD)
    bedrock.reset()
    say(runtime, HEAD)

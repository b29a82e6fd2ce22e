"""The contract, on every adapter."""

import copy
import logging
from collections import Counter
from itertools import pairwise

import pytest
from botocore.loaders import Loader

import cachepoint
from cachepoint import PromptCache, observers
from cachepoint.cli.demo import letters
from cachepoint.emulator import EmulatedError, ScriptedResponder, ToolResponder
from tests.adapters.contract import MANUAL, Tool, ToolCall

SHAPES = Loader().load_service_model("bedrock-runtime", "service-2")["shapes"]
DROPS_SPLIT = "cacheDetails" not in SHAPES["TokenUsage"]["members"]
splits = pytest.mark.skipif(DROPS_SPLIT, reason="the botocore of aioboto3 15.5 drops cacheDetails")
TOOLS = tuple(Tool(name) for name in ("zeta", "alpha", "mid"))


def read(answer):
    return answer.report["usage"]["read_tokens"]


def cached(answer):
    return read(answer) + answer.report["usage"]["write_tokens"]


MARKS = ("cachePoint", "cache_control")


def points(value):
    """All checkpoints in a request, in order, as Converse writes them."""
    if isinstance(value, dict):
        yield from ({**value[mark], "type": "default"} for mark in MARKS if mark in value)
        value = [v for k, v in value.items() if k not in MARKS]
    if isinstance(value, list):
        for item in value:
            yield from points(item)


def run_agent(adapter, model, *, steps, mode=""):
    """The answers of an agent that calls tools until the model stops asking for them."""
    tools = [adapter.tool(t) for t in TOOLS]
    messages = [adapter.system(MANUAL), adapter.user("Check all parts.")]
    answers = []
    for _ in range(steps):
        answer = adapter.ask(model, messages, tools=tools, mode=mode)
        answers.append(answer)
        results = [adapter.result(c, f"part {n}: in stock") for n, c in enumerate(answer.tool_calls)]
        messages += [answer.message, *results]
    return answers


def reads_all_before(answers):
    assert cached(answers[0]) > 1_024
    for before, answer in pairwise(answers):
        assert read(answer) == cached(before)
        assert answer.report["miss"] is None


def test_growing_chat_reads_the_whole_previous_prefix(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages, answers = [adapter.system(MANUAL)], []
    for n in range(6):
        messages.append(adapter.user(f"Question {n}: where is the valve?"))
        answers.append(adapter.ask(model, messages, mode=mode))
        messages.append(answers[-1].message)
    reads_all_before(answers)


@splits
def test_report_is_what_bedrock_says(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    for _ in range(2):
        answer = adapter.ask(model, [adapter.system(MANUAL), adapter.user("Where?")], mode=mode)
        usage, ledger = answer.report["usage"], bedrock.answered[-1].usage
        assert usage["uncached_tokens"] == ledger["inputTokens"]
        assert usage["read_tokens"] == ledger["cacheReadInputTokens"]
        assert usage["write_tokens"] == usage["write_5m_tokens"] == ledger["cacheWriteInputTokens"]
        assert usage["output_tokens"] == ledger["outputTokens"]
        assert len(answer.report["checkpoints"]) == len(list(points(bedrock.answered[-1].request))) > 0
    assert float(answer.report["saved_usd"]) > 0


def test_agent_step_reads_the_whole_previous_prefix(adapter, mode, bedrock, cache):
    bedrock.say(ToolResponder(steps=4))
    answers = run_agent(adapter, adapter.cached(bedrock, cache=cache), steps=5, mode=mode)
    assert [len(a.tool_calls) for a in answers] == [1, 1, 1, 1, 0]
    reads_all_before(answers)


def in_messages(adapter, item):
    """Few-shot examples, two messages each."""
    pairs = ((adapter.user(one.message), adapter.assistant(one.topic)) for one in letters.examples())
    return [adapter.system(letters.INSTRUCTIONS), *(m for pair in pairs for m in pair), adapter.user(item)]


def in_one_text(adapter, item):
    """Few-shot examples and the item in one text, which nobody announces."""
    shots = (letters.EXAMPLE.format(**one._asdict()) for one in letters.examples())
    return [adapter.user("\n\n".join((letters.INSTRUCTIONS, *shots, letters.ITEM.format(message=item))))]


def clocked(adapter, bedrock, model, mode, say=str, turns=4):
    """The answers of a chat whose system prompt begins with a clock."""
    messages, answers = [], []
    for n in range(turns):
        bedrock.advance(60)
        messages.append(adapter.user(f"Question {n}: where is the valve?"))
        system = adapter.system(f"It is {say(f'1{n}:05')}.\n\n{MANUAL}")
        answers.append(adapter.ask(model, [system, *messages], mode=mode))
        messages.append(answers[-1].message)
    return answers


def test_what_is_marked_as_changing_stands_behind_the_newest_message(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache, policy={"relocate": "marked"})
    reads_all_before(clocked(adapter, bedrock, model, mode, cachepoint.volatile))
    request = bedrock.answered[-1].request
    assert "13:05" not in str(request["system"])
    assert str(request["messages"]).count("3:05") == str(request["messages"][-1]).count("13:05") == 1


def test_what_was_seen_to_change_stands_behind_the_newest_message(adapter, bedrock, cache):
    """Learned from three conversations, it holds for those that follow, in which all that was said is read."""
    model = adapter.cached(bedrock, cache=cache, policy={"relocate": "learned"})
    for n in range(3):
        system = adapter.system(f"It is 0{n}:05.\n\n{MANUAL}")
        adapter.ask(model, [system, adapter.user(f"Chat {n}: where is the valve?")])
    answers = clocked(adapter, bedrock, model, "")
    for before, answer in pairwise(answers):
        assert read(answer) == cached(before) > 1_024


def test_nothing_moves_where_nobody_asks(adapter, bedrock, cache):
    clocked(adapter, bedrock, adapter.cached(bedrock, cache=cache), "", cachepoint.volatile)
    texts = [str(call.request["system"]) for call in bedrock.answered]
    assert [f"1{n}:05" in text for n, text in enumerate(texts)] == [True] * 4


def test_what_is_moved_of_an_uncached_or_switched_off_model_stays(adapter, bedrock, cache):
    for options in ({"model": adapter.uncached}, {"policy": {"relocate": "marked", "mode": "off"}}):
        policy = {"relocate": "marked"} | options.pop("policy", {})
        bedrock.reset()
        clocked(
            adapter,
            bedrock,
            adapter.cached(bedrock, cache=cache, policy=policy, **options),
            "",
            cachepoint.volatile,
            1,
        )
        assert "10:05" in str(bedrock.answered[-1].request["system"])


@pytest.mark.parametrize("prompt", [in_messages, in_one_text])
def test_few_shot_classification_pays_for_its_examples_once(adapter, prompt, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    for item in letters.items():
        bedrock.advance(10)
        adapter.ask(model, prompt(adapter, item))
    usages = [call.usage for call in bedrock.answered]
    fresh, read, written = (
        sum(usage[name] for usage in usages)
        for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    )
    assert len(usages) == 50
    assert 4_000 < (fresh + read + written) / 50 < 4_500
    assert fresh + 0.1 * read + 1.25 * written <= 0.2 * (fresh + read + written)


@pytest.mark.parametrize("parallel", [25, 60])
def test_step_with_many_parallel_tool_calls(adapter, parallel, bedrock, cache):
    bedrock.say(ToolResponder(steps=3, parallel=parallel))
    answers = run_agent(adapter, adapter.cached(bedrock, cache=cache), steps=4)
    assert [len(a.tool_calls) for a in answers] == [parallel] * 3 + [0]
    reads_all_before(answers)


def test_tools_keep_their_order(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    adapter.ask(model, [adapter.user(MANUAL)], tools=[adapter.tool(t) for t in TOOLS])
    assert adapter.names(bedrock.answered[-1].request) == [t.name for t in TOOLS]


def test_the_callers_objects_stay_as_they_are(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    tools = [adapter.tool(t) for t in TOOLS]
    call = ToolCall("call_1", "alpha", {"part": "A7"})
    messages = [adapter.system(MANUAL), adapter.user(MANUAL, point=True)]
    before = copy.deepcopy((messages, tools, call))
    for _ in range(2):
        adapter.ask(model, messages, tools=tools, mode=mode)
    assert (messages, tools, call) == before


def outcomes(bedrock, shape, model):
    """What left the process when a shape was run, and how that ended."""
    bedrock.reset()
    try:
        shape.run(model)
        end = None
    except Exception as error:
        # aiobotocore makes its error classes anew for every client.
        end = (type(error).__name__, str(error))
    return [(c.operation, c.path, c.body) for c in bedrock.calls], end


def test_there_are_fifty_shapes(adapter):
    assert len({shape.name for shape in adapter.shapes}) >= 50


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_off_sends_the_bytes_of_the_base_class(adapter, shape, bedrock, cache):
    expected = outcomes(bedrock, shape, adapter.base(bedrock, **copy.deepcopy(shape.options)))
    options = copy.deepcopy(shape.options)
    assert outcomes(bedrock, shape, adapter.cached(bedrock, cache=cache, policy="off", **options)) == expected
    assert expected[0]
    assert options == shape.options


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_a_model_without_caching_gets_the_bytes_of_the_base_class(adapter, shape, bedrock, cache):
    base, ours = (
        lambda: adapter.base(bedrock, adapter.uncached, **copy.deepcopy(shape.options)),
        lambda: adapter.cached(bedrock, adapter.uncached, cache=cache, **copy.deepcopy(shape.options)),
    )
    assert outcomes(bedrock, shape, ours()) == outcomes(bedrock, shape, base())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_cached_shape_is_no_worse_received(adapter, shape, bedrock, cache):
    """Law 4: what Bedrock takes from the base class it takes from us, or takes again without checkpoints."""
    sent, end = outcomes(bedrock, shape, adapter.base(bedrock, **copy.deepcopy(shape.options)))
    options = copy.deepcopy(shape.options)
    ours, our_end = outcomes(
        bedrock, shape, adapter.cached(bedrock, cache=cache, policy={"tail": "always"}, **options)
    )
    # Where the caller's own checkpoint was refused, ours is put right.
    assert our_end in {end, None}
    assert our_end is None or len(ours) == len(sent)
    assert options == shape.options


def test_hand_placed_point_stays(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL), adapter.user("First: " + MANUAL, point=True)]
    answer = adapter.ask(model, messages)
    assert list(points(bedrock.answered[-1].request["messages"][0]["content"][-1]))
    adapter.ask(model, [*messages, answer.message, adapter.user("Second?")])
    sent = bedrock.answered[-1].request
    assert list(points(sent["messages"][0]["content"][-1]))
    assert len(list(points(sent))) <= 4


@splits
def test_one_hour_arrives_on_the_wire(adapter, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache, policy={"ttl": "1h"})
    answer = adapter.ask(model, [adapter.system(MANUAL), adapter.user("Where?")])
    sent = list(points(bedrock.answered[-1].request))
    assert sent
    assert all(point == {"type": "default", "ttl": "1h"} for point in sent)
    assert answer.report["usage"]["write_1h_tokens"] > 1_024
    bedrock.advance(3_000)
    assert read(adapter.ask(model, [adapter.system(MANUAL), adapter.user("Where?")])) > 1_024


def test_policy_of_one_call(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    adapter.ask(model, messages, mode=mode, policy="off")
    off = bedrock.answered[-1]
    assert not list(points(off.request))
    adapter.ask(model, messages, mode=mode, policy={"ttl": "1h"})
    assert {p.get("ttl") for p in points(bedrock.answered[-1].request)} == {"1h"}
    adapter.ask(model, messages, mode=mode)
    assert list(points(bedrock.answered[-1].request))


ERRORS = (
    EmulatedError("Too many requests, please wait.", code="ThrottlingException", status=429),
    EmulatedError("The model returned the following errors: no.", code="ValidationException", status=400),
    EmulatedError("You don't have access.", code="AccessDeniedException", status=403),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.code)
def test_errors_are_those_of_the_base_class(adapter, error, bedrock, cache):
    messages = [adapter.system(MANUAL), adapter.user("Where?")]
    raised = []
    for model in (adapter.base(bedrock), adapter.cached(bedrock, cache=cache)):
        bedrock.say(ScriptedResponder([error]))
        with pytest.raises(Exception, match=error.message[:9]) as caught:
            adapter.ask(model, messages)
        raised.append((type(caught.value), str(caught.value)))
    assert raised[0] == raised[1]
    assert len(bedrock.calls) == 2


def test_a_refused_checkpoint_is_sent_again_without_once(adapter, mode, bedrock, cache, caplog):
    refusal = EmulatedError(
        "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
        code="AccessDeniedException",
        status=403,
    )
    bedrock.say(ScriptedResponder([refusal]))
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL), adapter.user("Where is the valve?")]
    with caplog.at_level(logging.WARNING, "cachepoint"):
        first = adapter.ask(model, messages, mode=mode)
    second = adapter.ask(model, messages, mode=mode)
    assert first.text
    assert second.text
    assert [c.status for c in bedrock.calls] == [403, 200, 200]
    assert [bool(list(points(c.request))) for c in bedrock.calls] == [True, False, False]
    assert MANUAL[:20] not in caplog.text


def test_a_fault_of_ours_fails_no_call(adapter, mode, bedrock, cache, monkeypatch, caplog):
    messages = [adapter.system(MANUAL), adapter.user("Where is the valve?")]
    monkeypatch.setattr("cachepoint.core.steps.decided", lambda *_: 1 / 0)
    assert adapter.ask(adapter.cached(bedrock, cache=cache), messages, mode=mode).text
    assert not list(points(bedrock.answered[-1].request))
    assert cache.faults == 1
    assert MANUAL[:20] not in caplog.text


def test_an_alarm_holds_the_next_call_of_its_conversation_back_once(adapter, mode, bedrock, cache):
    """The one exception of ours that fails a call, where that was asked for."""
    cache.observers.append(observers.alarm("raise", written_share=0.0, calls=2))
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL)]
    for n in range(4):
        messages.append(adapter.user(f"Question {n}: where is the valve? {MANUAL}"))
        if n == 2:
            with pytest.raises(observers.CacheAlarm, match="written to the cache"):
                adapter.ask(model, messages, mode=mode)
            assert len(bedrock.calls) == n
        messages.append(adapter.ask(model, messages, mode=mode).message)
    assert [call.status for call in bedrock.calls] == [200] * 4
    assert cache.faults == 0


def test_misspelt_options_are_errors(adapter, attempt, bedrock):
    with pytest.raises((ValueError, TypeError)) as caught:
        attempt(bedrock)
    assert not bedrock.calls
    assert "example" not in str(caught.value)


def test_meter_adds_up_the_ledger(adapter, mode, bedrock, cache):
    bedrock.say(ToolResponder(steps=2))
    with adapter.meter() as usage:
        run_agent(adapter, adapter.cached(bedrock, cache=cache), steps=3, mode=mode)
    run_agent(adapter, adapter.cached(bedrock, cache=cache), steps=1, mode=mode)
    ledger = sum(
        (Counter({k: v for k, v in c.usage.items() if isinstance(v, int)}) for c in bedrock.answered[:3]),
        Counter(),
    )
    assert usage.calls == 3
    assert usage.total.uncached_tokens == ledger["inputTokens"]
    assert usage.total.read_tokens == ledger["cacheReadInputTokens"]
    assert usage.total.write_tokens == ledger["cacheWriteInputTokens"]
    assert usage.total.output_tokens == ledger["outputTokens"]


def test_models_of_one_process_share_what_they_know(adapter, bedrock, monkeypatch):
    shared = PromptCache(clock=bedrock.now)
    for module in ("cachepoint.aws.carrier", "cachepoint.aws.client"):
        monkeypatch.setattr(f"{module}.shared_cache", lambda: shared)
    messages = [adapter.system(MANUAL), adapter.user("Where is the valve?")]
    first = adapter.ask(adapter.cached(bedrock), messages)
    second = adapter.ask(adapter.cached(bedrock), messages)
    assert second.report["expected_read_tokens"] == read(second) == cached(first)


def test_unsupported_model_answers_and_says_so(adapter, mode, bedrock, cache):
    answer = adapter.ask(
        adapter.cached(bedrock, adapter.uncached, cache=cache), [adapter.user("Where is it?")], mode=mode
    )
    assert answer.text
    assert answer.report["checkpoints"] == []
    assert not answer.report["usage"]["read_tokens"]


def test_a_session_says_how_near_it_came_to_the_bound(adapter, mode, bedrock, cache):
    model = adapter.cached(bedrock, cache=cache)
    messages = [adapter.system(MANUAL)]
    with cachepoint.session() as s:
        for n in range(4):
            messages.append(adapter.user(f"Question {n}: where is the valve?"))
            messages.append(adapter.ask(model, messages, mode=mode).message)

    assert s.calls == s.bound.calls == 4
    assert 1 <= s.cost_over_bound < 1.3
    assert "of the lower bound; 5m alone" in str(s)

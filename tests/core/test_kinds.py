"""What calls of one kind or another cost a process that knows nothing of them yet."""

import logging

import pytest
from builders import SONNET, assistant, text, usage, user
from traffic import Run, prose

from cachepoint import PromptCache

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"

SCHEMA = {"type": "json_schema", "structure": {"jsonSchema": {"name": "part", "schema": "{}"}}}


def schema(number):
    named = {"jsonSchema": {"name": f"part{number}", "schema": "{}"}}
    return {"textFormat": {**SCHEMA, "structure": named}}


class Strict:
    """Bedrock as measured: settings of the output are in front of all else. In prices of the prompt."""

    def __init__(self):
        self.now = 1_000.0
        self.cache = PromptCache(clock=lambda: self.now)
        self.held = set()

    def call(self, settings, size=4_000):
        self.now += 10
        request = {"system": [text(3_000)], "messages": [user(text(1_000, "m"))], **settings}
        call = self.cache.prepare(request, model_id=SONNET)
        deepest = max((c.tokens for c in call.plan.checkpoints), default=0)
        key = (str(settings), deepest)
        read = deepest if key in self.held else 0
        self.held.add(key)
        answer = usage(read=read, write=deepest - read, fresh=size - deepest)
        return call.plan, self.cache.settle(call, answer)


def test_b9_another_schema_in_each_call_is_soon_not_written_and_no_read_is_expected():
    """B9: it was taken for the same prefix, whose full read was expected each time; law 11."""
    bedrock = Strict()
    calls = [bedrock.call({"outputConfig": schema(n)}) for n in range(40)]

    assert all(plan.expected_read_tokens is None for plan, _ in calls)
    assert sum(report.usage.write_tokens > 0 for _, report in calls) <= 8
    assert all(report.usage.write_tokens == 0 for _, report in calls[8:])


def test_b9_one_schema_is_written_once():
    bedrock = Strict()
    reports = [bedrock.call({"outputConfig": schema(1)})[1] for _ in range(6)]

    assert sum(report.usage.write_tokens > 0 for report in reports) == 1


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"outputConfig": {"effort": "low"}}, False),
        ({"outputConfig": {"effort": "high"}}, True),
        ({"outputConfig": {}}, True),
        ({"outputConfig": schema(1)}, False),
    ],
)
def test_b9_what_the_output_is_set_to_belongs_to_the_prefix(settings, same):
    bedrock = Strict()
    bedrock.call({})
    plan, _ = bedrock.call(settings)

    assert (plan.expected_read_tokens is not None) == same


def test_b9_effort_is_one_setting_wherever_it_stands():
    bedrock = Strict()
    bedrock.call({"outputConfig": {"effort": "low"}})
    plan, _ = bedrock.call({"additionalModelRequestFields": {"output_config": {"effort": "low"}}})

    assert plan.expected_read_tokens


class TestFallback:
    """E18: one call of a conversation on another model was taken for the history of that model."""

    def talk(self, run, name, turns=6, away=(4,)):
        history, reports = [], []
        for turn in range(turns):
            history.append(user({"text": prose(800, f"{name}{turn}")}))
            model = HAIKU if turn in away else SONNET
            request = {"system": [{"text": prose(3_000)}], "messages": list(history)}
            reports.append(run.call(request, gap=20, model=model))
            history.append(assistant({"text": f"It is so, {turn}."}))
        return [reports[turn] for turn in away]

    def test_e18_a_call_on_a_fallback_model_is_not_written_and_not_warned_of(self, caplog):
        run = Run()
        with caplog.at_level(logging.WARNING, "cachepoint"):
            reports = [self.talk(run, f"talk {n}")[0] for n in range(8)]

        assert [report.usage.write_tokens for report in reports] == [0] * 8
        assert not caplog.records

    def test_e18_a_conversation_that_stays_there_is_written_at_its_second_call(self):
        first, second, third = self.talk(Run(), "one", turns=7, away=(4, 5, 6))

        assert first.usage.write_tokens == 0
        assert second.usage.write_tokens > 7_000
        assert third.usage.read_tokens > 7_000

    def test_e18_where_conversations_do_come_back_there_that_is_learned(self):
        run = Run()
        found = [self.talk(run, f"talk {n}", turns=7, away=(4, 5, 6)) for n in range(4)]

        assert found[-1][0].usage.write_tokens > 5_000

"""What calls of one kind or another cost a process that knows nothing of them yet."""

import pytest
from builders import SONNET, text, usage, user

from cachepoint import PromptCache

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

"""What calls of one kind or another cost a process that knows nothing of them yet."""

import logging

import pytest
from builders import SONNET, assistant, result, text, tool, usage, use, user
from traffic import Run, prose

from cachepoint import PromptCache, Usage
from cachepoint.core.prompt.documents import retrieved

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


@pytest.mark.parametrize("choice", [{"tool": {"name": "extract"}}, {"any": {}}])
@pytest.mark.parametrize("head", [{}, {"system": [{"text": "You read invoices."}]}])
def test_e14_extraction_over_distinct_documents_is_not_written(choice, head):
    """E14: a first turn that must call a tool was taken for an agent's, and eight to twelve were written."""
    run = Run()
    config = {"toolConfig": {"tools": [tool("extract", 50)], "toolChoice": choice}}
    for n in range(40):
        asked = {"text": f"Extract the parts.\n\n{prose(4_000, f'invoice {n}')}"}
        run.call({**config, **head, "messages": [user(asked)]})

    assert run.writes <= 2
    assert run.ratio <= 1.013


def test_e14_an_agent_that_must_call_a_tool_at_each_step_is_read():
    """Structured output by a tool: a forced call whose conversation goes on."""
    run = Run()
    config = {"toolConfig": {"tools": [tool("find", 50)], "toolChoice": {"any": {}}}}
    history = [user({"text": prose(2_000, "task")})]
    for n in range(10):
        run.call({**config, "messages": list(history)})
        history += [assistant(use("find", f"c{n}")), user(result(f"c{n}", 500))]

    assert run.ratio <= 0.35


def asked(where, documents, question):
    context = "\n\n".join(documents)
    if where == "system":
        return {"system": [{"text": f"Answer from:\n{context}"}], "messages": [user({"text": question})]}
    return {"messages": [user({"text": f"Answer from:\n{context}\n\nQuestion: {question}"})]}


@pytest.mark.parametrize(
    ("where", "announced", "most"),
    [("user", True, 1), ("user", False, 1), ("system", True, 1), ("system", False, 4)],
)
def test_e13_one_question_asked_thrice_makes_one_more_set_be_written(where, announced, most):
    """E13: the next four to seven were. A system prompt that nobody announced is a head, and is tried longer."""
    run, name = Run(), f"{where} {announced}"
    for n in (0, 0, 0, *range(1, 13)):
        documents = [prose(1_000, f"{name} {n} {part}") for part in range(4)]
        if announced:
            retrieved.announce(documents)
        run.call(asked(where, documents, f"What is said of {n}?"), gap=10)
        if not n:
            run.writes = 0

    assert run.writes <= most


def test_e13_where_each_question_is_asked_thrice_that_is_learned():
    run = Run()
    for n in range(45):
        run.call(asked("user", [prose(4_000, f"set {n // 3}")], f"And {n // 3}?"), gap=10)

    assert run.ratio <= 0.55


@pytest.mark.parametrize("talks", [1, 3])
def test_e16_what_stands_behind_the_newest_text_alone_is_not_written(talks):
    """E16: a clock behind each newest text; every text was paid twice, 0.44 of uncached."""
    run = Run()
    for talk in range(talks):
        run.units, run.total, history = 0.0, Usage(), []
        for turn in range(12):
            said, clock = {"text": prose(680, f"{talk} {turn}")}, {"text": f"It is 10:00:{turn:02}."}
            run.call({"messages": [*history, user(said, clock)]}, gap=20)
            history += [user(said), assistant({"text": "It is so."})]

    assert run.ratio <= 0.32


def guarded(run, name, agent):
    """Ten turns as LangChain sends them with `guard_last_turn_only`."""
    config = {"system": [{"text": prose(2_000)}], "toolConfig": {"tools": [tool("find", 100)]}}
    run.units, run.total, history = 0.0, Usage(), []
    for turn in range(10):
        said = {"text": prose(300 if turn else 10, f"{name} {turn}")}
        if agent and turn:
            stays = [result(f"c{turn}", 700)]
            wrapped = [*stays, {"guardContent": {"text": {"text": "[tool_result]"}}}]
        else:
            stays, wrapped = [said], [{"guardContent": {"text": said}}]
        report = run.call({**config, "messages": [*history, user(*wrapped)]}, gap=5)
        answer = [use("find", f"c{turn + 1}")] if agent else [{"text": f"It is so, {turn}."}]
        history += [user(*stays), assistant(*answer)]
    return report


@pytest.mark.parametrize(("agent", "first", "later"), [(True, 0.31, 0.26), (False, 0.33, 0.26)])
def test_b8_the_end_stands_where_it_can_be_read_beside_a_guarded_last_turn(agent, first, later):
    """B8: it stood behind a block that is gone on the next turn: 0.41, 0.35 and 0.34 for three agents."""
    run, ratios = Run(), []
    for n in range(3):
        report = guarded(run, f"{agent} {n}", agent)
        ratios.append(run.ratio)

    assert report.plan.checkpoints[-1].where == f"messages[{18 if agent else 17}].content[0]"
    assert ratios[0] <= first
    assert max(ratios[1:]) <= later


@pytest.mark.parametrize(("turns", "most"), [(2, 0.68), (3, 0.49)])
@pytest.mark.parametrize("system", [0, 300])
@pytest.mark.parametrize("opening", ["file", "paste"])
def test_e12_a_chat_that_opens_with_a_file_or_a_long_paste(opening, system, turns, most):
    """E12: 1.13 of uncached over two turns and 0.78 over three, in every new process."""
    head = {"system": [{"text": prose(system)}]} if system else {}
    held, question = prose(8_000, opening), "What does it say of the rotor?"
    first = [{"text": held}, {"text": question}] if opening == "file" else [{"text": f"{question}\n\n{held}"}]
    run, history = Run(), [user(*first)]
    for turn in range(turns):
        run.call({**head, "messages": list(history)}, gap=20)
        history += [assistant({"text": f"It says {turn}."}), user({"text": f"And of part {turn}?"})]

    assert run.ratio <= most


def test_e12_a_chat_that_opens_with_a_document_is_written():
    document = {"document": {"format": "pdf", "name": "file", "source": {"bytes": "JVBERg==" * 9_000}}}
    call = Run().cache.prepare({"messages": [user(document, {"text": "What is it?"})]}, model_id=SONNET)

    assert call.plan.checkpoints[-1].reason == "end"


SINGLES = {
    "alone": lambda said: {"messages": [user({"text": said})]},
    "behind an instruction": lambda said: {
        "system": [{"text": "You write for the general public."}],
        "messages": [user({"text": f"Translate into plain English.\n\n{said}"})],
    },
    "in two blocks": lambda said: {"messages": [user({"text": "Translate this:"}, {"text": said})]},
    "extracted": lambda said: {
        "toolConfig": {"tools": [tool("extract", 50)], "toolChoice": {"any": {}}},
        "messages": [user({"text": said})],
    },
    "with tools": lambda said: {
        "toolConfig": {"tools": [tool("find", 50), tool("open", 50)]},
        "messages": [user({"text": said})],
    },
    "in the system prompt": lambda said: {"system": [{"text": said}], "messages": [user({"text": "Go on."})]},
}


@pytest.mark.parametrize("kind", SINGLES)
def test_six_hundred_different_single_calls_cost_as_much_as_without(kind):
    run = Run()
    for n in range(600):
        run.call(SINGLES[kind](prose(300 + 70 * (n % 31), f"{kind} {n}")), gap=8)

    assert run.ratio <= 1.004
